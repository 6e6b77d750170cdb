"""Whose fault it is that a file can't be read: its own, or that of the machine or of a disk or share."""

from __future__ import annotations

import errno
import os
from typing import Final

from impasto.shared.errors import Transient
from impasto.shared.printable import printable


def _numbers(*names: str) -> frozenset[int]:
    """Those that this system has."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


_OF_THE_DISK: Final = _numbers(
    "ESTALE",
    "ENOTCONN",
    "ESHUTDOWN",
    "ECONNABORTED",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENETDOWN",
    "ENETUNREACH",
    "ENODEV",
    "EREMOTEIO",
    "ENOMEDIUM",
)
_OF_OPEN_FILES: Final = _numbers("EMFILE", "ENFILE")
_OF_MEMORY: Final = _numbers("ENOMEM")


def fault_of_the_machine(name: str, error: OSError) -> Transient | None:
    """The error with its mend when any other file could have met it as well; None when it is this file's."""
    if error.errno in _OF_OPEN_FILES:
        mend = "let this process open more files (ulimit -n)"
    elif error.errno in _OF_MEMORY:
        mend = "free some memory"
    elif error.errno in _OF_THE_DISK or (error.errno == errno.EIO and _folder_fails_too(name)):
        mend = "see that the disk or share it lies on is there"
    else:
        return None
    return Transient(
        f"{printable(name)} can't be read now ({error.strerror}), and nothing was submitted: {mend}, "
        "then do the same again; what was uploaded is kept"
    )


def _folder_fails_too(path: str) -> bool:
    """A bad sector is one file's; of a disk or share that is gone the folder can't be listed either."""
    try:
        with os.scandir(os.path.dirname(path) or os.curdir) as entries:  # noqa: PTH120
            next(entries, None)
    except OSError as error:
        return error.errno == errno.EIO or error.errno in _OF_THE_DISK
    return False
