"""Whether the device still works at all."""

from __future__ import annotations

import torch

from impasto.worker.settling import one_line


def trouble_of(device: torch.device) -> str | None:
    """What the device says to the smallest piece of work; None when it does it. For any thread.

    An error of the kind that stays with a CUDA context (illegal access, ECC, a device that fell off the bus)
    is the answer to every later call of the process, whatever it is about. Memory that is all taken is no
    such error, and a CPU has none.
    """
    if device.type != "cuda":
        return None
    try:
        torch.cuda.synchronize(device)
        torch.ones(1, device=device).add_(1).item()
    except torch.OutOfMemoryError:
        return None
    except Exception as error:
        return one_line(error)
    return None
