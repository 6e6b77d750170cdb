"""A collection of many small pictures goes in: files a second and memory, beside a plain copy of its files.

Folders as people have them: pictures of three formats and many sizes in months, a tenth of them copies of
others, sidecars beside them, a few broken. It is submitted into a bucket of a real S3 server over HTTP (moto,
in a process of its own) and into a folder, each by a process of its own whose peak memory is taken; then once
more, and once killed half-way and run again. Beside it stands what `aws s3 sync` does: boto3's `upload_file`
of every picture file, from as many threads, into a bucket of the same server, after one listing.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from impasto.producer import Client
from impasto.producer.collect import _UPLOADS
from impasto.producer.sources import PICTURE_EXTENSIONS
from impasto.shared.deployment import Deployment
from s3_server import S3Server
from servers import RedisServer, valkey_binary
from stage import Stage, folder_stage, s3_stage

ROOT: Final = Path(__file__).parents[2]
FILES: Final = 20_000
QUICK_FILES: Final = 2_000
FOLDERS: Final = 120
LONG_AGO: Final = 1_000_000_000

_FORMATS: Final = (("jpg", "JPEG"), ("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"))
_COPY_EVERY: Final = 10
_SIDECAR_EVERY: Final = 4
_BROKEN_EVERY: Final = 1000


def make_collection(folder: Path, files: int) -> dict[str, int]:
    """The pictures, sidecars beside; how many of what, and their bytes."""
    rng = np.random.default_rng(7)
    kinds = dict.fromkeys(("pictures", "copies", "broken", "sidecars", "bytes"), 0)
    last = b""
    for number in range(files):
        month = folder / f"{2010 + number % FOLDERS // 12}" / f"{number % 12 + 1:02}"
        month.mkdir(parents=True, exist_ok=True)
        extension, format = _FORMATS[number % len(_FORMATS)]
        if number % _BROKEN_EVERY == _BROKEN_EVERY - 1:
            data, kind = last[: len(last) // 2], "broken"
        elif number % _COPY_EVERY == _COPY_EVERY - 1:
            data, kind, extension = last, "copies", "jpg"
        else:
            data, kind = _picture(rng, format), "pictures"
            last = data
        path = month / f"IMG_{number:05}.{extension}"
        path.write_bytes(data)
        os.utime(path, (LONG_AGO, LONG_AGO))
        kinds[kind] += 1
        kinds["bytes"] += len(data)
        if number % _SIDECAR_EVERY == 0:
            path.with_suffix(".xmp").write_text("<x/>")
            kinds["sidecars"] += 1
    return kinds


def _picture(rng: np.random.Generator, format: str) -> bytes:
    """A few kilobytes, like a thumbnail: coarse colours under fine noise."""
    width, height = (int(side) for side in rng.integers(48, 96, 2))
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    pixels = np.asarray(coarse, dtype=np.int16) + rng.integers(-12, 12, (height, width, 3))
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, format, quality=90)
    return out.getvalue()


def measure(*, quick: bool = False) -> dict[str, Any]:
    """All figures."""
    files = QUICK_FILES if quick else FILES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        collection = folder / "photos"
        table: dict[str, Any] = {
            "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0],
            "threads": _UPLOADS,
            "collection": make_collection(collection, files),
        }
        (folder / "painting.png").write_bytes(_picture(np.random.default_rng(1), "PNG"))
        os.utime(folder / "painting.png", (LONG_AGO, LONG_AGO))
        with RedisServer(valkey_binary(), folder / "valkey") as server, S3Server() as s3:
            table["copy"] = _run("copy", collection, s3.environment)
            on_s3 = s3_stage(server.url, "on-s3", s3)
            table["s3"] = _submitted(on_s3, collection, folder / "state-s3")
            on_folder = folder_stage(server.url, "on-folder", folder)
            table["folder"] = _submitted(on_folder, collection, folder / "state-folder")
            killed = s3_stage(server.url, "killed", s3)
            table["killed"] = _killed(killed, collection, folder / "state-killed")
            for stage in (on_s3, on_folder, killed):
                stage.close()
        table["copied_folder"] = _copied_folder(collection, folder / "plain")
        table["load_after"] = os.getloadavg()[0]
    rates = {name: table[name]["files_per_second"] for name in ("copy", "s3", "folder", "copied_folder")}
    return table | {
        "files_per_second": rates["s3"],
        "against_copy_ratio": rates["s3"] / rates["copy"],
        "folder_against_copy_ratio": rates["folder"] / rates["copied_folder"],
        "producer_rss_bytes": max(table["s3"]["rss_bytes"], table["folder"]["rss_bytes"]),
        "uploaded_twice": table["killed"]["uploaded_twice"],
        "again_seconds": table["s3"]["again"]["seconds"],
    }


def _submitted(stage: Stage, collection: Path, state: Path) -> dict[str, Any]:
    environment = {**stage.environment, "IMPASTO_STATE": str(state)}
    first = _run("submit", collection, environment)
    again = _run("submit", collection, environment)
    assert again["batch"] == first["batch"], "the same submission made another batch"
    # Only the broken ones are read again.
    assert (again["uploaded"], again["read"]) == (0, again["rejected"])
    return first | {"again": again}


def _killed(stage: Stage, collection: Path, state: Path) -> dict[str, Any]:
    """Killed once half of the files lie in the store, and run again."""
    environment = {**stage.environment, "IMPASTO_STATE": str(state)}
    half = sum(1 for _ in _pictures(collection)) // 2
    process = _start("submit", collection, environment)
    while (there := sum(1 for _ in stage.store.list("inputs/"))) < half:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = sum(1 for _ in stage.store.list("inputs/"))
    again = _run("submit", collection, environment)
    in_all = sum(1 for _ in stage.store.list("inputs/"))
    return {
        "there_when_killed": there,
        "uploaded_again": again["uploaded"],
        "uploaded_twice": there + again["uploaded"] - in_all,
        "read_again": again["read"],
        "seconds_again": again["seconds"],
        "batches": len(stage.ledger.batches()),
    }


def _copied_folder(collection: Path, target: Path) -> dict[str, Any]:
    """What a plain copy into a folder takes, from as many threads and as safe against a power cut."""
    target.mkdir()

    def copy(path: Path) -> None:
        with path.open("rb") as source, (target / f"{path.parent.name}-{path.name}").open("wb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())

    return _timed(collection, copy)


def _timed(collection: Path, copy: Callable[[Path], None]) -> dict[str, Any]:
    began = time.perf_counter()
    paths = [*_pictures(collection)]
    with ThreadPoolExecutor(_UPLOADS) as pool:
        for _ in pool.map(copy, paths):
            pass
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "files": len(paths), "files_per_second": len(paths) / seconds}


def _pictures(collection: Path) -> list[Path]:
    return sorted(p for p in collection.rglob("*") if p.suffix[1:].lower() in PICTURE_EXTENSIONS)


def _start(what: str, collection: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.collection", what, str(collection)],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "tests")},
        stdout=subprocess.PIPE,
        text=True,
    )


def _run(what: str, collection: Path, environment: dict[str, str]) -> dict[str, Any]:
    process = _start(what, collection, environment)
    told, _ = process.communicate()
    assert process.returncode == 0, f"{what} ended with {process.returncode}"
    answer: dict[str, Any] = json.loads(told)
    return answer


def _submit(collection: Path) -> dict[str, Any]:
    """In the process that is measured."""
    with Client() as client:
        began = time.perf_counter()
        made = client.submit(collection, collection.parent / "painting.png")
        seconds = time.perf_counter() - began
    files = made.contents + made.duplicates + len(made.rejected)
    return {
        "batch": made.batch,
        "seconds": seconds,
        "files": files,
        "files_per_second": files / seconds,
        "contents": made.contents,
        "duplicates": made.duplicates,
        "rejected": len(made.rejected),
        "skipped": made.skipped,
        "read": made.tally.read,
        "known": made.tally.known,
        "uploaded": made.tally.uploaded,
    }


def _copy(collection: Path) -> dict[str, Any]:
    """`aws s3 sync` into an empty prefix: a listing, then every file."""
    import boto3
    from botocore.config import Config

    deployment = Deployment.load(_env_file=None)
    assert deployment.s3_secret_access_key is not None
    client = boto3.client(
        "s3",
        endpoint_url=deployment.s3_endpoint_url,
        region_name=deployment.s3_region,
        aws_access_key_id=deployment.s3_access_key_id,
        aws_secret_access_key=deployment.s3_secret_access_key.get_secret_value(),
        config=Config(max_pool_connections=2 * _UPLOADS, s3={"addressing_style": "path"}),
    )
    list(client.get_paginator("list_objects_v2").paginate(Bucket="impasto", Prefix="copy/"))
    return _timed(
        collection,
        lambda path: client.upload_file(str(path), "impasto", f"copy/{path.relative_to(collection)}"),
    )


def write(out: Path, *, quick: bool = False) -> None:
    """Measure into `collection.json`, and print the figures."""
    table = measure(quick=quick)
    out.mkdir(parents=True, exist_ok=True)
    (out / "collection.json").write_text(json.dumps(table, indent=2) + "\n")
    for name in (
        "files_per_second",
        "against_copy_ratio",
        "folder_against_copy_ratio",
        "producer_rss_bytes",
        "again_seconds",
        "uploaded_twice",
    ):
        print(f"{name}: {table[name]:,.4g}")


if __name__ == "__main__":
    work = {"submit": _submit, "copy": _copy}[sys.argv[1]]
    told = work(Path(sys.argv[2]))
    told["rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(told))
