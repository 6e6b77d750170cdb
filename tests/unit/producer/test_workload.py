from __future__ import annotations

import pytest

from impasto.producer.workload import workload
from impasto.shared.settings import StyleSettings
from impasto.worker.engine.scales import scales


@pytest.mark.parametrize("content_px", [(640, 480), (47, 901), (300, 300), (4000, 2667)])
@pytest.mark.parametrize(
    "settings",
    [
        StyleSettings(),
        StyleSettings.preset("gallery"),
        StyleSettings.preset("gallery", size_px=1024, enlarge=True),
        StyleSettings.preset("gallery", size_px=2048, preview_px=256),
        StyleSettings(size_px=181, coarsest_px=128, coarse_steps=7),
    ],
)
def test_the_work_of_a_pair_is_what_the_engine_plans(
    settings: StyleSettings, content_px: tuple[int, int]
) -> None:
    stages = scales(settings, content_px)
    work = workload(settings, content_px)
    assert work.size_px == stages[-1].size_px
    planned = sum(stage.steps * stage.size_px[0] * stage.size_px[1] for stage in stages)
    assert work.megapixel_steps == pytest.approx(planned / 1e6)
