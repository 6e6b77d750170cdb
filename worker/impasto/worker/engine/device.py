"""The device: which one, what it computes in, and its memory errors in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from impasto.shared.errors import BadSettings, OutOfDeviceMemory


def resolve_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises BadSettings for a device that is not here."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise BadSettings(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N") from error
    if found.type not in ("cpu", "cuda"):
        raise BadSettings(f"device {device!r} is not supported: use auto, cpu, cuda or cuda:N")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise BadSettings(
            f"device {device!r} is not here: torch sees {torch.cuda.device_count()} CUDA devices; "
            "use auto or cpu"
        )
    return found


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """What convolutions compute in: `auto` is bfloat16 where the hardware multiplies in it, else float32.

    Without such units a CPU emulates bfloat16 and loses time by it. Only the processor decides, never a
    stopwatch: the same machine must give the same bytes.
    """
    if precision in ("float32", "tf32"):
        return torch.float32
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        gains = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        capabilities = torch.cpu.get_capabilities()
        gains = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return torch.bfloat16 if gains else torch.float32


@contextmanager
def device_memory(device: torch.device) -> Iterator[None]:
    """Turns the device's out-of-memory errors into OutOfDeviceMemory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfDeviceMemory(
            f"{device} has too little free memory for this picture: use a smaller size_px or a larger device"
        ) from error
    except RuntimeError as error:
        # The CPU's allocator has no error class of its own.
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise OutOfDeviceMemory(
                "too little free memory for this picture: use a smaller size_px or a larger machine"
            ) from error
        raise


def precision_used(precision: str, dtype: torch.dtype, device: torch.device) -> str:
    """What a run tells of its convolutions: `float32`, `tf32` or `bfloat16`."""
    rounded = precision == "tf32" and device.type == "cuda"
    return "tf32" if rounded else str(dtype).removeprefix("torch.")


@contextmanager
def reproducible(*, tf32: bool = False) -> Iterator[None]:
    """CUDA's convolutions by algorithms that give the same bytes each time, and float32 that is float32, or,
    on demand, TensorFloat-32; Gram matrices and losses stay float32.
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
        yield
