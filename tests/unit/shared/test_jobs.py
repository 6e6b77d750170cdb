from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from impasto.shared import jobs
from impasto.shared.errors import BadMessage
from impasto.shared.jobs import (
    LARGEST_WEIGHT,
    LEAST_WEIGHT,
    MAX_PAINTINGS,
    BatchSpec,
    BlendRef,
    Content,
    InputRef,
    Painting,
    PairJob,
    StyleRef,
    fingerprint,
    weighted,
)
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


weights = st.floats(LEAST_WEIGHT, LARGEST_WEIGHT)


@st.composite
def blends(draw: st.DrawFn) -> BlendRef:
    name = draw(texts)
    paintings = draw(st.lists(st.tuples(refs(), weights), min_size=1, max_size=MAX_PAINTINGS))
    blend = tuple(Painting(**dict(ref), weight=weight) for ref, weight in paintings)
    return BlendRef(name=name, slug=slugify(name), blend=blend)


@given(refs(), refs() | blends(), st.none() | refs(), st.integers(0, 2**31), st.integers(16, 4096))
def test_a_job_survives_the_wire(
    content: InputRef, style: StyleRef, mask: InputRef | None, pair: int, size_px: int
) -> None:
    settings = StyleSettings(size_px=size_px)
    job = PairJob(batch="b-1", pair=pair, content=content, style=style, mask=mask, settings=settings)
    assert PairJob.from_wire(json.loads(json.dumps(job.to_wire()))) == job


@given(refs(), st.none() | refs())
def test_a_content_survives_its_line_with_its_mask(content: InputRef, mask: InputRef | None) -> None:
    line = Content(**dict(content), mask=mask)
    assert Content.model_validate_json(line.model_dump_json()) == line
    assert line.picture() == content
    assert ("mask" in json.loads(line.model_dump_json())) == (mask is not None)


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
        ({"content": "a", "style": "b", "output": "../x"}, "output"),
        ({"content": "a", "style": "b", "output": "/x"}, "output"),
        ({"content": "a", "style": "b", "output": "x/"}, "output"),
        ({"content": "a", "style": "b", "output": "{content}"}, "output"),
        ({"content": "a", "style": "b", "output": ""}, "output"),
        ({"content": "a", "style": "b", "mask": {"name": "m"}}, "mask"),
        ({"content": "a", "style": {"blend": []}}, "blend"),
        ({"content": "a", "style": {"blend": "b"}}, "blend"),
        ({"content": "a", "style": {"blend": ["b"] * 9}}, "blend"),
        ({"content": "a", "style": {"blend": ["b"], "uri": "c"}}, "uri"),
        ({"content": "a", "style": {"blend": ["b"], "slug": "../x"}}, "slug"),
        ({"content": "a", "style": {"blend": [{"uri": "b", "weight": 0}]}}, "weight"),
        ({"content": "a", "style": {"blend": [{"uri": "b", "weight": float("nan")}]}}, "weight"),
    ],
)
def test_a_message_that_is_no_job_is_told_what_is_wrong_in_one_line(body: Any, named: str) -> None:
    with pytest.raises(BadMessage) as caught:
        PairJob.from_wire(body)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_foreign_producer_names_a_blend_by_its_paintings_alone() -> None:
    blend = {"blend": ["s3://art/night.png", {"uri": "s3://art/wood cut.png", "weight": 3}]}
    job = PairJob.from_wire({"content": "s3://a/cat.jpg", "style": blend, "mask": "s3://a/mask.png"})
    assert job.style.name == "night.png + wood cut.png"
    assert job.output_stem == "cat__night_wood_cut"
    assert [(ref.uri, weight) for ref, weight in weighted(job.style)] == [
        ("s3://art/night.png", 1),
        ("s3://art/wood cut.png", 3),
    ]
    assert job.mask is not None
    assert job.mask.name == "mask.png"
    named = PairJob.from_wire({"content": "s3://a/cat.jpg", "style": {**blend, "name": "at dusk"}})
    assert named.output_stem == "cat__at_dusk"


