"""`impasto schedule`: what is restyled again and again, at times of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from impasto.producer.cli.answers import as_columns, as_json, counts_line, status_fields, terminal_cells
from impasto.producer.cli.blends import parse_blends
from impasto.producer.cli.options import JsonOption, QuietOption, completing
from impasto.producer.cli.screen import Screen
from impasto.producer.cli.style_options import (
    BlendOption,
    ExifOption,
    FormatOption,
    ManyValues,
    MasksOption,
    OutputNamesOption,
    PairsOption,
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
from impasto.producer.request import DEFAULT_PRESET
from impasto.shared.ledger import BatchStatus
from impasto.shared.printable import printable

if TYPE_CHECKING:
    from impasto.producer.schedules.api import Schedule, Schedules
    from impasto.producer.schedules.records import FireResult

app = typer.Typer(
    help="Restyle again and again, at times of its own: nightly, weekly, as a cron expression says.",
    no_args_is_help=True,
)

_WHOLE_COLUMNS: Final = 2  # NAME and NEXT; the rest gives way to a narrow terminal


NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The schedule's name.",
        autocompletion=completing(lambda client: (one.spec.name for one in client.schedules.all())),
    ),
]


@app.command(cls=ManyValues)
def add(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What to call it: small letters, digits, dashes.")
    ],
    cron: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION", help="When: minute, hour, day of month, month, day of week; or @daily, …"
        ),
    ],
    contents: Annotated[
        list[str],
        typer.Option(
            "--contents",
            "-c",
            help="Photographs: files, folders, globs, s3://bucket/prefix, store:prefix; one or more, looked "
            "through at each fire on the machine of impasto beat.",
        ),
    ],
    styles: StylesOption = None,
    timezone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Such as Europe/Berlin. [default: this machine's]"),
    ] = None,
    overlap: Annotated[
        Literal["skip", "queue", "allow"],
        typer.Option(help="When an earlier batch is not over: do nothing, wait for it, or run beside it."),
    ] = "skip",
    if_missed: Annotated[
        Literal["run", "skip"],
        typer.Option(help="What no beat was there to see: do it late, once, or not."),
    ] = "run",
    window: Annotated[
        str | None,
        typer.Option(metavar="22:00-06:00", help="Hours outside which its batches pause by themselves."),
    ] = None,
    blend: BlendOption = None,
    masks: MasksOption = None,
    preset: PresetOption = DEFAULT_PRESET,
    size: SizeOption = None,
    preview: PreviewOption = False,
    steps: StepsOption = None,
    format_: FormatOption = None,
    quality: QualityOption = None,
    exif: ExifOption = None,
    set_: SetOption = None,
    priority: PriorityOption = 5,
    pairs: PairsOption = "product",
    output_names: OutputNamesOption = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add a schedule: at each of its times what is new is restyled.

    Paths are kept as they are on this machine: add it where impasto beat runs, which reads them.
    """
    from impasto.producer.client import Client

    with Client() as client:
        schedule = client.schedules.add(
            name,
            cron=cron,
            contents=contents,
            styles=[*(styles or ()), *parse_blends(blend or ())],
            timezone=timezone,
            masks=masks or (),
            preset=preset,
            settings=parse_settings(
                size, steps, set_ or (), preview=preview, format=format_, quality=quality, exif=exif
            ),
            pairs=pairs,
            output_names=output_names,
            owner=owner(),
            priority=priority,
            overlap=overlap,
            if_missed=if_missed,
            window=window,
        )
        _note_no_beat(client.schedules, Screen(quiet=quiet))
    if json_:
        as_json(fields(schedule))
    else:
        typer.echo(f"{schedule.spec.name}: fires next {_next(schedule)}")


@app.command("list")
def list_(json_: JsonOption = False) -> None:
    """List all schedules, the one that fires next first."""
    from impasto.producer.client import Client

    with Client() as client:
        known = client.schedules.all()
    if json_:
        as_json({"schedules": [fields(schedule) for schedule in known]})
    elif not known:
        typer.echo("no schedule yet: make one with impasto schedule add")
    else:
        rows = [(one.spec.name, _next(one), told_last(one), one.spec.cron) for one in known]
        as_columns([("NAME", "NEXT", "LAST", "CRON"), *rows], cells=terminal_cells(), whole=_WHOLE_COLUMNS)


@app.command()
def show(name: NameArgument, json_: JsonOption = False) -> None:
    """Show a schedule: what it restyles and when, what waits, and what came of its last fires."""
    from impasto.producer.client import Client

    with Client() as client:
        schedule = client.schedules.get(name)
    if json_:
        as_json(fields(schedule))
    else:
        as_columns(_rows(schedule))


