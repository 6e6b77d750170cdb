"""Becomes another program that the kernel ends when whoever started it is gone, however that one ended.

Run as a file, `python -I -S child.py <parent's pid> <signal> <program> <argument> …`, so that it starts in
milliseconds and imports nothing of Impasto. Where the kernel has no such favour (it is Linux's
PR_SET_PDEATHSIG), it only becomes the program, and the next `impasto up` ends what it finds.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Never returns. `arguments`: the parent's pid, the signal's number, the program, its arguments."""
    parent, number, *command = arguments
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        # The parent may have ended before the kernel was asked.
        if os.getppid() != int(parent):
            sys.exit(0)
    # Python ignores these two, and a program inherits what is ignored.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]} does not start: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
