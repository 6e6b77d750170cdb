# Every target sets up what it needs by itself, in .venv, and only when pyproject.toml changed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint format bench bench-gpu soak up clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Impasto needs Python 3.11 or newer; try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "Setting up $(VENV) (once; torch alone takes a minute or two) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

demo: $(READY) ## restyle 3 photographs with 2 paintings through the real queue, into demo/
	@$(BIN)/python -m impasto.producer.demo

up: $(READY) ## start everything on this machine: Valkey, workers, a folder as the store
	@$(BIN)/impasto up

test: lint ## all checks and all tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

lint: $(READY) ## formatting, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(READY) ## put the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## measure on this machine, as ratios against baselines of the same run, into build/bench/
	@$(BIN)/python -m tests.bench

soak: $(READY) ## minutes of everything that can go wrong, then an audit; SEED=n repeats a plan, SECONDS_OF_TROUBLE=n
	@$(BIN)/python -m tests.soak $(if $(SEED),--seed $(SEED)) $(if $(SECONDS_OF_TROUBLE),--seconds $(SECONDS_OF_TROUBLE))

bench-gpu: $(READY) ## the engine's measures on a CUDA device, and pairs an hour by stack and size
	@$(BIN)/python -m tests.bench.gpu

clean: ## remove what the targets made, .venv included
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
