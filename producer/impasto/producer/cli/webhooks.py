"""`impasto webhooks`: whose URLs are told what happens."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.producer.cli.answers import as_columns, as_json, terminal_cells, timestamp
from impasto.producer.cli.options import JsonOption, QuietOption, completing
from impasto.producer.cli.screen import Screen
from impasto.producer.client import Client
from impasto.shared.printable import printable

if TYPE_CHECKING:
    from impasto.producer.webhooks.deliveries import Delivery, Health, Outcome
    from impasto.producer.webhooks.registry import Webhook
    from impasto.producer.webhooks.service import Added

app = typer.Typer(
    help="Tell URLs of what happens, signed by the Standard Webhooks scheme. `impasto beat` sends.",
    no_args_is_help=True,
)

NOT_TAKEN = 1
"""Exit code of a test that the endpoint did not take."""


known_webhooks = completing(lambda client: (webhook.id for webhook in client.webhooks.list()))

WebhookArgument = Annotated[
    str,
    typer.Argument(
        metavar="WEBHOOK",
        help="Its id, a beginning that only one has, or its URL.",
        autocompletion=known_webhooks,
    ),
]
SecretOption = Annotated[
    str | None,
    typer.Option(
        metavar="whsec_…",
        help="What signs; - reads it from standard input. Unless given one is made, and shown once.",
    ),
]


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://host/path")],
    events: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EVENT,…",
            help="batch.finished, batch.failed, pair.done, pair.failed, schedule.finished, or all. "
            "[default: batch.finished,schedule.finished]",
        ),
    ] = None,
    batch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN,…",
            help="Only of batches whose id or name, or of schedules whose name, is so; * and ? stand for "
            "anything. [default: all]",
        ),
    ] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    secret: SecretOption = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Tell a URL of what happens from now on."""
    with Client() as client:
        wanted = {} if events is None else {"events": _listed(events)}
        added = client.webhooks.add(
            url, batches=_listed(batch or []), description=description, secret=_read(secret), **wanted
        )
        health = client.webhooks.health(added.webhook.id)
    _show_added(added, health, "is told of " + ", ".join(added.webhook.events), as_json_=json_, quiet=quiet)


@app.command("list")
def list_(json_: JsonOption = False) -> None:
    """All webhooks, and how each fares."""
    with Client() as client:
        found = [(webhook, client.webhooks.health(webhook.id)) for webhook in client.webhooks.list()]
    if json_:
        as_json({"webhooks": [_fields(webhook, health) for webhook, health in found]})
    elif not found:
        typer.echo("no webhooks: add one with `impasto webhooks add`")
    else:
        rows = [("WEBHOOK", "STATE", "WAITING", "GIVEN UP", "LAST", "URL", "EVENTS")]
        for webhook, health in found:
            rows.append(
                (
                    webhook.id,
                    webhook.state.value,
                    str(health.waiting),
                    str(health.dead),
                    _last(health.last),
                    printable(webhook.shown_url),
                    ",".join(webhook.events),
                )
            )
        as_columns(rows, cells=terminal_cells(), whole=5)


@app.command()
def show(webhook: WebhookArgument, json_: JsonOption = False) -> None:
    """One webhook, and what came of the last delivery."""
    with Client() as client:
        found = client.webhooks.find(webhook)
        health = client.webhooks.health(found.id)
    fields = _fields(found, health)
    if json_:
        as_json(fields)
        return
    fields["events"] = ", ".join(fields["events"])
    fields["batches"] = printable(", ".join(fields["batches"])) or "all"
    last = health.last
    fields["last"] = "nothing sent yet" if last is None else f"{timestamp(last.at_ms)}, {last.told}"
    as_columns((name, printable(str(value))) for name, value in fields.items())


@app.command()
def remove(webhook: WebhookArgument, json_: JsonOption = False) -> None:
    """Tell it nothing any more, and forget what waits for it."""
    with Client() as client:
        removed = client.webhooks.remove(webhook)
    if json_:
        as_json({"removed": removed.id})
    else:
        typer.echo(f"{removed.id} is removed")


@app.command()
def pause(webhook: WebhookArgument, json_: JsonOption = False) -> None:
    """Send it nothing until it is resumed; its events are kept."""
    with Client() as client:
        _answer(client, client.webhooks.pause(webhook), as_json_=json_)


@app.command()
def resume(webhook: WebhookArgument, json_: JsonOption = False) -> None:
    """Send to it again, at once what waits; also to one that was switched off for answering 410."""
    with Client() as client:
        _answer(client, client.webhooks.resume(webhook), as_json_=json_)


