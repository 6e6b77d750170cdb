"""`python -m tests.soak`: some minutes of everything that can go wrong at once, by a seed, then an audit.

Real servers and workers (without an engine, see `noop_worker.py`). What happened is printed with its seed:
the same seed makes the same plan, though not the same interleaving of processes.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

import redis

from audit import audit, audit_ledger, audit_store
from crew import Crew
from faulty_proxy import Fault, FaultyProxy
from impasto.shared import layout
from impasto.shared.celery_app import queue_keys
from impasto.shared.errors import BadPicture, PoisonPair, Transient
from impasto.shared.jobs import TASK_NAME
from impasto.shared.ledger import BatchState, Control
from noop_worker import FLAKY, POISON
from s3_server import S3Server
from servers import RedisServer, valkey_binary
from stage import Stage, picture, png, s3_stage
from workers import eventually

WORKERS: Final = 3
PATIENCE: Final = {
    "IMPASTO_LEASE_SECONDS": "3",
    "IMPASTO_STORE_PATIENCE_SECONDS": "120",
    "IMPASTO_MAX_ATTEMPTS": "20",
    "IMPASTO_RETRY_MAX_SECONDS": "2",
}
STORE_FAULTS: Final = (
    Fault.RESET,
    Fault.LOST_REPLY,
    Fault.SLOW_DOWN,
    Fault.BROKEN,
    Fault.SHORT_BODY,
    Fault.WEB_PAGE,
    Fault.TIDY_WEB_PAGE,
    Fault.REDIRECT,
    Fault.NOT_FOUND_PAGE,
)
BLAMED_ON: Final = {"damaged": {BadPicture.kind}, "flaky": {"unexpected"}}
"""What else may fail a pair of a batch that is spoilt so."""

RUBBISH: Final = (
    {"nonsense": 1},
    "text",
    {"content": "store:inputs/none.png", "style": "store:inputs/no.png"},
)


class Soak:
    """One run. `tell` is given a line for each thing that is done."""

    def __init__(self, folder: Path, seed: int, *, tell: Callable[[str], None] = print) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._tell = tell
        self._seed = seed
        self._batches: dict[str, str] = {}

    def run(self, seconds: float) -> dict[str, int]:
        """Chaos for so long, then peace, then the audit; how many batches and pairs came through."""
        self._tell(f"seed {self._seed}, {seconds:.0f} s")
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._valkey = stack.enter_context(
                RedisServer(valkey_binary(), self._folder / "valkey", {"appendfsync": "always"})
            )
            self._s3 = stack.enter_context(S3Server())
            self._proxy = stack.enter_context(FaultyProxy(self._s3.endpoint_url))
            # What the run itself says to the store is never spoilt: it is not what is tested.
            self._stage = s3_stage(self._valkey.url, "soak", self._s3)
            stack.callback(self._stage.close)
            spoilt = {**self._stage.environment, "IMPASTO_S3_ENDPOINT_URL": self._proxy.endpoint_url}
            self._crew = stack.enter_context(
                Crew(Stage(spoilt), self._folder, WORKERS, seconds=0.4, steps=8, **PATIENCE)
            )
            self._make_trouble(seconds)
            self._make_peace()
            return self._audit()

    def _make_trouble(self, seconds: float) -> None:
        self._submit()
        self._submit()
        deeds = {
            self._submit: 6,
            self._strike_a_worker: 6,
            self._freeze_a_worker: 2,
            self._strike_the_ledger: 2,
            self._freeze_the_ledger: 2,
            self._freeze_the_store: 2,
            self._spoil_the_store: 5,
            self._slow_the_store: 3,
            self._lose_messages: 2,
            self._repeat_messages: 3,
            self._send_rubbish: 3,
            self._steer_a_batch: 6,
        }
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            (deed,) = self._random.choices(list(deeds), list(deeds.values()))
            try:
                deed()
            except (Transient, redis.RedisError) as error:
                self._tell(f"  not done: {error}")
            self._crew.mend()
            self._pause(0.1, 1.0)

    def _pause(self, least: float, most: float) -> None:
        time.sleep(self._random.uniform(least, most))

    def _submit(self) -> None:
        contents = [picture(self._random.randrange(1000)) for _ in range(self._random.randint(1, 6))]
        styles = [png(picture(self._random.randrange(1000))) for _ in range(self._random.randint(1, 4))]
        spoilt = self._random.choice(("", "", "poison", "flaky", "damaged"))
        if spoilt in ("poison", "flaky"):
            contents[0].putpixel((0, 0), POISON if spoilt == "poison" else FLAKY)
        data = [png(content) for content in contents]
        if spoilt == "damaged":
            data[0] = data[0][: len(data[0]) // 2]
        priority = self._random.randint(0, 9)
        batch = self._stage.submit(data, styles, priority=priority)
        self._batches[batch] = spoilt
        self._tell(f"submit {batch}: {len(contents)} × {len(styles)}, priority {priority} {spoilt}")

    def _strike_a_worker(self) -> None:
        worker = self._random.choice(self._crew.workers)
        number = self._random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        self._tell(f"{number.name} to worker {worker.process.pid}")
        if worker.alive:
            worker.send(number)

    def _freeze_a_worker(self) -> None:
        worker, seconds = self._random.choice(self._crew.workers), self._random.uniform(0.5, 6)
        self._tell(f"worker {worker.process.pid} frozen for {seconds:.1f} s")
        if worker.alive:
            worker.send(signal.SIGSTOP)
            time.sleep(seconds)
            worker.send(signal.SIGCONT)

    def _strike_the_ledger(self) -> None:
        how, seconds = self._random.choice(("kill", "stop")), self._random.uniform(0.1, 3)
        self._tell(f"server {how}, back after {seconds:.1f} s")
        getattr(self._valkey, how)()
        time.sleep(seconds)
        self._valkey.start()

    def _freeze_the_ledger(self) -> None:
        seconds = self._random.uniform(0.2, 5)
        self._tell(f"server frozen for {seconds:.1f} s")
        self._valkey.pause()
        time.sleep(seconds)
        self._valkey.resume()

    def _freeze_the_store(self) -> None:
        seconds = self._random.uniform(0.2, 4)
        self._tell(f"store frozen for {seconds:.1f} s")
        self._s3.pause()
        time.sleep(seconds)
        self._s3.resume()

    def _spoil_the_store(self) -> None:
        fault, seconds = self._random.choice(STORE_FAULTS), self._random.uniform(0.2, 4)
        self._tell(f"store: {fault.name} for {seconds:.1f} s")
        with self._proxy.suffering(fault):
            time.sleep(seconds)

    def _slow_the_store(self) -> None:
        self._proxy.delay_seconds = self._random.choice((0.0, 0.0, 0.05, 0.3))
        self._tell(f"store takes {self._proxy.delay_seconds} s a call")

    def _lose_messages(self) -> None:
        lost = sum(self._stage.client.llen(key) for key in queue_keys(self._stage.deployment))
        self._tell(f"{lost} messages lost")
        self._stage.client.delete(*queue_keys(self._stage.deployment))

    def _repeat_messages(self) -> None:
        batch = self._random.choice(list(self._batches))
        total = self._stage.ledger.status(batch).total
        pairs = [self._random.randrange(total) for _ in range(self._random.randint(1, 6))]
        self._tell(f"messages again: {batch} {pairs}")
        self._stage.dispatcher.publish([(batch, pair) for pair in pairs])

    def _send_rubbish(self) -> None:
        rubbish = self._random.choice(RUBBISH)
        name = self._random.choice((TASK_NAME, "somebody.else"))
        self._tell(f"rubbish: {name} {rubbish}")
        self._stage.app.send_task(name, args=[rubbish], queue=self._stage.deployment.queue)

    def _steer_a_batch(self) -> None:
        batch = self._random.choice(list(self._batches))
        action = self._random.choice(("pause", "pause", "resume", "resume", "cancel", "retry", "prioritise"))
        self._tell(f"{action} {batch}")
        ledger = self._stage.ledger
        if action == "retry":
            ledger.retry(batch)
        elif action == "prioritise":
            ledger.set_priority(batch, self._random.randint(0, 9))
        else:
            ledger.control(batch, Control(action))

    def _make_peace(self) -> None:
        self._tell("peace")
        self._proxy.delay_seconds = 0.0
        for batch in self._batches:
            if self._stage.ledger.status(batch).state is BatchState.PAUSED:
                self._stage.ledger.control(batch, Control.RESUME)

        def all_is_over() -> bool:
            # Batches of one that came as messages are as good as any other.
            return all(self._stage.is_over(batch) for batch in self._stage.ledger.batches())

        self._crew.watch_until(all_is_over, seconds=600, what="the end of every batch")
        self._crew.watch_until(self._stage.dispatcher.broker_is_empty, what="an empty queue")
        for batch in self._stage.ledger.batches():
            key = layout.report_key(batch, "json")
            self._crew.watch_until(
                lambda key=key: self._stage.store.head(key) is not None,  # type: ignore[misc]
                what=f"the report {key}",
            )

    def _audit(self) -> dict[str, int]:
        batches = self._stage.ledger.batches()
        assert set(self._batches) <= set(batches), "a batch was lost"
        for batch in batches:
            audit(self._stage, batch)
        for batch, spoilt in self._batches.items():
            # Whichever pair computes may have its worker killed three times.
            causes = {PoisonPair.kind, *BLAMED_ON.get(spoilt, ())}
            blamed = {failure.kind for failure in self._stage.ledger.failures(batch)}
            assert blamed <= causes, f"{batch} ({spoilt or 'whole'}): {blamed}"
        audit_ledger(self._stage)
        audit_store(self._stage, batches)
        statuses = [self._stage.ledger.status(batch) for batch in batches]
        eventually(lambda: all(worker.alive for worker in self._crew.workers), what="living workers")
        found = {
            "batches": len(statuses),
            "pairs": sum(status.total for status in statuses),
            "done": sum(status.done for status in statuses),
            "failed": sum(status.failed for status in statuses),
            "cancelled": sum(status.cancelled for status in statuses),
            "workers": len(self._crew.ended) + len(self._crew.workers),
        }
        self._tell(f"seed {self._seed}: {found}")
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, help="another plan for each; a new one when left out")
    parser.add_argument("--seconds", type=float, default=240.0, help="how long the trouble lasts")
    parser.add_argument("--keep", type=Path, help="folder for logs, kept; a temporary one when left out")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f}  {line}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        Soak(options.keep or Path(name), seed, tell=tell).run(options.seconds)


if __name__ == "__main__":
    main()
