"""The worker process: built once from the deployment, run until told to stop."""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import time
import uuid
import warnings
from typing import Any

import structlog
import torch
from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning, Reject, SecurityWarning
from celery.worker import state as celery_state

from impasto.shared.batches import BatchFiles
from impasto.shared.celery_app import make_app
from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher
from impasto.shared.errors import BadSettings, LedgerUnavailable, Transient
from impasto.shared.jobs import TASK_NAME
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from impasto.shared.store.home import require_home
from impasto.shared.store.open import open_deployment_store
from impasto.worker import consumer, probe
from impasto.worker.conveyor import Conveyor
from impasto.worker.engine import Network
from impasto.worker.guarded import GuardedPipeline
from impasto.worker.heap import keep_freed_memory
from impasto.worker.heart import Heart
from impasto.worker.held import HeldPairs
from impasto.worker.networks import Networks
from impasto.worker.patience import Patience
from impasto.worker.repeating import Repeating
from impasto.worker.reporter import Reporter
from impasto.worker.settling import Settler
from impasto.worker.step_watch import StepWatch
from impasto.worker.stopping import Stopping
from impasto.worker.sweeper import Sweeper
from impasto.worker.task import PairTask
from impasto.worker.versions import software

log = structlog.get_logger()

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def run_worker(deployment: Deployment) -> int:
    """Take pairs until a signal says to stop; the exit code is Celery's worker's own.

    Raises BadSettings, WeightsUnavailable and the store's errors before it takes anything.
    """
    if deployment.redis_url is None:
        raise BadSettings("IMPASTO_REDIS_URL is not set: start workers with `impasto up` or `impasto worker`")
    # Nothing is held before Celery takes over, so a stop is at once; process 1 of a container has no default.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keep_freed_memory()
    if deployment.threads is not None:
        torch.set_num_threads(deployment.threads)
    worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    structlog.contextvars.bind_contextvars(worker=worker)
    networks = Networks(device=deployment.device, weights=deployment.weights)
    network = networks.warm_up()
    store = open_deployment_store(deployment)
    store.check()
    client = connect(deployment.redis_url)
    ledger = RedisLedger(client, namespace=deployment.namespace)
    app = make_app(deployment, deployment.redis_url)
    files = BatchFiles(store)
    dispatcher = Dispatcher(app, ledger, files, deployment, client)
    held_pairs, stopping = HeldPairs(), Stopping(deployment.grace_seconds)
    patience = Patience(
        held_pairs,
        stopping,
        store_seconds=deployment.store_patience_seconds,
        check_store=store.check,
    )
    reporter = Reporter(worker, ledger, files)
    settler = Settler(
        worker=worker,
        deployment=deployment,
        ledger=ledger,
        dispatcher=dispatcher,
        held_pairs=held_pairs,
        patience=patience,
        on_finished=reporter.ask,
    )
    watch = StepWatch(deployment.hang_seconds)
    conveyor = Conveyor(
        deployment=deployment,
        ledger=ledger,
        dispatcher=dispatcher,
        pipeline=GuardedPipeline(
            networks=networks,
            store=store,
            deployment=deployment,
            worker=worker,
            watch=watch,
            probe=lambda: probe.trouble_of(network.device),
        ),
        settler=settler,
        held_pairs=held_pairs,
        stopping=stopping,
        patience=patience,
    )
    task = PairTask(
        worker=worker,
        deployment=deployment,
        ledger=ledger,
        files=files,
        conveyor=conveyor,
        held_pairs=held_pairs,
        patience=patience,
    )
    heart = Heart(
        worker=worker,
        info=describe(network),
        deployment=deployment,
        ledger=ledger,
        dispatcher=dispatcher,
        held_pairs=held_pairs,
    )
    sweeper = Sweeper(
        deployment=deployment,
        ledger=ledger,
        dispatcher=dispatcher,
        on_unreported=reporter.ask,
        on_unreadable=settler.fail_unreadable,
    )
    looks = Repeating("step watch", watch.look, every_seconds=deployment.heart_seconds)
    _await_ledger(ledger)
    require_home(store, ledger)
    try:
        reporter.start()
        heart.start()
        sweeper.start()
        conveyor.start()
        looks.start()
        return _consume(app, worker, task, stopping)
    finally:
        # Celery may end without having been asked to; what is under way is then ended as politely.
        if not stopping.requested:
            stopping.request()
        conveyor.drain()
        sweeper.stop()
        reporter.stop(timeout_seconds=max(1.0, deployment.grace_seconds))
        heart.stop()
        # All is handed over: a signal that comes only now must not turn a clean end into a death.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        log.info("worker.stopped")


def describe(network: Network) -> dict[str, Any]:
    """What a worker tells of itself with each beat."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "platform": platform.platform(),
        "device": str(network.device),
        "threads": torch.get_num_threads(),
        "network": network.architecture,
        "weights": network.weights,
        "weights_digest": network.weights_digest,
        "software": software(),
    }


def _await_ledger(ledger: RedisLedger) -> None:
    told = False
    while True:
        try:
            ledger.ping()
        except LedgerUnavailable as error:
            if not told:
                log.warning("worker.waiting_for_redis", error=str(error))
            told = True
            time.sleep(1.0)
        else:
            return


def _consume(app: Celery, worker: str, task: PairTask, stopping: Stopping) -> int:
    consumer.install(app, task.bury)

    def stylize_pair(*args: Any, **kwargs: Any) -> None:
        try:
            task.handle(*args, **kwargs)
        except Transient as error:
            # Celery acknowledges what fails, and a job without a batch is known to nobody else yet.
            raise Reject(str(error), requeue=True) from None

    app.task(name=TASK_NAME, typing=False)(stylize_pair)

    def take_over_signals(**_: object) -> None:
        # Celery's own handlers would raise inside the running pair on SIGQUIT or a second Ctrl-C, and the
        # pair would count as failed. Zero is a request to stop: Celery compares with None and False.
        def stop(signum: int, _frame: object) -> None:
            stopping.request()
            celery_state.should_stop = 0  # type: ignore[assignment]  # its stub knows None only

        for number in _STOP_SIGNALS:
            signal.signal(number, stop)
        log.info("worker.ready")

    signals.worker_ready.connect(take_over_signals, weak=False)
    # With a receiver Celery leaves logging alone; otherwise it would raise the root logger to warnings.
    signals.setup_logging.connect(lambda **_: None, weak=False)
    # It warns of pickle under root; this worker takes JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # At each outage it explains a setting that is made on purpose.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    program = app.Worker(
        hostname=worker,
        pool_cls="solo",
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )
    program.start()
    return int(program.exitcode or 0)
