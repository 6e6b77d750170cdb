"""Memory that one evaluation frees and the next wants again is kept, where the C library is glibc.

An evaluation's features come and go by the hundred megabytes. Left to itself glibc gives them back to the
kernel, which clears each page anew: at 512 px that was 160,000 faults and a tenth of each evaluation's time.
"""

from __future__ import annotations

import ctypes
from typing import Final

# As malloc.h has them.
_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3

LARGEST_KEPT_BYTES: Final = 256 * 2**20
"""Above it a block goes back when it is freed: a huge picture's own vectors, which come once a run."""


def keep_freed_memory() -> bool:
    """Tell the C library, once a process; whether it is one that takes such orders."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    orders = (
        (_MMAP_THRESHOLD, LARGEST_KEPT_BYTES),
        (_TRIM_THRESHOLD, 2 * LARGEST_KEPT_BYTES),
        (_TOP_PAD, LARGEST_KEPT_BYTES // 4),
    )
    return all(mallopt(order, value) == 1 for order, value in orders)
