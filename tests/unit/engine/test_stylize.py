from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import torch
from PIL import Image

from impasto.shared.errors import BadPicture, BadSettings, Cancelled, Diverged
from impasto.worker.engine import Network, StepLosses, StyleResult, StyleSettings, TargetCache, stylize
from impasto.worker.engine.device import resolve_precision
from impasto.worker.engine.scales import planned_steps
from unit.engine.reference import painted

QUICK = StyleSettings.preset("tutorial", steps=6, size_px=32)
SCALED = StyleSettings.preset("gallery", size_px=40, coarsest_px=20, coarse_steps=3, steps=4)
LONG = painted(61, 35, seed=4)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_loss_falls(optimizer: str, network: Network, scene: Image.Image, look: Image.Image) -> None:
    settings = StyleSettings.preset("tutorial", size_px=28, steps=30, optimizer=optimizer)
    result = stylize(scene, look, settings, network)
    assert result.losses[-1].total < 0.2 * result.losses[0].total


def test_the_finished_picture_has_the_loss_that_was_told(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("gallery", steps=15, coarsest_px=None, precision="float32")
    result = stylize(scene, look, settings, network)
    again = stylize(
        result.image, look, settings.model_copy(update={"steps": 1, "content_layers": ()}), network
    )
    assert again.losses[0].style == pytest.approx(result.losses[-1].style, rel=0.05)


def test_every_step_is_told_in_order_and_totals_add_up(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    told: list[StepLosses] = []
    result = stylize(scene, look, SCALED, network, on_step=told.append)
    assert told == result.losses
    assert [step.step for step in told] == list(range(1, 8))
    assert [step.scale_px for step in told] == [20] * 3 + [40] * 4
    assert {step.steps for step in told} == {planned_steps(SCALED, scene.size)} == {7}
    assert result.steps == 7
    for step in told:
        assert step.content + step.style + step.tv == pytest.approx(step.total, rel=1e-5)


def test_tensor_float_is_float32_where_there_is_none(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    rounded = stylize(scene, look, QUICK.model_copy(update={"precision": "tf32"}), network)
    exact = stylize(scene, look, QUICK.model_copy(update={"precision": "float32"}), network)
    assert rounded.precision == exact.precision == "float32"
    assert rounded.image.tobytes() == exact.image.tobytes()


def test_the_result_says_what_it_ran_on(network: Network, scene: Image.Image, look: Image.Image) -> None:
    result = stylize(scene, look, QUICK, network)
    assert f"torch.{result.precision}" == str(resolve_precision("auto", network.device))
    assert result.device == "cpu"
    assert set(result.timings) == {"targets", "optimise"}
    assert all(seconds > 0 for seconds in result.timings.values())
    assert result.image.size == (32, 23)


def test_the_same_arguments_give_the_same_bytes_whatever_ran_before(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    jobs = [
        (scene, look, QUICK),
        (look, scene, QUICK),
        (scene, look, SCALED),
        (LONG, look, StyleSettings.preset("gatys", size_px=24, steps=5)),
    ]

    def run(order: list[int], cache: TargetCache | None) -> dict[int, bytes]:
        return {i: stylize(*jobs[i], network, targets=cache).image.tobytes() for i in order}

    alone = run([0, 1, 2, 3], None)
    cache = TargetCache()
    torch.rand(3)
    assert run([3, 1, 0, 2], cache) == alone
    assert run([2, 0, 3, 1], cache) == alone
    assert cache.hits > 0


def test_the_seed_decides_the_noise_and_nothing_else(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    def picture(**changes: object) -> bytes:
        return stylize(scene, look, QUICK.model_copy(update=changes), network).image.tobytes()

    assert picture(start="noise", seed=1) != picture(start="noise", seed=2)
    assert picture(seed=1) == picture(seed=2)


def test_what_the_observer_raises_ends_the_run_unchanged(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    stop = Cancelled("the batch was cancelled")
    seen: list[int] = []

    def observe(step: StepLosses) -> None:
        seen.append(step.step)
        if step.step == 3:
            raise stop

    with pytest.raises(Cancelled) as caught:
        stylize(scene, look, QUICK, network, on_step=observe)
    assert caught.value is stop
    assert seen == [1, 2, 3]


def test_nothing_but_the_cache_is_kept_after_a_run(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    def held_bytes() -> int:
        gc.collect()
        return sum(o.nbytes for o in gc.get_objects() if type(o) is torch.Tensor)

    stylize(scene, look, QUICK, network)
    before = held_bytes()
    result = stylize(scene, look, QUICK, network)
    assert held_bytes() == before
    cache = TargetCache()
    stylize(scene, look, QUICK, network, targets=cache)
    assert held_bytes() == before + cache.held_bytes
    assert isinstance(result, StyleResult)


def test_a_run_changes_neither_its_pictures_nor_the_network(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    def state() -> list[float]:
        return [float(value.double().sum()) for pair in network.convolutions for value in pair]

    before = (scene.tobytes(), look.tobytes(), state())
    stylize(scene, look, SCALED, network)
    assert (scene.tobytes(), look.tobytes(), state()) == before


@pytest.mark.parametrize("role", ["content_layers", "style_layers"])
def test_an_unknown_layer_is_named_before_anything_is_computed(role: str, network: Network) -> None:
    steps: list[StepLosses] = []
    settings = QUICK.model_copy(update={role: ("conv_99",)})
    with pytest.raises(BadSettings, match="'conv_99'"):
        stylize(LONG, LONG, settings, network, on_step=steps.append)
    assert steps == []


@pytest.mark.parametrize("role", ["content", "style"])
def test_a_single_pixel_is_no_picture(role: str, network: Network, scene: Image.Image) -> None:
    pictures = {"content": scene, "style": scene, role: Image.new("RGB", (1, 1), (9, 9, 9))}
    with pytest.raises(BadPicture, match=rf"the {role} has 1 × 1 px"):
        stylize(pictures["content"], pictures["style"], QUICK, network)


def test_a_loss_that_is_not_finite_from_the_start_is_an_error(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    with pytest.raises(Diverged, match="lower the weights"):
        stylize(scene, look, StyleSettings.preset("tutorial", style_weight=1e39), network)
    broken = replace(network, deviation=torch.full_like(network.deviation, float("nan")))
    with pytest.raises(Diverged):
        stylize(scene, look, QUICK, broken)


def test_bfloat16_ends_near_float32_and_says_so(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    # A processor without bfloat16 units emulates them at a hundredth of the speed: few steps, few layers.
    totals = {}
    for precision in ("float32", "bfloat16"):
        settings = StyleSettings.preset("tutorial", size_px=20, steps=5, precision=precision)
        result = stylize(scene, look, settings, network)
        assert result.precision == precision
        totals[precision] = result.losses[-1].total
    assert totals["bfloat16"] != totals["float32"]
    assert totals["bfloat16"] == pytest.approx(totals["float32"], rel=0.15)


@pytest.mark.parametrize(
    "change",
    [
        {"style_layers": ()},
        {"content_layers": (), "tv_weight": 0.1},
        {"style_statistic": "covariance"},
        {"style_statistic": "covariance", "style_normalisation": "relative", "style_weight": 1.0},
        {"style_scale": 0.5},
        {"enlarge": True, "size_px": 70},
        {"content_layers": ("pool2", "relu_3"), "style_layers": ("pool_4", "conv_1")},
        {"network": "vgg19", "pooling": "average", "style_layer_weights": (1, 0, 2, 0, 3)},
    ],
    ids=str,
)
def test_every_setting_lowers_its_own_loss(
    change: dict[str, object], network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("tutorial", **{"steps": 12, "start": "noise", **change})
    result = stylize(scene, look, settings, network)
    assert result.losses[-1].total < result.losses[0].total


def test_vgg16_styles_pictures_too(
    tmp_path_factory: pytest.TempPathFactory,
    vgg16_state: dict[str, torch.Tensor],
    scene: Image.Image,
    look: Image.Image,
) -> None:
    from impasto.worker.engine import load_network

    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(vgg16_state, path)
    network = load_network(str(path), "vgg16", "cpu")
    settings = StyleSettings.preset(
        "gallery", network="vgg16", weights=str(path), size_px=32, steps=6, coarsest_px=None
    )
    result = stylize(scene, look, settings, network)
    assert result.losses[-1].total < result.losses[0].total
