"""From a store's URL to the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from pydantic import SecretStr

from impasto.shared.deployment import Deployment, mask_url
from impasto.shared.errors import BadSettings, StoreRefused
from impasto.shared.printable import printable
from impasto.shared.store.folder import FolderStore
from impasto.shared.store.interface import ObjectStore
from impasto.shared.store.s3_access import S3Access

BUCKET_PATTERN: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
"""S3's rule for new buckets' names."""

_MEND: Final = "set IMPASTO_STORE_URL to s3://bucket/prefix or file:///folder"


def open_store(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str = "us-east-1",
    access_key_id: str | None = None,
    secret_access_key: SecretStr | str | None = None,
    threads: int = 16,
) -> ObjectStore:
    """The store at `s3://bucket/prefix` or `file:///folder`; nothing is asked or made before its first use.

    `threads` is how many may use it at once. Without a key id, boto3 searches for credentials in its own way.
    Raises BadSettings for any other address, or half a key.
    """
    if url.startswith("file:"):
        return FolderStore(file_path(url))
    if not url.startswith("s3://"):
        raise BadSettings(f"'{printable(mask_url(url))}' is no store: {_MEND}")
    secret = SecretStr(secret_access_key) if isinstance(secret_access_key, str) else secret_access_key
    access = S3Access(endpoint_url, region, access_key_id, secret, threads=threads)

    # Here, since it loads botocore, which takes longer than all else that a command does on a folder.
    from impasto.shared.store.s3 import S3Store

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if re.fullmatch(BUCKET_PATTERN, bucket) is None:
        raise BadSettings(f"'{printable(bucket)}' can be no bucket's name: {_MEND}")
    try:
        return S3Store(access, bucket, prefix.strip("/"))
    except StoreRefused as error:
        raise BadSettings(f"{error}; {_MEND}") from error


def open_deployment_store(
    deployment: Deployment, default_folder: Path | None = None, *, threads: int = 16
) -> ObjectStore:
    """The deployment's store; without a URL, `default_folder` or else `store` in the state folder."""
    if deployment.store_url is None:
        return FolderStore(default_folder or deployment.state / "store")
    return open_store(
        deployment.store_url,
        endpoint_url=deployment.s3_endpoint_url,
        region=deployment.s3_region,
        access_key_id=deployment.s3_access_key_id,
        secret_access_key=deployment.s3_secret_access_key,
        threads=threads,
    )


def file_path(url: str) -> Path:
    """The absolute path that `file:///path` names, percent-encoding undone. Raises BadSettings."""
    host, slash, path = url.removeprefix("file://").partition("/")
    decoded = unquote(slash + path, errors="surrogateescape")
    if not url.startswith("file://") or host not in ("", "localhost") or not slash or "\0" in decoded:
        raise BadSettings(
            f"'{printable(url)}' names no file: three slashes and an absolute path, as in file:///folder"
        )
    return Path(decoded)
