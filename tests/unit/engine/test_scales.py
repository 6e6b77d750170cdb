from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from impasto.worker.engine import StyleSettings, planned_steps
from impasto.worker.engine.scales import fitted, scales, style_px

sides = st.integers(1, 5000)


def test_one_scale_without_a_coarsest() -> None:
    stages = scales(StyleSettings.preset("tutorial", size_px=256, steps=30), (800, 400))
    assert [(stage.longer_px, stage.size_px, stage.steps) for stage in stages] == [(256, (256, 128), 30)]


def test_sizes_double_from_the_coarsest_to_the_full_size() -> None:
    settings = StyleSettings.preset("tutorial", size_px=600, coarsest_px=100, coarse_steps=7, steps=9)
    stages = scales(settings, (1200, 900))
    assert [(stage.longer_px, stage.steps) for stage in stages] == [(100, 7), (200, 7), (400, 7), (600, 9)]
    assert stages[-1].size_px == (600, 450)
    assert planned_steps(settings, (1200, 900)) == 30


def test_a_small_content_is_enlarged_only_when_that_is_asked_for() -> None:
    small = StyleSettings.preset("tutorial", size_px=256)
    assert scales(small, (100, 50))[-1].size_px == (100, 50)
    large = StyleSettings.preset("tutorial", size_px=256, enlarge=True)
    assert scales(large, (100, 50))[-1].size_px == (256, 128)


@given(sides, sides, st.integers(16, 4096), st.integers(16, 512), st.booleans())
def test_scales_ascend_to_the_size_that_was_asked_for(
    width: int, height: int, size_px: int, coarsest_px: int, enlarge: bool
) -> None:
    settings = StyleSettings.preset(
        "tutorial", size_px=size_px, coarsest_px=coarsest_px, coarse_steps=3, steps=5, enlarge=enlarge
    )
    stages = scales(settings, (width, height))
    longer = [stage.longer_px for stage in stages]
    assert longer == sorted(set(longer))
    assert longer[-1] == (
        size_px if enlarge else min(size_px, width, height) if width == height else longer[-1]
    )
    assert longer[-1] <= size_px
    assert all(max(stage.size_px) == stage.longer_px and min(stage.size_px) >= 1 for stage in stages)
    assert planned_steps(settings, (width, height)) == 3 * (len(stages) - 1) + 5


@given(sides, sides, sides)
def test_the_aspect_is_kept_to_half_a_pixel(width: int, height: int, longer_px: int) -> None:
    found = fitted((width, height), longer_px)
    factor = longer_px / max(width, height)
    assert max(found) == longer_px
    assert all(abs(f - max(1, s * factor)) <= 0.5 for f, s in zip(found, (width, height), strict=True))


def test_a_style_has_the_scales_longer_side_and_is_never_enlarged() -> None:
    settings = StyleSettings.preset("tutorial", size_px=400, style_scale=0.5)
    (scale,) = scales(settings, (800, 600))
    assert style_px(settings, scale, (800, 600), 1000) == 200
    assert style_px(settings, scale, (800, 600), 150) == 150


@given(sides, sides, st.integers(64, 4096), st.integers(16, 64), sides, st.floats(0.25, 4))
def test_a_preview_shrinks_picture_and_strokes_alike(
    width: int, height: int, size_px: int, preview_px: int, style_side: int, style_scale: float
) -> None:
    full = StyleSettings.preset("gallery", size_px=size_px, style_scale=style_scale)
    small = full.model_copy(update={"preview_px": preview_px})
    last, last_small = scales(full, (width, height))[-1], scales(small, (width, height))[-1]
    assert last_small.longer_px == min(preview_px, last.longer_px)
    strokes, strokes_small = (
        style_px(settings, scale, (width, height), style_side) / scale.longer_px
        for settings, scale in ((full, last), (small, last_small))
    )
    assert abs(strokes - strokes_small) <= 1 / last_small.longer_px + 1 / last.longer_px
    assert planned_steps(small, (width, height)) <= planned_steps(full, (width, height))
