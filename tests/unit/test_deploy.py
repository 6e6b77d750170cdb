"""What lies in deploy/: held against the settings, commands and servers that it names."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic_core import PydanticUndefined
from typer.main import get_command

from impasto.producer.cli.main import app as producer_cli
from impasto.producer.local.hardware import WorkerPlan
from impasto.producer.local.up import worker_program
from impasto.shared.deployment import Deployment
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from impasto.worker.__main__ import cli as worker_cli
from impasto.worker.overdue import LATE_SECONDS
from s3_server import S3Server
from servers import RedisServer, free_port, valkey_binary

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
EXAMPLE: Final = DEPLOY / ".env.example"
DOCKERFILES: Final = tuple(sorted(DEPLOY.glob("*.Dockerfile")))
SERVICES: Final = tuple(sorted((DEPLOY / "systemd").glob("*.service")))
FIELDS: Final = {f"IMPASTO_{name.upper()}": field for name, field in Deployment.model_fields.items()}
TEXTS: Final = (*sorted(p for p in DEPLOY.rglob("*") if p.is_file()), ROOT / "docs" / "deploy.md")
SECRETS: Final = ("VALKEY_PASSWORD", "IMPASTO_S3_SECRET_ACCESS_KEY")


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return document


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Each instruction with its arguments, continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def last_stage(dockerfile: Path) -> dict[str, str]:
    """The last of each instruction in the stage that becomes the image."""
    steps = instructions(dockerfile)
    start = max(i for i, (word, _) in enumerate(steps) if word == "FROM")
    return dict(steps[start:])


def unit(path: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text())
    return parser["Service"]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def needed_to_stop(grace_seconds: float) -> float:
    """The grace, a step and a put or a hand-back, and once more the grace for a report under way."""
    return 2 * grace_seconds + 30


def settings_in_the_example() -> dict[str, str]:
    found = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(found) == len(dict(found)), "a variable stands twice in .env.example"
    return dict(found)


def test_every_setting_stands_in_the_example() -> None:
    assert FIELDS.keys() - settings_in_the_example().keys() == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_only_settings_that_exist_are_named(path: Path) -> None:
    assert set(re.findall(r"IMPASTO_[A-Z0-9_]+", path.read_text())) - FIELDS.keys() == set()


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    commented = re.findall(r"^#(IMPASTO_[A-Z0-9_]+)=(.+)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(commented) > 10
    for name, value in commented:
        monkeypatch.setenv(name, value)
    shown = Deployment(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings takes it
    for name, _ in commented:
        default = FIELDS[name].default
        assert default is not PydanticUndefined, f"{name} has no fixed default: show none"
        assert getattr(shown, name.removeprefix("IMPASTO_").lower()) == default, name


def test_the_example_holds_no_secret() -> None:
    example = settings_in_the_example()
    assert {name: example[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")


def test_every_variable_of_the_compose_files_is_explained_in_the_example() -> None:
    used = {
        name
        for path in DEPLOY.glob("compose*.yaml")
        for name in re.findall(r"(?<!\$)\$\{(\w+)", path.read_text())
    }
    assert used != set()
    assert used - settings_in_the_example().keys() == set()


def test_every_image_is_pinned_to_a_version() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    for dockerfile in DOCKERFILES:
        images += [rest.split()[0] for word, rest in instructions(dockerfile) if word == "FROM"]
    assert len(images) > 6
    for image in images:
        assert re.search(r":v?\d+\.\d+\.?\d*[\w.-]*(@sha256:[0-9a-f]{64})?$", image), image


def test_what_runs_for_long_is_restarted_always_and_stopped_patiently() -> None:
    services = compose()["services"]
    for name in ("valkey", "s3", "worker", "worker-cpu", "beat"):
        assert services[name]["restart"] == "always", name
    grace = Deployment.model_fields["grace_seconds"].default
    for name in ("worker", "worker-cpu"):
        assert seconds(services[name]["stop_grace_period"]) > needed_to_stop(grace), name


def test_a_worker_that_is_told_to_stop_ends_by_itself_before_anybody_kills_it() -> None:
    plan = WorkerPlan("worker-1", "cpu", threads=1)
    for grace in (0.0, 10.0, 600.0):
        deployment = Deployment.load(_env_file=None, grace_seconds=grace)
        assert grace + LATE_SECONDS < needed_to_stop(grace)
        program = worker_program(deployment, plan, {}, for_people=False)
        assert program.grace_seconds >= needed_to_stop(grace)


def test_what_must_last_lies_in_named_volumes() -> None:
    document = compose()
    for service, folder in (("valkey", "/data"), ("s3", "/data"), ("worker", "/var/cache/impasto")):
        mounts = dict(entry.split(":")[1::-1] for entry in document["services"][service]["volumes"])
        assert mounts[folder] in document["volumes"], service


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports != []
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_two_workers_share_a_gpu() -> None:
    first = compose()["services"]["worker"]
    second = compose("compose.two-gpus.yaml")["services"]["worker-1"]
    assert first["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert second["extends"]["service"] == "worker"
    devices = [worker["environment"]["IMPASTO_DEVICE"] for worker in (first, second)]
    assert devices == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_images_run_as_nobody_stop_politely_and_tell_their_health(dockerfile: Path) -> None:
    image = last_stage(dockerfile)
    assert int(image["USER"]) > 0
    assert image["STOPSIGNAL"] == "SIGTERM"
    assert "CMD [" in image["HEALTHCHECK"]
    assert image["ENTRYPOINT"].startswith('["tini", "--", ')


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_images_take_in_only_what_the_build_may_see(dockerfile: Path) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    for word, rest in instructions(dockerfile):
        assert word != "ADD"
        if word == "COPY" and "--from" not in rest:
            sources = rest.split()[:-1]
            assert [source for source in sources if source not in allowed] == []
            assert all((ROOT / source).exists() for source in sources)
    assert not any(name in dockerfile.read_text() for name in SECRETS)


def test_both_images_share_the_stage_that_builds_the_wheel() -> None:
    stages = []
    for dockerfile in DOCKERFILES:
        steps = instructions(dockerfile)
        starts = [i for i, (word, _) in enumerate(steps) if word == "FROM"]
        stages.append(steps[: starts[1]])
    assert len(stages) == 2
    assert stages[0] == stages[1]


@pytest.mark.parametrize(("name", "extra"), [("producer", None), ("worker", "worker")])
def test_images_install_versions_that_the_project_allows(name: str, extra: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]
    pinned = dict(_pins(DEPLOY / "requirements" / f"{name}.txt"))
    for requirement in map(Requirement, needed):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"
    assert ("torch" in pinned) == (name == "worker")


def _pins(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            yield from _pins(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, f"{line} is not pinned"
            yield canonicalize_name(name), version


def test_commands_that_images_and_units_run_exist() -> None:
    run = get_command(worker_cli).commands["run"]  # type: ignore[attr-defined]
    assert "--device" in {option for parameter in run.params for option in parameter.opts}
    assert last_stage(DEPLOY / "worker.Dockerfile")["CMD"] == '["run"]'
    assert (
        "-m impasto.worker run --device cuda:%i"
        in unit(DEPLOY / "systemd" / "impasto-worker@.service")["ExecStart"]
    )
    assert unit(DEPLOY / "systemd" / "impasto-beat.service")["ExecStart"].split()[1:] == ["beat"]
    assert compose()["services"]["beat"]["command"] == ["beat"]
    assert "beat" in get_command(producer_cli).commands  # type: ignore[attr-defined]
    status = get_command(producer_cli).commands["status"]  # type: ignore[attr-defined]
    assert "--json" in {option for parameter in status.params for option in parameter.opts}
    scripts = {name for p in TEXTS for name in re.findall(r"/opt/impasto/share/(\w+\.py)", p.read_text())}
    assert scripts == {"create_bucket.py", "worker_alive.py"}
    copied = "".join(path.read_text() for path in DOCKERFILES)
    assert [name for name in scripts if f"COPY deploy/{name} /opt/impasto/share/" not in copied] == []


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_units_restart_always_and_stop_politely(path: Path) -> None:
    service = unit(path)
    assert service["Restart"] == "always"
    assert service["KillSignal"] == "SIGTERM"
    assert service["KillMode"] == "mixed"
    assert service["User"] not in ("", "root")
    assert service["NoNewPrivileges"] == "yes"
    grace = Deployment.model_fields["grace_seconds"].default
    assert seconds(service["TimeoutStopSec"]) > needed_to_stop(grace)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE)
        (tmp_path / path.name.replace("@.", "@0.")).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    answer = subprocess.run(
        [shutil.which("systemd-analyze") or "", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_kubernetes_waits_for_a_worker_to_stop_and_gives_each_a_gpu() -> None:
    pod = yaml.safe_load((DEPLOY / "kubernetes" / "worker.yaml").read_text())["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > needed_to_stop(
        Deployment.model_fields["grace_seconds"].default
    )
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


@contextmanager
def running(command: list[str], environment: dict[str, str], port: int) -> Iterator[redis.Redis]:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        with redis.Redis(port=port, password="a-password", decode_responses=True, retry=None) as client:
            deadline = time.monotonic() + 15
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert process.poll() is None, process.communicate()[0].decode()
                    assert time.monotonic() < deadline, "the server does not answer"
                    time.sleep(0.02)
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=15)


def compose_command(folder: Path, port: int) -> list[str]:
    """What the container runs, with another folder and port."""
    command: list[str] = compose()["services"]["valkey"]["command"]
    script = command[-1].replace("$$", "$").replace("/etc/valkey/valkey.conf", str(DEPLOY / "valkey.conf"))
    place = f"--dir {folder} --port {port} --bind 127.0.0.1"
    return [*command[:-1], script.replace("--dir /data", place)]


def systemd_command(folder: Path, port: int) -> list[str]:
    """What the unit runs, with other folders and another port."""
    secret = folder / "valkey-auth.conf"
    secret.write_text("requirepass a-password\n")
    command = unit(DEPLOY / "systemd" / "impasto-valkey.service")["ExecStart"]
    for name, value in {
        "/usr/bin/valkey-server": str(valkey_binary()),
        "/etc/impasto/valkey.conf": str(DEPLOY / "valkey.conf"),
        "/etc/impasto/valkey-auth.conf": str(secret),
        "/var/lib/impasto-valkey": str(folder),
        "--port 6380": f"--port {port}",
    }.items():
        assert name in command
        command = command.replace(name, value)
    return shlex.split(command)


@pytest.mark.parametrize("command", [compose_command, systemd_command])
def test_valkey_keeps_everything_throws_nothing_away_and_asks_for_a_password(
    command: Any, tmp_path: Path
) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    (path / "valkey-server").symlink_to(valkey_binary())
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "VALKEY_PASSWORD": "a-password"}
    port = free_port()
    with running(command(tmp_path, port), environment, port) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("dir") == {"dir": str(tmp_path)}
        with redis.Redis(port=port, retry=None) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def script(name: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("IMPASTO_", "AWS_"))}
    return subprocess.run(
        [sys.executable, str(DEPLOY / name)], env={**clean, **environment}, capture_output=True, text=True
    )


def test_a_worker_is_healthy_while_redis_hears_its_heart(valkey: RedisServer, namespace: str) -> None:
    environment = {"IMPASTO_REDIS_URL": valkey.url, "IMPASTO_NAMESPACE": namespace}
    with connect(valkey.url) as client:
        ledger = RedisLedger(client, namespace=namespace)
        ledger.beat("elsewhere", {"host": "another-host"}, ttl_seconds=60)
        silent = script("worker_alive.py", environment)
        assert silent.returncode != 0
        assert socket.gethostname() in silent.stderr
        assert len(silent.stderr.splitlines()) == 1
        ledger.beat("here", {"host": socket.gethostname()}, ttl_seconds=60)
        assert script("worker_alive.py", environment).returncode == 0


def test_the_bucket_is_made_once_and_a_store_without_one_is_named() -> None:
    with S3Server() as server:
        environment = {**server.environment, "IMPASTO_STORE_URL": "s3://brand-new/gallery"}
        first, second = (script("create_bucket.py", environment) for _ in range(2))
        assert (first.returncode, "made" in first.stdout) == (0, True), first.stderr
        assert (second.returncode, "was there already" in second.stdout) == (0, True), second.stderr
    refused = script("create_bucket.py", {**environment, "IMPASTO_STORE_URL": "file:///somewhere"})
    assert refused.returncode != 0
    assert "IMPASTO_STORE_URL" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
