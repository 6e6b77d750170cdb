from __future__ import annotations

import asyncio
import gc
import inspect
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from hands import fail, finish
from impasto.producer import AsyncClient, Blend, Client, Masked, Picture, Result
from impasto.shared.deployment import Deployment
from impasto.shared.errors import (
    BadPicture,
    BadSettings,
    LedgerUnavailable,
    NoSuchBatch,
    ObjectMissing,
    TimedOut,
)
from results import put_result
from servers import RedisServer, valkey_binary
from stage import picture, png


@pytest.fixture
def batch(client: Client, photos: Path, paintings: Path) -> str:
    batch = client.submit(photos, paintings).batch
    assert batch is not None
    return batch


def done(client: Client, batch: str, pair: int) -> None:
    """The pair is done, with its picture in the store."""
    job = client.pair(batch, pair)
    put_result(client.connection.store, batch, job.output_stem, png(picture(pair)), pair=pair)
    finish(client, batch, pair)


def told(results: list[Result]) -> list[tuple[int, bool]]:
    return [(result.pair, result.ok) for result in results]


def test_results_come_each_once_those_of_before_too_with_names_keys_and_pictures(
    client: Client, batch: str
) -> None:
    done(client, batch, 3)
    fail(client, batch, 1)
    stream = client.results(batch, timeout_seconds=60)
    first, second = next(stream), next(stream)
    assert told([first, second]) == [(3, True), (1, False)]
    assert (Path(first.content).name, Path(first.style).name) == ("photo 1.png", "painting 1.png")
    assert first.picture_key == f"outputs/{batch}/photo_1__painting_1.png"
    assert first.metadata.pair == 3
    assert first.bytes() == png(picture(3))
    assert first.image().tobytes() == picture(3).tobytes()
    assert second.error is not None
    assert (second.error.kind, second.error.message) == ("bad_picture", "it is damaged")
    with pytest.raises(ObjectMissing, match="it failed: it is damaged"):
        second.bytes()
    for pair in (0, 2, 4, 5):
        done(client, batch, pair)
    assert told(list(stream)) == [(pair, True) for pair in (0, 2, 4, 5)]
    assert sorted(told(list(client.results(batch)))) == [(pair, pair != 1) for pair in range(6)]


def test_a_retried_failure_is_told_again_and_cancelled_pairs_have_no_result(
    client: Client, batch: str
) -> None:
    fail(client, batch, 0)
    stream = client.results(batch)
    assert told([next(stream)]) == [(0, False)]
    assert client.retry(batch) == 1
    client.connection.ledger.advance(batch, min_window=9)
    done(client, batch, 0)
    assert told([next(stream)]) == [(0, True)]
    client.cancel(batch)
    assert list(stream) == []
    assert told(list(client.results(batch))) == [(0, True)]


def test_results_outlast_the_events_that_told_of_them(client: Client, batch: str) -> None:
    ledger, connection = client.connection.ledger, client.connection
    for pair in range(6):
        (fail if pair == 2 else finish)(client, batch, pair)
    assert len(ledger.events(batch)) > 12
    connection.redis.xtrim(
        f"{{{client.deployment.namespace}}}:batch:{batch}:events", maxlen=2, approximate=False
    )
    assert len(ledger.events(batch)) == 2
    assert sorted(told(list(client.results(batch)))) == [(pair, pair != 2) for pair in range(6)]


def test_results_run_out_of_time_and_of_no_batch(client: Client, batch: str) -> None:
    with pytest.raises(TimedOut, match="0 of 6 pairs are settled"):
        next(client.results(batch, timeout_seconds=0.3))
    with pytest.raises(NoSuchBatch):
        client.results("nowhere")


def test_a_lost_connection_loses_and_repeats_no_result(
    environment: dict[str, str], photos: Path, paintings: Path, tmp_path: Path
) -> None:
    with RedisServer(valkey_binary(), tmp_path) as server:
        names = {k.removeprefix("IMPASTO_").lower(): v for k, v in environment.items()}
        with Client(Deployment.load(_env_file=None, **{**names, "redis_url": server.url})) as client:
            batch = client.submit(photos, paintings).batch
            assert batch is not None
            done(client, batch, 0)
            stream = client.results(batch)
            came = [next(stream)]
            done(client, batch, 1)
            server.stop()
            with pytest.raises(LedgerUnavailable):
                client.status(batch)
            server.start()
            came.append(next(stream))
            for pair in range(2, 6):
                done(client, batch, pair)
            came += stream
    assert told(came) == [(pair, True) for pair in range(6)]


def exif_turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "harbour"
    return exif


def test_pictures_in_memory_stand_wherever_a_path_may(client: Client, photos: Path, paintings: Path) -> None:
    turned = picture(20, (48, 32))
    turned.getexif().update(exif_turned())
    turned.info["icc_profile"] = b"a profile"
    cmyk = picture(21).convert("CMYK")
    submission = client.submit(
        [
            Picture("Hafen.jpg", png(picture(22))),
            Picture("turned", turned),
            Picture("ink", cmyk),
            Masked(Picture("masked", picture(23)), Picture("its mask", Image.new("L", (48, 40), 255))),
            Picture("broken.png", b"no picture"),
            photos / "photo 0.png",
        ],
        Blend("dusk", {Picture("night", picture(24)): 0.7, paintings / "painting 0.png": 0.3}),
    )
    assert [(one.input, bool(one.error)) for one in submission.rejected] == [("broken.png", True)]
    assert (submission.pairs, submission.masks) == (5, 1)
    assert submission.batch is not None
    jobs = [client.pair(submission.batch, pair) for pair in range(5)]
    stems = [job.output_stem for job in jobs]
    assert stems == [f"{name}__dusk" for name in ("Hafen", "turned", "ink", "masked", "photo_0")]
    kept = [Image.open(_file(client, job.content.uri)) for job in jobs[:3]]
    assert kept[1].getexif()[0x010E] == "harbour"
    assert (kept[1].getexif()[0x0112], kept[1].info["icc_profile"]) == (6, b"a profile")
    assert (kept[2].mode, kept[2].tobytes()) == ("CMYK", cmyk.tobytes())
    assert (kept[0].tobytes(), kept[1].tobytes()) == (picture(22).tobytes(), turned.tobytes())


