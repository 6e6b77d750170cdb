from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from impasto.producer.cli.answers import CANCELLED, DONE, SOME_FAILED
from impasto.producer.cli.main import INTERNAL, INTERRUPTED, USAGE, app
from impasto.shared.errors import ImpastoError, Stopped

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
GROUP: Any = get_command(app)
COMMANDS: dict[str, Any] = GROUP.commands


def section(title: str) -> str:
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found is not None, f"docs/cli.md has no section '{title}'"
    return found.group(1)


def described_options(text: str) -> set[str]:
    """Long options in the first column of the section's tables."""
    return {
        name for row in re.findall(r"^\| (`-.*?) \|", text, re.M) for name in re.findall(r"--[a-z-]+", row)
    }


def options_of(command: Any) -> set[str]:
    """Its own, and those of the commands below it."""
    below = getattr(command, "commands", {}).values()
    return own_options_of(command).union(*(options_of(one) for one in below))


def own_options_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def errors(kind: type[ImpastoError]) -> Iterator[type[ImpastoError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from errors(below)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_is_documented_with_all_its_options_and_no_other(name: str) -> None:
    expected = options_of(COMMANDS[name]) - {"--help"}
    assert described_options(section(f"impasto {name}")) == expected


def test_no_command_is_documented_that_is_not_there() -> None:
    assert set(re.findall(r"^## impasto (\S+)$", PAGE, re.M)) == set(COMMANDS)


def test_the_options_of_every_command_are_documented() -> None:
    expected = own_options_of(GROUP) | {"--help", "--json", "--quiet", "--no-progress"}
    assert described_options(section("Options of every command")) == expected


def test_the_table_of_exit_codes_is_that_of_the_error_tree() -> None:
    rows = {
        int(code): text for code, text in re.findall(r"^\| (\d+) \| (.*) \|$", section("Exit codes"), re.M)
    }
    ours = [
        kind
        for kind in errors(ImpastoError)
        if not issubclass(kind, Stopped) and kind.__module__ == "impasto.shared.errors"
    ]
    assert set(rows) == {kind.exit_code for kind in ours} | {
        DONE,
        SOME_FAILED,
        CANCELLED,
        USAGE,
        INTERNAL,
        INTERRUPTED,
    }
    for kind in ours:
        if kind.exit_code != ImpastoError.exit_code:
            assert f"`{kind.__name__}`" in rows[kind.exit_code]
    named = {name for text in rows.values() for name in re.findall(r"`([A-Z]\w+)`", text)}
    assert named <= {kind.__name__ for kind in ours}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_says_in_a_line_what_it_does(name: str) -> None:
    assert (COMMANDS[name].help or "").strip().split("\n")[0].endswith(".")
