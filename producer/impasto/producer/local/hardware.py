"""What this machine can compute with, told without importing torch."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class WorkerPlan:
    """One worker: its device as torch names it, and its CPU threads."""

    name: str
    device: str
    threads: int


def core_count() -> int:
    """Cores this process may use: its affinity, and a container's share where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def gpu_count(environment: Mapping[str, str]) -> int:
    """CUDA devices that workers would see; 0 with a torch that was built without CUDA."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        if metadata.version("torch").endswith("+cpu"):
            return 0
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    present = _gpus_present()
    if visible is None:
        return present
    chosen = [name.strip() for name in visible.split(",") if name.strip()]
    # CUDA stops reading the list at the first entry that is no device, such as -1.
    if "-1" in chosen:
        chosen = chosen[: chosen.index("-1")]
    return min(present, len(chosen))


def _gpus_present() -> int:
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            answer = subprocess.run(  # noqa: S603
                (tool, "-L"), capture_output=True, text=True, timeout=30, check=False
            )
            if answer.returncode == 0:
                return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    folder = Path("/proc/driver/nvidia/gpus")
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def plan_workers(
    *, device: str, workers: int | None, threads: int | None, gpus: int, cores: int
) -> list[WorkerPlan]:
    """Who computes where: one worker a GPU unless told otherwise, else one for all cores.

    `device` is auto, cpu, cuda or cuda:N. Workers share the cores: with more threads than cores, OpenMP's
    barriers spin and every worker runs many times slower.
    """
    if device == "cuda" or (device == "auto" and gpus):
        count = gpus or 1 if workers is None else workers
        devices = [f"cuda:{index % (gpus or 1)}" for index in range(count)]
    else:
        devices = ["cpu" if device == "auto" else device] * (1 if workers is None else workers)
    each = threads or max(1, cores // max(1, len(devices)))
    return [WorkerPlan(f"worker-{index}", name, each) for index, name in enumerate(devices, start=1)]
