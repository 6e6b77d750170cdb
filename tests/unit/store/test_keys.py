from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.shared.errors import StoreRefused
from impasto.shared.store.keys import KEY_LIMIT_BYTES, PART_LIMIT_BYTES, checked_key, checked_prefix


@given(st.text(max_size=60) | st.text("a./\\\n é\u0301", max_size=20))
def test_whatever_is_accepted_stays_below_its_store(key: str) -> None:
    try:
        checked_key(key)
    except StoreRefused:
        return
    path = PurePosixPath("/store") / key
    assert str(path) == f"/store/{key}"
    assert not any(part.startswith(".") for part in path.parts)
    assert unicodedata.normalize("NFC", key) == key
    assert not any(unicodedata.category(character) == "Cc" for character in key)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "empty"),
        ("a" * (PART_LIMIT_BYTES + 1), "250 bytes"),
        ("é" * (PART_LIMIT_BYTES // 2 + 1), "250 bytes"),
        ("a/" * (KEY_LIMIT_BYTES // 2) + "a", "1024 bytes"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("e\u0301", "normal form"),
        ("/a", "slash"),
        ("a//b", "slash"),
        ("a/", "slash"),
        ("a/../b", "dot"),
        (".meta/a", "dot"),
        ("a\\b", "backslash"),
        ("\ud800", "Unicode"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_key(key: str, problem: str) -> None:
    with pytest.raises(StoreRefused, match=problem):
        checked_key(key)


@pytest.mark.parametrize(
    "key", ["a" * PART_LIMIT_BYTES, "a/" * (KEY_LIMIT_BYTES // 2 - 1) + "aa", "a b/c&d=é"]
)
def test_the_longest_and_the_strangest_keys_are_accepted(key: str) -> None:
    assert checked_key(key) == key


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b"])
def test_a_prefix_may_end_anywhere(prefix: str) -> None:
    assert checked_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", ".m", "a//"])
def test_a_prefix_can_not_leave_the_store(prefix: str) -> None:
    with pytest.raises(StoreRefused):
        checked_prefix(prefix)
