"""From what people name (folders, files, globs, s3:// and store: prefixes) to the single inputs in it."""

# ruff: noqa: PTH111, PTH112, PTH116, PTH120, PTH122
# A hundred thousand names are handled as text: as Path objects they take several times as long.

from __future__ import annotations

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from impasto.producer.faults import fault_of_the_machine
from impasto.producer.globs import Globber, goes_deep
from impasto.producer.kinds import Kind, kind_of
from impasto.producer.memory import Picture
from impasto.shared.errors import BadPicture, BadSettings, Permanent
from impasto.shared.jobs import LONGEST_ADDRESS
from impasto.shared.pictures import FORMATS
from impasto.shared.printable import printable
from impasto.shared.store.open import file_path

RAW_EXTENSIONS: Final = frozenset(
    (
        "3fr",
        "arw",
        "cr2",
        "cr3",
        "crw",
        "dcr",
        "dng",
        "erf",
        "fff",
        "gpr",
        "iiq",
        "kdc",
        "mef",
        "mos",
        "mrw",
        "nef",
        "nrw",
        "orf",
        "pef",
        "raf",
        "rw2",
        "rwl",
        "sr2",
        "srf",
        "srw",
        "x3f",
    )
)
"""Of cameras' raw files."""

_FOREIGN_EXTENSIONS: Final = frozenset(("jxl", "jp2"))

PICTURE_EXTENSIONS: Final = (
    frozenset(extension for format in FORMATS.values() for extension in format.extensions)
    | _FOREIGN_EXTENSIONS
    | RAW_EXTENSIONS
)
"""What is looked at in a folder. Not all of it can be decoded: what can't is named, never passed over."""

