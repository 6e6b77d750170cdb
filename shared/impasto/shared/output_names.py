"""What a batch's outputs are called: a template with places for its inputs' names, filled pair by pair."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from impasto.shared.errors import BadSettings
from impasto.shared.names import slugify

DEFAULT_OUTPUT_NAMES: Final = "{content}__{style}"

FIELDS: Final = ("content", "style", "batch", "date", "path")

PART_LIMIT_BYTES: Final = 245
"""Of each folder and of the name: what a file's name may have, less the longest extension."""
_LIMIT_BYTES: Final = 900
"""Of the whole name: what a key may have, less what stands before it."""
_TEMPLATE_LIMIT: Final = 900
_COMPARED_LIMIT: Final = 1_000_000
"""So many names are compared one by one, where a template alone does not tell that they differ."""

_FORBIDDEN: Final = frozenset('\\<>:"|?*{}')
"""What Windows takes in no file's name, and the marks of a template."""
_TAKEN: Final = frozenset(("report",))
"""What a batch's own files are called where its outputs are fetched to."""

_OUTPUT_FILE: Final = re.compile(r"\.(png|jpg|webp|tif|avif|json)$", re.IGNORECASE)
"""How the files end that outputs are."""

_TOKEN: Final = re.compile(r"\{(\w+)\}|([^{}]+)")


def problem_of_output_name(name: str) -> str | None:
    """Why outputs can't be called so; None for a name that stays below its prefix on every store and disk.

    Slashes make folders.
    """
    parts = name.split("/")
    if not all(parts):
        return "it is empty, starts or ends with a slash, or has two in a row"
    if not name.isprintable():
        return "it has control characters, or others that can't be seen"
    if not unicodedata.is_normalized("NFC", name):
        return "it is not in Unicode's normal form C"
    found = sorted(_FORBIDDEN & set(name))
    if found:
        return f"it has {' '.join(found)}, which not every disk takes in a name"
    for part in parts:
        if part[0] in ". " or part[-1] in ". ":
            return f"{part!r} starts or ends with a dot or a space"
        if len(part.encode()) > PART_LIMIT_BYTES:
            return f"{part[:40]!r}… has {len(part.encode())} bytes, and {PART_LIMIT_BYTES} are the most"
    for folder in parts[:-1]:
        if _OUTPUT_FILE.search(folder):
            # A file and a folder can't have one name.
            return f"its folder {folder!r} is called as a picture's file"
    if len(name.encode()) > _LIMIT_BYTES:
        return f"it has {len(name.encode())} bytes, and {_LIMIT_BYTES} are the most"
    if name.casefold() in _TAKEN:
        return "the batch's own report is called so"
    return None


def check_output_names(template: str) -> str:
    """The template itself. Raises BadSettings for one that can give no name, in one line with the mend."""
    shown = f"output names {template[:80]!r}"
    if len(template) > _TEMPLATE_LIMIT:
        raise BadSettings(f"{shown}… have more than {_TEMPLATE_LIMIT} characters")
    if "".join(match[0] for match in _TOKEN.finditer(template)) != template:
        raise BadSettings(f"{shown} have a brace without its other half: write {_listed(FIELDS)}")
    unknown = [name for name, _ in _tokens(template) if name and name not in FIELDS]
    if unknown:
        raise BadSettings(f"{shown} have {{{unknown[0]}}}, which is nothing: write {_listed(FIELDS)}")
    if template.split("/")[-1] == "{path}":
        raise BadSettings(f"{shown} end with folders: put {{content}} or {{style}} behind {{path}}/")
    sample = dict.fromkeys(FIELDS, "x")
    for path in ("x", ""):
        problem = problem_of_output_name(_filled(template, {**sample, "path": path}))
        if problem is not None:
            raise BadSettings(f"{shown} can name nothing: {problem}")
    return template


