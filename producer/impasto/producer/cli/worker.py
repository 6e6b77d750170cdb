"""`impasto worker`: becomes a worker process."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Final

import typer

from impasto.producer.local.runfile import locate
from impasto.shared.deployment import Deployment
from impasto.shared.errors import NotInstalled

PASS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


def worker(context: typer.Context) -> None:
    """Run one worker in this process: one a GPU. It needs the extra 'worker' (torch).

    What follows goes to the worker, such as --device cuda:1; impasto worker -- --help lists it all.
    """
    if find_spec("torch") is None or find_spec("torchvision") is None:
        raise NotInstalled("a worker needs torch, which is not installed: pip install 'impasto[worker]'")
    asks_only = "--help" in context.args
    if not asks_only:
        located = locate(Deployment.load())
        os.environ["IMPASTO_REDIS_URL"] = located.redis_url or ""
        os.environ["IMPASTO_STORE_URL"] = located.store_url or ""
    os.execv(sys.executable, [sys.executable, "-m", "impasto.worker", "run", *context.args])  # noqa: S606
