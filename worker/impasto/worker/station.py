"""A thread that works on one thing at a time; whoever brings the next one waits until it is free."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

log = structlog.get_logger()

_LOOK_SECONDS: Final = 0.1
"""How often whoever waits looks for a reason to give up."""
EXIT_BROKEN: Final = 70
"""A station's thread met what it does not foresee: the process ends, and its pairs run elsewhere."""

T = TypeVar("T")


class Station(Generic[T]):
    """Holds at most one thing. `work` settles all errors itself."""

    def __init__(self, name: str, work: Callable[[T], None]) -> None:
        self._work = work
        self._item: T | None = None
        self._changed = threading.Condition()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_free(self) -> bool:
        return self._item is None

    def wait_until_free(self, give_up: Callable[[], None] = lambda: None) -> None:
        """Raises what `give_up` raises, which is asked again and again meanwhile."""
        with self._changed:
            while self._item is not None:
                give_up()
                self._changed.wait(_LOOK_SECONDS)

    def wait_until(self, check: Callable[[], bool]) -> None:
        """Until the check holds, which is made when something changes here, and every tenth of a second."""
        with self._changed:
            while not check():
                self._changed.wait(_LOOK_SECONDS)

    def hand_over(self, item: T) -> None:
        """Waits until the station is free. One thread hands over to it."""
        self.wait_until_free()
        with self._changed:
            self._item = item
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (item := self._item) is None:
                    self._changed.wait()
            try:
                self._work(item)
            except BaseException:
                log.critical(
                    "station.broken", station=self._thread.name, exit_code=EXIT_BROKEN, exc_info=True
                )
                os._exit(EXIT_BROKEN)
            with self._changed:
                self._item = None
                self._changed.notify_all()
            del item
