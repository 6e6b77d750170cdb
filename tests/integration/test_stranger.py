"""What a stranger does: everything up with no setting, a folder of odd pictures in, pictures out."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stage import picture, png
from workers import eventually

IMPASTO = (sys.executable, "-m", "impasto.producer.cli")
QUICK = ("--preset", "tutorial", "--size", "32", "--steps", "2")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("stranger")
    return {**os.environ, "HOME": str(home), "IMPASTO_STATE": str(home / "state"), "OMP_NUM_THREADS": "1"}


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*IMPASTO, *words], env=environment, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture(scope="module")
def up(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = (tmp_path_factory.mktemp("up") / "up.log").open("wb")
    process = subprocess.Popen(
        [*IMPASTO, "up", "--workers", "1"], env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        eventually(lambda: run(environment, "doctor").returncode == 0, seconds=120, what="impasto up")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        log.close()


def sixteen_bits(side: int) -> bytes:
    """A grey PNG of 16 bits, a ramp over the whole range."""
    rows = b"".join(
        b"\0" + b"".join(struct.pack(">H", 65535 * x // (side - 1)) for x in range(side)) for _ in range(side)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def odd_folder(folder: Path) -> None:
    """The pictures that people really have."""
    base = picture(1, (48, 32))
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = base.convert("RGBA")
    clear.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 48, dtype=np.uint8), (32, 1))))
    jpeg = saved(base, "JPEG")
    files = {
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "empty.jpg": b"",
        "text.png": b"I am no picture.\n",
        "cmyk.jpg": saved(base.convert("CMYK"), "JPEG"),
        "grey.png": saved(base.convert("L"), "PNG"),
        "sixteen.png": sixteen_bits(40),
        "animated.gif": saved(
            base.convert("P"), "GIF", save_all=True, append_images=[picture(2, (48, 32)).convert("P")]
        ),
        "turned.jpg": saved(base, "JPEG", exif=turned),
        "clear.png": saved(clear, "PNG"),
        "new\nline.png": png(picture(3, (48, 32))),
    }
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_a_folder_of_odd_pictures_is_styled_rightly_or_named_with_a_reason(
    up: None, environment: dict[str, str], tmp_path: Path
) -> None:
    odd_folder(tmp_path / "odd")
    (tmp_path / "style.png").write_bytes(png(picture(9)))
    submitted = run(
        environment,
        *("submit", "--contents", str(tmp_path / "odd"), "--styles", str(tmp_path / "style.png")),
        *(*QUICK, "--json"),
    )
    assert submitted.returncode == 0, submitted.stderr
    answer = json.loads(submitted.stdout)
    rejected = {Path(entry["input"]).name: entry["error"] for entry in answer["rejected"]}
    assert set(rejected) == {"truncated.jpg", "empty.jpg", "text.png"}
    assert all(rejected.values())
    assert answer["pairs"] == 7
    watched = run(environment, "watch", answer["batch"])
    assert watched.returncode == 0, watched.stderr
    fetched = run(environment, "fetch", answer["batch"], "-o", str(tmp_path / "out"))
    assert fetched.returncode == 0, fetched.stderr
    sizes = {}
    for path in (tmp_path / "out").rglob("*.png"):
        with Image.open(path) as image:
            image.load()
            sizes[path.name] = image.size
            assert ("A" in image.getbands()) == path.name.startswith("clear")
    wide, tall = (32, 21), (21, 32)
    assert sizes == {
        "cmyk__style.png": wide,
        "grey__style.png": wide,
        "sixteen__style.png": (32, 32),
        "animated__style.png": wide,
        "turned__style.png": tall,
        "clear__style.png": wide,
        "new_line__style.png": wide,
    }


def test_a_second_impasto_up_on_the_same_state_is_refused_with_a_clear_word(
    up: None, environment: dict[str, str]
) -> None:
    second = run(environment, "up")
    assert second.returncode == 69
    assert environment["IMPASTO_STATE"] in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_doctor_says_in_json_that_a_batch_would_run(up: None, environment: dict[str, str]) -> None:
    answer = run(environment, "doctor", "--json")
    assert answer.returncode == 0
    told = json.loads(answer.stdout)
    assert told["ok"] is True
    assert {"redis", "store", "workers", "weights"} <= {check["name"] for check in told["checks"]}


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "impasto.producer.demo", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def names(paths: Sequence[Path]) -> set[str]:
    return {path.name for path in paths}


def test_the_demo_leaves_pictures_metadata_a_report_and_a_sheet(tmp_path: Path) -> None:
    shown = demo(tmp_path, "--size", "48", "--steps", "2")
    assert shown.returncode == 0, shown.stderr
    outputs = tmp_path / "demo" / "outputs"
    pairs = {f"{c}__{s}" for c in ("astronaut", "chelsea", "coffee") for s in ("impasto", "woodcut")}
    assert names(list(outputs.glob("*.png"))) == {f"{pair}.png" for pair in pairs}
    assert names(list(outputs.glob("*.json"))) == {f"{pair}.json" for pair in pairs}
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert [pair["state"] for pair in report["pairs"]] == ["done"] * 6
    assert not any(str(tmp_path) in pair["content"] for pair in report["pairs"])
    with Image.open(tmp_path / "demo" / "contact-sheet.jpg") as sheet:
        sheet.load()
        assert min(sheet.size) > 256
    assert "impasto submit" in shown.stdout
