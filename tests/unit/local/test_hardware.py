from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.producer.local.hardware import core_count, gpu_count, plan_workers


@given(
    device=st.sampled_from(["auto", "cpu", "cuda", "cuda:1"]),
    workers=st.none() | st.integers(0, 40),
    gpus=st.integers(0, 9),
    cores=st.integers(1, 256),
)
def test_workers_never_have_more_threads_than_the_cores_they_share(
    device: str, workers: int | None, gpus: int, cores: int
) -> None:
    plans = plan_workers(device=device, workers=workers, threads=None, gpus=gpus, cores=cores)

    assert all(plan.threads >= 1 for plan in plans)
    assert sum(plan.threads for plan in plans) <= max(cores, len(plans))
    assert len({plan.name for plan in plans}) == len(plans)
    if workers is not None:
        assert len(plans) == workers


def test_by_default_there_is_one_worker_a_gpu() -> None:
    plans = plan_workers(device="auto", workers=None, threads=None, gpus=3, cores=12)

    assert [(plan.device, plan.threads) for plan in plans] == [("cuda:0", 4), ("cuda:1", 4), ("cuda:2", 4)]


def test_without_a_gpu_there_is_one_worker_on_all_cores() -> None:
    (plan,) = plan_workers(device="auto", workers=None, threads=None, gpus=0, cores=6)

    assert (plan.device, plan.threads) == ("cpu", 6)


def test_more_workers_than_gpus_take_turns_on_them() -> None:
    plans = plan_workers(device="auto", workers=3, threads=None, gpus=2, cores=2)

    assert [plan.device for plan in plans] == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_named_device_is_taken_as_it_is_and_threads_as_they_are_set() -> None:
    plans = plan_workers(device="cuda:1", workers=None, threads=3, gpus=4, cores=64)

    assert [(plan.device, plan.threads) for plan in plans] == [("cuda:1", 3)]


def test_the_cpu_is_used_where_it_was_asked_for_although_there_are_gpus() -> None:
    plans = plan_workers(device="cpu", workers=None, threads=None, gpus=4, cores=8)

    assert [(plan.device, plan.threads) for plan in plans] == [("cpu", 8)]


def test_gpus_are_those_that_the_driver_lists_and_the_environment_leaves_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        "echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa)'\n"
        "echo '  MIG 1g.10gb     Device  0: (UUID: MIG-bbbb)'\n"
        "echo 'GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-cccc)'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("impasto.producer.local.hardware.metadata.version", lambda _name: "2.9.0+cu128")

    assert gpu_count({}) == 2
    assert gpu_count({"CUDA_VISIBLE_DEVICES": "1"}) == 1
    assert gpu_count({"CUDA_VISIBLE_DEVICES": ""}) == 0
    assert gpu_count({"CUDA_VISIBLE_DEVICES": "-1"}) == 0
    assert gpu_count({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}) == 2


def test_a_torch_without_cuda_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.producer.local.hardware.metadata.version", lambda _name: "2.9.0+cpu")

    assert gpu_count({}) == 0


def test_there_is_a_core() -> None:
    assert core_count() >= 1
