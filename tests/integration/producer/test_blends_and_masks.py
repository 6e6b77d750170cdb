"""Blends and masks as people submit them, and what becomes of their batches without a worker."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import results
from commands import Impasto
from hands import fail, finish
from impasto.producer import BatchState, Blend, Client, Masked, SubmissionRefused
from impasto.producer.cli import main
from impasto.shared import layout
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings
from impasto.shared.jobs import BlendRef, InputRef, fingerprint, weighted
from impasto.shared.metadata import BlendRecord, InputRecord, PaintingRecord
from s3_server import S3Server
from stage import picture, png


def white(size: tuple[int, int] = (48, 40), level: int = 255) -> bytes:
    return png(Image.new("L", size, level))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Masks of the first two photographs."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(2):
        (folder / f"photo {number}.png").write_bytes(white(level=255 - number))
    return folder


def test_the_command_line_takes_blends_masks_and_a_preview(
    client: Client, impasto: Impasto, photos: Path, paintings: Path, masks: Path
) -> None:
    first, second = (paintings / f"painting {n}.png" for n in range(2))
    answer = impasto(
        *("submit", "-c", *sorted(photos.iterdir()), "-s", first, "--preview", "--size", 1024),
        *("--blend", f"dusk={first}:0.7,{second}:0.3", "--blend", f"dawn={second}:1"),
        *("--masks", *sorted(masks.iterdir())),
    )
    counts = (answer["contents"], answer["styles"], answer["masks"], answer["pairs"])
    assert counts == (3, 2 + 1, 2, 9)
    jobs = [client.pair(answer["batch"], pair) for pair in range(9)]
    assert [job.output_stem for job in jobs[:3]] == ["photo_0__painting_0", "photo_0__dusk", "photo_0__dawn"]
    assert [weight for _, weight in weighted(jobs[1].style)] == [0.7, 0.3]
    named = [None if job.mask is None else Path(job.mask.name).name for job in jobs[::3]]
    assert named == ["photo 0.png", "photo 1.png", None]
    assert {(job.settings.size_px, job.settings.preview_px) for job in jobs} == {(1024, 256)}


def test_blends_alone_are_styles_enough_and_no_style_at_all_is_a_usage_error(
    impasto: Impasto, photos: Path, paintings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = impasto("submit", "-c", photos, "--blend", f"dusk={paintings}/painting 0.png:1", "--dry-run")
    assert (answer["styles"], answer["pairs"]) == (1, 3)
    assert main(["submit", "-c", str(photos)]) == 2
    assert "--styles, or --blend" in capsys.readouterr().err


@pytest.mark.parametrize("blend", ["dusk=night.png", "night.png:1", "dusk=a.png:0"])
def test_a_misspelt_blend_shows_the_spelling(
    impasto: Impasto, photos: Path, blend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "-c", str(photos), "--blend", blend]) == 64
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "blend" in error


def test_two_blends_of_one_name_are_refused(client: Client, photos: Path, paintings: Path) -> None:
    blend = Blend("dusk", {paintings / "painting 0.png": 1})
    with pytest.raises(BadSettings, match="2 blends are called dusk"):
        client.submit(photos, [blend, blend])


def test_zipped_contents_keep_their_masks_and_their_blends(
    client: Client, photos: Path, paintings: Path, masks: Path
) -> None:
    styles = [
        paintings / "painting 0.png",
        Blend("torn", {photos / "nowhere.png": 1}),
        Blend("dusk", {paintings / "painting 0.png": 1, paintings / "painting 1.png": 2}),
    ]
    submission = client.submit(photos, styles, masks=masks, pairs="zip")
    assert [one.input for one in submission.rejected] == ["torn"]
    jobs = [client.pair(str(submission.batch), pair) for pair in range(submission.pairs)]
    assert [job.output_stem for job in jobs] == ["photo_0__painting_0", "photo_2__dusk"]
    assert [job.mask is not None for job in jobs] == [True, False]


def test_masks_of_which_none_belongs_to_a_content_stop_the_submission(
    client: Client, photos: Path, paintings: Path, masks: Path
) -> None:
    for path in masks.iterdir():
        path.rename(path.with_name(f"mask of {path.name}"))
    for wrong, count in ((masks, 2), (masks.parent / "maskz", 1)):
        with pytest.raises(SubmissionRefused, match="no mask belongs to a content") as refused:
            client.submit(photos, paintings, masks=wrong)
        assert len(refused.value.rejected) == count
    assert client.batches() == []


def test_a_bad_mask_is_refused_by_strict(client: Client, photos: Path, paintings: Path, masks: Path) -> None:
    (masks / "photo 1.png").write_bytes(white((3, 3)))
    with pytest.raises(SubmissionRefused) as refused:
        client.submit(photos, paintings, masks=masks, strict=True)
    (rejected,) = refused.value.rejected
    assert rejected.input == f"{masks}/photo 1.png"


def test_blends_and_masks_in_s3_and_in_the_store_are_read_where_they_lie(
    environment: dict[str, str], s3_server: S3Server, namespace: str, photos: Path
) -> None:
    foreign = s3_server.access().client()
    art = f"s3://impasto/art-{namespace}"
    for name, data in (("night.png", png(picture(50))), ("masks/photo 0.png", white())):
        foreign.put_object(Bucket="impasto", Key=f"art-{namespace}/{name}", Body=data)
    variables = environment | s3_server.environment | {"IMPASTO_STORE_URL": f"s3://impasto/{namespace}"}
    names: dict[str, Any] = {k.removeprefix("IMPASTO_").lower(): v for k, v in variables.items()}
    with Client(Deployment.load(_env_file=None, **names)) as client:
        first = client.submit(photos, f"{art}/night.png")
        stored = client.pair(str(first.batch), 0).content.uri
        blend = Blend("dusk", {f"{art}/night.png": 1, stored: 2})
        submission = client.submit(photos, blend, masks=f"{art}/masks/")
        assert (submission.masks, submission.rejected) == (1, ())
        job = client.pair(str(submission.batch), 0)
    assert [ref.uri for ref, _ in weighted(job.style)] == [f"{art}/night.png", stored]
    assert job.mask is not None
    assert job.mask.uri == f"{art}/masks/photo 0.png"


def record(ref: InputRef) -> InputRecord:
    assert ref.sha256 is not None
    return InputRecord(uri=ref.uri, name=ref.name, sha256=ref.sha256, size_bytes=1, width_px=1, height_px=1)


def put_result(client: Client, batch: str, pair: int, *, weights: tuple[float, ...], masked: bool) -> None:
    """A result as a worker leaves it that had these weights, and the mask or not."""
    job = client.pair(batch, pair)
    assert isinstance(job.style, BlendRef)
    paintings = [
        PaintingRecord(**dict(record(ref)), weight=weight)
        for ref, weight in zip(job.style.blend, weights, strict=True)
    ]
    mask = record(job.mask) if job.mask is not None and masked else None
    results.put_result(
        client.connection.store,
        batch,
        job.output_stem,
        b"pixels",
        content=record(job.content),
        style=BlendRecord(name=job.style.name, blend=tuple(paintings)),
        mask=mask,
        fingerprint=fingerprint(
            str(job.content.sha256),
            [(one.sha256, one.weight) for one in paintings],
            job.settings,
            mask_sha256=None if mask is None else mask.sha256,
        ),
    )


def test_only_results_of_the_same_mask_and_weights_are_done_after_a_recovery(
    client: Client, photos: Path, paintings: Path, masks: Path
) -> None:
    dusk = Blend("dusk", {paintings / "painting 0.png": 3, paintings / "painting 1.png": 1})
    batch = str(client.submit(photos, dusk, masks=masks).batch)
    put_result(client, batch, 0, weights=(3, 1), masked=True)
    put_result(client, batch, 1, weights=(3, 1), masked=False)
    put_result(client, batch, 2, weights=(1, 1), masked=False)
    connection = client.connection
    for key in connection.redis.scan_iter(f"{{{client.deployment.namespace}}}:*"):
        connection.redis.delete(key)
    (recovered,) = client.recover().recovered
    assert (recovered.total, recovered.done, recovered.state) == (3, 1, BatchState.ACTIVE)
    assert list(connection.ledger.done_pairs(batch)) == [0]


def test_what_failed_of_a_blend_is_named_by_it_and_tried_again(
    client: Client, photos: Path, paintings: Path, masks: Path
) -> None:
    dusk = Blend("dusk", {paintings / "painting 0.png": 3, paintings / "painting 1.png": 1})
    batch = str(client.submit(Masked(photos / "photo 0.png", mask=masks / "photo 1.png"), dusk).batch)
    fail(client, batch, 0)
    (failure,) = client.failures(batch)
    assert (failure.content, failure.style) == (f"{photos}/photo 0.png", "dusk")
    assert client.retry(batch) == 1
    finish(client, batch, 0)
    assert client.status(batch).state is BatchState.DONE


def test_the_results_of_a_batch_are_contents_of_another(
    client: Client, photos: Path, paintings: Path
) -> None:
    batch = str(client.submit(photos, paintings).batch)
    store = client.connection.store
    for pair in range(2):
        store.put(
            layout.picture_key(batch, client.pair(batch, pair).output_stem, "png"),
            png(picture(60 + pair)),
            content_type="image/png",
        )
    again = client.submit(f"store:outputs/{batch}", paintings)
    assert (again.contents, again.rejected) == (2, ())
    uri = client.pair(str(again.batch), 0).content.uri
    with Image.open(io.BytesIO(store.get(uri.removeprefix("store:")))) as image:
        assert image.size == (48, 40)
