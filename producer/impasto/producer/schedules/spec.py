"""`ScheduleSpec`: what a schedule is, whole and frozen, as Redis and the store keep it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from impasto.producer.blends import Blend
from impasto.producer.request import Pairs, make_settings
from impasto.producer.schedules.cron import checked_cron
from impasto.producer.schedules.window import Window
from impasto.producer.schedules.zones import zone
from impasto.shared import layout
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings
from impasto.shared.output_names import check_output_names, check_tells_apart
from impasto.shared.printable import printable
from impasto.shared.settings import StyleSettings

Overlap = Literal["skip", "queue", "allow"]
"""What a fire does while an earlier batch of the schedule is not over: nothing; wait; run beside it."""

IfMissed = Literal["run", "skip"]
"""What is done about fires that nobody was there to see: one late run, or none."""

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,39}$"
_TOKEN: Final = "schedule"  # noqa: S105 - tells such tokens from those that people give


class ScheduledBlend(BaseModel):
    """A `Blend` as a schedule keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    paintings: dict[str, float]

    def blend(self) -> Blend:
        return Blend(self.name, dict(self.paintings.items()))


class ScheduleSpec(BaseModel):
    """What to restyle, how, and when.

    `contents`, `styles` and `masks` are sources as of `Client.submit`, paths absolute: they are read on the
    machine of `impasto beat`. `settings` are fields that replace the preset's. `cron` and `window` go by
    `timezone`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str
    cron: str
    timezone: str
    contents: tuple[str, ...] = Field(min_length=1)
    styles: tuple[str, ...] = ()
    blends: tuple[ScheduledBlend, ...] = ()
    masks: tuple[str, ...] = ()
    preset: str | None = None
    settings: dict[str, Any] = {}
    pairs: Pairs = "product"
    output_names: str | None = None
    owner: str = ""
    priority: int = Field(5, ge=0, le=9)
    overlap: Overlap = "skip"
    if_missed: IfMissed = "run"
    window: str | None = None
    paused: bool = False
    created_at: AwareDatetime

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return checked_name(name)

    @field_validator("cron")
    @classmethod
    def _is_an_expression(cls, expression: str) -> str:
        return checked_cron(expression)

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return zone(name).key

    @field_validator("window")
    @classmethod
    def _is_a_window(cls, text: str | None) -> str | None:
        return None if text is None else str(Window.parse(text, "UTC"))

    @field_validator("output_names")
    @classmethod
    def _tell_all_pairs_apart(cls, template: str | None) -> str | None:
        """Whatever the nights bring."""
        if template is not None:
            check_tells_apart(check_output_names(template), 2, 2, zipped=False)
        return template

    @classmethod
    def make(cls, **fields: Any) -> Self:
        """Raises BadSettings that names the field."""
        try:
            return cls(**fields)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise BadSettings(f"no such schedule can be: {'; '.join(problems)}") from error

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """As the store keeps it. Raises BadSettings."""
        try:
            fields = json.loads(data)
        except ValueError as error:
            raise BadSettings(f"{layout.SCHEDULE_NAME} is no JSON") from error
        if not isinstance(fields, dict):
            raise BadSettings(f"{layout.SCHEDULE_NAME} is no object")
        return cls.make(**fields)

    @property
    def zone(self) -> ZoneInfo:
        return zone(self.timezone)

    @property
    def hours(self) -> Window | None:
        """The window in the schedule's time zone."""
        return None if self.window is None else Window.parse(self.window, self.timezone)

    @property
    def style_sources(self) -> tuple[str | Blend, ...]:
        """Styles and blends, as `Client.submit` takes them."""
        return (*self.styles, *(scheduled.blend() for scheduled in self.blends))

    def style_settings(self, deployment: Deployment) -> StyleSettings:
        """The settings whole, on that deployment. Raises BadSettings."""
        return make_settings(deployment, self.settings, self.preset)

    def token(self, fired_at: datetime) -> str:
        """What makes one batch of a fire, however often it is done; `fired_at` is its nominal time."""
        return f"{_TOKEN} {self.name} {fired_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def batch_name(self, fired_at: datetime) -> str:
        """What the batch of that fire is called, by the schedule's clock."""
        return f"{self.name} {fired_at.astimezone(self.zone):%Y-%m-%d %H:%M}"


def checked_name(name: str) -> str:
    """Raises BadSettings for what no schedule may be called."""
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise BadSettings(
            f"a schedule can't be called {printable(name)!r}: give 1 to 40 small letters, digits, dots, "
            "dashes and underscores, the first a letter or a digit"
        )
    return name


def schedule_of(token: str | None) -> str | None:
    """The schedule whose fire has that token; None for any other token."""
    if token is None:
        return None
    kind, _, rest = token.partition(" ")
    name, _, _ = rest.partition(" ")
    return name if kind == _TOKEN and name else None
