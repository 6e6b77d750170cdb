"""Blends and masks on real parts: queue, worker process, engine with the real weights, store."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from impasto.shared import layout
from impasto.shared.jobs import TASK_NAME, fingerprint
from impasto.shared.ledger import BatchState
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