_OBJECTS: Final = ("s3://", "store:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MAGIC = re.compile(r"[*?\[]")

ListObjects = Callable[[str], Iterable[tuple[str, int]]]
"""From `s3://bucket/folder` or `store:folder` to address and size of every object below it, or of the object
of that name.
"""


@dataclass(frozen=True)
class Rejected:
    """An input that is not part of the batch, by the name that was given or found, and why.

    `lasts`: its bytes are no picture, so that nothing else that changes would mend it.
    """

    input: str
    error: str
    lasts: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One input that may be a picture: a file, an object at `uri`, which stays where it lies, or in memory.

    `folder` is what its source names of its path: below it, names belong to the input. `mask` is a content's.
    Of one that is `left_out`, since what belongs to it was rejected, only the place in its list is left.
    `title` is what people call it, where that is not its name.
    """

    name: str
    size_bytes: int
    path: Path | None = None
    uri: str | None = None
    folder: str = ""
    mask: Candidate | None = None
    left_out: bool = False
    title: str | None = None
    picture: Picture | None = None

    @property
    def folders(self) -> str:
        """Those that it lies in below its source, as `a/b`; empty where it lies in the source itself."""
        return self.name.removeprefix(self.folder).lstrip("/").rpartition("/")[0]

    @property
    def called(self) -> str:
        """Its name in the batch, and in its outputs' names."""
        return self.name if self.title is None else self.title


Source = str | Path | Picture | Candidate
"""What people name, what is in memory, and what was found by other ways."""


@dataclass
class Found:
    """What the sources stand for, in their order; `kinds` counts files whose names are no pictures'.

    A rejected input keeps its place among the candidates, left out; `unplaced` are those of `rejected` of
    which nobody knows how many inputs they would have been. `folder` is that of the source under way.
    """

    candidates: list[Candidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unplaced: list[Rejected] = field(default_factory=list)
    kinds: Counter[Kind] = field(default_factory=Counter)
    folder: str = ""

    @property
    def skipped(self) -> int:
        """How many files were passed over."""
        return self.kinds.total()

    def reject(self, rejected: Rejected, *, is_one: bool) -> None:
        """`is_one`: it would have been a single input."""
        self.rejected.append(rejected)
        if is_one:
            self.candidates.append(Candidate(rejected.input, 0, left_out=True))
        else:
            self.unplaced.append(rejected)

    def add(self, other: Found) -> None:
        """Behind what is here already."""
        self.candidates += other.candidates
        self.rejected += other.rejected
        self.unplaced += other.unplaced
        self.kinds += other.kinds


def find(sources: Iterable[Source], *, list_objects: ListObjects) -> Found:
    """All single inputs, folders and globs in sorted order; a source that gives none is rejected itself.

    Raises only what may pass: a store or a disk that does not answer now.
    """
    found = Found()
    for source in sources:
        if isinstance(source, Candidate):
            found.candidates.append(source)
            continue
        if isinstance(source, Picture):
            found.candidates.append(Candidate(source.name, source.size_bytes, picture=source))
            continue
        text = os.fspath(source)
        before = len(found.candidates), len(found.rejected), found.skipped
        try:
            _expand(text, found, list_objects)
        except (Permanent, OSError) as error:
            found.reject(rejection(readable(text), error), is_one=_is_one(text))
            continue
        if (len(found.candidates), len(found.rejected)) == before[:2]:
            skipped = found.skipped - before[2]
            found.reject(Rejected(readable(text), _why_nothing(text, skipped)), is_one=_is_one(text))
    return found


def find_single(source: Source, *, list_objects: ListObjects) -> Candidate | Rejected:
    """The one input that a source must stand for. Raises as `find`."""
    found = find([source], list_objects=list_objects)
    there = [candidate for candidate in found.candidates if not candidate.left_out]
    if len(there) > 1:
        return Rejected(name_of(source), f"it is {len(there)} pictures: name one of them")
    return there[0] if there else found.rejected[0]


def _is_one(source: str) -> bool:
    """Whether what is not there, or can't be read, would by its name have been a single picture."""
    if _MAGIC.search(source) or extension_of(source) not in PICTURE_EXTENSIONS:
        return False
    return not os.path.isdir(os.path.expanduser(source))


def _why_nothing(source: str, skipped: int) -> str:
    if skipped:
        return f"no picture among its {skipped} files" if skipped > 1 else "its only file is no picture"
    return "the folder holds no picture" if os.path.isdir(os.path.expanduser(source)) else "nothing is there"


def name_of(source: Source) -> str:
    """What was given, for people."""
    return source.name if isinstance(source, Candidate | Picture) else readable(source)


def readable(name: str | Path) -> str:
    """The name as Unicode text: bytes of a file's name that are none become U+FFFD."""
    try:
        return os.fsencode(name).decode("utf-8", "replace")
    except UnicodeEncodeError:
        # Half a character, which JSON can hold and a file's name can't.
        return os.fspath(name).encode("utf-8", "replace").decode()


def problem_of_name(name: str) -> str | None:
    """Why no input can be called so; None where one may be."""
    if not name.strip() or "\0" in name:
        return "it is no name"
    is_address = name.startswith(_OBJECTS)
    try:
        # Bytes that are no text are still a file's name.
        name.encode("utf-8", "strict" if is_address else "surrogateescape")
    except UnicodeEncodeError as error:
        return f"it is no name, since it is no Unicode text at character {error.start + 1}"
    if is_address and len(name) > LONGEST_ADDRESS:
        return f"it has {len(name):,} characters, and an address at most {LONGEST_ADDRESS:,}"
    return None


def extension_of(name: str) -> str:
    """Lower-case, without the dot; empty where there is none."""
    return os.path.splitext(name)[1].lower().removeprefix(".")


def rejection(name: str, error: Exception) -> Rejected:
    """The input with what is wrong with it, which need not say its name once more.

    Raises Transient for an error that any other input could have met as well: the disk's, or this machine's.
    """
    if isinstance(error, OSError) and (fault := fault_of_the_machine(name, error)) is not None:
        raise fault from error
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    shown = printable(name)
    for prefix in (f"{shown}: ", f"input {shown} is refused: ", f"input {shown} "):
        reason = reason.removeprefix(prefix)
    return Rejected(name, reason, lasts=isinstance(error, BadPicture))


def _expand(text: str, found: Found, list_objects: ListObjects) -> None:
    problem = problem_of_name(text)
    if problem is not None:
        raise BadSettings(problem)
    if text.startswith(_OBJECTS):
        _expand_objects(text, found, list_objects)
        return
    if text.startswith("file:"):
        path = str(file_path(text))
    elif _SCHEME.match(text):
        raise BadSettings("addresses of this kind are not read: give a path or s3://bucket/prefix")
    else:
        path = os.path.expanduser(text)
    # A name with brackets may be a file's own name, so it is looked for before it is taken as a pattern.
    if os.path.lexists(path):
        _add_named(path, found)
    elif glob.has_magic(path):
        found.folder = os.path.dirname(_MAGIC.split(path, maxsplit=1)[0])
        _expand_glob(path, found)
    else:
        raise BadSettings("nothing is there")


def _add_named(path: str, found: Found) -> None:
    """What was named by itself: refused where a folder's file would only be counted."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        found.folder = path
        _walk(path, found, above=frozenset())
    elif not stat.S_ISREG(mode):
        raise BadSettings("it is neither a file nor a folder")
    else:
        found.folder = os.path.dirname(path)
        _add_file(path, found)


def _add_file(path: str, found: Found) -> None:
    size_bytes = os.stat(path).st_size
    found.candidates.append(
        Candidate(readable(path), size_bytes, path=Path(path), folder=readable(found.folder))
    )


def _walk(folder: str, found: Found, above: frozenset[tuple[int, int]]) -> None:
    """A folder's pictures: files first, then folders, both by name. `above` stops circles of links."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    folders: list[str] = []
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):
            found.kinds[kind_of(entry.name)] += 1
        elif _may_be_folder(entry):
            folders.append(entry.path)
        else:
            _add_found(entry.path, found)
    for path in folders:
        _walk_further(path, found, above | {identity})


def _walk_further(folder: str, found: Found, above: frozenset[tuple[int, int]]) -> None:
    """A folder that was not named itself: if it can't be read, the others go on."""
    try:
        _walk(folder, found, above)
    except OSError as error:
        found.reject(rejection(readable(folder), error), is_one=False)


def _may_be_folder(entry: os.DirEntry[str] | str) -> bool:
    """Where that can't be told, as of a link into a folder that is closed, by its name: what is no picture's
    is then looked into, and so is named when it can't be."""
    try:
        return entry.is_dir() if isinstance(entry, os.DirEntry) else stat.S_ISDIR(os.stat(entry).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return extension_of(os.fspath(entry)) not in PICTURE_EXTENSIONS


def _add_found(path: str, found: Found) -> None:
    """A file of a folder or glob: what is no picture by its name is counted."""
    if extension_of(path) not in PICTURE_EXTENSIONS:
        found.kinds[kind_of(path)] += 1
        return
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            _add_file(path, found)
        else:
            found.kinds["other files"] += 1
    except OSError as error:
        found.reject(rejection(readable(path), error), is_one=True)


def _expand_glob(pattern: str, found: Found) -> None:
    def unreadable(folder: str, error: OSError) -> None:
        found.reject(rejection(readable(folder), error), is_one=False)

    is_deep = goes_deep(pattern)
    for path in Globber(_may_be_folder, unreadable).paths(pattern):
        if not _may_be_folder(path):
            _add_found(path, found)
        elif not is_deep:
            _walk_further(path, found, above=frozenset())


def _expand_objects(text: str, found: Found, list_objects: ListObjects) -> None:
    fixed = _MAGIC.split(text, maxsplit=1)[0]
    pattern = text if fixed != text else None
    folder = fixed.rpartition("/")[0] if pattern is not None else text.rstrip("/")
    for uri, size_bytes in list_objects(folder):
        if uri.endswith("/") or (pattern is not None and not _matches(uri, pattern)):
            continue
        hidden = any(part.startswith(".") for part in uri.removeprefix(folder).split("/"))
        if uri != text and (hidden or extension_of(uri) not in PICTURE_EXTENSIONS):
            found.kinds[kind_of(uri, hidden=hidden)] += 1
        else:
            above = uri.rpartition("/")[0] if uri == folder else folder
            found.candidates.append(Candidate(uri, size_bytes, uri=uri, folder=above))


def _matches(uri: str, pattern: str) -> bool:
    """As a shell does: `*` stays within a part of the address, `**` is any number of parts."""
    return _parts_match(uri.split("/"), pattern.split("/"))


def _parts_match(key: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not key
    if pattern[0] == "**":
        return any(_parts_match(key[skip:], pattern[1:] or ["*"]) for skip in range(len(key)))
    return bool(key) and fnmatchcase(key[0], pattern[0]) and _parts_match(key[1:], pattern[1:])