@app.command()
def rotate(
    webhook: WebhookArgument,
    secret: SecretOption = None,
    keep_hours: Annotated[
        float, typer.Option(min=0, help="For how long the last secret signs beside the new one.")
    ] = 24.0,
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Sign with a new secret; for a day, or so long as is said, the last one signs too."""
    with Client() as client:
        rotated = client.webhooks.rotate(webhook, secret=_read(secret), overlap_seconds=keep_hours * 3600)
        health = client.webhooks.health(rotated.webhook.id)
    _show_added(rotated, health, "has a new secret", as_json_=json_, quiet=quiet)


@app.command("test")
def try_(
    webhook: Annotated[
        str,
        typer.Argument(
            metavar="WEBHOOK|URL",
            help="A webhook, or any URL.",
            autocompletion=known_webhooks,
        ),
    ],
    secret: Annotated[
        str | None,
        typer.Option(metavar="whsec_…", help="What signs a test to a URL that is no webhook; - reads it."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Send a signed `webhook.test` now, once, and show what comes back; exit code 0 when it is taken."""
    with Client() as client:
        tested = client.webhooks.test(webhook, secret=_read(secret))
    answer = tested.answer
    if json_:
        as_json(
            {
                "taken": answer.taken,
                "status": answer.status,
                "error": answer.error,
                "excerpt": answer.excerpt,
                "seconds": round(answer.seconds, 3),
                "webhook_id": tested.message,
                "url": tested.shown_url,
                "secret": tested.secret,
                "waiting": tested.waiting,
            }
        )
    else:
        verdict = "took the test" if answer.taken else "did not take the test"
        said = f"HTTP {answer.status}" if answer.status is not None else "no answer"
        typer.echo(f"{printable(tested.shown_url)} {verdict}: {said} after {answer.seconds:.2f} s")
        for line in (answer.error, answer.excerpt):
            if line:
                typer.echo(f"    {line}")
        if answer.taken and tested.waiting:
            typer.echo(f"waiting: {_deliveries(tested.waiting)}; impasto webhooks resume sends them at once")
        if tested.secret is not None:
            typer.echo(f"signed with {tested.secret}, made for this test: --secret gives another")
    raise typer.Exit(0 if answer.taken else NOT_TAKEN)


@app.command()
def deliveries(
    webhook: Annotated[
        str | None,
        typer.Argument(
            metavar="[WEBHOOK]",
            help="Only of this one.",
            autocompletion=known_webhooks,
            show_default=False,
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what was given up: dead letters.")] = False,
    json_: JsonOption = False,
) -> None:
    """What waits, what was delivered lately, and what was given up; only --json shows the bodies."""
    from impasto.producer.webhooks.deliveries import DeliveryState

    with Client() as client:
        found = client.webhooks.deliveries(webhook, state=DeliveryState.DEAD if failed else None)
    if json_:
        as_json({"deliveries": [_delivery_fields(each) for each in found]})
    elif not found:
        typer.echo("nothing was given up" if failed else "no deliveries")
    else:
        rows = [("DELIVERY", "WEBHOOK", "STATE", "TRIES", "AT", "EVENT", "BATCH", "LAST")]
        for each in found:
            rows.append(
                (
                    each.id,
                    each.webhook,
                    each.state.value,
                    str(each.attempts),
                    timestamp(each.at_ms),
                    each.message.type,
                    each.message.batch or "-",
                    "-" if each.last is None else each.last.told,
                )
            )
        as_columns(rows, cells=terminal_cells(), whole=5)


@app.command()
def redeliver(
    id: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="A delivery's id; with --failed a webhook's.")
    ],
    failed: Annotated[
        bool, typer.Option("--failed", help="All that was given up for a webhook, which is named.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Send again what was given up, delivered or is waiting: at once, under the same webhook-id."""
    from impasto.producer.webhooks.registry import WebhookState

    with Client() as client:
        count = client.webhooks.redeliver_dead(id) if failed else 1
        webhook = client.webhooks.find(id if failed else client.webhooks.redeliver(id).webhook)
    if json_:
        as_json({"redelivered": count})
    elif webhook.state is WebhookState.ACTIVE:
        typer.echo(f"{_deliveries(count)} will be sent again at once")
    else:
        typer.echo(
            f"{_deliveries(count)} will be sent again once {webhook.id}, which is {webhook.state.value}, "
            f"is resumed: impasto webhooks resume {webhook.id}"
        )


def _show_added(added: Added, health: Health, what: str, *, as_json_: bool, quiet: bool) -> None:
    screen = Screen(quiet=quiet)
    for warning in added.warnings:
        screen.note(warning)
    if as_json_:
        as_json(
            {"webhook": _fields(added.webhook, health), "secret": added.secret, "warnings": [*added.warnings]}
        )
        return
    typer.echo(f"{added.webhook.id} {what}")
    typer.echo(f"secret: {added.secret}")
    screen.note("the secret is not shown again: give it to the receiver now")


def _answer(client: Client, webhook: Webhook, *, as_json_: bool) -> None:
    health = client.webhooks.health(webhook.id)
    if as_json_:
        as_json(_fields(webhook, health))
    else:
        waiting = _deliveries(health.waiting)
        typer.echo(f"{webhook.id} is {webhook.state.value}; waiting: {waiting}")


def _fields(webhook: Webhook, health: Health) -> dict[str, Any]:
    """The public form of a webhook: never a secret."""
    return {
        "id": webhook.id,
        "url": webhook.shown_url,
        "events": [type.value for type in webhook.events],
        "batches": list(webhook.batches),
        "description": webhook.description,
        "state": webhook.state.value,
        "created_at": timestamp(webhook.created_ms),
        "waiting": health.waiting,
        "failing": health.failing,
        "delivered": health.taken,
        "given_up": health.dead,
        "dropped": health.dropped,
        "last": _outcome_fields(health.last),
    }


def _delivery_fields(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "webhook": delivery.webhook,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "at": timestamp(delivery.at_ms),
        "event": json.loads(delivery.message.body),
        "last": _outcome_fields(delivery.last),
    }


def _outcome_fields(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "at": timestamp(outcome.at_ms),
        "status": outcome.status,
        "error": outcome.error,
        "excerpt": outcome.excerpt,
        "seconds": outcome.seconds,
    }


def _deliveries(count: int) -> str:
    return f"{count:,} {'delivery' if count == 1 else 'deliveries'}"


def _last(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    return "no answer" if outcome.status is None else str(outcome.status)


def _listed(values: list[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _read(secret: str | None) -> str | None:
    from_stdin = "-"
    return sys.stdin.readline().strip() if secret == from_stdin else secret
