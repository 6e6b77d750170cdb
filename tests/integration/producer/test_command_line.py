from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import results
from hands import fail, finish, lease
from impasto.producer import Client
from impasto.producer.cli import main
from impasto.producer.cli.main import USAGE
from impasto.shared import errors
from impasto.shared.dispatch import Dispatcher

COMMAND = [sys.executable, "-m", "impasto.producer.cli"]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        (line,) = self.out.splitlines()
        answer: dict[str, Any] = json.loads(line)
        return answer


Run = Callable[..., Ran]


@pytest.fixture
def run(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """A command of `impasto` with its words, in this process; options are further variables, None unsets."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: object, **variables: str | None) -> Ran:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.delenv(name) if value is None else patch.setenv(name, value)
            capfd.readouterr()
            code = main([str(word) for word in words])
            captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def submit(run: Run, photos: Path, paintings: Path) -> Callable[..., str]:
    def submit(*words: object) -> str:
        ran = run("submit", "-c", photos, "-s", paintings, "--json", *words)
        assert ran.code == 0, ran.err
        batch: str = ran.answer["batch"]
        return batch

    return submit


def is_one_error(ran: Ran, *words: str) -> bool:
    """One line on stderr that says these words, nothing on stdout, nothing of Python."""
    *_, last = ran.err.splitlines()
    problems = [word for word in words if word not in last]
    return (
        not problems
        and last.startswith("impasto: ")
        and "Traceback" not in ran.err
        and ran.err.count("impasto: ") == 1
    )


def test_a_stranger_submits_watches_and_fetches_in_processes_of_their_own(
    environment: dict[str, str], client: Client, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")

    def impasto(*words: object) -> Ran:
        ran = subprocess.run(
            [*COMMAND, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    made = impasto("submit", "--contents", *sorted(photos.iterdir()), "--styles", paintings, "--name", "June")
    batch = re.match(r"(june-[a-z2-7]{6}): 6 pairs \(3 contents, 2 styles\)\n", made.out)
    assert batch is not None
    assert made.code == 0
    assert "rejected: " in made.err
    assert "broken.jpg: " in made.err
    finish(client, batch[1], 0)
    listed = impasto("status")
    assert listed.out.splitlines()[1].split()[:3] == [batch[1], "active", "1/6"]
    cancelled = impasto("cancel", "june")
    assert cancelled.out == f"{batch[1]} is cancelled: 1 of 6 done, 5 cancelled\n"
    watched = impasto("watch")
    assert (watched.code, watched.out) == (3, f"{batch[1]}: 1 of 6 done, 5 cancelled\n")
    for ran in (made, listed, cancelled, watched):
        assert all(character.isprintable() or character == "\n" for character in ran.out + ran.err)


def test_submit_answers_in_json(run: Run, photos: Path, paintings: Path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "twin.png").write_bytes((photos / "photo 0.png").read_bytes())
    (photos / "notes.txt").write_text("not a picture")
    good = [*photos.glob("photo*.png"), *paintings.iterdir()]
    ran = run("submit", "-c", photos, "-s", paintings, "--json")
    batch = ran.answer.pop("batch")
    assert ran.answer | {"batch": batch} == {
        "batch": batch,
        "pairs": 6,
        "contents": 3,
        "styles": 2,
        "masks": 0,
        "rejected": [{"input": f"{photos}/empty.jpg", "error": "the file is empty"}],
        "duplicates": 1,
        "skipped": 1,
        "skipped_kinds": {"texts": 1},
        "read": 7,
        "known": 0,
        "uploaded": 5,
        "uploaded_bytes": sum(path.stat().st_size for path in good),
        "created": True,
        "dry_run": False,
    }


def test_what_is_no_picture_is_told_in_one_line_by_kind(run: Run, photos: Path, paintings: Path) -> None:
    for name in ("a.xmp", "b.AAE", "Thumbs.db", ".DS_Store", ".hidden.jpg", "clip.MOV", "notes.txt", "c.psd"):
        (photos / name).write_bytes(b"?")
    ran = run("submit", "-c", photos, "-s", paintings, "--dry-run", "--no-progress")
    assert ran.err == (
        "passed over: 8 files that can be no picture by the name: "
        "2 sidecars, 2 system files, 1 hidden file, 1 video, 1 text, 1 other file\n"
    )


def test_raw_files_are_named_with_the_mend(run: Run, photos: Path, paintings: Path) -> None:
    (photos / "IMG_1.CR2").write_bytes(b"?")
    ran = run("submit", "-c", photos, "-s", paintings, "--dry-run", "--json")
    (rejected,) = ran.answer["rejected"]
    assert rejected["input"].endswith("IMG_1.CR2")
    assert rejected["error"].endswith("(.cr2) is not supported: export it as JPEG or TIFF first")


def test_status_answers_in_json(run: Run, submit: Callable[..., str], client: Client) -> None:
    assert run("status", "--json").answer == {"batches": []}
    batch = submit("--name", "June")
    finish(client, batch, 0)
    lease(client, batch, 1)
    (listed,) = run("status", "--json").answer["batches"]
    one = run("status", "latest", "--json").answer
    (running,) = one.pop("running")
    assert one | {"eta_seconds": 0} == listed | {"eta_seconds": 0}
    assert (one["batch"], one["state"], one["name"]) == (batch, "active", "June")
    assert one["counts"] == {
        "total": 6,
        "waiting": 1,
        "due": 3,
        "running": 1,
        "done": 1,
        "failed": 0,
        "cancelled": 0,
    }
    assert "eta_seconds" in one
    names = (Path(running["content"]).name, Path(running["style"]).name)
    assert names == ("photo 0.png", "painting 1.png")
    assert (running["pair"], running["step"], running["steps"], running["loss"]) == (1, 5, 10, 0.25)


def test_status_tells_people_what_runs(run: Run, submit: Callable[..., str], client: Client) -> None:
    assert run("status").out == "no batch yet: make one with impasto submit\n"
    batch = submit("--name", "June")
    finish(client, batch, 0)
    lease(client, batch, 1)
    shown = dict(line.split(maxsplit=1) for line in run("status", batch).out.splitlines())
    assert shown["batch"] == batch
    assert shown["pairs"].startswith("1 of 6 done, 1 running")
    assert shown["running"] == "photo 0.png × painting 1.png, step 5 of 10, on hands"
    listed = run("status").out.splitlines()
    assert [line.split()[0] for line in listed] == ["BATCH", batch]
    client.cancel(batch)
    assert "1 running" in run("status", batch).out


def test_watching_ends_as_the_batch_does(run: Run, submit: Callable[..., str], client: Client) -> None:
    done, failed = submit("--pairs", "product", "--name", "done"), submit("--name", "failed")
    for pair in range(6):
        finish(client, done, pair)
        (fail if pair == 4 else finish)(client, failed, pair)
    ran = run("watch", done)
    assert (ran.code, ran.out) == (0, f"{done}: 6 of 6 done\n")
    ran = run("watch", failed)
    assert (ran.code, ran.out) == (1, f"{failed}: 5 of 6 done, 1 failed\n")
    assert f"impasto failures {failed}" in ran.err
    last = run("watch", failed, "--json", "-q")
    assert (last.answer["state"], last.err) == ("failed", "")
    told = run("failures", failed)
    assert "photo 2.png" in told.out
    assert told.out.startswith("4: ")
    assert told.out.endswith("painting 0.png: it is damaged\n")
    (failure,) = run("failures", failed, "--json").answer["failures"]
    assert (failure["pair"], failure["kind"], failure["error"]) == (4, "bad_picture", "it is damaged")


def test_submit_can_stay_until_the_batch_is_over(
    environment: dict[str, str], client: Client, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    words = ["submit", "-c", photos, "-s", paintings, "--watch", "--json"]
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout is not None
        batch = json.loads(process.stdout.readline())["batch"]
        for pair in range(6):
            finish(client, batch, pair)
        rest, notes = process.communicate()
        outcome = json.loads(rest)
    assert (process.returncode, outcome["state"], outcome["counts"]["done"]) == (0, "done", 6)
    assert f"impasto fetch {batch}" in notes


def test_pause_and_resume(run: Run, submit: Callable[..., str]) -> None:
    batch = submit()
    assert run("pause", "latest").out == f"{batch} is paused: 0 of 6 done\n"
    assert run("resume", "latest", "--json").answer["state"] == "active"


def test_the_same_token_is_said_to_be_there_already(run: Run, submit: Callable[..., str]) -> None:
    batch = submit("--token", "night 1")
    again = run("submit", "-c", "photos", "-s", "paintings", "--token", "night 1")
    assert again.out == f"{batch}: 6 pairs (3 contents, 2 styles), submitted before with this token\n"


def test_the_same_submission_of_what_is_over_says_how_it_ended(
    run: Run, submit: Callable[..., str], client: Client, photos: Path, paintings: Path
) -> None:
    batch = submit()
    fail(client, batch, 0)
    for pair in range(1, 6):
        finish(client, batch, pair)
    again = run("submit", "-c", photos, "-s", paintings)
    assert again.out.startswith(f"{batch}: 6 pairs (3 contents, 2 styles), the same as ")
    *_, last = again.err.splitlines()
    assert last == f"it is over: 5 of 6 done, 1 failed; impasto retry {batch} tries again what failed"
    assert "no worker" not in again.err


def test_fetch_takes_what_is_done_and_says_what_is_not(
    run: Run, submit: Callable[..., str], client: Client, tmp_path: Path
) -> None:
    batch = submit()
    finish(client, batch, 0)
    ran = run("fetch", "latest", "-o", "home", "--json", "--no-progress")
    assert ran.answer == {
        "batch": batch,
        "folder": "home",
        "fetched": 0,
        "already": 0,
        "bytes": 0,
        "missing": 6,
        "state": "active",
        "problems": [],
    }
    assert "6 pairs" in ran.err
    assert (tmp_path / "home").is_dir()


def test_fetch_names_what_is_damaged_and_ends_with_1(
    run: Run, submit: Callable[..., str], client: Client, tmp_path: Path
) -> None:
    batch = submit()
    whole, damaged = (client.pair(batch, pair).output_stem for pair in (0, 1))
    store = client.connection.store
    results.put_result(store, batch, whole, b"pixels")
    results.put_result(store, batch, damaged, b"pixels", picture_sha256="0" * 64)
    client.cancel(batch)
    ran = run("fetch", batch, "-o", tmp_path / "home")
    assert (ran.code, ran.out.split(" (")[0]) == (1, f"1 picture fetched to {tmp_path}/home")
    assert f"left out: the picture of outputs/{batch}/{damaged}.json is damaged" in ran.err
    assert "without a picture: 4 pairs (0 failed, 6 cancelled)" in ran.err
    assert (tmp_path / "home" / f"{whole}.png").read_bytes() == b"pixels"
    again = run("fetch", batch, "-o", tmp_path / "home", "-q")
    assert again.out == f"0 pictures fetched to {tmp_path}/home (0 bytes), 1 was there already\n"


BAD: list[tuple[list[str], type[errors.ImpastoError], list[str]]] = [
    (["submit", "-c", "nowhere", "-s", "paintings"], errors.NothingToSubmit, ["no content is left"]),
    (["submit", "-c", "photos", "-s", "photos", "--preset", "nope"], errors.BadSettings, ["nope", "gallery"]),
    (["submit", "-c", "photos", "-s", "photos", "--size", "3"], errors.BadSettings, ["size_px", "16"]),
    (["submit", "-c", "photos", "-s", "photos", "--set", "color=1"], errors.BadSettings, ["color", "seed"]),
    (
        ["submit", "-c", "photos", "-s", "photos", "--set", "style_layers=conv_99"],
        errors.BadSettings,
        ["conv_99", "conv_16"],
    ),
    (["submit", "-c", "photos", "-s", "photos", "--priority", "12"], errors.BadSettings, ["12", "9"]),
    (["status", "nope"], errors.NoSuchBatch, ["nope", "impasto status"]),
    (["watch", "latest"], errors.NoSuchBatch, ["no batch yet"]),
    (["fetch", "nope", "-o", "x"], errors.NoSuchBatch, ["nope"]),
    (["cancel", "nope"], errors.NoSuchBatch, ["nope"]),
    (["failures", "nope"], errors.NoSuchBatch, ["nope"]),
]


@pytest.mark.parametrize(("words", "error", "said"), BAD)
def test_each_mistake_is_one_line_with_its_exit_code(
    run: Run,
    photos: Path,
    paintings: Path,
    client: Client,
    words: list[str],
    error: type[errors.ImpastoError],
    said: list[str],
) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (error.exit_code, "")
    assert is_one_error(ran, *said), ran.err
    assert client.batches() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], ["nope", "impasto --help"]),
        (["submit", "-c", "photos"], ["--styles", "impasto submit --help"]),
        (["submit", "-c", "a", "-s", "b", "--size", "big"], ["--size", "integer"]),
        (["submit", "-c", "a", "-s", "b", "--pairs", "cross"], ["cross"]),
        (["status", "--wat"], ["--wat"]),
        (["fetch", "latest"], ["--output"]),
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(run: Run, words: list[str], said: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert is_one_error(ran, *said), ran.err


@pytest.mark.parametrize(
    ("variables", "error", "said"),
    [
        (
            {"IMPASTO_REDIS_URL": "redis://:hush@127.0.0.1:1/0"},
            errors.LedgerUnavailable,
            ["127.0.0.1:1", "IMPASTO_REDIS_URL"],
        ),
        ({"IMPASTO_REDIS_URL": None}, errors.NotRunning, ["impasto up", "IMPASTO_REDIS_URL"]),
        ({"IMPASTO_STORE_URL": "ftp://x"}, errors.BadSettings, ["ftp://x", "IMPASTO_STORE_URL"]),
        ({"IMPASTO_WINDOW": "many"}, errors.BadSettings, ["IMPASTO_WINDOW", "many"]),
        ({"IMPASTO_WEIGHTS": "cafe"}, errors.BadSettings, ["cafe", "torchvision"]),
    ],
)
def test_a_deployment_that_is_not_there_is_one_line_and_nothing_is_submitted(
    run: Run,
    photos: Path,
    paintings: Path,
    client: Client,
    variables: dict[str, str | None],
    error: type[errors.ImpastoError],
    said: list[str],
) -> None:
    ran = run("submit", "-c", photos, "-s", paintings, **variables)
    assert (ran.code, ran.out) == (error.exit_code, "")
    assert is_one_error(ran, *said), ran.err
    assert "hush" not in ran.err
    assert client.batches() == []
    assert list(client.connection.store.list("")) == []


def test_strict_names_all_rejected_inputs_in_json_too(run: Run, photos: Path, paintings: Path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    ran = run("submit", "-c", photos, "nowhere", "-s", paintings, "--strict", "--json", "-q")
    assert ran.code == errors.NothingToSubmit.exit_code
    assert (ran.answer["batch"], ran.answer["pairs"]) == (None, 0)
    assert [Path(one["input"]).name for one in ran.answer["rejected"]] == ["nowhere", "empty.jpg"]


def test_names_from_outside_stay_on_one_line(run: Run, photos: Path, paintings: Path) -> None:
    (photos / "two\nlines \x1b[31m.jpg").write_bytes(b"")
    ran = run("submit", "-c", photos, "-s", paintings, "--dry-run")
    assert ran.code == 0
    (line,) = (line for line in ran.err.splitlines() if "rejected" in line)
    assert r"two\nlines \x1b[31m.jpg: the file is empty" in line


def test_a_traceback_is_shown_to_who_asks_for_it(run: Run) -> None:
    assert "Traceback" not in run("status", "nope").err
    for words in (("--debug", "status", "nope"), ("status", "nope", "--debug")):
        ran = run(*words)
        assert ran.code == errors.NoSuchBatch.exit_code
        assert "Traceback" in ran.err
        assert ran.err.splitlines()[-1].startswith("impasto: ")


def test_an_error_in_impasto_itself_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*args: object, **options: object) -> None:
        raise ZeroDivisionError("a bug\nof two lines")

    monkeypatch.setattr(Client, "batches", stumble)
    ran = run("status")
    assert ran.code == 70
    assert is_one_error(ran, "ZeroDivisionError", "--debug"), ran.err


def test_config_prints_every_setting_and_no_password(run: Run) -> None:
    variables = {
        "IMPASTO_REDIS_URL": "redis://:hush@somewhere/0",
        "IMPASTO_S3_SECRET_ACCESS_KEY": "hush",
        "IMPASTO_LEASE_SECONDS": "12.5",
    }
    ran = run("config", **variables)
    assert "IMPASTO_LEASE_SECONDS=12.5\n" in ran.out
    assert "IMPASTO_MAX_ATTEMPTS=5\n" in ran.out
    answer = run("config", "--json", **variables).answer
    assert (answer["lease_seconds"], answer["republish_seconds"]) == (12.5, 600.0)
    assert "hush" not in ran.out + json.dumps(answer)


def test_version_is_told_in_three_ways(run: Run) -> None:
    number = run("version", "--json").answer["impasto"]
    assert run("version").out.splitlines()[0] == f"impasto {number}"
    assert run("--version").out == f"impasto {number}\n"


def test_help_is_shown_when_nothing_is_asked(run: Run) -> None:
    ran = run()
    assert ran.code == 0
    assert "submit" in ran.out


def test_a_worker_without_a_deployment_or_without_torch_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("worker", IMPASTO_REDIS_URL=None)
    assert (ran.code, is_one_error(ran, "impasto up")) == (errors.NotRunning.exit_code, True)
    monkeypatch.setattr("impasto.producer.cli.worker.find_spec", lambda name: None)
    ran = run("worker")
    assert (ran.code, is_one_error(ran, "pip install 'impasto[worker]'")) == (
        errors.NotInstalled.exit_code,
        True,
    )


def test_ctrl_c_stops_the_watching_and_not_the_batch(
    submit: Callable[..., str], client: Client, tmp_path: Path
) -> None:
    batch = submit()
    with subprocess.Popen(
        [*COMMAND, "watch", batch, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert (process.returncode, told) == (
        130,
        f"impasto: interrupted: batch {batch} goes on; impasto watch {batch} shows it again\n",
    )
    assert client.status(batch).cancelled == 0


def test_on_a_terminal_a_batch_and_its_running_pairs_have_bars(
    submit: Callable[..., str], client: Client, tmp_path: Path
) -> None:
    batch = submit("--name", "June")
    finish(client, batch, 0)
    lease(client, batch, 1)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "watch", batch],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160"},
    ) as process:
        os.close(theirs)
        shown = ""
        deadline = time.monotonic() + 30
        while "step 5 of 10" not in shown and time.monotonic() < deadline:
            shown += os.read(ours, 65536).decode(errors="replace")
        client.cancel(batch)
        client.connection.ledger.postpone(
            batch, 1, lease_id=f"{batch}/1", delay_seconds=0, give_back=True, reason="cancelled"
        )
        try:
            while more := os.read(ours, 65536):
                shown += more.decode(errors="replace")
        except OSError:
            # Linux says EIO where others say the end.
            pass
    os.close(ours)
    assert process.returncode == 3
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"June .*1 of 6 done", plain)
    assert re.search(r"photo 0\.png.*step 5 of 10.*loss 0\.25", plain)
    assert re.search(r"June .*1 of 6 done, 5 cancelled", plain)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("impasto f", ["failures", "fetch"]), ("impasto submit --preset ga", ["gallery", "gatys"])],
)
def test_the_shell_can_complete(
    typed: str, expected: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    ran = complete(typed, tmp_path, environment)
    assert sorted(ran) == expected


def test_the_shell_can_complete_batches(
    submit: Callable[..., str], tmp_path: Path, environment: dict[str, str]
) -> None:
    batch = submit("--name", "june")
    assert complete("impasto watch ju", tmp_path, environment) == [batch]


def complete(typed: str, folder: Path, environment: dict[str, str]) -> list[str]:
    variables = {
        "_IMPASTO_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    ran = subprocess.run(
        COMMAND,
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, **environment, **variables},
    )
    return ran.stdout.split()


def test_an_interrupt_at_the_last_moment_does_not_deny_the_batch(
    run: Run, photos: Path, paintings: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Dispatcher, batch: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Dispatcher, "advance", interrupted)
    ran = run("submit", "-c", photos, "-s", paintings, "-q")
    (status,) = client.batches()
    assert (ran.code, ran.out) == (130, "")
    told = f"batch {status.batch} may have been submitted: impasto status {status.batch} tells"
    assert ran.err == f"impasto: interrupted: {told}\n"


def test_quiet_says_nothing_but_what_is_wrong(run: Run, photos: Path, paintings: Path) -> None:
    assert run("submit", "-c", photos, "-s", paintings, "-q").err == ""
    (photos / "empty.jpg").write_bytes(b"")
    told = run("submit", "-c", photos, "-s", paintings, "-q").err
    assert told == f"rejected: {photos}/empty.jpg: the file is empty\n"


@pytest.fixture
def manifest(tmp_path: Path, photos: Path, paintings: Path) -> Path:
    """Two pairs under one settings, and a third under another."""
    path = tmp_path / "nights.csv"
    path.write_text(
        "content,style,settings.seed\n"
        "photos/photo 0.png,paintings/painting 0.png,\n"
        "photos/photo 1.png,paintings/painting 1.png,7\n"
        "photos/photo 2.png,paintings/painting 0.png,\n"
    )
    return path


def test_a_manifest_of_two_settings_is_answered_by_a_line_each(run: Run, manifest: Path) -> None:
    ran = run("submit", "--manifest", manifest, "--json")
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert [(one["batch"].rpartition("-")[0], one["pairs"]) for one in answers] == [
        ("nights-1", 2),
        ("nights-2", 1),
    ]
    again = run("submit", "--manifest", manifest)
    for line, answer in zip(again.out.splitlines(), answers, strict=True):
        assert line.startswith(f"{answer['batch']}: {answer['pairs']} pair")
        assert line.endswith("ago; --again makes a new batch")


def test_a_manifest_comes_through_a_pipe(environment: dict[str, str], manifest: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [*COMMAND, "submit", "--manifest", "-", "--manifest-format", "csv", "--dry-run"],
        input=manifest.read_text(),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **environment},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert [line.split(" (")[0] for line in ran.stdout.splitlines()][:2] == [
        "dry run: 2 pairs",
        "dry run: 1 pair",
    ]


def test_a_senseless_manifest_ends_with_the_place_and_the_mend(run: Run, manifest: Path) -> None:
    manifest.write_text("content,style\nphotos/photo 0.png,\n")
    ran = run("submit", "--manifest", manifest)
    assert ran.code == errors.NothingToSubmit.exit_code
    assert ran.err.splitlines()[0].startswith(
        f"rejected: {manifest}, line 2, column style: it is empty: give"
    )
    assert is_one_error(ran, "1 row makes no sense", "nothing was submitted")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--manifest", "a.csv", "-c", "photos"], "give --manifest alone"),
        (["--manifest", "a.csv", "--pairs", "zip"], "give --manifest alone"),
        (["-c", "photos", "-s", "paintings", "--manifest-format", "csv"], "none is given"),
        (["-s", "paintings"], "give --contents, or a --manifest"),
    ],
)
def test_a_manifest_stands_for_all_sources(run: Run, words: list[str], told: str) -> None:
    ran = run("submit", *words)
    assert ran.code == USAGE
    assert is_one_error(ran, told)


@pytest.mark.parametrize(("ended_by", "code"), [("finish", 0), ("fail", 1), ("cancel", 3)])
def test_waiting_ends_as_the_worst_batch_did_and_shows_no_progress(
    run: Run, client: Client, photos: Path, paintings: Path, ended_by: str, code: int
) -> None:
    words = ("-c", photos / "photo 0.png", "-s", paintings / "painting 0.png", "--token", "night")
    batch = run("submit", *words, "--json").answer["batch"]
    if ended_by == "finish":
        finish(client, batch, 0)
    elif ended_by == "fail":
        fail(client, batch, 0)
    else:
        client.cancel(batch)
    ran = run("submit", *words, "--wait", "--json")
    assert ran.code == code
    assert [json.loads(line)["batch"] for line in ran.out.splitlines()] == [batch, batch]
    assert (run("submit", *words, "--wait", "--quiet").err, ran.err.count("done,")) == ("", 0)


def test_ctrl_c_ends_the_waiting_and_not_the_batch(
    environment: dict[str, str], client: Client, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    waiting = subprocess.Popen(
        [*COMMAND, "submit", "-c", photos, "-s", paintings, "--wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **environment},
    )
    assert waiting.stdout is not None
    batch = waiting.stdout.readline().partition(":")[0]
    time.sleep(0.5)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert f"batch {batch} goes on" in err
    assert client.status(batch).cancelled == 0
