"""`impasto up`: a server, workers, a beat, a folder as the store on this machine, until told to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from rich.console import Console

from impasto.producer.local import screen
from impasto.producer.local.hardware import WorkerPlan, core_count, gpu_count, plan_workers
from impasto.producer.local.runfile import (
    Running,
    default_store_url,
    find_running,
    forget_running,
    write_running,
)
from impasto.producer.local.signals import StopSignals
from impasto.producer.local.supervisor import Program, Supervisor
from impasto.producer.local.valkey import NAME, Valkey, connect, server_facts, wait_until_answering
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, ImpastoError, NotInstalled, NotRunning, WeightsUnavailable
from impasto.shared.ledger.redis_ledger import RedisLedger
from impasto.shared.store.home import require_home
from impasto.shared.store.open import open_deployment_store

BEAT: Final = "beat"
_LOCK_FILE: Final = "up.lock"
_MEND: Final = "set IMPASTO_STATE to another folder"
_HOPELESS: Final[dict[int, type[ImpastoError]]] = {
    error.exit_code: error for error in (BadSettings, WeightsUnavailable)
}
"""How a worker ends that no other start would help."""


def run_up(
    deployment: Deployment,
    *,
    workers: int | None = None,
    port: int | None = None,
    console: Console,
) -> None:
    """Run everything until SIGINT or SIGTERM, then stop all of it: workers and beat first, then the server.

    `workers`: how many; None: one a GPU, else one. `port`: of the embedded server; None: the one that
    it had, or any that is free.
    Where the deployment names a Redis or a store, those are used.

    Raises NotRunning when another one runs on the state folder or the server does not start, NotInstalled
    when a part is missing, BadSettings when the folder can't be written, LedgerUnavailable or the store's
    errors when those that were named don't answer, BadSettings or WeightsUnavailable, in its words, when a
    worker can't begin for one of these.
    """
    # One spelling for everyone: children may have another working directory.
    deployment = deployment.model_copy(update={"state": deployment.state.absolute()})
    plans = plan_workers(
        device=deployment.device,
        workers=workers,
        threads=deployment.threads,
        gpus=gpu_count(os.environ),
        cores=core_count(),
    )
    if plans:
        require_worker_extra()
    with StopSignals() as signals, only_one(deployment.state, "an `impasto up`", _MEND):
        forget_running(deployment.state)
        supervisor = Supervisor(
            deployment.state,
            say=lambda line: screen.say(console, line),
            echo=lambda name, line: screen.echo(console, name, line),
        )
        if ended := supervisor.end_what_was_left():
            screen.say(console, f"ended {len(ended)} processes that an earlier `impasto up` had left")
        try:
            base = _start_base(supervisor, deployment, signals.stopping, port=port)
            if base is not None:
                for plan in plans:
                    supervisor.start(
                        worker_program(base.deployment, plan, os.environ, for_people=console.is_terminal)
                    )
                supervisor.start(beat_program(base.deployment, os.environ, for_people=console.is_terminal))
                screen.welcome(
                    console, base.deployment, plans, base.facts, embedded=deployment.redis_url is None
                )

                def over() -> bool:
                    _refuse_the_hopeless(supervisor, plans)
                    return signals.stopping()

                supervisor.run(over)
        finally:
            forget_running(deployment.state)
            if signals.stopping():
                screen.say(console, "stopping; press Ctrl-C again to stop at once")
            supervisor.stop([BEAT, *(plan.name for plan in plans)], hurry=signals.hurry)
            supervisor.stop(hurry=signals.hurry)
    screen.say(console, "stopped")


def _refuse_the_hopeless(supervisor: Supervisor, plans: Iterable[WorkerPlan]) -> None:
    """Raises what a worker's first life ended of: one that worked before is started again whatever it says,
    since a device or a file that went away may come back."""
    for plan in plans:
        codes = supervisor.exit_codes(plan.name)
        if len(codes) == 1 and codes[0] in _HOPELESS:
            words = supervisor.last_line(plan.name).removeprefix("impasto worker: ")
            log = supervisor.log_path(plan.name)
            raise _HOPELESS[codes[0]](f"{plan.name} can't work: {words}; its log: {log}")


@dataclass(frozen=True)
class _Base:
    """What workers stand on: a deployment with its addresses filled in, and the server's INFO."""

    deployment: Deployment
    facts: dict[str, Any]


