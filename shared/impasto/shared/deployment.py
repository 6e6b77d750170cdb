"""`Deployment`: where things are and how patient to be, from `IMPASTO_…` variables or a `.env` file.

Built once at an entry point and passed down; nothing else reads the environment.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from impasto.shared.errors import BadSettings

SECRET_MASK: Final = "********"  # noqa: S105 - what is shown in place of one


class Deployment(BaseSettings):
    """Settings of a deployment. With none set, everything runs embedded on this machine (`impasto up`)."""

    model_config = SettingsConfigDict(
        env_prefix="IMPASTO_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    state: Path = Field(
        default_factory=lambda: platformdirs.user_state_path("impasto"),
        description="folder of `impasto up`: server, store, logs",
    )
    redis_url: str | None = Field(
        None, description="redis://[:password@]host:port/db; unset: that of `impasto up`"
    )
    namespace: str = Field(
        "impasto", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="prefix of all keys and queues in Redis"
    )
    store_url: str | None = Field(
        None, description="s3://bucket/prefix or file:///folder; unset: a folder under the state folder"
    )
    s3_endpoint_url: str | None = Field(None, description="an S3-compatible server other than Amazon's")
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = Field(None, description="unset: boto3's own search (profile, role, …)")
    s3_secret_access_key: SecretStr | None = None
    sqs_endpoint_url: str | None = Field(
        None, description="where `impasto ingest` finds a queue by its name; unset: as for S3"
    )
    input_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="further places inputs may be read from, comma-separated; the store's bucket always is",
    )

    weights: str = Field("caffe", description="caffe, torchvision, or the path of a state dict")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: int | None = Field(None, ge=1, description="CPU threads of one worker; unset: all cores")
    memory_budget_bytes: int | None = Field(
        None,
        ge=1,
        description="one worker's share of its device's memory; unset: 0.8 of a GPU's, half the machine's",
    )

    window: int = Field(
        4,
        ge=1,
        le=10_000,
        description="least number of pairs on the queue at a time, shared by a priority's batches",
    )
    lease_seconds: float = Field(
        30, gt=0, description="how long a worker may be silent before its pair is given on"
    )
    heart_seconds: float = Field(
        3, gt=0, description="how often a worker renews its lease, and hears of a pause or a cancellation"
    )
    sweep_seconds: float = Field(
        5, gt=0, description="how often, over all workers, lost pairs are looked for"
    )
    republish_seconds: float = Field(
        600,
        gt=0,
        description="after which a message nobody took is sent again; longer while the queue is long",
    )
    visibility_seconds: int = Field(
        21_600, ge=60, description="Celery's visibility timeout; above the longest pair"
    )
    max_attempts: int = Field(5, ge=1, description="after which a fault that may pass fails the pair")
    max_deaths: int = Field(3, ge=1, description="how many workers a pair may kill before it fails")
    retry_base_seconds: float = Field(2, gt=0, description="first backoff; doubles with each attempt")
    retry_max_seconds: float = Field(300, gt=0, description="longest backoff")
    store_patience_seconds: float = Field(
        30,
        ge=0,
        description="how long a worker tries one object that it can't read or put, while the store answers; "
        "a store that is away is waited for without an end",
    )
    grace_seconds: float = Field(
        10, ge=0, description="how long SIGTERM lets a pair go on before handing it back"
    )
    deaf_seconds: float = Field(
        120,
        gt=0,
        description="a worker that takes nothing for so long while messages wait ends, to be restarted",
    )
    hang_seconds: float = Field(
        3600,
        gt=0,
        description="a worker whose pair computes for so long without a step ends, to be restarted; longer "
        "for a pair whose steps are slow",
    )
    reuse_results: bool = Field(
        True, description="whether workers copy a result that another batch made, or make each anew"
    )
    beat_lock_seconds: float = Field(
        60,
        ge=1,
        le=90,
        description="how long a beat may be silent before one that stands by takes over",
    )
    retention_days: float | None = Field(
        None, gt=0, description="after which the ledger forgets a batch that is over; unset: never"
    )

    price_per_hour: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="what an hour of one worker costs, for estimates"
    )

    max_input_bytes: int = Field(256 * 2**20, ge=1, description="largest input file")
    max_input_pixels: int = Field(120_000_000, ge=1, description="largest input picture")

    webhook_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="hosts and networks beside the public internet that webhooks may lead to, "
        "comma-separated; to a host or address named here http may be used",
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal")

    @field_validator("input_prefixes", "webhook_allow", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @field_validator("webhook_allow")
    @classmethod
    def _hosts_and_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if "://" in entry or (":" in entry and not _is_network(entry)) or entry.startswith("*"):
                raise ValueError(f"{entry!r} is neither a host's name nor an address or network (10.0.0.0/8)")
            if "/" in entry and not _is_network(entry):
                raise ValueError(f"{entry!r} is no network: write it as 10.0.0.0/8")
        return value

    @field_validator("heart_seconds")
    @classmethod
    def _beats_within_the_lease(cls, value: float, info: ValidationInfo) -> float:
        """A lease that runs out between two beats takes every pair for one whose worker died."""
        lease_seconds = info.data.get("lease_seconds")
        if lease_seconds is not None and value > lease_seconds / 2:
            raise ValueError(f"must be at most half of IMPASTO_LEASE_SECONDS, which is {lease_seconds:g}")
        return value

    @classmethod
    def load(cls, **overrides: Any) -> Deployment:
        """From overrides, environment and `.env`, the first that has it.

        Raises BadSettings that names the variable.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            problems = (
                f"IMPASTO_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']} (got {str(e['input'])[:60]!r})"
                for e in error.errors()
            )
            raise BadSettings("; ".join(problems)) from error

    @property
    def queue(self) -> str:
        """The Celery queue's name."""
        return self.namespace

    def masked(self) -> dict[str, Any]:
        """All settings for people to read: passwords hidden, in URLs too."""
        values = self.model_dump(mode="json")
        if self.s3_secret_access_key is not None:
            values["s3_secret_access_key"] = SECRET_MASK
        for name in ("redis_url", "store_url", "s3_endpoint_url", "sqs_endpoint_url"):
            values[name] = mask_url(values[name]) if values[name] else None
        return values


def _is_network(text: str) -> bool:
    try:
        ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return False
    return True


def mask_url(url: str) -> str:
    """The URL with its password, if it has one, hidden."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{SECRET_MASK}@{host}"))
