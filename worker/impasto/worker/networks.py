"""The networks that this process has loaded: each once, and only those that this worker may load."""

from __future__ import annotations

from typing import Final

import structlog

from impasto.shared.errors import WeightsUnavailable
from impasto.shared.settings import StyleSettings
from impasto.worker.engine import Network, load_network

_NAMED: Final = ("caffe", "torchvision")
_AT_MOST: Final = 2

log = structlog.get_logger()


class Networks:
    """Loads on first use and keeps the two used last.

    A pair may ask for weights by provider, or for the path that this worker was started with; any other path
    is refused, since a message must not choose which file a worker opens.
    """

    def __init__(self, *, device: str, weights: str) -> None:
        self._device = device
        self._own_weights = weights
        self._loaded: dict[tuple[str, str], Network] = {}

    def warm_up(self) -> Network:
        """Load VGG-19 with this worker's own weights. Raises as `get`."""
        return self.get(StyleSettings(weights=self._own_weights))

    def vouches_for(self, settings: StyleSettings, digest: str) -> bool:
        """Whether what those settings gave with weights of that digest is what they give here.

        A provider's weights are pinned; those at a path may be others than yesterday's, and only what is
        loaded tells. For any thread.
        """
        if settings.weights in _NAMED:
            return True
        loaded = self._loaded.get((settings.network, settings.weights))
        return loaded is not None and loaded.weights_digest == digest

    def get(self, settings: StyleSettings) -> Network:
        """The network that the settings ask for, and no other.

        Raises WeightsUnavailable, and WeightsUnreachable when a download fails.
        """
        if settings.weights not in (*_NAMED, self._own_weights):
            raise WeightsUnavailable(
                f"the pair asks for the weights {settings.weights!r}: start this worker with "
                f"IMPASTO_WEIGHTS set to that path, or submit with --set weights={self._own_weights}"
            )
        asked = (settings.network, settings.weights)
        network = self._loaded.pop(asked, None)
        if network is None:
            network = load_network(settings.weights, architecture=settings.network, device=self._device)
            log.info(
                "network.loaded",
                network=network.architecture,
                weights=network.weights,
                digest=network.weights_digest[:12],
                device=str(network.device),
            )
        self._loaded[asked] = network
        while len(self._loaded) > _AT_MOST:
            self._loaded.pop(next(iter(self._loaded)))
        return network
