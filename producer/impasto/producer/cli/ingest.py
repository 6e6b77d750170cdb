"""`impasto ingest`: pictures that arrive in S3 become pairs."""

from __future__ import annotations

from typing import Annotated

import typer

from impasto.producer.cli.answers import SOME_FAILED, as_json
from impasto.producer.cli.blends import parse_blends
from impasto.producer.cli.options import JsonOption, NoProgressOption, QuietOption
from impasto.producer.cli.screen import Screen
from impasto.producer.cli.style_options import (
    BlendOption,
    ExifOption,
    FormatOption,
    PresetOption,
    PreviewOption,
    PriorityOption,
    QualityOption,
    SetOption,
    SizeOption,
    StepsOption,
    StylesOption,
    owner,
    parse_settings,
)
from impasto.producer.ingest.told import Told, Totals, counted
from impasto.producer.request import DEFAULT_PRESET


def ingest(
    queue: Annotated[
        str, typer.Option(metavar="URL-or-NAME", help="The SQS queue that S3's notifications go to.")
    ],
    styles: StylesOption = None,
    blend: BlendOption = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="s3://BUCKET/FOLDER/",
            help="Only what arrives there; FOLDER/ means any bucket. [default: whatever the queue tells of]",
        ),
    ] = None,
    preset: PresetOption = DEFAULT_PRESET,
    size: SizeOption = None,
    preview: PreviewOption = False,
    steps: StepsOption = None,
    format_: FormatOption = None,
    quality: QualityOption = None,
    exif: ExifOption = None,
    set_: SetOption = None,
    name: Annotated[str, typer.Option("--name", "-n", help="What the batches' names begin with.")] = "ingest",
    priority: PriorityOption = 5,
    once: Annotated[
        bool, typer.Option("--once", help="Take what is on the queue now, then end; for cron.")
    ] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Restyle each picture that arrives in S3, as an SQS queue tells of it, with a set of paintings.

    Each version of an object is submitted exactly once; what comes together is one batch. Impasto's own
    outputs never come in. It runs until it is stopped (SIGTERM, Ctrl-C): what it has in hand is then back on
    the queue.
    """
    from impasto.producer.blends import find_styles
    from impasto.producer.client import Client
    from impasto.producer.ingest.door import Door
    from impasto.producer.ingest.ingestion import Ingestion, Order
    from impasto.producer.ingest.queue import MessageQueue
    from impasto.producer.local.signals import StopSignals
    from impasto.producer.request import SubmissionRefused, make_settings
    from impasto.shared.store.inputs import open_input_reader

    if not styles and not blend:
        raise typer.BadParameter("give --styles, or --blend, or both")
    screen = Screen(quiet=quiet, progress=not no_progress)
    with Client() as client, StopSignals() as signals:
        connection = client.connection
        deployment = connection.deployment
        store = connection.store
        door = Door.make(prefix, store.url, deployment.input_prefixes)
        fields = parse_settings(
            size, steps, set_ or (), preview=preview, format=format_, quality=quality, exif=exif
        )
        settings = make_settings(deployment, fields, preset)
        order = Order(
            styles=(*(styles or ()), *parse_blends(blend or ())),
            settings=settings,
            name=name,
            owner=owner(),
            priority=priority,
        )
        connection.check()
        reader = open_input_reader(deployment, store)
        found = find_styles(order.styles, list_objects=reader.list)
        for one in found.rejected:
            screen.warn(f"rejected: {one.input}: {one.error}")
        if not any(not candidate.left_out for candidate in found.candidates):
            raise SubmissionRefused("no style is left: nothing can be made of what arrives")
        messages = MessageQueue(queue, deployment)
        if not messages.has_dead_letters():
            screen.note(
                f"queue {queue} has no dead-letter queue: a message that is no event of S3 would come again "
                "until it is too old; give it a redrive policy"
            )
        if not once:
            screen.note(f"waiting for pictures from queue {queue}")

        def tell(told: Told) -> None:
            if json_:
                as_json({"event": told.event, **told.fields})
            elif told.is_answer:
                typer.echo(told.line)
            for one in told.fields.get("rejected", ()):
                screen.warn(f"rejected: {one['input']}: {one['error']}")
            if told.event in ("poison", "left", "trouble"):
                screen.warn(told.line)
            elif told.event != "batch" and not no_progress:
                screen.note(told.line)

        totals = Ingestion(client, messages, door, reader, order, tell=tell, stopping=signals.stopping).run(
            once=once
        )
    if json_:
        as_json({"event": "stopped", **totals.fields()})
    else:
        screen.note(_summary(totals, stopped=signals.stopping()))
    if once and totals.left:
        raise typer.Exit(SOME_FAILED)


def _summary(totals: Totals, *, stopped: bool) -> str:
    left = f", {counted(totals.left, 'message')} left on the queue" if totals.left else ""
    return (
        f"{'stopped' if stopped else 'the queue is empty'}: {counted(totals.messages, 'message')}, "
        f"{counted(totals.objects, 'picture')}, {counted(totals.batches, 'batch', 'batches')}, "
        f"{counted(totals.pairs, 'pair')}{left}"
    )
