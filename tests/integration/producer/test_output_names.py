from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from commands import Impasto
from impasto.producer import Client
from impasto.producer.cli import main
from impasto.shared import layout
from impasto.shared.errors import BadSettings
from stage import picture, png
from workers import NOOP_WORKER, WorkerProcess, eventually


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(environment, tmp_path / "worker.log", program=NOOP_WORKER) as worker:
        yield worker.ready()


@pytest.fixture
def trip(tmp_path: Path) -> Path:
    """Photographs in folders, two of one name, one from a phone."""
    folder = tmp_path / "trip"
    exif = Image.Exif()
    exif[ExifTags.Base.Copyright] = "Ann"
    for place, name, format in (
        ("", "cat.png", "PNG"),
        ("2026/June 1", "cat.png", "PNG"),
        ("2026", "IMG_1.HEIC", "HEIF"),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        picture(len(place)).save(out, format, exif=exif.tobytes())
        (folder / place / name).write_bytes(out.getvalue())
    return folder


STEMS = [
    "2026/IMG_1 by painting_0",
    "2026/IMG_1 by painting_1",
    "2026/June_1/cat-2 by painting_0",
    "2026/June_1/cat-2 by painting_1",
    "cat by painting_0",
    "cat by painting_1",
]


def test_outputs_named_by_a_template_are_made_fetched_reported_recovered_and_purged(
    impasto: Impasto,
    client: Client,
    worker: WorkerProcess,
    trip: Path,
    paintings: Path,
    tmp_path: Path,
) -> None:
    words = ("submit", "-c", trip, "-s", paintings, "--size", "32", "--steps", "1", "--format", "webp")
    names = ("--quality", "90", "--output-names", "{path}/{content} by {style}")
    batch = impasto(*words, *names, "--quiet")["batch"]
    status = client.wait(batch, timeout_seconds=60)
    assert (status.done, status.failed) == (6, 0), client.failures(batch)

    home = tmp_path / "home"
    assert impasto("fetch", batch, "-o", home)["fetched"] == 6
    found = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert {f"{stem}.{end}" for stem in STEMS for end in ("webp", "json")} <= found
    with Image.open(home / f"{STEMS[0]}.webp") as image:
        assert image.format == "WEBP"
        assert image.getexif()[ExifTags.Base.Copyright] == "Ann"
    metadata = json.loads((home / f"{STEMS[0]}.json").read_text())
    assert metadata["settings"]["quality"] == 90
    assert metadata["picture_key"] == f"outputs/{batch}/{STEMS[0]}.webp"

    def reported() -> bool:
        return client.connection.store.head(layout.report_key(batch, "json")) is not None

    eventually(reported, what="the report")
    report = json.loads(client.connection.store.get(layout.report_key(batch, "json")))
    assert sorted(pair["picture_key"] for pair in report["pairs"]) == [
        f"outputs/{batch}/{stem}.webp" for stem in STEMS
    ]

    again = impasto(*words, *names, "--again", "--quiet")["batch"]
    client.wait(again, timeout_seconds=60)
    worker.kill()
    redis = client.connection.redis
    for key in redis.scan_iter(f"{{{client.deployment.namespace}}}:*"):
        redis.delete(key)
    assert {(one.done, one.total) for one in client.recover().recovered} == {(6, 6)}
    impasto("purge", batch, again, "--outputs", "--yes")
    assert list(client.connection.store.list(layout.OUTPUTS)) == []


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ("{content}", "all 2 styles: put {style} in"),
        ("{style}", "all 3 contents: put {content} in"),
        ("../{content}-{style}", "dot"),
        ("{content}/{stile}", "{stile}"),
    ],
)
def test_names_that_can_not_tell_pairs_apart_or_leave_their_place_are_refused_before_any_upload(
    client: Client, trip: Path, paintings: Path, names: str, word: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(BadSettings) as refused:
            client.submit(trip, paintings, output_names=names, dry_run=dry_run)
        assert word in str(refused.value)
    assert list(client.connection.store.list(layout.INPUTS)) == []
    assert client.batches() == []


def test_names_of_which_only_some_would_be_one_are_refused_and_nothing_is_submitted(
    client: Client, tmp_path: Path
) -> None:
    for number, name in enumerate(("c/a.png", "c/a-b.png", "s/c.png", "s/b-c.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(picture(number)))
    with pytest.raises(BadSettings, match="two pairs would be called 'a-b-c'"):
        client.submit(tmp_path / "c", tmp_path / "s", output_names="{content}-{style}")
    assert client.batches() == []
    assert client.submit(tmp_path / "c", tmp_path / "s", output_names="{content}/{style}").pairs == 4


def test_equal_photographs_in_two_folders_are_both_there_where_names_have_folders(
    client: Client, tmp_path: Path, paintings: Path
) -> None:
    for name in ("2025/cat.png", "2026/cat.png", "2026/copy.png"):
        (tmp_path / "trip" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "trip" / name).write_bytes(png(picture(1)))
    whole = client.submit(tmp_path / "trip", paintings, output_names="{path}/{content}/{style}")
    assert (whole.contents, whole.duplicates) == (2, 1)
    assert client.pair(str(whole.batch), 2).output_stem == "2026/cat-2/painting_0"
    assert client.submit(tmp_path / "trip", paintings).contents == 1


def test_a_manifests_rows_keep_their_folders_and_other_names_are_another_batch(
    client: Client, trip: Path, paintings: Path
) -> None:
    rows = ["content,style", "cat.png,x", "2026/June 1/cat.png,x", f"{trip}/2026/IMG_1.HEIC,x"]
    text = "\n".join(rows).replace(",x", f",{paintings / 'painting 0.png'}")
    (trip / "pairs.csv").write_text(text)
    (batch,) = client.submit_manifest(trip / "pairs.csv", output_names="{path}/{content}").batches
    assert [client.pair(batch, pair).output_stem for pair in range(3)] == [
        "cat",
        "2026/June_1/cat-2",
        "2026/IMG_1",
    ]
    with pytest.raises(BadSettings, match="all 3 pairs"):
        client.submit_manifest(trip / "pairs.csv", output_names="{date}")
    (other,) = client.submit_manifest(trip / "pairs.csv", output_names="{content}").batches
    (same,) = client.submit_manifest(trip / "pairs.csv", output_names="{path}/{content}").batches
    assert other != batch == same


def test_a_format_or_a_quality_that_is_none_is_named_by_the_command(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trip: Path,
    paintings: Path,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    submit = ["submit", "-c", str(trip), "-s", str(paintings), "--dry-run"]
    for words, code, told in (
        (["--format", "bmp"], 2, "avif"),
        (["--quality", "101"], 64, "quality"),
        (["--quality", "90", "--set", "quality=80"], 64, "set twice"),
        (["--exif", "gps"], 2, "strip"),
        (["--output-names", "{content}"], 64, "{style}"),
    ):
        assert main([*submit, *words]) == code
        assert told in capsys.readouterr().err
