from __future__ import annotations

import inspect

import pytest

from impasto.shared import ledger as package
from impasto.shared.errors import BadSettings, NothingToSubmit
from impasto.shared.ledger import BatchOpening, BatchState, Ledger
from impasto.shared.ledger.memory import MemoryLedger
from impasto.shared.ledger.redis_ledger import RedisLedger


def methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


@pytest.mark.parametrize("implementation", [RedisLedger, MemoryLedger])
def test_an_implementation_has_the_contracts_methods_and_no_others(implementation: type) -> None:
    assert methods(implementation) == methods(Ledger)


def test_a_batch_without_pairs_is_refused_by_name() -> None:
    with pytest.raises(NothingToSubmit, match="'empty'"):
        BatchOpening("b", 0, "empty")


@pytest.mark.parametrize(("total", "priority"), [(2**32, 5), (1, -1), (1, 10)])
def test_a_batch_out_of_range_is_refused_by_name(total: int, priority: int) -> None:
    with pytest.raises(BadSettings, match="'huge'"):
        BatchOpening("b", total, "huge", priority)


def test_cancelled_done_and_failed_are_final() -> None:
    final = {state for state in BatchState if state.is_final}
    assert final == {BatchState.CANCELLED, BatchState.DONE, BatchState.FAILED}


def test_the_package_exports_what_it_names() -> None:
    assert sorted(package.__all__) == package.__all__
    assert all(hasattr(package, name) for name in package.__all__)
