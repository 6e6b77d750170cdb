"""What lies among photographs and is none: told apart by name, so that people see what was passed over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal, get_args

Kind = Literal["sidecars", "system files", "hidden files", "videos", "texts", "other files"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""In the order in which they are told."""

_SYSTEM_NAMES: Final = frozenset(
    (".ds_store", ".localized", ".picasa.ini", "desktop.ini", "ehthumbs.db", "picasa.ini", "thumbs.db")
)
_EXTENSIONS: Final[Mapping[Kind, str]] = {
    "sidecars": "aae arp cos dop nksc on1 pp3 thm xmp",
    "videos": "3gp avi flv insv lrv m2ts m4v mkv mov mp4 mpeg mpg mts webm wmv",
    "texts": "csv doc docx html json jsonl log md odt pdf rtf txt xml yaml",
}
_OF_EXTENSION: Final = {name: kind for kind, names in _EXTENSIONS.items() for name in names.split()}


def kind_of(name: str, *, hidden: bool = False) -> Kind:
    """Of a file that is no picture by its name, or is hidden, by itself or by a folder above it."""
    base = os.path.basename(name).lower()  # noqa: PTH119
    # A memory card's `._IMG_1.JPG` is a Macintosh's own.
    if base in _SYSTEM_NAMES or base.startswith("._"):
        return "system files"
    if hidden or base.startswith("."):
        return "hidden files"
    return _OF_EXTENSION.get(base.rpartition(".")[2], "other files") if "." in base else "other files"
