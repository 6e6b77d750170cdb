"""The scripts' form: what every one of them says of itself, and that Python and Lua agree on the keys."""

from __future__ import annotations

import re

import pytest

from impasto.shared.ledger.keys import BATCH_KEYS, SHARED_KEYS, Keys
from impasto.shared.ledger.loader import read, script_names, script_text

PRELUDES = ("_clock", "_batch", "_again", "_settle", "_expire", "_advance", "_status")


@pytest.mark.parametrize("name", script_names())
def test_every_script_says_its_keys_arguments_answer_and_why_it_may_be_repeated(name: str) -> None:
    header = re.match(r"(?:--.*\n)+", read(name))
    assert header is not None
    labels = re.findall(r"^-- (KEYS|ARGV|answer|again) +\S", header.group(), re.MULTILINE)
    assert labels == ["KEYS", "ARGV", "answer", "again"]


@pytest.mark.parametrize("name", script_names())
def test_a_script_is_sent_with_just_the_preludes_it_uses(name: str) -> None:
    body, sent = read(name), script_text(name)
    assert sent.endswith(body)
    included = {prelude for prelude in PRELUDES if read(prelude) in sent}
    offered = {
        function: prelude
        for prelude in PRELUDES
        for function in re.findall(r"^local function (\w+)", read(prelude), re.MULTILINE)
    }
    used = {prelude for function, prelude in offered.items() if re.search(rf"\b{function}\(", body)}
    used |= {"_batch"} if used - {"_clock"} or re.search(r"\bK\.", body) else set()
    assert used == included


def test_python_and_lua_name_a_batchs_keys_in_one_order() -> None:
    table = re.search(r"ipairs\(\{(.+?)\}\)", read("_batch"), re.DOTALL)
    assert table is not None
    assert tuple(re.findall(r"'(\w+)'", table.group(1))) == BATCH_KEYS + SHARED_KEYS


def test_all_keys_share_the_hash_tag_of_their_namespace() -> None:
    keys = Keys("studio")
    every = [*keys.for_scripts("b"), keys.token("t"), keys.shared("batches")]
    assert len(set(every)) == len(every)
    assert all(key.startswith("{studio}:") for key in every)
