"""`impasto up` whose workers are small programs without torch: they say what they were given, and wait.

So is its beat, which says nothing. With REAL_WORKERS in the environment they are workers.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from impasto.producer.cli.main import main
from impasto.producer.local import up
from impasto.producer.local.supervisor import Program

STAND_IN = """
import os, time
names = ("IMPASTO_REDIS_URL", "IMPASTO_STORE_URL", "IMPASTO_THREADS", "OMP_NUM_THREADS")
print("given", *(os.environ[name] for name in names), flush=True)
time.sleep(600)
"""

real_worker_program = up.worker_program
real_beat_program = up.beat_program


def stand_in(*arguments: Any, **options: Any) -> Program:
    program = real_worker_program(*arguments, **options)
    return replace(program, command=(sys.executable, "-I", "-S", "-c", STAND_IN))


def quiet_stand_in(*arguments: Any, **options: Any) -> Program:
    program = real_beat_program(*arguments, **options)
    return replace(program, command=(sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"))


if __name__ == "__main__":
    up.beat_program = quiet_stand_in
    if "REAL_WORKERS" not in os.environ:
        up.worker_program = stand_in
    sys.exit(main(["up", *sys.argv[1:]]))
