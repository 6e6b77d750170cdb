from __future__ import annotations

import pytest

from impasto.shared import errors


def tree() -> list[type[errors.ImpastoError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.ImpastoError)
    ]


def test_every_error_says_whether_it_may_pass() -> None:
    leaves = [error for error in tree() if error is not errors.ImpastoError]
    sides = (errors.Transient, errors.Permanent, errors.Stopped)
    assert all(sum(issubclass(error, side) for side in sides) == 1 for error in leaves)


def test_every_error_has_a_kind_of_its_own_and_a_docstring() -> None:
    kinds = [error.kind for error in tree()]
    assert len(set(kinds)) == len(kinds)
    assert all(error.__doc__ for error in tree())


@pytest.mark.parametrize("error", tree())
def test_an_exit_code_is_never_that_of_success(error: type[errors.ImpastoError]) -> None:
    assert 1 <= error.exit_code <= 125


def test_a_message_is_one_line_whatever_it_was_made_of() -> None:
    assert str(errors.BadPicture("a\nb\t c")) == "a b c"


def test_a_fault_that_passes_may_say_when() -> None:
    assert errors.StoreUnavailable("slow down", retry_after_seconds=3).retry_after_seconds == 3
