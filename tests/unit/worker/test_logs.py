from __future__ import annotations

import subprocess
import sys

import pytest

TALK: str = """
import logging
from impasto.shared.logs import configure_logging

configure_logging("info", FORM)
logging.getLogger("celery.worker.consumer").error("Cannot connect.\\nTrying again in %s s\\n", 2)
import structlog
structlog.get_logger().info("pair.started", content="a\\nb\\x1b[2J.png")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_every_event_is_one_line_whoever_tells_it(form: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", TALK.replace("FORM", repr(form))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    lines = told.splitlines()
    assert len(lines) == 2, told
    assert "Cannot connect. Trying again in 2 s" in lines[0]
    assert "\x1b[2J" not in told


FAIL: str = """
import structlog
from impasto.shared.logs import configure_logging

configure_logging("info", FORM)

def sign(secret):
    raise ValueError("no message")

try:
    sign("hunter" + "2")
except ValueError:
    structlog.get_logger().exception("webhook.unexpected")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_fault_is_told_without_what_was_in_variables(form: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FAIL.replace("FORM", repr(form))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    assert "ValueError: no message" in told
    assert "hunter2" not in told
