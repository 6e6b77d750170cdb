from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ObjectMissing, StoreRefused, Transient
from impasto.shared.jobs import LINES_A_CHUNK, BatchSpec, InputRef
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
    with pytest.raises(ObjectMissing, match="never written"):
        files.spec("b")


@pytest.mark.parametrize("fields", [{"version": 2}, {"a_field_of_tomorrow": 1}])
def test_a_batch_of_a_newer_impasto_waits_instead_of_failing(
    files: BatchFiles, fields: dict[str, Any]
) -> None:
    files.write(spec(1, 1), inputs("c", 1), inputs("s", 1))
    changed(files, **fields)
    with pytest.raises(Transient, match="another version of Impasto"):
        files.job("b", 0)


def test_a_damaged_batch_is_named_and_won_t_pass(files: BatchFiles) -> None:
    files.write(spec(1, 1), inputs("c", 1), inputs("s", 1))
    files.store.put(layout.spec_key("b"), b"{", content_type="application/json")
    with pytest.raises(StoreRefused, match=r"batches/b/batch.json .* is damaged"):
        files.job("b", 0)
