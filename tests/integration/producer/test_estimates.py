from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import results
from commands import Impasto
from impasto.producer import Client
from impasto.producer.cli import main
from impasto.producer.own_token import DAY_SECONDS
from impasto.shared import layout
from impasto.shared.errors import BadSettings
from impasto.shared.jobs import fingerprint
from impasto.shared.metadata import InputRecord, TimingsSeconds
from impasto.shared.settings import StyleSettings

SETTINGS: dict[str, Any] = {"size_px": 32, "steps": 2}


def make(client: Client, photos: Path, paintings: Path, seconds: float) -> str:
    """A batch of which one pair is made, as by a worker that took so long for its two steps."""
    batch = str(client.submit(photos, paintings, preset="tutorial", settings=SETTINGS).batch)
    job = client.pair(batch, 0)
    results.put_result(
        client.connection.store,
        batch,
        job.output_stem,
        b"p" * 1000,
        content=InputRecord(
            uri="store:inputs/x.png", name="x", sha256="0" * 64, size_bytes=1, width_px=48, height_px=40
        ),
        settings=job.settings,
        settings_digest=job.settings.digest(),
        timings_seconds=TimingsSeconds(fetch=0.001, targets=1.0, optimise=seconds - 1.0),
    )
    return batch


def test_an_estimate_is_by_what_was_measured_and_is_scaled_to_other_sizes(
    client: Client, photos: Path, paintings: Path
) -> None:
    asked = {"preset": "tutorial", "settings": SETTINGS}
    unknown = client.estimate(photos, paintings, **asked)  # type: ignore[arg-type]
    assert (unknown.pairs, unknown.seconds, unknown.finish_seconds, unknown.result_bytes) == (6,) + (
        None,
    ) * 3
    assert (unknown.upload.uploaded, unknown.upload.there) == (5, 0)
    make(client, photos, paintings, seconds=10.0)

    same = client.estimate(photos, paintings, workers=4, price_per_hour=3600, **asked)  # type: ignore[arg-type]
    assert same.seconds == pytest.approx(60.0)
    assert (same.measured_pairs, same.measured_same, same.devices) == (1, True, ("cpu",))
    # Six pairs among four workers are two turns.
    assert same.finish_seconds == pytest.approx(20.0)
    assert same.cost == pytest.approx(60.0)
    assert (same.upload.uploaded, same.upload.there) == (0, 5)
    assert same.megapixels == pytest.approx(6 * 32 * 27 / 1e6)
    assert same.result_bytes is not None
    assert same.result_bytes > 6 * 1000

    longer = client.estimate(
        photos, paintings, preset="tutorial", settings={**SETTINGS, "steps": 20}, workers=1
    )
    assert longer.seconds == pytest.approx(600.0)
    assert not longer.measured_same
    other = client.estimate(photos, paintings, preset="gatys", settings=SETTINGS)
    assert other.seconds is None
    for wrong in ({"workers": 0}, {"price_per_hour": -1.0}, {"price_per_hour": float("nan")}):
        with pytest.raises(BadSettings):
            client.estimate(photos, paintings, **wrong)  # type: ignore[arg-type]


def test_what_was_made_before_is_not_counted_as_work(client: Client, photos: Path, paintings: Path) -> None:
    batch = make(client, photos, paintings, seconds=10.0)
    settings = StyleSettings.preset("tutorial", **SETTINGS)
    for pair in (0, 4):
        job = client.pair(batch, pair)
        assert job.content.sha256 is not None
        assert job.style.sha256 is not None  # type: ignore[union-attr]
        key = layout.result_key(fingerprint(job.content.sha256, job.style.sha256, settings))  # type: ignore[union-attr]
        client.connection.store.put(key, b"{}", content_type="application/json")
    estimate = client.estimate(photos, paintings, preset="tutorial", settings=SETTINGS, workers=1)
    assert (estimate.made, estimate.made_asked) == (2, 6)
    assert estimate.seconds == pytest.approx(40.0)


def test_a_dry_run_tells_the_same_as_an_estimate_and_a_manifest_too(
    impasto: Impasto, client: Client, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    make(client, photos, paintings, seconds=10.0)
    names = ("--output-names", "{path}/{content}/{style}")
    settings = ("--preset", "tutorial", "--size", 32, "--steps", 2)
    estimated = impasto("estimate", photos, "-s", paintings, *settings)
    dry = impasto("submit", "-c", photos, "-s", paintings, "--dry-run", *settings)
    for answer in (estimated, dry):
        answer["estimate"].pop("finish_at")
    assert estimated == dry
    assert estimated["estimate"]["seconds"] == 60.0
    webp = impasto(
        "estimate", photos, "-s", paintings, *settings, *names, "--format", "webp", "--exif", "all"
    )
    assert (webp["pairs"], webp["estimate"]["result_bytes"]) == (6, None)
    manifest = tmp_path / "pairs.csv"
    rows = [f"{photos}/photo {number}.png,{paintings}/painting 0.png\n" for number in range(3)]
    manifest.write_text("content,style\n" + "".join(rows))
    of_rows = impasto("estimate", "--manifest", manifest, *settings)
    assert (of_rows["pairs"], of_rows["estimate"]["seconds"]) == (3, 30.0)


def test_an_estimate_is_told_to_people_without_a_server(
    tmp_path: Path,
    photos: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMPASTO_STATE", str(tmp_path / "none"))
    monkeypatch.setenv("IMPASTO_PRICE_PER_HOUR", "1.2")
    assert main(["estimate", str(photos), "--styles", str(paintings), "--no-progress"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0] == "estimate: 6 pairs (3 contents, 2 styles); nothing was submitted"
    assert [line.split()[0] for line in lines[1:]] == ["pairs", "work", "uploads", "results", "cost"]
    assert "no Impasto runs on this machine" in told.err


def test_the_same_submission_within_a_day_is_the_same_batch(
    client: Client, photos: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.submit(photos, paintings)
    again = client.submit(photos, paintings, priority=0)
    assert (again.batch, again.created, again.pairs) == (first.batch, False, 6)
    assert again.earlier_at is not None
    assert abs((datetime.now(UTC) - again.earlier_at).total_seconds()) < 3600

    assert client.submit(photos, paintings, again=True).created
    for other in ({"name": "June"}, {"owner": "somebody"}, {"settings": {"seed": 3}}, {"pairs": "product"}):
        assert client.submit(photos, paintings, **other).created is ("pairs" not in other)  # type: ignore[arg-type]
    (photos / "photo 0.png").rename(photos / "renamed.png")
    assert client.submit(photos, paintings).created
    (photos / "renamed.png").rename(photos / "photo 0.png")

    client.cancel(str(first.batch))
    anew = client.submit(photos, paintings)
    assert anew.created
    assert client.submit(photos, paintings).batch == anew.batch

    now = datetime.now(UTC).timestamp()
    monkeypatch.setattr("impasto.producer.own_token.time.time", lambda: now + 0.9 * DAY_SECONDS)
    assert client.submit(photos, paintings).batch == anew.batch
    monkeypatch.setattr("impasto.producer.own_token.time.time", lambda: now + 1.1 * DAY_SECONDS)
    assert client.submit(photos, paintings).created
