"""The error tree: split first by what the caller does with it, and only then by what went wrong.

`Transient` errors may pass: retry, after `retry_after_seconds` where it is known. `Permanent` ones won't:
fail that one pair or that one command. Vendor errors (botocore, redis, CUDA, Pillow) are translated at the
edge where they arise, with the cause kept by `raise ... from`.

A message is one line that says what is wrong with what, and how to mend it.
"""

from __future__ import annotations

from typing import ClassVar


class ImpastoError(Exception):
    """Anything that Impasto itself raises. `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class Transient(ImpastoError):
    """May pass: the same thing may succeed when it is done again.

    `retry_after_seconds` is when, if the cause knows it; None leaves the backoff to the caller.
    """

    exit_code = 75
    kind = "transient"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Permanent(ImpastoError):
    """Won't pass: doing the same thing again would fail again."""

    kind = "permanent"


class LedgerUnavailable(Transient):
    """Redis does not answer, is loading, or refuses writes."""

    exit_code = 69
    kind = "ledger_unavailable"


class StoreUnavailable(Transient):
    """The object store does not answer, throttles, or failed inside."""

    exit_code = 74
    kind = "store_unavailable"


class CredentialsUnusable(StoreUnavailable):
    """The store takes this machine's credentials, or its clock, no more: so it is with every object, until
    someone mends it.
    """

    kind = "credentials_unusable"


class StoreExhausted(StoreUnavailable):
    """The store is full or asks for fewer requests, whichever object it is about: room or quiet mends it."""

    kind = "store_exhausted"


class UnknownVersion(Transient):
    """A file of a batch is of a version that is not spoken here; whoever speaks it can go on with it."""

    kind = "unknown_version"


class OutOfDeviceMemory(Transient):
    """The device could not hold the picture that was asked for."""

    kind = "out_of_device_memory"


class WeightsUnreachable(Transient):
    """The network's weights have to be downloaded, and can't be now. Whoever needs them to start ends as
    without weights.
    """

    exit_code = 78
    kind = "weights_unreachable"


class TimedOut(Transient):
    """What was waited for did not happen in the time that was given; it may still."""

    kind = "timed_out"


class ObjectMissing(Permanent):
    """The store has no object under that key."""

    exit_code = 66
    kind = "object_missing"


class StoreRefused(Permanent):
    """The store refuses: missing bucket, wrong key, no permission, disk full for good."""

    exit_code = 77
    kind = "store_refused"


class Damaged(StoreRefused):
    """A file of a batch is not what was written: the store gives it, and nothing can be made of it."""

    exit_code = 65
    kind = "damaged"


class BadPicture(Permanent):
    """The bytes are no picture that Impasto takes: truncated, mislabelled, too large, of another format."""

    exit_code = 65
    kind = "bad_picture"


class InputRefused(Permanent):
    """The input's address is outside the allowed prefixes, or names nothing."""

    exit_code = 66
    kind = "input_refused"


class BadSettings(Permanent):
    """A setting that does not exist, is out of its range, or contradicts another."""

    exit_code = 64
    kind = "bad_settings"


class BadMessage(Permanent):
    """A queue message that is not a pair job of a version this worker speaks."""

    kind = "bad_message"


class WeightsUnavailable(Permanent):
    """The network's weights are missing, damaged, or not those that were asked for."""

    exit_code = 78
    kind = "weights_unavailable"


class Diverged(Permanent):
    """The optimisation produced no finite picture."""

    kind = "diverged"


class PoisonPair(Permanent):
    """The workers that ran the pair died of it, as often as is allowed."""

    kind = "poison_pair"


class NoSuchBatch(Permanent):
    """The ledger knows no batch of that name."""

    exit_code = 67
    kind = "no_such_batch"


class NoSuchSchedule(Permanent):
    """No schedule has that name."""

    exit_code = 67
    kind = "no_such_schedule"


class NoSuchWebhook(Permanent):
    """No webhook or delivery has that name."""

    exit_code = 67
    kind = "no_such_webhook"


class NothingToSubmit(Permanent):
    """No content or no style was left after the checks."""

    exit_code = 65
    kind = "nothing_to_submit"


class NotRunning(Permanent):
    """There is no Impasto on this machine to talk to, or there already is one."""

    exit_code = 69
    kind = "not_running"


class NotInstalled(Permanent):
    """A part of Impasto that is optional is needed and not installed here."""

    exit_code = 69
    kind = "not_installed"


class Stopped(ImpastoError):
    """Raised through a running optimisation to end it at its next step; not a failure of the pair."""

    kind = "stopped"


class Cancelled(Stopped):
    """The pair's batch was cancelled."""

    kind = "cancelled"


class LeaseLost(Stopped):
    """Another worker holds the pair now, or it is done: this run's result is not wanted."""

    kind = "lease_lost"


class HandedBack(Stopped):
    """The worker is told to stop, or its batch is paused: the pair goes back as it was."""

    kind = "handed_back"
