"""How a batch ended, as the store tells: its report, unless people have retried the batch since."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import AwareDatetime, BaseModel, ValidationError

from impasto.shared import layout
from impasto.shared.errors import ObjectMissing
from impasto.shared.ledger import BatchState, Failure, PairState
from impasto.shared.reports import utc
from impasto.shared.store import ObjectStore


class _Pair(BaseModel):
    """What matters of a reported pair here."""

    pair: int
    content: str
    style: str
    state: str
    attempts: int | None
    error_kind: str | None
    error: str | None

    def failure(self) -> Failure:
        return Failure(
            self.pair,
            self.error_kind or "error",
            self.error or "",
            attempts=self.attempts or 0,
            content=self.content,
            style=self.style,
            failed_ms=0,
        )


class Outcome(BaseModel):
    """What matters of a report here."""

    state: BatchState
    written_at: datetime
    finished_at: AwareDatetime | None = None
    pairs: tuple[_Pair, ...]

    @classmethod
    def of(cls, store: ObjectStore, batch: str) -> Self | None:
        """None when the batch did not end, or nobody could tell, or it was retried after that end."""
        try:
            told = cls.model_validate_json(store.get(layout.report_key(batch, "json")))
        except (ObjectMissing, ValidationError):
            return None
        return told if told.state.is_final and not told._is_outdated(_Retried.of(store, batch)) else None

    def failures(self) -> dict[int, Failure]:
        """What failed, by pair."""
        return {pair.pair: pair.failure() for pair in self.pairs if pair.state == PairState.FAILED}

    def _is_outdated(self, retried: _Retried | None) -> bool:
        if retried is None:
            return False
        return self.finished_at is None or self.finished_at <= retried.finished_at


class _Retried(BaseModel):
    """The end that a retry undid. Two ends are compared, both by the ledger's clock: others may be wrong."""

    finished_at: AwareDatetime

    @classmethod
    def of(cls, store: ObjectStore, batch: str) -> Self | None:
        try:
            return cls.model_validate_json(store.get(layout.retried_key(batch)))
        except (ObjectMissing, ValidationError):
            return None


def mark_retried(store: ObjectStore, batch: str, finished_ms: int) -> None:
    """The batch's end of that time is none any more, whatever is reported of it."""
    body = _Retried(finished_at=utc(finished_ms)).model_dump_json().encode()
    store.put(layout.retried_key(batch), body, content_type="application/json")
