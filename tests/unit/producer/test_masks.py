from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.producer.masks import Masked, find_contents, stem_of
from impasto.producer.sources import Found
from impasto.shared.errors import InputRefused

S3 = "s3://b/masks"


def contents(*sources: str | Path | Masked, masks: str | Path, bucket: tuple[str, ...] = ()) -> Found:
    """`bucket`: the addresses that there are."""

    def listed(url: str) -> Iterator[tuple[str, int]]:
        if not url.startswith("s3://b"):
            raise InputRefused(f"input {url} is refused: it lies elsewhere")
        yield from ((uri, 1) for uri in bucket if uri == url or uri.startswith(f"{url}/"))

    return find_contents(sources, [masks] if masks else (), list_objects=listed)


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def assigned(found: Found, *folders: Path) -> dict[str, str | None]:
    def shown(name: str) -> str:
        for folder in folders:
            name = name.removeprefix(f"{folder}/")
        return name

    return {
        shown(one.name): None if one.mask is None else shown(one.mask.name)
        for one in found.candidates
        if not one.left_out
    }


def test_a_mask_belongs_to_the_content_of_its_name_and_folder(photos: Path, tmp_path: Path) -> None:
    masks = made(tmp_path / "masks", "a.png", "deep/c.tif")
    found = contents(photos, masks=masks)
    assert assigned(found, photos, masks) == {"a.PNG": "a.png", "b.jpg": None, "deep/c.webp": "deep/c.tif"}
    assert found.rejected == []


@pytest.mark.parametrize(
    "source", ["{}/deep/c.webp", "{}/deep/*.webp", "{}/d*/c.webp", "{}/deep/", "file://{}/deep"]
)
def test_however_a_content_is_named_what_is_below_counts(photos: Path, tmp_path: Path, source: str) -> None:
    below = "deep/" if source == "{}/d*/c.webp" else ""
    masks = made(tmp_path / "masks", f"{below}c.png")
    found = contents(source.format(photos), masks=masks)
    assert assigned(found, photos, masks) == {"deep/c.webp": f"{below}c.png"}


def test_masks_may_lie_in_s3_and_contents_here(photos: Path) -> None:
    bucket = (f"{S3}/a.png", f"{S3}/deep/c.png", "s3://b/masksheet/b.png")
    found = contents(photos, masks=f"{S3}/", bucket=bucket)
    assert assigned(found, photos) == {"a.PNG": bucket[0], "b.jpg": None, "deep/c.webp": bucket[1]}
    assert assigned(contents(photos / "a.PNG", masks=bucket[0], bucket=bucket), photos) == {
        "a.PNG": bucket[0]
    }


def test_a_mask_of_no_content_is_rejected_by_name_and_the_rest_goes_on(photos: Path, tmp_path: Path) -> None:
    masks = made(tmp_path / "masks", "a.png", "c.png", "deep/b.png")
    found = contents(photos, masks=masks)
    assert [one.input.removeprefix(f"{masks}/") for one in found.rejected] == ["c.png", "deep/b.png"]
    assert "no content is called deep/b: give the mask the name of its content" in found.rejected[1].error
    assert assigned(found, photos, masks) == {"a.PNG": "a.png", "b.jpg": None, "deep/c.webp": None}


def test_a_mask_of_two_contents_is_rejected_and_both_are_left_out(photos: Path, tmp_path: Path) -> None:
    made(photos, "b.png")
    masks = made(tmp_path / "masks", "b.png")
    found = contents(photos, masks=masks)
    (rejected,) = found.rejected
    assert rejected.input == f"{masks}/b.png"
    assert rejected.error == (
        "2 contents are called b: give each a name of its own, and a mask; "
        f"{photos}/b.jpg, {photos}/b.png are left out with it"
    )
    assert assigned(found, photos) == {"a.PNG": None, "deep/c.webp": None}


def test_two_masks_of_one_content_are_rejected_with_it(photos: Path, tmp_path: Path) -> None:
    masks = made(tmp_path / "masks", "a.png", "a.tif")
    found = contents(photos, masks=masks)
    assert [one.input.removeprefix(f"{masks}/") for one in found.rejected] == ["a.png", "a.tif"]
    assert all("2 masks are called a: leave one" in one.error for one in found.rejected)
    assert assigned(found, photos) == {"b.jpg": None, "deep/c.webp": None}


def test_a_content_that_is_named_twice_has_its_mask_twice(photos: Path, tmp_path: Path) -> None:
    masks = made(tmp_path / "masks", "a.png")
    found = contents(photos / "a.PNG", photos / "a.PNG", masks=masks)
    assert [one.mask is not None for one in found.candidates] == [True, True]


def test_letters_are_the_same_however_they_are_composed(tmp_path: Path) -> None:
    photos = made(tmp_path / "photos", unicodedata.normalize("NFC", "Köln.jpg"))
    masks = made(tmp_path / "masks", unicodedata.normalize("NFD", "Köln.png"))
    (content,) = contents(photos, masks=masks).candidates
    assert content.mask is not None


def test_a_content_may_be_named_with_its_mask_whatever_they_are_called(photos: Path, tmp_path: Path) -> None:
    masks = made(tmp_path / "masks", "only the sky.png", "b.png")
    sky = Masked(photos / "b.jpg", mask=masks / "only the sky.png")
    found = contents(sky, masks="")
    assert assigned(found, photos, masks) == {"b.jpg": "only the sky.png"}


@pytest.mark.parametrize(
    ("content", "mask", "named", "reason"),
    [
        ("b.jpg", "nowhere.png", "nowhere.png", "nothing is there; {}/b.jpg is left out with it"),
        ("nowhere.jpg", "a.PNG", "nowhere.jpg", "nothing is there"),
        ("b.jpg", "", "", "it is 3 pictures: name one of them; {}/b.jpg is left out with it"),
    ],
)
def test_half_of_a_content_with_its_mask_is_rejected_by_name_and_leaves_its_place(
    photos: Path, content: str, mask: str, named: str, reason: str
) -> None:
    found = contents(Masked(photos / content, mask=photos / mask), photos / "a.PNG", masks="")
    assert [(one.input, one.error) for one in found.rejected] == [
        (str(photos / named), reason.format(photos))
    ]
    assert [one.left_out for one in found.candidates] == [True, False]


names = st.lists(
    st.sampled_from([f"{d}{n}{e}" for d in ("", "x/", "y/") for n in "abc" for e in (".png", ".jpg")])
)


@given(names, names)
def test_each_mask_has_its_one_content_or_is_named(of_contents: list[str], of_masks: list[str]) -> None:
    bucket = tuple(
        dict.fromkeys([f"s3://b/photos/{n}" for n in of_contents] + [f"{S3}/{n}" for n in of_masks])
    )
    found = contents("s3://b/photos", masks=S3, bucket=bucket)
    given_out = [one.mask for one in found.candidates if one.mask is not None]
    rejected = {one.input for one in found.rejected}
    assert {mask.name for mask in given_out} | rejected >= {f"{S3}/{name}" for name in of_masks}
    assert len({mask.name for mask in given_out}) == len(given_out)
    assert not {mask.name for mask in given_out} & rejected
    for content in found.candidates:
        assert content.mask is None or stem_of(content.mask) == stem_of(content)
        assert not (content.left_out and content.mask is not None)
        left_out = any(content.name in one.error for one in found.rejected)
        assert content.left_out == left_out
