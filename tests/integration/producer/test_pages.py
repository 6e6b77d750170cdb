"""What the pages show is run, as it stands there, against real servers and a worker without an engine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from impasto.producer import Client
from impasto.producer.cli.main import app
from impasto.shared import layout
from servers import RedisServer
from stage import Stage, folder_stage, picture, png
from workers import eventually

DOCS = Path(__file__).parents[3] / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


@pytest.fixture(scope="module")
def stage(valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A deployment with a worker, in a namespace of this module's own."""
    folder = tmp_path_factory.mktemp("pages")
    stage = folder_stage(valkey.url, f"pages-{os.getpid()}", folder)
    with stage.noop_worker(folder / "worker.log") as worker:
        worker.ready()
        yield stage
    stage.close()


@pytest.fixture
def gallery(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, in which the examples run."""
    for folder, seeds in (("photos", (0, 1)), ("paintings", (10, 11))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            (tmp_path / folder / f"{folder}-{seed}.png").write_bytes(png(picture(seed)))
    monkeypatch.chdir(tmp_path)
    bin_folder = str(Path(sys.executable).parent)
    for name, value in {**stage.environment, "PATH": f"{bin_folder}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("python.md", "python"))))
def test_each_example_of_the_python_page_runs(
    gallery: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    text = blocks("python.md", "python")[number]
    exec(compile(text, f"docs/python.md, example {number + 1}", "exec"), {"__name__": "__main__"})  # noqa: S102
    assert "failed:" not in capsys.readouterr().out


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_shell_script_runs_as_it_stands_and_again_makes_nothing_new(gallery: Path, stage: Stage) -> None:
    (script,) = [text for text in blocks("pipelines.md", "sh") if text.startswith("#!/bin/sh")]
    (gallery / "nightly.sh").write_text(script)
    before = len(stage.ledger.batches())
    for _ in range(2):
        ran = run("sh", "nightly.sh", GALLERY=str(gallery))
        assert (ran.returncode, ran.stderr) == (0, "")
    assert len(list((gallery / "restyled").glob("photos-*.png"))) == 4
    assert len(stage.ledger.batches()) == before + 1


def test_the_makefile_runs_as_it_stands_and_only_when_something_changed(gallery: Path, stage: Stage) -> None:
    (gallery / "Makefile").write_text(blocks("pipelines.md", "make")[0])
    ran = run("make")
    assert ran.returncode == 0, ran.stderr
    assert len(list((gallery / "restyled").glob("photos-*.png"))) == 4
    assert "up to date" in run("make").stdout
    (gallery / "photos" / "broken.png").write_bytes(b"")
    assert run("make", "check").returncode == 2


def test_the_workflow_and_the_dag_are_whole() -> None:
    (text,) = blocks("pipelines.md", "yaml")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow) == {"name", True, "jobs"}
    (job,) = workflow["jobs"].values()
    assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    (dag,) = blocks("pipelines.md", "python")
    tree = ast.parse(dag)
    compile(tree, "dag.py", "exec")
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"airflow.providers.standard.operators.bash", "airflow.sdk"}


def test_every_command_in_the_page_has_the_options_that_it_is_given() -> None:
    group: Any = get_command(app)
    text = (DOCS / "pipelines.md").read_text(encoding="utf-8").replace("\\\n", " ")
    text = re.sub(r'"\n\s+"', "", text)
    found = re.findall(r"^[^`#\n]*?\bimpasto ([a-z]+)((?:\s+[^|;&\n]*)?)", text, re.M)
    assert len(found) >= 10
    for command, words in found:
        known = {name for parameter in group.commands[command].params for name in parameter.opts}
        assert set(re.findall(r"(?<=\s)--[a-z-]+", words)) <= known, (command, words)


def test_a_foreign_celery_application_is_served(gallery: Path, stage: Stage) -> None:
    with Client(stage.deployment) as client:
        made = client.submit("photos/photos-0.png", "paintings/paintings-10.png")
        assert made.batch is not None
        job = client.pair(made.batch, 0)
    celery, raw, listening = blocks("protocol.md", "python")
    for name, program in (("celery", celery), ("raw", raw)):
        ran = run(sys.executable, "-c", program, job.content.uri, job.style.uri, name)
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    eventually(
        lambda: sum(one.startswith("job-") and stage.is_over(one) for one in stage.ledger.batches()) == 2,
        what="both jobs",
    )
    assert stage.ledger.dead_letters() == []
    batch = next(one for one in stage.ledger.batches() if one.startswith("job-"))
    assert len(list(stage.store.list(layout.outputs_prefix(batch)))) == 2
    told = run(sys.executable, "-c", listening, batch)
    assert told.returncode == 0, told.stderr
    assert "pair.done 0 {'busy_seconds': " in told.stdout
    assert told.stdout.splitlines()[-1].startswith("batch.finished")