def _file(client: Client, uri: str) -> Path:
    return Path(client.connection.store.url.removeprefix("file://")) / uri.removeprefix("store:")


def test_what_is_no_picture_is_refused_with_the_mend(client: Client, paintings: Path) -> None:
    with pytest.raises(BadSettings, match="Picture"):
        client.submit(b"bytes without a name", paintings)  # type: ignore[arg-type]
    with pytest.raises(BadSettings, match="Picture"):
        client.submit([picture(0)], paintings)  # type: ignore[list-item]
    with pytest.raises(BadSettings, match="1 to 200 printable"):
        Picture("", b"")
    with pytest.raises(BadSettings, match="give bytes or a Pillow image"):
        Picture("a", "a path")  # type: ignore[arg-type]


def test_an_image_of_32_bit_numbers_is_kept_and_one_whose_exif_is_none_is_refused() -> None:
    depth = Image.new("I", (4, 4), 300)
    with Image.open(io.BytesIO(Picture("depth", depth).to_bytes())) as kept:
        assert kept.getpixel((0, 0)) == 300
    turned = Image.new("RGB", (4, 4))
    turned.getexif()[0x0112] = 70_000
    with pytest.raises(BadPicture, match="can't be kept"):
        Picture("turned", turned).to_bytes()


def test_asyncio_has_every_method_of_the_client() -> None:
    ours = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert ours <= {name for name in vars(AsyncClient) if not name.startswith("_")}
    for name in ours - {"close", "watch", "results"}:
        assert inspect.iscoroutinefunction(getattr(AsyncClient, name)), name
        assert getattr(AsyncClient, name).__doc__


def test_on_asyncio_it_submits_follows_and_gives_results(
    deployment: Deployment, client: Client, photos: Path, paintings: Path
) -> None:
    async def main() -> None:
        steps: list[int] = []
        async with AsyncClient(deployment, threads=2) as ours:
            submission = await ours.submit(
                photos, paintings, on_progress=lambda step: steps.append(step.items)
            )
            batch = submission.batch
            assert batch is not None
            assert steps
            stream = ours.results(batch, timeout_seconds=60)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.05)
            # What comes while nobody waits is given to whoever waits next.
            done(client, batch, 2)
            first = await anext(stream)
            assert (first.pair, await ours.in_thread(first.bytes)) == (2, png(picture(2)))
            with pytest.raises(TimedOut):
                await ours.wait(batch, timeout_seconds=0.1)
            for pair in (0, 1, 3, 4, 5):
                done(client, batch, pair)
            assert [one.pair async for one in stream] == [0, 1, 3, 4, 5]
            updates = [update async for update in ours.watch(batch)]
            assert updates[-1].is_last
            assert (await ours.wait(batch)).done == 6
            with pytest.raises(NoSuchBatch):
                await anext(ours.results("nowhere"))

    asyncio.run(main())


def test_an_error_that_comes_when_nobody_waits_any_more_is_not_printed(deployment: Deployment) -> None:
    async def main() -> list[str]:
        told: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        async with AsyncClient(deployment) as ours:
            failed = threading.Event()

            def find(batch: str) -> str:
                failed.wait(60)
                raise NoSuchBatch(batch)

            ours.sync.find = find  # type: ignore[method-assign]
            stream = ours.results("nowhere")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.05)
            failed.set()
            while any(task is not asyncio.current_task() for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)
            del stream
            gc.collect()
        return told

    assert asyncio.run(main()) == []


def test_a_cancelled_submission_ends_at_its_next_picture(
    deployment: Deployment, client: Client, tmp_path: Path, paintings: Path
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(80):
        (many / f"{number}.png").write_bytes(png(picture(number)))

    async def main() -> None:
        async with AsyncClient(deployment) as ours:
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()
            submission = asyncio.create_task(
                ours.submit(many, paintings, on_progress=lambda _: loop.call_soon_threadsafe(begun.set))
            )
            await begun.wait()
            submission.cancel()
            with pytest.raises(asyncio.CancelledError):
                await submission

    asyncio.run(main())
    assert client.batches() == []


ABANDONED = """
import asyncio, sys
from impasto.producer import AsyncClient

async def main():
    client = AsyncClient()
    results, updates = client.results("latest"), client.watch("latest", every_seconds=3600)
    await anext(updates)
    for waiting in (anext(results), anext(updates), client.wait("latest")):
        try:
            await asyncio.wait_for(waiting, 0.2)
        except TimeoutError:
            print("let go")

asyncio.run(main())
"""


def test_a_program_that_stops_listening_ends(environment: dict[str, str], batch: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ABANDONED],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "let go\n" * 3, "")
