"""Versions of what makes the pixels, read once: that takes a millisecond each, and every pair tells them."""

from __future__ import annotations

import functools
import sys
from importlib.metadata import version


@functools.cache
def impasto_version() -> str:
    """Of this installation."""
    return version("impasto")


@functools.cache
def software() -> dict[str, str]:
    """For metadata and `impasto doctor`."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {
        "python": python,
        "impasto": impasto_version(),
        **{name: version(name) for name in ("torch", "torchvision", "pillow")},
    }
