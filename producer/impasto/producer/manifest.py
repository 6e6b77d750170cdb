"""A manifest: pairs written down, one a row, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TextIO, get_args

from impasto.producer.request import SubmissionRefused, setting_value
from impasto.producer.sources import Rejected, problem_of_name
from impasto.shared.errors import BadSettings
from impasto.shared.printable import printable

ManifestFormat = Literal["csv", "jsonl"]

STANDARD_INPUT: Final = "-"
_COLUMNS: Final = ("content", "style", "mask", "name")
_SETTINGS: Final = "settings"
_SETTING: Final = "settings."
_TOLD: Final = 20
_DELIMITERS: Final = ",;\t"


class Row(NamedTuple):
    """One pair, by where its inputs lie. `name` is what its outputs call the content.

    `settings` are fields that replace the batch's; rows of equal settings share one object.
    """

    line: int
    content: str
    style: str
    mask: str | None
    name: str | None
    settings: Mapping[str, Any]


@dataclass
class Manifest:
    """All rows, in order. `label` is what messages call the file.

    `repeated` are the settings of rows that said what an earlier one had said, and are no pairs. `folder` is
    what relative paths are relative to, empty where that is here.
    """

    label: str
    rows: list[Row] = field(default_factory=list)
    repeated: list[Mapping[str, Any]] = field(default_factory=list)
    folder: str = ""


class _Senseless(ValueError):
    """What is wrong with a row, and in which column if it is one."""

    def __init__(self, column: str | None, message: str) -> None:
        super().__init__(message)
        self.column = column


def read_manifest(source: str | Path, format: ManifestFormat | None = None) -> Manifest:
    """All rows of a file, or of standard input (`-`); relative paths become relative to the file's folder.

    The format is told by the file's extension unless given. Raises BadSettings for a file that can't be read
    or whose format is not known, and SubmissionRefused that names every senseless row by line and column.
    """
    text = os.fspath(source)
    label = "standard input" if text == STANDARD_INPUT else text
    read = _READERS[_format_of(text, format)]
    folder = "" if text == STANDARD_INPUT else os.path.dirname(os.path.expanduser(text))  # noqa: PTH111, PTH120
    manifest = Manifest(label, folder=folder)
    builder = _Rows(folder)
    problems: list[Rejected] = []
    count = 0
    with _open(text, label) as file:
        for line, fields in read(file):
            try:
                if isinstance(fields, _Senseless):
                    raise fields
                row = builder.row(line, fields)
            except _Senseless as problem:
                count += 1
                if len(problems) < _TOLD:
                    problems.append(Rejected(place(label, line, problem.column), str(problem)))
                continue
            if builder.is_new(row):
                manifest.rows.append(row)
            else:
                manifest.repeated.append(row.settings)
    if problems:
        more = f", of which the first {_TOLD} are named" if count > len(problems) else ""
        things = "row makes no sense" if count == 1 else "rows make no sense"
        raise SubmissionRefused(
            f"{printable(label)}: {count:,} {things}{more}; nothing was submitted", tuple(problems)
        )
    if not manifest.rows:
        raise SubmissionRefused(f"{printable(label)} has no row; nothing was submitted")
    return manifest


def place(label: str, line: int, column: str | None = None) -> str:
    """`pairs.csv, line 7, column style`."""
    return f"{label}, line {line}" + (f", column {printable(column)}" if column is not None else "")


class _Rows:
    """Makes rows of fields; equal texts and settings are kept once, however many rows have them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._texts: dict[str, str] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._seen: set[tuple[str | int | None, ...]] = set()

    def row(self, line: int, fields: Mapping[str, Any]) -> Row:
        unknown = next((name for name in fields if name not in (*_COLUMNS, _SETTINGS)), None)
        if unknown is not None:
            raise _Senseless(unknown, _unknown_column(unknown))
        return Row(
            line,
            self._required(fields, "content"),
            self._required(fields, "style"),
            self._address(fields, "mask"),
            self._name(fields),
            self._settings_of(fields),
        )

    def is_new(self, row: Row) -> bool:
        """Whether no earlier row said the same."""
        before = len(self._seen)
        self._seen.add((*row[1:5], id(row.settings)))
        return len(self._seen) > before

    def _required(self, fields: Mapping[str, Any], column: str) -> str:
        address = self._address(fields, column)
        if address is None:
            raise _Senseless(column, "it is empty: give a file, s3://bucket/key or store:key")
        return address

    def _address(self, fields: Mapping[str, Any], column: str) -> str | None:
        text = _text(fields, column)
        if text is None:
            return None
        problem = problem_of_name(text)
        if problem is not None:
            raise _Senseless(column, f"{problem}: give a file, s3://bucket/key or store:key")
        if not (text.startswith(("store:", "file:", "~")) or "://" in text):
            text = os.path.join(self._folder, text)  # noqa: PTH118
        return self._texts.setdefault(text, text)

    def _name(self, fields: Mapping[str, Any]) -> str | None:
        name = _text(fields, "name")
        if name is not None and not (len(name) <= 200 and name.isprintable() and name.strip()):
            raise _Senseless("name", "a name has 1 to 200 printable characters: give one, or leave it out")
        return name

    def _settings_of(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        settings = fields.get(_SETTINGS) or {}
        if not isinstance(settings, dict):
            raise _Senseless(_SETTINGS, 'it is no object: write {"steps": 100}')
        return self._settings.setdefault(json.dumps(settings, sort_keys=True), settings)


def _text(fields: Mapping[str, Any], column: str) -> str | None:
    value = fields.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        shown = printable(json.dumps(value))
        raise _Senseless(column, f"it is {shown}, which is no text: write it in quotes")
    return value


def _unknown_column(name: str) -> str:
    return (
        f"no column is called {printable(name)}: take it out, or call it {', '.join(_COLUMNS)} "
        f"or, for a setting, {_SETTING}NAME (CSV) or {_SETTINGS} (JSON lines)"
    )


def _format_of(source: str, format: ManifestFormat | None) -> ManifestFormat:
    if format is not None:
        return format
    extension = os.path.splitext(source)[1].lower().removeprefix(".")  # noqa: PTH122
    for known in get_args(ManifestFormat):
        if extension == known:
            return known  # type: ignore[no-any-return]
    what = (
        "standard input may be CSV or JSON lines"
        if source == STANDARD_INPUT
        else f"{printable(source)} is neither .csv nor .jsonl by its name"
    )
    raise BadSettings(f"{what}: say --manifest-format csv or jsonl")


@contextmanager
def _open(source: str, label: str) -> Iterator[TextIO]:
    """UTF-8, with the mark or without that spreadsheets put before it."""
    try:
        if source == STANDARD_INPUT:
            file = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
            yield file
            file.detach()
        else:
            with Path(source).expanduser().open(encoding="utf-8-sig", newline="") as opened:
                yield opened
    except UnicodeDecodeError as error:
        raise BadSettings(f"{printable(label)} is not UTF-8: save it as UTF-8") from error
    except OSError as error:
        raise BadSettings(f"{printable(label)} can't be read: {error.strerror or error}") from error


def _read_jsonl(file: TextIO) -> Iterator[tuple[int, Mapping[str, Any] | _Senseless]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, _Senseless(None, f"it is no JSON ({error}): write one object a line")
            continue
        if isinstance(fields, dict):
            yield number, fields
        else:
            yield number, _Senseless(None, 'it is no object: write {"content": "…", "style": "…"}')


def _read_csv(file: TextIO) -> Iterator[tuple[int, Mapping[str, Any] | _Senseless]]:
    before, first = next(((i, line) for i, line in enumerate(file) if line.strip()), (0, ""))
    # Where the comma is the decimal sign, spreadsheets write semicolons.
    delimiter = max(_DELIMITERS, key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    problem = _header_problem(header)
    if problem is not None:
        yield before + 1, problem
        return
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        # A cell in quotes may have lines of its own: the row is where it begins.
        line = before + 2 + rows.line_num
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # What follows an open quote can't be told apart into rows.
            yield line, _Senseless(None, f"it is no CSV ({error}): close its quotes")
            return
        if any(cells):
            yield line, _cells(header, cells)


def _header_problem(header: list[str]) -> _Senseless | None:
    for name in header:
        if header.count(name) > 1:
            return _Senseless(name, "it is there twice: leave one")
        if name not in _COLUMNS and not (name.startswith(_SETTING) and name != _SETTING):
            return _Senseless(name, _unknown_column(name))
    for needed in ("content", "style"):
        if needed not in header:
            return _Senseless(needed, "it is not there: the first line names the columns, content,style")
    return None


def _cells(header: list[str], cells: list[str]) -> Mapping[str, Any] | _Senseless:
    if len(cells) > len(header):
        return _Senseless(
            str(len(header) + 1), f"{len(cells)} cells under {len(header)} columns: quote what holds a comma"
        )
    fields: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=False):
        if not name.startswith(_SETTING):
            fields[name] = cell
        elif cell.strip():
            key = name.removeprefix(_SETTING)
            settings[key] = setting_value(key, cell.strip())
    return {**fields, _SETTINGS: settings}


_READERS: Final[Mapping[str, Callable[[TextIO], Iterable[tuple[int, Mapping[str, Any] | _Senseless]]]]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}
