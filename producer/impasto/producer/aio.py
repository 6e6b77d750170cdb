"""`AsyncClient`: what `Client` does, for programs on asyncio. The work is done in threads of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar, cast

from impasto.producer.client import Client
from impasto.producer.collect import OnProgress, Progress
from impasto.producer.results import Result, results
from impasto.producer.waiting import Deadline, Tick
from impasto.producer.watch import Update, ticking_updates
from impasto.shared.deployment import Deployment
from impasto.shared.ledger import BatchStatus

THREADS: Final = 8

_P = ParamSpec("_P")
_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")


class _Abandoned(Exception):
    """Ends a long operation whose caller was cancelled; nobody is left to see it."""


def _awaited(
    method: Callable[Concatenate[Client, _P], _Answer],
) -> Callable[Concatenate[AsyncClient, _P], Coroutine[Any, Any, _Answer]]:
    """The method as a coroutine, with the same arguments, answer and errors."""
    tells_progress = "on_progress" in inspect.signature(method).parameters

    @wraps(method)
    async def call(self: AsyncClient, /, *args: _P.args, **kwargs: _P.kwargs) -> _Answer:
        words: dict[str, Any] = dict(kwargs)
        abandoned = threading.Event()
        if tells_progress:
            words["on_progress"] = _unless(abandoned, words.get("on_progress"))
        work = partial(cast("Callable[..., _Answer]", method), self.sync, *args, **words)
        try:
            return await self.in_thread(work)
        except asyncio.CancelledError:
            abandoned.set()
            raise

    return call


def _unless(abandoned: threading.Event, on_progress: OnProgress | None) -> OnProgress:
    """Ends the work at its next step once it is abandoned: a thread can't be ended from outside."""

    def tell(progress: Progress) -> None:
        if abandoned.is_set():
            raise _Abandoned
        if on_progress is not None:
            on_progress(progress)

    return tell


class AsyncClient:
    """`Client` on asyncio: the same methods as coroutines, and `watch` and `results` as async iterators.

    An async context manager. The work is done in at most `threads` threads; what is beyond waits its turn.
    A call that is cancelled ends at once; its thread ends at the work's next step, or within seconds where
    there is none. `on_progress` is called in the thread. `sync` is the client that does the work.
    """

    def __init__(self, deployment: Deployment | None = None, *, threads: int = THREADS) -> None:
        self.sync = Client(deployment)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="impasto")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections and let the threads go; for good."""
        try:
            await asyncio.to_thread(self.sync.close)
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def deployment(self) -> Deployment:
        return self.sync.deployment

    async def in_thread(self, work: Callable[[], _Answer]) -> _Answer:
        """Do anything else in one of the threads, such as `lambda: client.sync.connection.check()`."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    submit = _awaited(Client.submit)
    submit_manifest = _awaited(Client.submit_manifest)
    batches = _awaited(Client.batches)
    find = _awaited(Client.find)
    status = _awaited(Client.status)
    running = _awaited(Client.running)
    pair = _awaited(Client.pair)
    fetch = _awaited(Client.fetch)
    failures = _awaited(Client.failures)
    gallery = _awaited(Client.gallery)
    estimate = _awaited(Client.estimate)
    estimate_manifest = _awaited(Client.estimate_manifest)
    cancel = _awaited(Client.cancel)
    pause = _awaited(Client.pause)
    resume = _awaited(Client.resume)
    retry = _awaited(Client.retry)
    set_priority = _awaited(Client.set_priority)
    dead_letters = _awaited(Client.dead_letters)
    forget_dead_letters = _awaited(Client.forget_dead_letters)
    recover = _awaited(Client.recover)
    purge = _awaited(Client.purge)

    async def wait(self, batch: str, timeout_seconds: float | None = None) -> BatchStatus:
        """As `Client.wait`; no thread is held meanwhile."""
        deadline = Deadline(batch, timeout_seconds)
        found = await self.find(batch)
        for pause_seconds in deadline.pauses():
            status = await self.status(found)
            if status.is_over:
                break
            await asyncio.sleep(min(pause_seconds, deadline.left(status)))
        return status

    def watch(self, batch: str, *, every_seconds: float = 1.0, after: str = "0") -> AsyncIterator[Update]:
        """As `Client.watch`; errors come with the first update."""

        def begin() -> Iterator[Update | Tick]:
            found = self.sync.find(batch)
            ledger = self.sync.connection.ledger
            return ticking_updates(ledger, found, every_seconds=every_seconds, after=after)

        return _Stream(self, begin)

    def results(self, batch: str, timeout_seconds: float | None = None) -> AsyncIterator[Result]:
        """As `Client.results`; errors come with the first result.

        A result reads the store when it is asked: `await client.in_thread(result.bytes)`.
        """
        deadline = Deadline(batch, timeout_seconds)

        def begin() -> Iterator[Result | Tick]:
            return results(self.sync.connection, self.sync.find(batch), deadline)

        return _Stream(self, begin)


class _Stream(AsyncIterator[_Item], Generic[_Item]):
    """A blocking stream, one step in a thread at a time; each step is short, since streams tick.

    The step of a wait that was cancelled goes on, and the next wait takes what it gives: nothing is lost
    under `asyncio.wait_for(anext(…))`.
    """

    def __init__(self, client: AsyncClient, begin: Callable[[], Iterator[_Item | Tick]]) -> None:
        self._client = client
        self._begin = begin
        self._items: Iterator[_Item | Tick] | None = None
        self._step: asyncio.Task[_Item | Tick | None] | None = None

    async def __anext__(self) -> _Item:
        while True:
            if self._step is None:
                self._step = asyncio.ensure_future(self._client.in_thread(self._next))
                self._step.add_done_callback(_looked_at)
            step = self._step
            await asyncio.wait((step,))
            self._step = None
            item = step.result()
            if item is None:
                raise StopAsyncIteration
            if not isinstance(item, Tick):
                return item

    def _next(self) -> _Item | Tick | None:
        if self._items is None:
            self._items = self._begin()
        return next(self._items, None)


def _looked_at(step: asyncio.Task[_Item | Tick | None]) -> None:
    """Whoever stopped waiting is not told of the step's error; unread, asyncio would print it."""
    if not step.cancelled():
        step.exception()
