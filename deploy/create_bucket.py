"""Make the bucket of IMPASTO_STORE_URL where it is missing, and prove that it takes objects.

For self-hosted servers, once, with the key that Impasto itself uses. Exit code 0 when the store is ready;
otherwise Impasto's own exit codes, with one line on stderr.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, ImpastoError
from impasto.shared.store.open import open_deployment_store
from impasto.shared.store.s3_access import S3Access
from impasto.shared.store.s3_errors import state_of, translated

if TYPE_CHECKING:
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import CreateBucketConfigurationTypeDef


def create_bucket(deployment: Deployment) -> bool:
    """Whether the bucket was missing. Raises BadSettings and the store's errors."""
    if deployment.store_url is None or not deployment.store_url.startswith("s3://"):
        raise BadSettings("IMPASTO_STORE_URL names no bucket: set it to s3://bucket/prefix")
    store = open_deployment_store(deployment)
    name = deployment.store_url.removeprefix("s3://").partition("/")[0]
    access = S3Access(
        deployment.s3_endpoint_url,
        deployment.s3_region,
        deployment.s3_access_key_id,
        deployment.s3_secret_access_key,
    )
    with translated(bucket=name, endpoint=access.endpoint):
        missing = _is_missing(access, name)
        if missing:
            _create(access, name)
    store.check()
    return missing


def _create(access: S3Access, name: str) -> None:
    if access.region == "us-east-1":
        # S3 refuses the name of its own default region here.
        access.client().create_bucket(Bucket=name)
    else:
        where: CreateBucketConfigurationTypeDef = {
            "LocationConstraint": cast("BucketLocationConstraintType", access.region)
        }
        access.client().create_bucket(Bucket=name, CreateBucketConfiguration=where)


def _is_missing(access: S3Access, name: str) -> bool:
    try:
        access.client().head_bucket(Bucket=name)
    except ClientError as error:
        if state_of(error) != 404:
            raise
        return True
    return False


def main() -> int:
    try:
        deployment = Deployment.load()
        word = "made" if create_bucket(deployment) else "was there already"
    except ImpastoError as error:
        sys.stderr.write(f"create_bucket: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{deployment.store_url}: bucket {word}, takes objects\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
