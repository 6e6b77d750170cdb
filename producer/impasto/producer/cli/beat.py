"""`impasto beat`: becomes the process that fires schedules."""

from __future__ import annotations


def beat() -> None:
    """Fire schedules, until Ctrl-C or SIGTERM. Several may run: one does the work, the others stand by.

    It lists, checks and uploads what its schedules restyle, so it must see their files; it needs no torch.
    """
    from impasto.producer.schedules.beat import run_beat
    from impasto.shared.deployment import Deployment
    from impasto.shared.logs import configure_logging

    deployment = Deployment.load()
    configure_logging(deployment.log_level, deployment.log_format)
    run_beat(deployment)
