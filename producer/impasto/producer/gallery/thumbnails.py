"""Thumbnails and views as WebP, from outputs and from inputs; what is there already is left alone."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Final

from PIL import Image, ImageOps

from impasto.producer.gallery.places import ASSETS, Place
from impasto.producer.gallery.shown import Shown, bounded
from impasto.shared.errors import Permanent
from impasto.shared.jobs import InputRef
from impasto.shared.pictures import decode
from impasto.shared.store.inputs import InputReader

THUMBNAIL_PX: Final = 400
"""The longer side: twice what a picture has on the sheet, for screens with dots so fine."""

_QUALITY: Final = 80
_CONTENT_TYPE: Final = "image/webp"
_MADE_HERE: Final = (f"{ASSETS}thumbs/", f"{ASSETS}views/")


class Thumbnails:
    """Makes the small files of one gallery. Safe to share between threads."""

    def __init__(self, place: Place, reader: InputReader, max_pixels: int) -> None:
        self._place = place
        self._reader = reader
        self._max_pixels = max_pixels
        self._there = {name for name in place.names() if name.startswith(_MADE_HERE)}

    def make(self, shown: Shown) -> int:
        """Make those of its files that are not there; how many. A bad picture sets `problem`.

        Raises the store's errors when it does not answer.
        """
        missing = [name for name in shown.files if name not in self._there]
        if not missing:
            return 0
        try:
            image = self._picture(shown)
        except Permanent as error:
            shown.problem = str(error)
            return 0
        for name in missing:
            size = shown.view_px if name == shown.view else bounded(image.size, THUMBNAIL_PX)
            self._place.write(name, _webp(image, size), _CONTENT_TYPE)
        return len(missing)

    def remove_stale(self, shown: Iterable[Shown]) -> None:
        """Remove what was there before and belongs to none of these."""
        wanted = {name for one in shown for name in one.files}
        for name in self._there - wanted:
            self._place.remove(name)

    def _picture(self, shown: Shown) -> Image.Image:
        parts = [(self._decoded(source), share) for source, share in shown.sources]
        return parts[0][0] if len(parts) == 1 else _side_by_side(parts)

    def _decoded(self, source: InputRef | str) -> Image.Image:
        if isinstance(source, str):
            data, name = self._place.get(source), source
        else:
            data, name = self._reader.read(source), source.name
        picture = decode(data, name=name, max_pixels=self._max_pixels)
        if picture.alpha is not None:
            picture.rgb.putalpha(picture.alpha)
        return picture.rgb


def _webp(image: Image.Image, size_px: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    small = (
        image if image.size == size_px else image.resize(size_px, Image.Resampling.LANCZOS, reducing_gap=3.0)
    )
    small.save(out, "WEBP", quality=_QUALITY)
    return out.getvalue()


def _side_by_side(parts: list[tuple[Image.Image, float]]) -> Image.Image:
    """The paintings of a blend as upright strips, each as wide as its share."""
    whole = sum(share for _, share in parts)
    sheet = Image.new("RGB", (THUMBNAIL_PX, THUMBNAIL_PX * 3 // 4))
    left, sofar = 0, 0.0
    for image, share in parts:
        sofar += share
        right = round(sheet.width * sofar / whole)
        if right > left:
            sheet.paste(ImageOps.fit(image.convert("RGB"), (right - left, sheet.height)), (left, 0))
        left = right
    return sheet