class FixedSettings(StyleSettings):
    """Settings whose digest no new field changes."""

    def digest(self) -> str:
        return "5" * 64


def test_without_blend_and_mask_fingerprint_and_wire_are_what_they_were_before_there_were_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "ENGINE_VERSION", "1")
    before = "65d94058786cd491dbafbb88862dbba5483ac06bf86dd2a192d099eb65d86c3c"
    assert fingerprint("1" * 64, "2" * 64, FixedSettings()) == before
    assert fingerprint("1" * 64, [("2" * 64, 0.3)], FixedSettings()) == before
    wire = PairJob.from_wire({"content": "s3://a/b", "style": "s3://c/d"}).to_wire()
    assert list(wire) == ["version", "batch", "pair", "content", "style", "settings", "id"]
    assert list(wire["content"]) == ["uri", "name", "slug", "sha256", "size_bytes"]
    assert wire["content"].keys() == wire["style"].keys()


def test_what_asks_nothing_new_is_said_as_it_was_before_there_was_anything_new() -> None:
    plain = StyleSettings()
    assert "exif" not in plain.canonical_json()
    assert StyleSettings.model_validate_json(plain.model_dump_json()) == plain
    stripped = StyleSettings(exif="strip")
    assert stripped.digest() != plain.digest()
    assert StyleSettings.model_validate_json(stripped.model_dump_json()) == stripped
    assert "output_names" not in json.loads(spec().model_dump_json())
    assert "output_names" not in json.loads(spec(output_names="{content}__{style}").model_dump_json())
    assert "path" not in json.loads(Content(uri="a", name="a", slug="a").model_dump_json())


def test_a_job_may_say_what_its_output_is_called_and_a_batch_how_all_are() -> None:
    job = PairJob.from_wire({"content": "s3://a/cat.jpg", "style": "s3://c/d", "output": "2026/Ann's cat"})
    assert job.output_stem == "2026/Ann's cat"
    assert PairJob.from_wire(job.to_wire()) == job
    named = spec(output_names="{date}/{path}/{content}-{style}")
    assert BatchSpec.model_validate_json(named.model_dump_json()) == named
    assert named.output("cat", "pets", "night") == "2026-01-01/pets/cat-night"
    assert spec().output("cat", "pets", "night") is None
    with pytest.raises(ValidationError, match="contents"):
        spec(output_names="{contents}")
    with pytest.raises(ValidationError, match="folders"):
        Content(uri="a", name="a", slug="a", path="../b")


def test_a_blend_and_a_mask_have_the_fingerprint_that_results_in_stores_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "ENGINE_VERSION", "1")
    blend = [("2" * 64, 3.0), ("3" * 64, 1.0)]
    made = fingerprint("1" * 64, blend, FixedSettings(), mask_sha256="4" * 64)
    text = "\n".join(["1" * 64, f"{'2' * 64}:0.75 {'3' * 64}:0.25", "5" * 64, "1", f"mask {'4' * 64}"])
    assert made == hashlib.sha256(text.encode()).hexdigest()


@given(st.lists(st.tuples(digests, st.integers(1, 100)), min_size=2, max_size=MAX_PAINTINGS), digests)
def test_a_blends_fingerprint_changes_with_each_painting_and_share_and_not_with_the_weights_scale(
    blend: list[tuple[str, int]], other: str
) -> None:
    settings = StyleSettings()

    def of(changed: list[tuple[str, int]], mask: str | None = None) -> str:
        return fingerprint("1" * 64, changed, settings, mask_sha256=mask)

    (first, weight), *rest = blend
    assert of([(sha256, 2 * weight) for sha256, weight in blend]) == of(blend)
    assert of([(first, weight + 1), *rest]) != of(blend)
    assert of(rest) != of(blend)
    assert of(blend, other) != of(blend)
    if other != first:
        assert of([(other, weight), *rest]) != of(blend)


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
