"""A queue of SQS: taken from, hidden while there is work, deleted when it is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, ImpastoError, InputRefused, Transient
from impasto.shared.printable import printable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

A_CALL: Final = 10
"""How many messages SQS takes in one call."""

_READ_TIMEOUT_SECONDS: Final = 40
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")
_AMAZON: Final = re.compile(r"sqs[.-](?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_MISSING_CODES: Final = frozenset(
    ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue")
)
_PASSING_CODES: Final = frozenset(("RequestThrottled", "Throttling", "ThrottlingException", "OverLimit"))


@dataclass(frozen=True)
class Message:
    """One message as it was received, for the `receives`-th time."""

    id: str
    body: str
    receipt: str
    receives: int


class MessageQueue:
    """One queue, by its name or its URL. Opens no connection before its first use.

    Raises Transient when it may answer later, InputRefused when it is not there or not allowed.
    """

    def __init__(self, named: str, deployment: Deployment) -> None:
        self.named = named
        self._deployment = deployment
        self._is_url = "://" in named
        if not self._is_url and _NAME.fullmatch(named) is None:
            raise BadSettings(f"'{printable(named)}' is no queue: give its name, or its URL")

    @cached_property
    def url(self) -> str:
        """The queue's URL, which the server is asked for where only the name is known."""
        if self._is_url:
            return self.named
        with self._translated():
            return self._client.get_queue_url(QueueName=self.named)["QueueUrl"]

    def has_dead_letters(self) -> bool:
        """Whether the queue itself puts away what is received again and again. Proves that it is there."""
        with self._translated():
            answer = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return "RedrivePolicy" in answer.get("Attributes", {})

    def receive(self, *, wait_seconds: int, hidden_seconds: int) -> list[Message]:
        """Up to ten messages, hidden from others for so long; waits up to `wait_seconds` for a first one."""
        with self._translated():
            answer = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=A_CALL,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=hidden_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(
                one["MessageId"],
                one["Body"],
                one["ReceiptHandle"],
                int(one.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for one in answer.get("Messages", ())
        ]

    def delete(self, messages: Sequence[Message]) -> None:
        """What can't be deleted, since it was hidden too long, comes again."""
        self._each_ten(
            messages,
            lambda ten: self._client.delete_message_batch(
                QueueUrl=self.url,
                Entries=[{"Id": str(i), "ReceiptHandle": one.receipt} for i, one in enumerate(ten)],
            ),
        )

    def hide(self, messages: Sequence[Message], seconds: int) -> None:
        """Hide them for so long from now; 0 gives them back."""
        self._each_ten(
            messages,
            lambda ten: self._client.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": one.receipt, "VisibilityTimeout": seconds}
                    for i, one in enumerate(ten)
                ],
            ),
        )

    def _each_ten(self, messages: Sequence[Message], call: Callable[[Sequence[Message]], object]) -> None:
        for start in range(0, len(messages), A_CALL):
            with self._translated():
                call(messages[start : start + A_CALL])

    @property
    def _server(self) -> str | None:
        """Its address, None for Amazon's: a URL says it, a name lies where the deployment is."""
        if self._is_url:
            parts = urlsplit(self.named)
            return None if _AMAZON.fullmatch(parts.hostname or "") else f"{parts.scheme}://{parts.netloc}"
        return self._deployment.sqs_endpoint_url or self._deployment.s3_endpoint_url

    @cached_property
    def _client(self) -> SQSClient:
        # Here, since loading boto3 takes longer than all else that most commands do.
        import boto3
        from botocore.config import Config

        amazon = _AMAZON.fullmatch(urlsplit(self.named).hostname or "") if self._is_url else None
        secret = self._deployment.s3_secret_access_key
        try:
            return boto3.session.Session().client(
                "sqs",
                endpoint_url=self._server,
                region_name=amazon["region"] if amazon else self._deployment.s3_region,
                aws_access_key_id=self._deployment.s3_access_key_id,
                aws_secret_access_key=secret.get_secret_value() if secret is not None else None,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": 2},
                    connect_timeout=5,
                    read_timeout=_READ_TIMEOUT_SECONDS,
                    tcp_keepalive=True,
                ),
            )
        except ValueError as error:
            raise BadSettings(
                f"'{printable(str(self._server))}' is no server: correct --queue or IMPASTO_SQS_ENDPOINT_URL"
            ) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._of_answer(error.response) from error
        except (BotoCoreError, OSError) as error:
            raise self._of_exception(error) from error

    def _of_answer(self, response: Any) -> ImpastoError:
        code = str(response.get("Error", {}).get("Code", ""))
        state = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        where = f"queue {printable(self.named)} at {printable(self._server or 'Amazon SQS')}"
        if code.rpartition("#")[2] in _MISSING_CODES:
            return InputRefused(f"{where} does not exist: create it or correct --queue")
        if code in _PASSING_CODES or state == 429 or state >= 500:
            return Transient(f"{where} can't answer now ({code or state})")
        return InputRefused(
            f"{where} refuses ({code or state}): give this key sqs:ReceiveMessage, sqs:DeleteMessage, "
            "sqs:ChangeMessageVisibility, sqs:GetQueueUrl and sqs:GetQueueAttributes there"
        )

    def _of_exception(self, error: Exception) -> ImpastoError:
        from botocore.exceptions import NoCredentialsError, PartialCredentialsError

        where = f"queue {printable(self.named)} at {printable(self._server or 'Amazon SQS')}"
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return InputRefused(
                f"{where} needs a key: set IMPASTO_S3_ACCESS_KEY_ID and IMPASTO_S3_SECRET_ACCESS_KEY"
            )
        return Transient(f"{where} does not answer ({type(error).__name__}): is it up, and is --queue right?")
