from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.jobs import BatchSpec, InputRef
from impasto.shared.ledger import BatchOpening, Failure
from impasto.shared.ledger.memory import MemoryLedger
from impasto.shared.reports import Report, write_report
from impasto.shared.settings import StyleSettings
from impasto.shared.store.folder import FolderStore
from impasto.worker.reporter import Reporter


@pytest.fixture
def files(tmp_path: Path) -> BatchFiles:
    return BatchFiles(FolderStore(tmp_path))


@pytest.fixture
def ledger(files: BatchFiles) -> MemoryLedger:
    """One whose batch `b` of one pair is over, and not reported."""
    ledger = MemoryLedger()
    ref = InputRef(uri="store:inputs/a.png", name="a", slug="a")
    spec = BatchSpec(
        batch="b", name="b", created_at=datetime.now(UTC), contents=1, styles=1, settings=StyleSettings()
    )
    files.write(spec, [ref], [ref])
    ledger.open(BatchOpening("b", 1, "b"))
    ledger.advance("b", min_window=1)
    ledger.lease("b", 0, worker="w", lease_id="l", ttl_seconds=30)
    ledger.fail("b", 0, lease_id="l", failure=Failure(0, "bad_picture", "damaged", 1, "a", "a", 0))
    return ledger


def report_of(worker: str, ledger: MemoryLedger, files: BatchFiles) -> None:
    reporter = Reporter(worker, ledger, files)
    reporter.start()
    reporter.ask("b")
    reporter.stop(timeout_seconds=60)


def test_a_report_that_another_worker_writes_is_left_to_it(ledger: MemoryLedger, files: BatchFiles) -> None:
    assert ledger.reporting("b", reporter="another", ttl_seconds=600)
    report_of("one", ledger, files)
    assert files.store.head(layout.report_key("b", "json")) is None
    report_of("another", ledger, files)
    report = Report.model_validate_json(files.store.get(layout.report_key("b", "json")))
    assert (report.state, report.pairs[0].error) == ("failed", "damaged")
    assert not ledger.reporting("b", reporter="one", ttl_seconds=600)


def test_a_report_ends_when_another_worker_took_it_over_meanwhile(
    ledger: MemoryLedger, files: BatchFiles
) -> None:
    class TakenOver(Exception):
        pass

    asked = iter([None, TakenOver])

    def go_on() -> None:
        if (error := next(asked)) is not None:
            raise error

    with pytest.raises(TakenOver):
        write_report("b", ledger, files, go_on=go_on)
    assert list(files.store.list(layout.report_key("b", "csv"))) == []