def _start_base(
    supervisor: Supervisor, deployment: Deployment, stopping: Callable[[], bool], *, port: int | None
) -> _Base | None:
    """Server and store, checked and announced in run.json; None when told to stop before."""
    redis_url = deployment.redis_url or start_server(supervisor, deployment.state / NAME, port=port)
    if deployment.redis_url is not None:
        facts = server_facts(redis_url)
    elif (answer := wait_for_server(supervisor, redis_url, stopping)) is not None:
        facts = answer
    else:
        return None
    store_url = deployment.store_url or default_store_url(deployment.state)
    located = deployment.model_copy(update={"redis_url": redis_url, "store_url": store_url})
    store = open_deployment_store(located)
    store.check()
    with connect(redis_url) as client:
        require_home(store, RedisLedger(client, namespace=located.namespace))
    write_running(deployment.state, Running.this_process(redis_url, store_url))
    return _Base(located, facts)


def start_server(supervisor: Supervisor, folder: Path, *, port: int | None) -> str:
    """Start the embedded server and say its URL. Raises NotInstalled when there is none."""
    server = Valkey.choose(folder, port=port)
    supervisor.start(server.program())
    return server.url


def wait_for_server(supervisor: Supervisor, url: str, stopping: Callable[[], bool]) -> dict[str, Any] | None:
    """The embedded server's INFO once it answers; None when told to stop before.

    Raises NotRunning when it ends instead, with its last words.
    """
    facts = wait_until_answering(
        url, pid=supervisor.pid(NAME) or 0, ended=lambda: stopping() or supervisor.pid(NAME) is None
    )
    if facts is None and not stopping():
        raise NotRunning(
            f"the embedded server did not start: {supervisor.last_line(NAME)}; "
            f"its log: {supervisor.log_path(NAME)}"
        )
    return facts


def worker_program(
    deployment: Deployment,
    plan: WorkerPlan,
    environment: Mapping[str, str],
    *,
    for_people: bool,
    folder: Path | None = None,
) -> Program:
    """A worker process on that deployment.

    `environment`: what it gets besides its addresses and threads. `for_people`: its log is read on a terminal
    as it comes. `folder`: where it works, and so where it looks for a `.env`; None: here.
    """
    variables = {
        # Threads that wait at OpenMP's barriers spin by default: beside any other load, half the speed.
        "OMP_WAIT_POLICY": "PASSIVE",
        **_variables(deployment, environment, for_people=for_people),
        "IMPASTO_THREADS": str(plan.threads),
        # Read when torch is loaded, so it can't be set any later.
        "OMP_NUM_THREADS": str(plan.threads),
    }
    arguments = ("run", "--device", plan.device, "--threads", str(plan.threads))
    return Program(
        name=plan.name,
        command=(sys.executable, "-m", "impasto.worker", *arguments),
        environment=variables,
        folder=folder,
        # What docs/deploy.md asks of every supervisor.
        grace_seconds=2 * deployment.grace_seconds + 30,
        hopeless=frozenset(_HOPELESS),
    )


def beat_program(deployment: Deployment, environment: Mapping[str, str], *, for_people: bool) -> Program:
    """The process that fires schedules on that deployment; the rest is as of `worker_program`."""
    return Program(
        name=BEAT,
        command=(sys.executable, "-m", "impasto.producer.cli", "beat"),
        environment=_variables(deployment, environment, for_people=for_people),
    )


def _variables(deployment: Deployment, environment: Mapping[str, str], *, for_people: bool) -> dict[str, str]:
    variables = {
        **environment,
        "IMPASTO_STATE": str(deployment.state),
        "IMPASTO_REDIS_URL": deployment.redis_url or "",
        "IMPASTO_STORE_URL": deployment.store_url or "",
        "PYTHONUNBUFFERED": "1",
    }
    if for_people and deployment.log_format == "auto":
        variables["IMPASTO_LOG_FORMAT"] = "console"
    return variables


def require_worker_extra() -> None:
    """Raises NotInstalled when workers can't run from this installation."""
    missing = [name for name in ("torch", "torchvision") if find_spec(name) is None]
    if missing:
        raise NotInstalled(
            f"workers need {' and '.join(missing)}: pip install 'impasto[worker]', "
            "or start only the server with --workers 0"
        )


@contextmanager
def only_one(state: Path, what: str, mend: str) -> Iterator[None]:
    """Hold the state folder, made where it is missing, for this process alone.

    Raises NotRunning, with `what` as its subject, when another process holds it, BadSettings when the folder
    can't be written; `mend` is what to do instead.
    """
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(state / _LOCK_FILE, timeout=0.5)
        lock.acquire()
    except Timeout as error:
        running = find_running(state)
        who = f"process {running.pid}" if running else "a process that is just starting or stopping"
        raise NotRunning(
            f"{what} runs on {state} already ({who}): stop it with Ctrl-C there, or {mend}"
        ) from error
    except OSError as error:
        raise BadSettings(f"the folder {state} can't be used ({error.strerror}): {mend}") from error
    try:
        yield
    finally:
        lock.release()
