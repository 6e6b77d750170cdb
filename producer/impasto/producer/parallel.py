"""Many small calls at a time, with a bound on how many are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


def each(
    call: Callable[[_Item], _Answer], items: Iterable[_Item], *, threads: int
) -> Iterator[tuple[_Item, _Answer]]:
    """Each item with the call's answer, in order; a million items are never all under way at once.

    An exception of the call is raised at its item, and the rest is given up.
    """
    under_way: deque[tuple[_Item, Future[_Answer]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            under_way.append((item, pool.submit(call, item)))
            if len(under_way) >= 4 * threads:
                first, future = under_way.popleft()
                yield first, future.result()
        for item, future in under_way:
            yield item, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
