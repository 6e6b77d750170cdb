from __future__ import annotations

import torch

from impasto.worker.probe import trouble_of


def test_a_device_has_trouble_only_where_it_does_not_compute() -> None:
    assert trouble_of(torch.device("cpu")) is None
    assert (trouble_of(torch.device("cuda")) is None) == torch.cuda.is_available()
