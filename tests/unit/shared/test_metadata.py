from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import results
from impasto.shared import layout
from impasto.shared.metadata import BlendRecord, InputRecord, OutputMetadata, PaintingRecord
from impasto.shared.store.folder import FolderStore


def written(folder: Path, **overrides: Any) -> bytes:
    store = FolderStore(folder)
    results.put_result(store, "b", "a__x", b"pixels", **overrides)
    return store.get(layout.metadata_key("b", "a__x"))


def record(name: str) -> InputRecord:
    return InputRecord(
        uri=f"s3://b/{name}", name=name, sha256="0" * 64, size_bytes=1, width_px=2, height_px=3
    )


def test_metadata_without_blend_and_mask_are_what_they_were_before_there_were_any(tmp_path: Path) -> None:
    fields = json.loads(written(tmp_path))
    assert "mask" not in fields
    assert fields["style"].keys() == {"uri", "name", "sha256", "size_bytes", "width_px", "height_px"}
    assert json.loads(OutputMetadata.model_validate(fields).model_dump_json()) == fields


def test_metadata_name_all_paintings_with_their_weights_and_the_mask(tmp_path: Path) -> None:
    paintings = tuple(PaintingRecord(**dict(record(name)), weight=n) for n, name in enumerate("ab", start=1))
    body = written(tmp_path, style=BlendRecord(name="dusk", blend=paintings), mask=record("mask.png"))
    told = json.loads(body)
    assert [(one["name"], one["weight"]) for one in told["style"]["blend"]] == [("a", 1), ("b", 2)]
    assert (told["style"]["name"], told["mask"]["name"]) == ("dusk", "mask.png")
    read = OutputMetadata.model_validate_json(body)
    assert read.style == BlendRecord(name="dusk", blend=paintings)
    assert read.mask == record("mask.png")