class OutputNames:
    """The names of one batch's outputs: a checked template with the batch's id and its date (UTC) in it."""

    def __init__(self, template: str, *, batch: str, date: str) -> None:
        self._template = template
        self._known = {"batch": batch, "date": date}

    def name(self, *, content: str, style: str, path: str) -> str:
        """Of one pair, without an extension, by its inputs' slugs; `path` is empty or `a/b`."""
        return _filled(self._template, {**self._known, "content": content, "style": style, "path": path})

    def check(self, contents: Sequence[tuple[str, str]], styles: Sequence[str], *, zipped: bool) -> None:
        """Raises BadSettings, in one line, unless every pair has a name of its own below the batch's prefix,
        whatever a file system thinks of upper and lower case. `contents`: slug and path of each.
        """
        check_tells_apart(self._template, len(contents), len(styles), zipped=zipped)
        longest = max(styles, key=lambda style: len(style.encode()))
        first, path = contents[0]
        for one in chain(
            (self.name(content=content, style=longest, path=path) for content, path in contents),
            (self.name(content=first, style=style, path=path) for style in styles),
        ):
            problem = problem_of_output_name(one)
            if problem is not None:
                raise BadSettings(
                    f"an output would be called {one[:200]!r}, but {problem}: change the output names"
                )
        if not _always_differ(self._template):
            self._compare(contents, styles, zipped=zipped)

    def _compare(self, contents: Sequence[tuple[str, str]], styles: Sequence[str], *, zipped: bool) -> None:
        total = len(contents) if zipped else len(contents) * len(styles)
        if total > _COMPARED_LIMIT:
            raise BadSettings(
                f"output names {self._template!r} may be the same for several of {total:,} pairs: "
                "put / or __ between {content} and {style}, and / behind {path}"
            )
        pairs: Iterable[tuple[tuple[str, str], str]] = (
            zip(contents, styles, strict=True) if zipped else ((c, s) for c in contents for s in styles)
        )
        # Hashes, as the names themselves would take hundreds of megabytes.
        seen: set[int] = set()
        for (content, path), style in pairs:
            name = self.name(content=content, style=style, path=path)
            known = len(seen)
            seen.add(hash(name.casefold()))
            if len(seen) == known:
                raise BadSettings(
                    f"two pairs would be called {name!r}: put / or __ between {{content}} and {{style}}, "
                    "and / behind {path}"
                )


def check_tells_apart(template: str, contents: int, styles: int, *, zipped: bool) -> None:
    """Raises BadSettings that names what is missing, when the template can't tell so many inputs apart."""
    fields = {name for name, _ in _tokens(template)}
    if zipped:
        if contents > 1 and not fields & {"content", "style"}:
            raise BadSettings(
                f"output names {template!r} are the same for all {contents:,} pairs: put {{content}} in"
            )
        return
    for field, count in (("content", contents), ("style", styles)):
        if count > 1 and field not in fields:
            raise BadSettings(
                f"output names {template!r} are the same for all {count:,} {field}s: put {{{field}}} in"
            )


def folders_of(path: str) -> str:
    """A content's folders as `{path}` has them: each a slug, and none called as an output's file."""
    slugs = (slugify(part, keep_extension=True) for part in path.split("/") if part.strip(". "))
    # Once more a slug: `trip_.jpg` would otherwise have two underscores in a row.
    return "/".join(slugify(_OUTPUT_FILE.sub(r"_\1", slug), keep_extension=True) for slug in slugs)


def uses_path(template: str | None) -> bool:
    """Whether the contents' folders are part of the names."""
    return template is not None and "{path}" in template


def _tokens(template: str) -> list[tuple[str, str]]:
    """Fields and texts in turn, as (field, "") and ("", text)."""
    return [(match[1] or "", match[2] or "") for match in _TOKEN.finditer(template)]


def _filled(template: str, values: dict[str, str]) -> str:
    parts = [
        "".join(text or values[field] for field, text in _tokens(part))
        if part != "{path}"
        else values["path"]
        for part in template.split("/")
    ]
    # A content without folders has none in its outputs' names either.
    return "/".join(
        filled for filled, part in zip(parts, template.split("/"), strict=True) if filled or part != "{path}"
    )


def _always_differ(template: str) -> bool:
    """Whether other inputs give other names, whatever they are called, since each field that tells them apart
    can be read back: it is alone in its part, or what stands between is what no slug has.
    """
    told: set[str] = set()
    parts = template.split("/")
    for part in parts:
        varying = [name for name, _ in _tokens(part) if name in ("content", "style", "path")]
        # No slug has a double underscore, so it is read one way only.
        apart = any(f"{{{a}}}__{{{b}}}" in part for a, b in (("content", "style"), ("style", "content")))
        if part == "{path}":
            continue
        if "path" in varying or len(varying) > (2 if apart else 1):
            return False
        told |= set(varying)
    fields = {name for name, _ in _tokens(template)} & {"content", "style"}
    return told == fields and parts.count("{path}") <= 1


def _listed(names: Sequence[str]) -> str:
    shown = [f"{{{name}}}" for name in names]
    return f"{', '.join(shown[:-1])} or {shown[-1]}"
