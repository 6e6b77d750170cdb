"""`impasto config`: the deployment's settings as they are in force."""

from __future__ import annotations

import json
from typing import Any

import typer

from impasto.producer.cli.answers import as_json
from impasto.producer.cli.options import JsonOption
from impasto.shared.deployment import Deployment


def config(json_: JsonOption = False) -> None:
    """Print all settings of this deployment, passwords hidden, in the form of a .env file."""
    deployment = Deployment.load()
    values = deployment.masked()
    if json_:
        as_json(values)
        return
    for name, value in values.items():
        described = Deployment.model_fields[name].description
        if described:
            typer.echo(f"# {described}")
        typer.echo(f"{'# ' if value is None else ''}IMPASTO_{name.upper()}={_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
