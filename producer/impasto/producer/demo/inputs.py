"""What the demonstration restyles, and with what: three photographs and two paintings."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from impasto.producer.demo.painter import paint
from impasto.shared.errors import NotInstalled

# Of scikit-image's many pictures only some lie in its wheel; the others would be downloaded.
PHOTOGRAPHS: Final = ("astronaut.png", "chelsea.png", "coffee.png")
MANNERS: Final = ("impasto", "woodcut")
_PAINTING_PX: Final = 512


def place_photographs(folder: Path) -> None:
    """Copy the photographs out of scikit-image's wheel. Raises NotInstalled when they aren't there."""
    spec = find_spec("skimage")
    data = [Path(place) / "data" for place in (spec.submodule_search_locations or [])] if spec else []
    folder.mkdir(parents=True)
    for name in PHOTOGRAPHS:
        found = next((place / name for place in data if (place / name).is_file()), None)
        if found is None:
            raise NotInstalled(f"scikit-image's {name} is not here: pip install 'impasto[demo]'")
        shutil.copyfile(found, folder / name)


def place_paintings(folder: Path) -> None:
    """Paint one picture in each manner."""
    folder.mkdir(parents=True)
    for manner in MANNERS:
        paint(manner, size_px=_PAINTING_PX).save(folder / f"{manner}.png")