@app.command("run-now")
def run_now(name: NameArgument, json_: JsonOption = False, quiet: QuietOption = False) -> None:
    """Fire a schedule once, beside its times and even while it is paused."""
    from impasto.producer.client import Client

    screen = Screen(quiet=quiet)
    with Client() as client:
        fire = client.schedules.run_now(name)
        hours = client.schedules.get(name).spec.hours
        if hours is not None and not hours.is_open(now := datetime.now(UTC)):
            at = hours.next_edge(now).at.astimezone(hours.zone)
            screen.note(f"its window {hours} is closed: the batch waits until {_clock(at)}")
        if not _note_no_beat(client.schedules, screen):
            screen.note(f"what comes of it: impasto schedule show {name}")
    if json_:
        as_json(fire.model_dump(mode="json"))
    else:
        typer.echo(f"{name} fires now")


@app.command()
def pause(name: NameArgument, json_: JsonOption = False) -> None:
    """Fire a schedule no more until it is resumed. A batch that runs goes on."""
    from impasto.producer.client import Client

    with Client() as client:
        _answer(client.schedules.pause(name), as_json_=json_)


@app.command()
def resume(name: NameArgument, json_: JsonOption = False) -> None:
    """Fire a paused schedule again from its next time on. What fell into the pause is not made up for."""
    from impasto.producer.client import Client

    with Client() as client:
        _answer(client.schedules.resume(name), as_json_=json_)


@app.command()
def remove(name: NameArgument, json_: JsonOption = False) -> None:
    """Remove a schedule. Its batches, and what they made, stay."""
    from impasto.producer.client import Client

    with Client() as client:
        client.schedules.remove(name)
    if json_:
        as_json({"removed": name})
    else:
        typer.echo(f"{name} is removed; its batches stay")


def fields(schedule: Schedule) -> dict[str, Any]:
    """The public form of a schedule."""
    return {
        **schedule.spec.model_dump(mode="json"),
        "next_fire": None if schedule.next_fire is None else _iso(schedule.next_fire),
        "waiting": [fire.model_dump(mode="json") for fire in schedule.waiting],
        "results": [result.model_dump(mode="json") for result in schedule.results],
        "last_batch": None if schedule.last_batch is None else status_fields(schedule.last_batch),
    }


def told_last(schedule: Schedule) -> str:
    """What came of the last fire, in words."""
    return "never fired" if schedule.last is None else _told(schedule.last, schedule.last_batch)


def _told(result: FireResult, batch: BatchStatus | None) -> str:
    if batch is not None and result.batch == batch.batch:
        return f"{batch.batch} is {batch.state.value}: {counts_line(batch)}"
    if result.batch is not None:
        return f"{result.batch}: {printable(result.message)}"
    word = result.outcome.replace("_", " ")
    told = printable(result.message)
    return told if told.startswith(word) else f"{word}: {told}".removesuffix(": ")


def _rows(schedule: Schedule) -> list[tuple[str, str]]:
    spec = schedule.spec
    settings = [f"{key}={value}" for key, value in spec.settings.items()]
    rows = [
        ("name", spec.name),
        ("cron", f"{spec.cron} in {spec.timezone}"),
        ("next", _next(schedule)),
        *(("contents", printable(source)) for source in spec.contents),
        *(("styles", printable(source)) for source in spec.styles),
        *(("blend", printable(blend.name)) for blend in spec.blends),
        *(("masks", printable(source)) for source in spec.masks),
        ("settings", printable(", ".join([spec.preset or DEFAULT_PRESET, *settings]))),
        ("priority", str(spec.priority)),
        ("overlap", spec.overlap),
        ("if missed", spec.if_missed),
    ]
    if spec.output_names is not None:
        rows.append(("output names", printable(spec.output_names)))
    if spec.window is not None:
        rows.append(("window", spec.window))
    rows += [
        (
            "waiting",
            f"{_clock(fire.fired_at.astimezone(spec.zone))}{fire.note and f', {printable(fire.note)}'}",
        )
        for fire in schedule.waiting
    ]
    rows += [
        ("last", f"{_clock(result.fired_at.astimezone(spec.zone))}, {_told(result, schedule.last_batch)}")
        for result in schedule.results
    ]
    return rows


def _answer(schedule: Schedule, *, as_json_: bool) -> None:
    if as_json_:
        as_json(fields(schedule))
    elif schedule.next_fire is None:
        typer.echo(f"{schedule.spec.name} is paused")
    else:
        typer.echo(f"{schedule.spec.name}: fires next {_next(schedule)}")


def _note_no_beat(schedules: Schedules, screen: Screen) -> bool:
    """Whether nobody is there to fire anything."""
    missing = not schedules.beat_lives()
    if missing:
        screen.note("no beat is alive: nothing fires until one is (impasto up, or impasto beat)")
    return missing


def _next(schedule: Schedule) -> str:
    if schedule.next_fire is None:
        return "paused"
    return _clock(schedule.next_fire.astimezone(schedule.spec.zone))


def _clock(local: datetime) -> str:
    return f"{local:%a %Y-%m-%d %H:%M %Z}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
