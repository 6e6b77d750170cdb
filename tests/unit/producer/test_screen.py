from __future__ import annotations

import re
import time

import pytest

from impasto.producer.cli import screen
from impasto.producer.cli.screen import Screen
from impasto.producer.collect import Progress
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


def test_a_long_transfer_shows_bytes_rate_and_time_left_in_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with Screen().transfer() as on_progress:
        for items in range(12_345, 12_360):
            on_progress(Progress("contents", items, 100_000, items * 60_000, 6_000_000_000))
            time.sleep(0.01)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    last = [line.rstrip() for line in shown.splitlines() if "━" in line][-1]
    assert re.search(r"12,359 of 100,000, 741\.5 MB +[0-9.]+ [kMG]?B/s +[0-9-]+:[0-9-]+", last), last
    assert "…" not in last


def test_lines_of_a_long_transfer_tell_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "LINE_EVERY_SECONDS", 0.0)
    with Screen().transfer() as on_progress:
        on_progress(Progress("contents", 1, 3, 1000, 3000))
        time.sleep(0.01)
        on_progress(Progress("contents", 2, 3, 2000, 3000))
        on_progress(Progress("contents", 3, 3, 3000, 3000))
    *_, second, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"contents: 2 of 3 checked, 2\.0 kB of 3\.0 kB, [0-9.]+ [kM]B/s, about 0 s left", second
    )
    assert last == "contents: 3 of 3 checked, 3.0 kB of 3.0 kB"
