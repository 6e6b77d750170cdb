"""Pillow with HEIC and without warnings; its own bound gives way to ours, checked from the header."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pillow_heif
from PIL import Image

# Pillow itself reads no HEIC, the patents on which are why. Of what lies beside a picture nothing is wanted.
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

_LOCK: Final = threading.Lock()


class _Quiet:
    """How many threads are decoding, and what puts things back when the last one is done.

    Warning filters are one per process, so each thread saving and restoring them by itself would restore the
    other's.
    """

    threads = 0
    undo = ExitStack()


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Hostile files make Pillow warn, of broken tags for example; whoever decodes notes what matters."""
    with _LOCK:
        _Quiet.threads += 1
        if _Quiet.threads == 1:
            with ExitStack() as undo:
                undo.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
                undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
                _Quiet.undo = undo.pop_all()
    try:
        yield
    finally:
        with _LOCK:
            _Quiet.threads -= 1
            if _Quiet.threads == 0:
                _Quiet.undo.close()
