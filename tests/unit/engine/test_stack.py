from __future__ import annotations

import pytest
from PIL import Image

from impasto.shared.errors import BadSettings, OutOfDeviceMemory
from impasto.worker.engine import Network, StyleSettings, stylize, stylize_stack
from unit.engine.reference import painted


@pytest.mark.parametrize("changes", [{}, {"style_statistic": "wasserstein"}, {"start": "noise"}])
def test_a_stack_is_its_pairs_one_after_another(changes: dict[str, str], network: Network) -> None:
    settings = StyleSettings.preset("gallery", size_px=48, coarsest_px=24, coarse_steps=3, steps=3, **changes)
    contents = [painted(60, 45, seed=seed) for seed in (1, 2, 3)]
    looks = [painted(50, 50, seed=4), [(painted(40, 60, seed=5), 2.0), (painted(64, 30, seed=6), 1.0)]]
    pairs = [(contents[0], looks[0]), (contents[1], looks[1]), (contents[2], looks[0])]
    for (content, style), found in zip(pairs, stylize_stack(pairs, settings, network), strict=True):
        alone = stylize(content, style, settings, network)
        assert [step.total for step in found.losses] == pytest.approx(
            [step.total for step in alone.losses], rel=1e-3
        )
        assert found.image.size == alone.image.size
        assert _mean_difference(found.image, alone.image) < 1


def _mean_difference(one: Image.Image, other: Image.Image) -> float:
    differences = [abs(a - b) for a, b in zip(one.tobytes(), other.tobytes(), strict=True)]
    return sum(differences) / len(differences)


def test_a_stack_of_no_pairs_has_no_results(network: Network) -> None:
    assert stylize_stack([], StyleSettings.preset("tutorial"), network) == []


def test_a_stack_of_several_sizes_is_refused(network: Network) -> None:
    pairs = [
        (painted(40, 30, seed=1), painted(30, 30, seed=2)),
        (painted(30, 40, seed=1), painted(30, 30, seed=2)),
    ]
    with pytest.raises(BadSettings, match="one size"):
        stylize_stack(pairs, StyleSettings.preset("tutorial", size_px=32, steps=1), network)


def test_a_stack_that_does_not_fit_is_refused(network: Network) -> None:
    pairs = [(painted(40, 30, seed=seed), painted(30, 30, seed=2)) for seed in (1, 3)]
    with pytest.raises(OutOfDeviceMemory, match="stack of 2"):
        stylize_stack(
            pairs, StyleSettings.preset("tutorial", size_px=32, steps=1), network, memory_budget_bytes=1
        )
