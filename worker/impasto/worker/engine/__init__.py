"""Neural style transfer as a pure function of two pictures, settings and a network.

    network = load_network("caffe")
    settings = StyleSettings.preset("tutorial", size_px=256, steps=300)
    result = stylize(content, style, settings, network)

It knows no queue, no store and no clock but the one it times itself by.
"""

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.checkpoint import Checkpoint
from impasto.worker.engine.network import Network, load_network
from impasto.worker.engine.results import StepLosses, StyleResult
from impasto.worker.engine.scales import planned_steps
from impasto.worker.engine.stylize import stylize, stylize_stack
from impasto.worker.engine.targets import TargetCache

__all__ = [
    "Checkpoint",
    "Network",
    "StepLosses",
    "StyleResult",
    "StyleSettings",
    "TargetCache",
    "load_network",
    "planned_steps",
    "stylize",
    "stylize_stack",
]
