from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.producer.blends import Blend, BlendCandidate, find_styles
from impasto.producer.cli.blends import parse_blends
from impasto.producer.sources import Candidate
from impasto.shared.errors import BadSettings, InputRefused
from impasto.shared.jobs import LARGEST_WEIGHT, LEAST_WEIGHT, MAX_PAINTINGS


def no_s3(url: str) -> Iterator[tuple[str, int]]:
    raise InputRefused(f"input {url} is refused: it lies elsewhere")


@pytest.mark.parametrize(
    ("text", "name", "paintings"),
    [
        ("dusk=night.png:0.7,wood.png:0.3", "dusk", {"night.png": 0.7, "wood.png": 0.3}),
        ("dusk=night.png:1", "dusk", {"night.png": 1}),
        (" dusk = night.png:2 , wood.png:1,", "dusk", {"night.png": 2, "wood.png": 1}),
        (
            "x=s3://art/a:b,c.png:1e-1,store:inputs/a.png:.5",
            "x",
            {"s3://art/a:b,c.png": 0.1, "store:inputs/a.png": 0.5},
        ),
        ("x=a=b.png:1,16:9.png:2", "x", {"a=b.png": 1, "16:9.png": 2}),
    ],
)
def test_a_blend_is_a_name_and_paintings_with_weights(
    text: str, name: str, paintings: dict[str, float]
) -> None:
    assert parse_blends([text]) == [Blend(name, paintings)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no name"),
        ("night.png:1", "no name"),
        ("=night.png:1", "no name"),
        ("dusk=", "no painting"),
        ("dusk=night.png", "night.png has no weight"),
        ("dusk=night.png:1,wood.png", "wood.png has no weight"),
        ("dusk=night.png:1.2.3", "1.2.3 is no number"),
        ("dusk=:1", "has no weight"),
        ("dusk=night.png:1,night.png:2", "named twice"),
        ("dusk=night.png:0", "weight 0"),
        ("dusk=night.png:-1", "weight -1"),
        ("dusk=night.png:1e99", "weight 1e+99"),
        ("dusk=night.png:nan", "has no weight"),
        ("du\nsk=night.png:1", "printable"),
        ("dusk=" + ",".join(f"{n}.png:1" for n in range(MAX_PAINTINGS + 1)), "9 paintings"),
    ],
)
def test_a_blend_that_makes_no_sense_is_refused_in_one_line(text: str, word: str) -> None:
    with pytest.raises(BadSettings, match=word.replace("+", r"\+")) as refused:
        parse_blends([text])
    assert "\n" not in str(refused.value)


paths = (
    st.text(st.characters(exclude_characters="\0\n,:"), min_size=1, max_size=20).map(str.strip).filter(bool)
)


@given(
    paths.filter(lambda name: "=" not in name and name.isprintable()),
    st.dictionaries(paths, st.floats(LEAST_WEIGHT, LARGEST_WEIGHT), min_size=1, max_size=MAX_PAINTINGS),
)
def test_what_is_written_as_a_blend_is_read_as_that_blend(
    name: str, paintings: dict[str | Path, float]
) -> None:
    text = f"{name}=" + ",".join(f"{path}:{weight!r}" for path, weight in paintings.items())
    assert parse_blends([text]) == [Blend(name, paintings)]


def test_blends_and_styles_are_found_in_the_order_they_were_given(photos: Path) -> None:
    blend = Blend("dusk", {photos / "a.PNG": 1, photos / "deep": 2})
    found = find_styles([photos / "b.jpg", blend, photos / "deep"], list_objects=no_s3)
    assert [Path(one.name).name for one in found.candidates] == ["b.jpg", "dusk", "c.webp"]
    made = found.candidates[1]
    assert isinstance(made, BlendCandidate)
    assert [(Path(one.name).name, weight) for one, weight in made.paintings] == [("a.PNG", 1), ("c.webp", 2)]
    assert made.size_bytes == sum((photos / name).stat().st_size for name in ("a.PNG", "deep/c.webp"))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nowhere.png", "nothing is there"),
        ("photos", "it is 3 pictures: name one of them"),
        ("s3://elsewhere/a.png", "it lies elsewhere"),
    ],
)
def test_a_painting_that_is_not_one_picture_rejects_its_blend_by_name_and_keeps_its_place(
    photos: Path, source: str, reason: str
) -> None:
    path = source if source.startswith("s3:") else str(photos.parent / source)
    found = find_styles([Blend("dusk", {path: 1}), photos / "b.jpg"], list_objects=no_s3)
    assert [(one.input, one.error) for one in found.rejected] == [("dusk", f"its painting {path}: {reason}")]
    assert [one.left_out for one in found.candidates] == [True, False]
    assert isinstance(found.candidates[1], Candidate)
