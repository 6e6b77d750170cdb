"""Whether a worker could run here: weights, device, versions. The worker's part of `impasto doctor`."""

from __future__ import annotations

from typing import TypedDict

import torch

from impasto.shared.deployment import Deployment
from impasto.shared.errors import ImpastoError
from impasto.worker.networks import Networks
from impasto.worker.versions import software


class Check(TypedDict):
    """One finding; `mend` is empty where all is well."""

    name: str
    ok: bool
    detail: str
    mend: str


def check_worker(deployment: Deployment) -> list[Check]:
    """Load the network as a worker would, and say what came of it."""
    return [_device(), _network(deployment), _versions()]


def _device() -> Check:
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Check(name="device", ok=True, detail=names, mend="")
    return Check(name="device", ok=True, detail=f"CPU, {torch.get_num_threads()} threads", mend="")


def _network(deployment: Deployment) -> Check:
    try:
        network = Networks(device=deployment.device, weights=deployment.weights).warm_up()
    except ImpastoError as error:
        return Check(name="weights", ok=False, detail=str(error), mend="see docs/weights.md")
    name = f"{network.architecture}, {network.weights}, sha256 {network.weights_digest[:16]}…"
    detail = f"{name} on {network.device}"
    return Check(name="weights", ok=True, detail=detail, mend="")


def _versions() -> Check:
    detail = ", ".join(f"{name} {number}" for name, number in software().items())
    return Check(name="versions", ok=True, detail=detail, mend="")
