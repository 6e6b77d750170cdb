from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import Damaged, ObjectMissing, UnknownVersion
from impasto.shared.jobs import LINES_A_CHUNK, BatchSpec, BlendRef, Content, InputRef, Painting
from impasto.shared.settings import StyleSettings
from impasto.shared.store.folder import FolderStore

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def inputs(kind: str, count: int) -> list[InputRef]:
    return [
        InputRef(uri=f"store:inputs/{kind}{i}.png", name=f"{kind}{i}", slug=f"{kind}{i}")
        for i in range(count)
    ]


def spec(contents: int, styles: int) -> BatchSpec:
    return BatchSpec(
        batch="b", name="b", created_at=CREATED, contents=contents, styles=styles, settings=StyleSettings()
    )


@pytest.fixture
def files(tmp_path: Path) -> BatchFiles:
    return BatchFiles(FolderStore(tmp_path))


def changed(files: BatchFiles, **fields: Any) -> None:
    """The spec as another hand would have written it."""
    body = json.loads(files.store.get(layout.spec_key("b"))) | fields
    files.store.put(layout.spec_key("b"), json.dumps(body).encode(), content_type="application/json")


def test_any_pair_is_found_across_chunks(files: BatchFiles) -> None:
    contents = LINES_A_CHUNK + 3
    files.write(spec(contents, 2), inputs("c", contents), inputs("s", 2))
    again = BatchFiles(files.store)
    for pair in (0, 1, 2 * LINES_A_CHUNK - 1, 2 * LINES_A_CHUNK, 2 * contents - 1):
        job = again.job("b", pair)
        assert (job.content.name, job.style.name) == (f"c{pair // 2}", f"s{pair % 2}")
    assert len(list(files.store.list("batches/b/contents/"))) == 2


def test_a_list_that_is_not_as_long_as_the_spec_says_leaves_no_spec(files: BatchFiles) -> None:
    with pytest.raises(ValueError, match="spec says 3 contents, 2 were given"):
        files.write(spec(3, 1), inputs("c", 2), inputs("s", 1))
    files.store.check()
    with pytest.raises(ObjectMissing, match="never written"):
        files.spec("b")


def test_masks_and_blends_are_in_the_lists_and_jobs_have_them(files: BatchFiles) -> None:
    mask, *paintings = inputs("x", 3)
    plain, other = inputs("c", 2)
    blend = BlendRef(
        name="dusk",
        slug="dusk",
        blend=tuple(Painting(**dict(ref), weight=n + 1) for n, ref in enumerate(paintings)),
    )
    style = inputs("s", 1)[0]
    files.write(spec(2, 2), [Content(**dict(plain), mask=mask), other], [blend, style])
    again = BatchFiles(files.store)
    assert [(job.content, job.mask, job.style) for job in again.jobs("b")] == [
        (plain, mask, blend),
        (plain, mask, style),
        (other, None, blend),
        (other, None, style),
    ]


def test_lists_without_masks_and_blends_are_what_they_were_before_there_were_any(files: BatchFiles) -> None:
    files.write(spec(1, 1), [Content(**dict(inputs("c", 1)[0]))], inputs("s", 1))
    for name, kind in (("contents", "c"), ("styles", "s")):
        line = json.loads(files.store.get(f"batches/b/{name}/00000.jsonl"))
        assert line == {
            "uri": f"store:inputs/{kind}0.png",
            "name": f"{kind}0",
            "slug": f"{kind}0",
            "sha256": None,
            "size_bytes": None,
        }


@pytest.mark.parametrize("name", ["contents", "styles"])
def test_a_list_of_a_newer_impasto_waits_too(files: BatchFiles, name: str) -> None:
    files.write(spec(1, 1), inputs("c", 1), inputs("s", 1))
    line = b'{"uri": "s3://a/b", "a_field_of_tomorrow": 1}\n'
    files.store.put(f"batches/b/{name}/00000.jsonl", line, content_type="application/jsonl")
    with pytest.raises(UnknownVersion, match="another version of Impasto"):
        BatchFiles(files.store).job("b", 0)


@pytest.mark.parametrize("fields", [{"version": 2}, {"a_field_of_tomorrow": 1}])
def test_a_batch_of_a_newer_impasto_waits_instead_of_failing(
    files: BatchFiles, fields: dict[str, Any]
) -> None:
    files.write(spec(1, 1), inputs("c", 1), inputs("s", 1))
    changed(files, **fields)
    with pytest.raises(UnknownVersion, match="another version of Impasto"):
        files.job("b", 0)


def test_a_damaged_batch_is_named_and_won_t_pass(files: BatchFiles) -> None:
    files.write(spec(1, 1), inputs("c", 1), inputs("s", 1))
    files.store.put(layout.spec_key("b"), b"{", content_type="application/json")
    with pytest.raises(Damaged, match=r"batches/b/batch.json .* is damaged"):
        files.job("b", 0)
