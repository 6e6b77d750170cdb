"""What scripts rely on: the same options everywhere, and an answer for machines from every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from impasto.producer.cli.main import app

SERVICES = {"up", "worker", "beat"}
"""They run until they are stopped, and answer nothing."""


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands(get_command(app)))


def options(name: str) -> set[str]:
    return {option for parameter in COMMANDS[name].params for option in parameter.opts}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - SERVICES))
def test_every_command_that_answers_does_so_in_json(name: str) -> None:
    assert "--json" in options(name)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_progress_is_silenced_in_one_way(name: str) -> None:
    ours = options(name) & {"--quiet", "-q", "--no-progress"}
    assert ours in (set(), {"--quiet", "-q"}, {"--quiet", "-q", "--no-progress"})
