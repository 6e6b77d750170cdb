"""Whoever submits, watches and fetches: the client and its answers. Loads no torch.

with Client() as client:
    batch = client.submit("photos/", "paintings/", name="June", settings={"size_px": 768}).batch
    client.wait(batch)
    client.fetch(batch, "restyled/")
"""

from impasto.producer.aio import AsyncClient
from impasto.producer.blends import Blend
from impasto.producer.client import Client
from impasto.producer.collect import Progress
from impasto.producer.estimate import Estimate
from impasto.producer.fetch import Fetched
from impasto.producer.gallery import Gallery
from impasto.producer.masks import Masked
from impasto.producer.memory import Picture
from impasto.producer.purge import Purged
from impasto.producer.recover import Recovered, Recovery
from impasto.producer.request import Submission, SubmissionRefused
from impasto.producer.results import Result
from impasto.producer.sources import Rejected
from impasto.producer.submit_manifest import ManifestSubmission
from impasto.producer.watch import Update
from impasto.shared.deployment import Deployment
from impasto.shared.ledger import BatchState, BatchStatus, DeadLetter, Failure, RunningPair
from impasto.shared.settings import PRESETS, StyleSettings

__all__ = [
    "PRESETS",
    "AsyncClient",
    "BatchState",
    "BatchStatus",
    "Blend",
    "Client",
    "DeadLetter",
    "Deployment",
    "Estimate",
    "Failure",
    "Fetched",
    "Gallery",
    "ManifestSubmission",
    "Masked",
    "Picture",
    "Progress",
    "Purged",
    "Recovered",
    "Recovery",
    "Rejected",
    "Result",
    "RunningPair",
    "StyleSettings",
    "Submission",
    "SubmissionRefused",
    "Update",
]
