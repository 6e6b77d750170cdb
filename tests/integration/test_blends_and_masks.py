"""Blends and masks on real parts: queue, worker process, engine with the real weights, store."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.producer import Blend, Client
from impasto.shared import layout
from impasto.shared.jobs import TASK_NAME, BatchSpec, BlendRef, InputRef, Painting, StyleRef, fingerprint
from impasto.shared.ledger import BatchOpening, BatchState
from impasto.shared.metadata import BlendRecord, OutputMetadata
from impasto.shared.settings import StyleSettings
from servers import RedisServer
from stage import QUICK, Stage, folder_stage, picture, png
from workers import WorkerProcess, eventually

SIZE = (64, 48)
PULLED = QUICK.model_copy(update={"size_px": 64, "steps": 12, "style_weight": 1e7})
"""Enough steps at enough weight that the style shows."""


@pytest.fixture(scope="module")
def stage(valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, "blends-and-masks", tmp_path_factory.mktemp("blends-and-masks"))
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def worker(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with stage.worker(tmp_path_factory.mktemp("worker") / "worker.log") as worker:
        yield worker.ready()


def left_half(size: tuple[int, int]) -> Image.Image:
    """White on the left, black on the right."""
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask


def send(stage: Stage, **job: object) -> str:
    """The job through the queue as a foreign producer sends it; its batch, once it is over."""
    before = set(stage.ledger.batches())
    settings = job.pop("settings", PULLED)
    assert isinstance(settings, StyleSettings)
    wire = {**job, "settings": settings.model_dump(mode="json")}
    stage.app.send_task(TASK_NAME, args=[wire], queue=stage.deployment.queue)
    eventually(lambda: len(set(stage.ledger.batches()) - before) == 1, what="the adopted batch")
    (batch,) = set(stage.ledger.batches()) - before
    eventually(lambda: stage.is_over(batch), what="the pair")
    return batch


def metadata_of(stage: Stage, batch: str, pair: int = 0) -> OutputMetadata:
    stem = stage.files.job(batch, pair).output_stem
    return OutputMetadata.model_validate_json(stage.store.get(layout.metadata_key(batch, stem)))


def pixels(stage: Stage, batch: str) -> np.ndarray:
    with Image.open(io.BytesIO(stage.store.get(metadata_of(stage, batch).picture_key))) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


def test_a_job_with_a_blend_and_a_mask_is_made_from_all_of_its_pictures(
    stage: Stage, worker: WorkerProcess
) -> None:
    content = stage.upload(png(picture(1, SIZE)), "harbour.png", "harbour")
    first, second = (stage.upload(png(picture(n)), f"{n}.png", str(n)) for n in (2, 3))
    mask = stage.upload(png(left_half(SIZE)), "mask.png", "mask")
    blend = {
        "name": "dusk",
        "blend": [{**dict(first), "weight": 3}, {**dict(second), "weight": 1}],
    }
    batch = send(stage, content=content.uri, style=blend, mask=mask.uri)
    assert stage.ledger.status(batch).state is BatchState.DONE
    metadata = metadata_of(stage, batch)
    assert metadata.picture_key.endswith("__dusk.png")
    assert isinstance(metadata.style, BlendRecord)
    assert metadata.style.name == "dusk"
    told = [(one.name, one.sha256, one.weight) for one in metadata.style.blend]
    assert told == [("2.png", first.sha256, 3), ("3.png", second.sha256, 1)]
    assert metadata.mask is not None
    assert metadata.mask.sha256 == mask.sha256
    assert metadata.fingerprint == fingerprint(
        str(content.sha256),
        [(str(first.sha256), 0.75), (str(second.sha256), 0.25)],
        PULLED,
        mask_sha256=mask.sha256,
    )


def test_where_the_mask_is_black_the_photograph_stays(stage: Stage, worker: WorkerProcess) -> None:
    scene = picture(4, SIZE)
    content = stage.upload(png(scene), "scene.png", "scene")
    style = stage.upload(png(Image.new("RGB", SIZE, (250, 60, 20))), "red.png", "red")
    mask = stage.upload(png(left_half(SIZE)), "mask.png", "mask")
    batch = send(stage, content=content.uri, style=style.uri, mask=mask.uri)
    changed = np.abs(pixels(stage, batch) - np.asarray(scene)).mean(axis=(0, 2))
    # Near the edge the network still sees pixels of the other side.
    assert changed[:24].mean() > 5 * changed[-24:].mean()


def test_a_blend_lies_between_its_paintings(stage: Stage, worker: WorkerProcess) -> None:
    content = stage.upload(png(Image.new("RGB", SIZE, (128, 128, 128))), "grey.png", "grey")
    red, blue = (
        stage.upload(png(Image.new("RGB", SIZE, colour)), f"{name}.png", name)
        for name, colour in (("red", (230, 30, 30)), ("blue", (30, 30, 230)))
    )

    def redness(*weighted: tuple[str, float]) -> float:
        blend = [{"uri": uri, "weight": weight} for uri, weight in weighted]
        mean = pixels(stage, send(stage, content=content.uri, style={"blend": blend})).mean(axis=(0, 1))
        return float(mean[0] - mean[2])

    mostly_red = redness((red.uri, 3), (blue.uri, 1))
    mostly_blue = redness((red.uri, 1), (blue.uri, 3))
    assert redness((red.uri, 1)) > mostly_red > mostly_blue > redness((blue.uri, 1))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (png(Image.new("L", (9, 9), 255)), "the mask has 9 × 9 px, its content 64 × 48 px"),
        (png(Image.new("L", SIZE, 0)), "black throughout"),
        (b"no picture", "this is no picture"),
    ],
    ids=["size", "black", "rubbish"],
)
def test_a_mask_that_cannot_be_fails_its_pair_by_name(
    stage: Stage, worker: WorkerProcess, mask: bytes, reason: str
) -> None:
    content = stage.upload(png(picture(5, SIZE)), "scene.png", "scene")
    style = stage.upload(png(picture(6)), "look.png", "look")
    uploaded = stage.upload(mask, "stencil.png", "stencil")
    batch = send(stage, content=content.uri, style=style.uri, mask=dict(uploaded))
    (failure,) = stage.ledger.failures(batch)
    assert failure.kind == "bad_picture"
    assert failure.message.startswith("stencil.png: ")
    assert reason in failure.message


def opened(stage: Stage, contents: list[InputRef], styles: list[StyleRef]) -> str:
    """A batch of what nobody checked, over."""
    batch = f"unchecked-{uuid.uuid4().hex[:8]}"
    spec = BatchSpec(
        batch=batch,
        name=batch,
        created_at=datetime.now(UTC),
        contents=len(contents),
        styles=len(styles),
        settings=QUICK,
    )
    stage.files.write(spec, contents, styles)
    stage.ledger.open(BatchOpening(batch, spec.total, batch))
    stage.dispatcher.advance(batch)
    eventually(lambda: stage.is_over(batch), what="the batch")
    return batch


def test_a_bad_painting_fails_the_pairs_of_its_blend_and_no_others(
    stage: Stage, worker: WorkerProcess
) -> None:
    contents = [stage.upload(png(picture(n, SIZE)), f"c{n}.png", f"c{n}") for n in (20, 21)]
    good = stage.upload(png(picture(22)), "good.png", "good")
    bad = stage.upload(b"no picture", "bad.png", "bad")

    def blend(name: str, *refs: InputRef) -> BlendRef:
        return BlendRef(name=name, slug=name, blend=tuple(Painting(**dict(ref)) for ref in refs))

    batch = opened(stage, contents, [blend("spoilt", good, bad), blend("whole", good, contents[0]), good])
    status = stage.ledger.status(batch)
    assert (status.done, status.failed) == (4, 2)
    failures = list(stage.ledger.failures(batch))
    assert {failure.pair for failure in failures} == {0, 3}
    assert {failure.style for failure in failures} == {"spoilt"}
    assert all(failure.message.startswith("bad.png: ") for failure in failures)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs in folders, masks of some of them, paintings; of each, one that will not do."""
    folder = tmp_path_factory.mktemp("pictures")
    files = {
        "photos/harbour.png": png(picture(30, SIZE)),
        "photos/2026/cat.png": png(picture(31, SIZE)),
        "photos/2026/dog.png": png(picture(32, SIZE)),
        "masks/harbour.png": png(left_half(SIZE)),
        "masks/2026/dog.png": png(left_half((9, 9))),
        "masks/2026/cow.png": png(left_half(SIZE)),
        "paintings/night.png": png(picture(33, SIZE)),
        "paintings/wood.png": png(picture(34, SIZE)),
        "paintings/torn.png": png(picture(35, SIZE))[:100],
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_batch_of_blends_and_masks_is_made_fetched_and_after_the_loss_of_redis_recovered(
    stage: Stage, worker: WorkerProcess, pictures: Path, tmp_path: Path
) -> None:
    night, wood, torn = (pictures / "paintings" / f"{name}.png" for name in ("night", "wood", "torn"))
    with Client(stage.deployment) as client:
        submission = client.submit(
            pictures / "photos",
            [night, Blend("dusk", {night: 3, wood: 1}), Blend("ruin", {night: 1, torn: 1})],
            masks=pictures / "masks",
            settings=QUICK,
        )
        rejected = {one.input.removeprefix(f"{pictures}/"): one.error for one in submission.rejected}
        assert set(rejected) == {"ruin", "masks/2026/dog.png", "masks/2026/cow.png"}
        assert "torn.png" in rejected["ruin"]
        assert "2026/dog.png is left out" in rejected["masks/2026/dog.png"]
        counts = (submission.contents, submission.masks, submission.styles, submission.pairs)
        assert counts == (2, 1, 2, 4)
        batch = str(submission.batch)
        assert client.wait(batch, 60).state is BatchState.DONE
        fetched = client.fetch(batch, tmp_path)
        assert (fetched.fetched, fetched.missing, fetched.problems) == (4, 0, ())
        told = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*__*.json")}
        assert set(told) == {"harbour__night", "harbour__dusk", "cat__night", "cat__dusk"}
        for name, metadata in told.items():
            with Image.open(tmp_path / f"{name}.png") as image:
                image.load()
            assert ("mask" in metadata) == name.startswith("harbour")
            assert ("blend" in metadata["style"]) == name.endswith("dusk")
        weights = {Path(one["name"]).name: one["weight"] for one in told["cat__dusk"]["style"]["blend"]}
        assert weights == {"night.png": 3, "wood.png": 1}
        eventually(lambda: stage.store.head(layout.report_key(batch, "json")) is not None, what="the report")
        report = json.loads(stage.store.get(layout.report_key(batch, "json")))
        assert [Path(pair["style"]).name for pair in report["pairs"]] == ["night.png", "dusk"] * 2

        for key in stage.client.scan_iter(f"{{{stage.deployment.namespace}}}:*"):
            stage.client.delete(key)
        (recovered,) = client.recover([batch]).recovered
        assert (recovered.total, recovered.done, recovered.state) == (4, 4, BatchState.DONE)
