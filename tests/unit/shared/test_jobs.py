from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from impasto.shared.errors import BadMessage
from impasto.shared.jobs import BatchSpec, InputRef, PairJob, fingerprint
from impasto.shared.names import slugify
from impasto.shared.settings import StyleSettings

texts = st.text(min_size=1, max_size=60).filter(str.strip)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def refs(draw: st.DrawFn) -> InputRef:
    name = draw(texts)
    return InputRef(
        uri=draw(texts),
        name=name,
        slug=slugify(name),
        sha256=draw(st.none() | digests),
        size_bytes=draw(st.none() | st.integers(0, 2**40)),
    )


@given(refs(), refs(), st.integers(0, 2**31), st.integers(16, 4096))
def test_a_job_survives_the_wire(content: InputRef, style: InputRef, pair: int, size_px: int) -> None:
    job = PairJob(
        batch="b-1", pair=pair, content=content, style=style, settings=StyleSettings(size_px=size_px)
    )
    assert PairJob.from_wire(json.loads(json.dumps(job.to_wire()))) == job


def test_a_foreign_producer_needs_to_give_two_addresses_only() -> None:
    job = PairJob.from_wire({"content": "s3://photos/a/cat 1.jpg", "style": {"uri": "s3://art/night.png"}})
    assert job.content.name == "cat 1.jpg"
    assert job.output_stem == "cat_1__night"
    assert job.batch is None
    assert job.settings == StyleSettings()


def test_a_foreign_producer_may_name_a_preset_and_what_differs() -> None:
    job = PairJob.from_wire(
        {"content": "s3://a/b", "style": "s3://c/d", "settings": {"preset": "gallery", "size_px": 300}}
    )
    assert job.settings == StyleSettings.preset("gallery", size_px=300)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "content"),
        ("hello", "message"),
        (None, "message"),
        ([1, 2], "message"),
        ({"content": "a", "style": "b", "version": 2}, "version"),
        ({"content": "a", "style": "b", "surprise": 1}, "surprise"),
        ({"content": "a", "style": "b", "settings": {"preset": "nope"}}, "nope"),
        ({"content": "a", "style": "b", "settings": {"stepz": 3}}, "stepz"),
        ({"content": {"uri": "a", "slug": "../../x"}, "style": "b"}, "slug"),
        ({"content": "a", "style": "b", "batch": "../x"}, "batch"),
    ],
)
def test_a_message_that_is_no_job_is_told_what_is_wrong_in_one_line(body: Any, named: str) -> None:
    with pytest.raises(BadMessage) as caught:
        PairJob.from_wire(body)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_equal_jobs_have_one_digest_and_an_id_tells_them_apart() -> None:
    body = {"content": "s3://a/b", "style": "s3://c/d"}
    assert PairJob.from_wire(body).digest() == PairJob.from_wire(dict(reversed(body.items()))).digest()
    assert PairJob.from_wire(body).digest() != PairJob.from_wire({**body, "id": "again"}).digest()


def spec(**changes: Any) -> BatchSpec:
    fields = {
        "batch": "b-1",
        "name": "b",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "contents": 3,
        "styles": 2,
        "settings": StyleSettings(),
    }
    return BatchSpec.model_validate(fields | changes)


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_product_names_every_pair_once_with_neighbours_sharing_the_content(c: int, s: int) -> None:
    product = spec(contents=c, styles=s)
    places = [product.indices(pair) for pair in range(product.total)]
    assert places == [(i, j) for i in range(c) for j in range(s)]


def test_zip_pairs_like_with_like_and_refuses_lists_of_two_lengths() -> None:
    assert [spec(pairs="zip", contents=2).indices(i) for i in range(2)] == [(0, 0), (1, 1)]
    with pytest.raises(ValidationError, match="3 contents"):
        spec(pairs="zip")


@pytest.mark.parametrize("pair", [-1, 6])
def test_a_pair_outside_the_matrix_is_refused(pair: int) -> None:
    with pytest.raises(IndexError, match="6 pairs"):
        spec().indices(pair)


@given(digests, digests, st.integers(0, 100))
def test_a_fingerprint_changes_with_each_of_its_parts(content: str, style: str, seed: int) -> None:
    settings = StyleSettings(seed=seed)
    base = fingerprint(content, style, settings)
    assert base == fingerprint(content, style, StyleSettings(seed=seed))
    assert base != fingerprint(content, style, StyleSettings(seed=seed + 1))
    if content != style:
        assert base != fingerprint(style, content, settings)
