"""A run that was stopped and goes on is the run that was not."""

from __future__ import annotations

import pytest
from PIL import Image

from impasto.shared.errors import HandedBack
from impasto.worker.engine import Checkpoint, Network, StepLosses, StyleResult, StyleSettings, stylize

FINE = {"size_px": 40, "coarsest_px": 20, "coarse_steps": 6, "steps": 7, "start": "noise", "seed": 3}


def _stopped(
    step: int, content: Image.Image, style: Image.Image, settings: StyleSettings, network: Network
) -> Checkpoint:
    kept: list[Checkpoint] = []

    def on_step(losses: StepLosses) -> None:
        if losses.step == step:
            raise HandedBack("enough")

    with pytest.raises(HandedBack):
        stylize(content, style, settings, network, on_step=on_step, on_checkpoint=kept.append)
    (checkpoint,) = kept
    carried = Checkpoint.from_bytes(checkpoint.to_bytes())
    assert carried is not None
    return carried


def _assert_same(one: StyleResult, other: StyleResult) -> None:
    assert one.image.tobytes() == other.image.tobytes()
    assert one.losses == other.losses
    assert (one.steps, one.recoveries, one.notes) == (other.steps, other.recoveries, other.notes)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("step", [1, 4, 6, 7, 11, 13])
def test_a_run_goes_on_bit_for_bit_from_any_step_of_any_scale(
    network: Network, scene: Image.Image, look: Image.Image, optimizer: str, step: int
) -> None:
    settings = StyleSettings.preset("gallery", optimizer=optimizer, **FINE)
    whole = stylize(scene, look, settings, network)
    told: list[int] = []
    checkpoint = _stopped(step, scene, look, settings, network)
    resumed = stylize(
        scene, look, settings, network, checkpoint=checkpoint, on_step=lambda losses: told.append(losses.step)
    )
    _assert_same(resumed, whole)
    assert told == list(range(step + 1, 14))


def test_a_run_that_is_stopped_twice_goes_on_all_the_same(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("tutorial", size_px=32, steps=9, history=3)
    kept: list[Checkpoint] = []

    def stop(losses: StepLosses) -> None:
        raise HandedBack("again")

    for _ in range(5):
        with pytest.raises(HandedBack):
            stylize(
                scene,
                look,
                settings,
                network,
                on_step=stop,
                checkpoint=kept[-1] if kept else None,
                on_checkpoint=kept.append,
            )
    assert [len(checkpoint.losses) for checkpoint in kept] == [1, 2, 3, 4, 5]
    _assert_same(
        stylize(scene, look, settings, network, checkpoint=kept[-1]), stylize(scene, look, settings, network)
    )


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_checkpoint_serves_any_number_of_runs(
    network: Network, scene: Image.Image, look: Image.Image, optimizer: str
) -> None:
    settings = StyleSettings.preset("tutorial", size_px=32, steps=9, history=3, optimizer=optimizer)
    checkpoint = _stopped(4, scene, look, settings, network)
    before = checkpoint.to_bytes()
    # Little comes on top of what its tensors are said to take.
    assert checkpoint.size_bytes < len(before) < checkpoint.size_bytes + 30_000
    first = stylize(scene, look, settings, network, checkpoint=checkpoint)
    assert checkpoint.to_bytes() == before
    _assert_same(stylize(scene, look, settings, network, checkpoint=checkpoint), first)


def test_a_checkpoint_of_another_run_is_not_used(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("tutorial", size_px=32, steps=4)
    checkpoint = _stopped(2, look, scene, settings, network)
    told: list[int] = []
    stylize(
        scene, look, settings, network, checkpoint=checkpoint, on_step=lambda losses: told.append(losses.step)
    )
    assert told == [1, 2, 3, 4]


def test_damaged_bytes_are_no_checkpoint(network: Network, scene: Image.Image, look: Image.Image) -> None:
    data = _stopped(2, scene, look, StyleSettings.preset("tutorial", size_px=32, steps=4), network).to_bytes()
    middle = len(data) // 2
    whole = Checkpoint.from_bytes(data)
    assert whole is not None
    inside = data.index(whole.state.tensors["optimiser.own.picture"].numpy().tobytes())
    assert Checkpoint.from_bytes(data[:middle]) is None
    assert Checkpoint.from_bytes(data[:inside] + bytes([data[inside] ^ 1]) + data[inside + 1 :]) is None
    assert Checkpoint.from_bytes(b"") is None
    assert Checkpoint.from_bytes(b"no checkpoint") is None
