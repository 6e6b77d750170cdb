"""The shape of the fixture that gives commands of `impasto`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Impasto = Callable[..., dict[str, Any]]
"""A command's words in, its answer in JSON out."""
