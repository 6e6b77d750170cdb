from __future__ import annotations

import re

import pytest

from impasto.producer.cli.screen import Screen
from impasto.producer.watch import Update
from impasto.shared.ledger import BatchState, BatchStatus, RunningPair

WORDS = "a summer by the sea 🎨 in a hundred paintings of the north"

STATUS = BatchStatus(
    batch="summer",
    name=WORDS,
    state=BatchState.ACTIVE,
    priority=5,
    total=10_000,
    waiting=8749,
    due=4,
    running=1,
    done=1234,
    failed=12,
    cancelled=0,
    created_ms=0,
    finished_ms=None,
    busy_seconds=1.0,
    workers=1,
    eta_seconds=43_500.0,
)
RUNNING = RunningPair("summer", 1, "one", 1, 0, {"step": 1000, "steps": 1200, "loss": 0.12345})


def test_in_80_columns_no_number_is_cut_off_however_long_the_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")

    with Screen().watching(lambda _pair: f"{WORDS}.jpg × {WORDS}.png") as watching:
        watching.show(Update(STATUS, (RUNNING,), ()))

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    batch, running = [line for line in shown.splitlines() if "━" in line][-2:]
    assert batch.startswith("a summer by")
    assert "…" in batch
    assert batch.rstrip().endswith("1234 of 10000 done, 12 failed, about 12 h 05 min left")
    assert running.rstrip().endswith("step 1000 of 1200  loss 0.1235")
