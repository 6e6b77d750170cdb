"""The scripts' form: what every one of them says of itself, and that Python and Lua agree on the keys."""

from __future__ import annotations

import re

import pytest

from impasto.producer.webhooks.scripts import NAMES, read
from impasto.shared.ledger.keys import WEBHOOK_KEYS, Keys


@pytest.mark.parametrize("name", NAMES)
def test_every_script_says_its_keys_arguments_answer_and_why_it_may_be_repeated(name: str) -> None:
    header = re.match(r"(?:--.*\n)+", read(name))
    assert header is not None
    labels = re.findall(r"^-- (KEYS|ARGV|answer|again) +\S", header.group(), re.MULTILINE)
    assert labels == ["KEYS", "ARGV", "answer", "again"]


def test_python_and_lua_name_a_webhooks_keys_in_one_order() -> None:
    table = re.search(r"ipairs\(\{(.+?)\}\)", read("_keys"), re.DOTALL)
    assert table is not None
    assert tuple(re.findall(r"'(\w+)'", table.group(1))) == WEBHOOK_KEYS
    assert f"#KEYS - {len(WEBHOOK_KEYS)} + i" in read("_keys")


def test_all_keys_of_webhooks_share_the_hash_tag_of_their_namespace() -> None:
    every = [*Keys("studio").of_webhook("a"), *Keys("studio").of_webhook("b")]
    assert len(set(every)) == len(every)
    assert all(key.startswith("{studio}:") for key in every)
