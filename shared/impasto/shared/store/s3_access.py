"""How to talk to an S3 server: address, key, patience, and one client a process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from impasto.shared.errors import BadSettings
from impasto.shared.printable import printable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class S3Access:
    """A server and how to talk to it. The client is made at first use, once a process (so after any fork).

    Without a key, boto3 searches for credentials in its own way. Raises BadSettings for half a key.
    """

    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    threads: int = 16
    attempts: int = 8
    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 60

    def __post_init__(self) -> None:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise BadSettings(
                "set both IMPASTO_S3_ACCESS_KEY_ID and IMPASTO_S3_SECRET_ACCESS_KEY, or neither"
            )

    @property
    def endpoint(self) -> str:
        """For messages."""
        return self.endpoint_url or f"Amazon S3 ({self.region})"

    @cached_property
    def _clients(self) -> dict[int, S3Client]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Clients stay behind when the store goes to another process."""
        return {name: value for name, value in self.__dict__.items() if name != "_clients"}

    def client(self) -> S3Client:
        """This process's client. Raises BadSettings for an endpoint that is no URL."""
        client = self._clients.get(os.getpid())
        if client is None:
            # Two threads may both come here: one client is then thrown away. A lock could be held at a fork.
            client = self._clients.setdefault(os.getpid(), self._connect())
        return client

    def renew(self) -> None:
        """Let the next use search for credentials anew, where boto3 does: it keeps what it once found, and
        someone may have logged in again since.
        """
        if self.access_key_id is None:
            self._clients.pop(os.getpid(), None)

    def _connect(self) -> S3Client:
        # Here, since loading boto3 takes longer than all else that most commands do.
        import boto3
        from botocore.config import Config

        from impasto.shared.store.s3_errors import refuse_pages

        options: dict[str, Any] = {}
        if self.endpoint_url is not None:
            # Imitations have no DNS name a bucket, and some fail at checksums that they don't know.
            options = {
                "s3": {"addressing_style": "path"},
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            }
        secret = self.secret_access_key
        try:
            client = boto3.session.Session().client(
                "s3",
                endpoint_url=self.endpoint_url,
                region_name=self.region,
                aws_access_key_id=self.access_key_id,
                aws_secret_access_key=secret.get_secret_value() if secret is not None else None,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": self.attempts},
                    connect_timeout=self.connect_timeout_seconds,
                    read_timeout=self.read_timeout_seconds,
                    max_pool_connections=self.threads,
                    tcp_keepalive=True,
                    **options,
                ),
            )
            client.meta.events.register("before-parse.s3", refuse_pages)
            return client
        except ValueError as error:
            raise BadSettings(
                f"'{printable(self.endpoint)}' is no endpoint: set IMPASTO_S3_ENDPOINT_URL to http(s)://host:port"
            ) from error
