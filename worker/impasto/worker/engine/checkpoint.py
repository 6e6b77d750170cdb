"""Where a run stood when it was stopped, so that another can go on from there as if nothing had happened.

The bytes are torch's format for plain tensors, read with `weights_only=True`: nothing in them is executed. A
digest over the contents tells a damaged one.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import torch
from PIL import Image
from torch import Tensor

from impasto.worker.engine.images import picture_digest
from impasto.worker.engine.results import StepLosses

_VERSION: Final = 2


@dataclass(frozen=True)
class OptimiserState:
    """An optimiser between two steps: tensors by name, and plain numbers that JSON can hold."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> OptimiserState:
        """What `joined` put under that name."""
        prefix = f"{name}."
        return OptimiserState(
            {
                key.removeprefix(prefix): value
                for key, value in self.tensors.items()
                if key.startswith(prefix)
            },
            {
                key.removeprefix(prefix): value
                for key, value in self.numbers.items()
                if key.startswith(prefix)
            },
        )


def joined(parts: Mapping[str, OptimiserState]) -> OptimiserState:
    """Several states as one; `OptimiserState.part` takes them out again."""
    return OptimiserState(
        {f"{name}.{key}": value for name, part in parts.items() for key, value in part.tensors.items()},
        {f"{name}.{key}": value for name, part in parts.items() for key, value in part.numbers.items()},
    )


Snapshot = Callable[[], OptimiserState]
"""The optimiser's state at the last evaluation that was observed."""


@dataclass(frozen=True)
class Checkpoint:
    """A run at its step `len(losses)`. `identity` names the arguments of the run: only one with the same may
    go on from it. `scale` counts the scales that are finished, `recoveries` and `notes` are theirs.
    """

    identity: str
    scale: int
    losses: list[StepLosses]
    recoveries: int
    notes: tuple[str, ...]
    state: OptimiserState

    @property
    def size_bytes(self) -> int:
        """Of all its tensors; `to_bytes` makes a few kilobytes more."""
        return sum(value.nbytes for value in self.state.tensors.values())

    def to_bytes(self) -> bytes:
        """Tensors on the CPU and a JSON header, with version and digest.

        Takes its size once more in memory, and on a GPU, or while a history is not full, twice.
        """
        header = json.dumps(
            {
                "version": _VERSION,
                "identity": self.identity,
                "scale": self.scale,
                "losses": [asdict(entry) for entry in self.losses],
                "recoveries": self.recoveries,
                "notes": self.notes,
                "numbers": self.state.numbers,
            }
        )
        tensors = {name: _alone(value.detach().cpu()) for name, value in self.state.tensors.items()}
        out = io.BytesIO()
        torch.save({"header": header, "tensors": tensors, "digest": _digest(header, tensors)}, out)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self | None:
        """The checkpoint; None for bytes that are damaged, of another version or too many for the memory: the
        run then starts anew.
        """
        try:
            loaded = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
            header, tensors = loaded["header"], loaded["tensors"]
            if _digest(header, tensors) != loaded["digest"]:
                return None
            fields = json.loads(header)
            if fields["version"] != _VERSION:
                return None
            return cls(
                identity=fields["identity"],
                scale=fields["scale"],
                losses=[StepLosses(**entry) for entry in fields["losses"]],
                recoveries=fields["recoveries"],
                notes=tuple(fields["notes"]),
                state=OptimiserState(tensors, fields["numbers"]),
            )
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError):
            return None
        except (pickle.UnpicklingError, MemoryError):
            return None


def run_identity(pictures: Iterable[Image.Image], *rest: object) -> str:
    """sha256 over a run's pictures and whatever else its pixels depend on, hexadecimal."""
    words = [*(picture_digest(picture) for picture in pictures), *map(str, rest)]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _alone(value: Tensor) -> Tensor:
    """A view of a larger tensor would be saved with all that it is a view of."""
    return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()


def _digest(header: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(header.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
