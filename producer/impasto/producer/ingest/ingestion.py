"""From messages to batches: gathered, judged, claimed, submitted, and only then deleted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from impasto.producer import submit as submitting
from impasto.producer.blends import Blend
from impasto.producer.client import Client
from impasto.producer.collect import Progress
from impasto.producer.ingest.claims import Claims, Group
from impasto.producer.ingest.door import Door, Verdict
from impasto.producer.ingest.events import CreatedObject, read
from impasto.producer.ingest.queue import Message, MessageQueue
from impasto.producer.ingest.told import Kind, Tell, Told, Totals, counted
from impasto.producer.parallel import each
from impasto.producer.request import Request, Submission, SubmissionRefused, check_heading
from impasto.producer.sources import Source
from impasto.shared.errors import BadMessage, ImpastoError, InputRefused, ObjectMissing
from impasto.shared.printable import printable
from impasto.shared.settings import StyleSettings
from impasto.shared.store.inputs import InputReader

POLL_SECONDS: Final = 5
"""One wait for messages: whoever tells it to stop waits no longer."""
HIDDEN_SECONDS: Final = 300
"""How long messages in hand are hidden from others; hidden again while there is work on them."""
MOST_MESSAGES: Final = 500
"""In one batch, so that the first of a great many do not wait for the last."""
GATHER_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_HEADS: Final = 8

_Answer = TypeVar("_Answer")


class Stopping(Exception):
    """Someone asked to stop: what is in hand goes back to the queue."""


@dataclass(frozen=True)
class Order:
    """What is made of each arrival; the fields are those of a submission. `name` begins the batches' names.

    Raises BadSettings for a heading that is none.
    """

    styles: tuple[Source | Blend, ...]
    settings: StyleSettings
    name: str = "ingest"
    owner: str = ""
    priority: int = 5

    def __post_init__(self) -> None:
        check_heading(self.name, None, self.priority)

    def request(self, contents: tuple[Source, ...], token: str) -> Request:
        return Request(
            contents=contents,
            styles=self.styles,
            settings=self.settings,
            name=f"{self.name[:180]} {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            owner=self.owner,
            priority=self.priority,
            token=token,
        )


@dataclass
class _InHand:
    """Messages that are worked on. `stays` are those that no work will settle."""

    messages: list[Message] = field(default_factory=list)
    stays: set[str] = field(default_factory=set)
    hidden_at: float = field(default_factory=time.monotonic)

    def settled(self) -> list[Message]:
        return [message for message in self.messages if message.id not in self.stays]


class Ingestion:
    """One queue's pictures, with one set of styles. `stopping` is asked between steps."""

    def __init__(
        self,
        client: Client,
        queue: MessageQueue,
        door: Door,
        reader: InputReader,
        order: Order,
        *,
        tell: Tell,
        stopping: Callable[[], bool],
    ) -> None:
        connection = client.connection
        self._connection = connection
        self._queue = queue
        self._door = door
        self._reader = reader
        self._order = order
        self._claims = Claims(connection.redis, connection.deployment.namespace, queue.url)
        self._tell = tell
        self._stopping = stopping
        self._once = False
        self._hand = _InHand()
        self.totals = Totals()

    def run(self, *, once: bool) -> Totals:
        """Until it is told to stop, or with `once` until the queue gives no more.

        Outages are waited for; with `once` they are raised, and what was in hand is back on the queue.
        """
        self._once = once
        try:
            while not self._stopping():
                self._hand = _InHand()
                self._gather()
                if self._hand.messages:
                    self._work()
                elif once:
                    break
        except Stopping:
            self._give_back()
        except BaseException:
            self._give_back()
            raise
        return self.totals

    def _gather(self) -> None:
        """What comes within a short while becomes one batch."""
        until = time.monotonic() + GATHER_SECONDS
        wait_seconds = 1 if self._once else POLL_SECONDS
        while len(self._hand.messages) < MOST_MESSAGES and not self._stopping():
            came = self._patiently(
                partial(self._queue.receive, wait_seconds=wait_seconds, hidden_seconds=HIDDEN_SECONDS)
            )
            self._hand.messages += came
            if not came or time.monotonic() > until:
                return
            wait_seconds = 1

    def _work(self) -> None:
        self._keep_hidden()
        self.totals.messages += len(self._hand.messages)
        wanted = self._patiently(self._judge)
        claimed = {one.identity for one in wanted}
        groups = self._patiently(lambda: self._claims.groups(wanted))
        for group in groups:
            self._submit(group)
        again = len(claimed - {one.identity for group in groups for one in group.objects})
        self._pass_over(Counter(again=again))
        self._patiently(lambda: self._queue.delete(self._hand.settled()))

    def _judge(self) -> list[CreatedObject]:
        """The objects to restyle, each once; what is none is counted, or left where it must be seen."""
        passed_over: Counter[str] = Counter()
        wanted: dict[CreatedObject, list[Message]] = {}
        for message in self._hand.messages:
            try:
                notification = read(message.body)
            except BadMessage as error:
                self._leave(message, "poison", str(error))
                continue
            passed_over["other_events"] += notification.others
            for one in notification.created:
                verdict = self._door.judge(one)
                if verdict is Verdict.PICTURE:
                    wanted.setdefault(one, []).append(message)
                elif verdict is Verdict.NOT_ALLOWED:
                    error_text = "workers may not read it: add its place to IMPASTO_INPUT_PREFIXES"
                    self._leave(message, "left", f"{printable(one.uri)}: {error_text}")
                else:
                    passed_over[verdict] += 1
        there: list[CreatedObject] = []
        for one, refusal in each(self._refusal, wanted, threads=_HEADS):
            if refusal is None:
                there.append(one)
            elif isinstance(refusal.__cause__, ObjectMissing):
                passed_over["gone"] += 1
            else:
                for message in wanted[one]:
                    self._leave(message, "left", str(refusal))
        self._pass_over(passed_over)
        return there

    def _refusal(self, one: CreatedObject) -> InputRefused | None:
        try:
            self._reader.head(one.uri)
        except InputRefused as error:
            return error
        return None

    def _submit(self, group: Group) -> None:
        """Until it is a batch, or known to hold no picture."""
        objects = {one.uri: one for one in group.objects}
        request = self._order.request(tuple(map(self._door.candidate, objects.values())), group.token)
        submission = self._patiently(lambda: self._submitted(request, set(objects)))
        self._patiently(lambda: self._claims.settle(group))
        self.totals.objects += len(objects)
        self.totals.rejected += len(submission.rejected)
        named = [{"input": one.input, "error": one.error} for one in submission.rejected]
        pictures = counted(len(objects), "picture")
        if submission.batch is None:
            self._tell(
                Told(
                    "nothing",
                    f"no batch of {pictures}",
                    {"objects": len(objects), "rejected": named},
                )
            )
            return
        self.totals.batches += submission.created
        self.totals.pairs += submission.pairs if submission.created else 0
        before = "" if submission.created else ", submitted before"
        self._tell(
            Told(
                "batch",
                f"{submission.batch}: {counted(submission.pairs, 'pair')} of {pictures}{before}",
                {
                    "batch": submission.batch,
                    "pairs": submission.pairs,
                    "contents": submission.contents,
                    "styles": submission.styles,
                    "created": submission.created,
                    "objects": len(objects),
                    "rejected": named,
                },
                is_answer=True,
            )
        )

    def _submitted(self, request: Request, contents: set[str]) -> Submission:
        try:
            return submitting.submit(request, self._connection, self._keep_hidden)
        except SubmissionRefused as refused:
            bad = {one.input for one in refused.rejected}
            if not contents <= bad:
                # Not for its pictures: there is something to mend, and then they are wanted.
                raise
            return Submission(
                None, 0, 0, 0, tuple(one for one in refused.rejected if one.input in contents), False
            )

    def _keep_hidden(self, progress: Progress | None = None) -> None:
        """Between two steps of long work."""
        if self._stopping():
            raise Stopping
        if time.monotonic() - self._hand.hidden_at > HIDDEN_SECONDS / 3:
            self._hand.hidden_at = time.monotonic()
            # If it fails they may come twice, which the claims see to.
            with suppress(ImpastoError):
                self._queue.hide(self._hand.settled(), HIDDEN_SECONDS)

    def _patiently(self, call: Callable[[], _Answer]) -> _Answer:
        """Again and again until it works; each failure is told. With `once` the first one is raised."""
        pause_seconds = 1.0
        while True:
            try:
                return call()
            except ImpastoError as error:
                if self._once:
                    raise
                self._tell(
                    Told(
                        "trouble",
                        f"{error}; again in {pause_seconds:.0f} s",
                        {"error": str(error), "kind": error.kind, "again_in_seconds": pause_seconds},
                    )
                )
                self._sleep(pause_seconds)
                pause_seconds = min(_LONGEST_PAUSE_SECONDS, 2 * pause_seconds)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._keep_hidden()
            time.sleep(min(0.2, left))

    def _leave(self, message: Message, kind: Kind, error: str) -> None:
        """Its receives are counted by the queue, whose own policy puts it away."""
        if message.id in self._hand.stays:
            return
        self._hand.stays.add(message.id)
        self.totals.left += 1
        self._tell(
            Told(
                kind,
                f"left on the queue: message {message.id} (received {message.receives} ×): {error}",
                {"message": message.id, "receives": message.receives, "error": error},
            )
        )

    def _pass_over(self, counts: Counter[str]) -> None:
        counts = +counts
        if not counts:
            return
        self.totals.passed_over += counts
        words = ", ".join(f"{count:,} {_WORDS[kind]}" for kind, count in sorted(counts.items()))
        self._tell(
            Told("passed_over", f"passed over: {words}", {"passed_over": dict(sorted(counts.items()))})
        )

    def _give_back(self) -> None:
        """At once, so that whoever comes next need not wait until they are hidden no longer."""
        with suppress(ImpastoError):
            self._queue.hide(self._hand.settled(), 0)


_WORDS: Final = {
    "again": "submitted before",
    "gone": "no longer there",
    "no_picture": "no picture by its name",
    "other_events": "of other kinds",
    "outside": "outside the prefix",
    "own": "Impasto's own",
}
