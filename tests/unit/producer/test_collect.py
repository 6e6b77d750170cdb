from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from impasto.producer import uploads
from impasto.producer.blends import Blend, find_styles
from impasto.producer.collect import Collected, Collector, Progress
from impasto.producer.masks import find_contents
from impasto.producer.sources import Candidate, find
from impasto.shared.deployment import Deployment
from impasto.shared.errors import StoreRefused, StoreUnavailable, Transient
from impasto.shared.jobs import BlendRef, Content, StyleRef
from impasto.shared.store import ObjectInfo, ObjectStore
from impasto.shared.store.folder import FolderStore
from impasto.shared.store.inputs import InputReader

MakePicture = Callable[..., bytes]


class CountingStore(FolderStore):
    """A folder that counts its puts, and fails on demand."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.puts = 0
        self.is_down = False

    def put(self, key: str, data: bytes, *, content_type: str, metadata: object = None) -> None:
        if self.is_down:
            raise StoreUnavailable("the store is down")
        self.puts += 1
        super().put(key, data, content_type=content_type)


def collect(
    folder: Path,
    deployment: Deployment,
    store: ObjectStore,
    *,
    upload: bool = True,
    keep_places: bool = False,
    progress: list[Progress] | None = None,
) -> Collected[Content]:
    reader = InputReader(store, limit_bytes=deployment.max_input_bytes)
    candidates = find([folder], list_objects=reader.list).candidates
    on_progress = None if progress is None else progress.append
    collector = Collector(deployment, store, reader, upload=upload)
    return collector.contents(candidates, keep_places=keep_places, on_progress=on_progress)


def test_each_input_lies_in_the_store_under_its_digest_and_format(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    collected = collect(photos, deployment, store)
    for ref, name, extension in zip(
        collected.refs, ("a.PNG", "b.jpg", "deep/c.webp"), ("png", "jpg", "webp"), strict=True
    ):
        data = (photos / name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        assert ref is not None
        assert (ref.sha256, ref.size_bytes, ref.name) == (digest, len(data), f"{photos}/{name}")
        assert ref.uri == f"store:inputs/{digest}.{extension}"
        info = store.head(ref.uri.removeprefix("store:"))
        assert info is not None
        assert info.content_type == f"image/{'jpeg' if extension == 'jpg' else extension}"
    assert collected.rejected == []


def test_what_is_there_is_not_uploaded_again(photos: Path, deployment: Deployment, tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "counted")
    collect(photos, deployment, store)
    assert store.puts == 3
    collect(photos, deployment, store)
    assert store.puts == 3


def test_a_check_alone_uploads_nothing(photos: Path, deployment: Deployment, tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "counted")
    assert len(collect(photos, deployment, store, upload=False).refs) == 3
    assert store.puts == 0


def test_equal_bytes_are_one_input_unless_places_matter(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    (photos / "z.jpg").write_bytes((photos / "b.jpg").read_bytes())
    once = collect(photos, deployment, store)
    assert (len(once.refs), once.duplicates) == (3, 1)
    placed = collect(photos, deployment, store, keep_places=True)
    assert (len(placed.refs), placed.duplicates) == (4, 0)
    assert len({ref.slug for ref in placed.refs if ref is not None}) == 4


def test_rejected_inputs_leave_a_gap_where_places_matter(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    (photos / "b.jpg").write_bytes(b"")
    assert [ref is None for ref in collect(photos, deployment, store, keep_places=True).refs] == [
        False,
        True,
        False,
    ]


def test_files_of_one_name_in_many_folders_have_slugs_of_their_own(
    tmp_path: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    for shade, name in enumerate(("x/IMG.png", "y/img.png", "z/img-2.png")):
        (tmp_path / "many" / name).parent.mkdir(parents=True)
        (tmp_path / "many" / name).write_bytes(make_picture(shade))
    refs = collect(tmp_path / "many", deployment, store).refs
    assert len({ref.slug.casefold() for ref in refs if ref is not None}) == 3


def odd_pictures(folder: Path, make_picture: MakePicture) -> None:
    """What people have in their folders, by whether it can be styled."""
    good, bad = folder / "good", folder / "bad"
    good.mkdir(parents=True)
    bad.mkdir()
    (good / "cmyk.jpg").write_bytes(make_picture(10, format="JPEG", mode="CMYK"))
    (good / "grey.png").write_bytes(make_picture(11, mode="L"))
    (good / "sixteen.png").write_bytes(make_picture(12, mode="I;16"))
    (good / "transparent.png").write_bytes(make_picture(13, mode="RGBA"))
    (good / "a name\nof two lines.png").write_bytes(make_picture(14))
    out = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 200)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    (good / "animated.gif").write_bytes(out.getvalue())
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 16), (9, 9, 9)).save(out, "JPEG", exif=exif)
    (good / "rotated.jpg").write_bytes(out.getvalue())

    whole = make_picture(15, format="JPEG")
    (bad / "cut short.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (bad / "empty.jpg").write_bytes(b"")
    (bad / "text.png").write_text("not a picture")
    (bad / "raw.NEF").write_bytes(b"MM\0*")
    (bad / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (bad / "tiny.png").write_bytes(make_picture(16))
    Image.new("RGB", (3, 3)).save(bad / "tiny.png")


def test_each_odd_picture_is_taken_or_named_with_a_reason(
    tmp_path: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    odd_pictures(tmp_path / "odd", make_picture)
    taken = collect(tmp_path / "odd" / "good", deployment, store)
    assert (len(taken.refs), taken.rejected) == (7, [])
    refused = collect(tmp_path / "odd" / "bad", deployment, store)
    assert refused.refs == []
    reasons = {Path(one.input).name: one.error for one in refused.rejected}
    assert {name: word in reasons[name] for name, word in EXPECTED_REASONS.items()} == dict.fromkeys(
        EXPECTED_REASONS, True
    )
    assert reasons.keys() == EXPECTED_REASONS.keys()
    assert not any(str(tmp_path) in reason for reason in reasons.values())


EXPECTED_REASONS = {
    "cut short.jpg": "cut short",
    "empty.jpg": "empty",
    "text.png": "no picture",
    "raw.NEF": "export it as JPEG or TIFF",
    "phone.heic": "HEIC",
    "tiny.png": "3 × 3 px",
}


@pytest.mark.parametrize(
    ("limit", "word"), [({"max_input_bytes": 40}, "MAX_INPUT_BYTES"), ({"max_input_pixels": 300}, "pixels")]
)
def test_too_large_inputs_are_refused_by_name(
    photos: Path, tmp_path: Path, store: FolderStore, limit: dict[str, int], word: str
) -> None:
    strict = Deployment(state=tmp_path, **limit)  # type: ignore[arg-type]
    collected = collect(photos, strict, store)
    assert len(collected.rejected) == 3
    assert all(word in one.error for one in collected.rejected)


def test_a_file_that_vanished_or_may_not_be_read_is_rejected_alone(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    reader = InputReader(store, limit_bytes=1000)
    candidates = find([photos], list_objects=reader.list).candidates
    (photos / "b.jpg").unlink()
    collected = Collector(deployment, store, reader).contents(candidates)
    assert [(Path(one.input).name, one.error) for one in collected.rejected] == [
        ("b.jpg", "No such file or directory")
    ]
    assert len(collected.refs) == 2


def test_a_store_that_fails_ends_the_whole_collecting(
    photos: Path, deployment: Deployment, tmp_path: Path
) -> None:
    store = CountingStore(tmp_path / "counted")
    store.is_down = True
    with pytest.raises(StoreUnavailable):
        collect(photos, deployment, store)


def test_progress_counts_up_to_all_inputs_and_all_bytes(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    progress: list[Progress] = []
    collect(photos, deployment, store, progress=progress)
    total = sum((photos / name).stat().st_size for name in ("a.PNG", "b.jpg", "deep/c.webp"))
    assert [step.items for step in progress] == [1, 2, 3]
    assert progress[-1] == Progress("contents", 3, 3, total, total)


def masked(
    photos: Path, masks: Path, deployment: Deployment, store: ObjectStore, *, keep_places: bool = False
) -> Collected[Content]:
    reader = InputReader(store, limit_bytes=deployment.max_input_bytes)
    candidates = find_contents([photos], [masks], list_objects=reader.list).candidates
    return Collector(deployment, store, reader).contents(candidates, keep_places=keep_places)


def blended(
    blends: list[Blend], deployment: Deployment, store: ObjectStore, *, upload: bool = True
) -> Collected[StyleRef]:
    reader = InputReader(store, limit_bytes=deployment.max_input_bytes)
    candidates = find_styles(blends, list_objects=reader.list).candidates
    return Collector(deployment, store, reader, upload=upload).styles(candidates)


def test_a_mask_lies_in_the_store_under_its_digest_like_any_input(
    photos: Path, tmp_path: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    (tmp_path / "masks" / "deep").mkdir(parents=True)
    (tmp_path / "masks" / "deep" / "c.png").write_bytes(data := make_picture(200))
    collected = masked(photos, tmp_path / "masks", deployment, store)
    masks = [ref.mask for ref in collected.refs if ref is not None]
    assert [mask is not None for mask in masks] == [False, False, True]
    assert masks[2] is not None
    digest = hashlib.sha256(data).hexdigest()
    assert (masks[2].sha256, masks[2].uri) == (digest, f"store:inputs/{digest}.png")
    assert store.get(f"inputs/{digest}.png") == data


def test_a_mask_that_does_not_fit_is_named_and_its_content_goes_with_it(
    photos: Path, tmp_path: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    masks = tmp_path / "masks"
    (masks / "deep").mkdir(parents=True)
    Image.new("L", (25, 16), 255).save(masks / "a.png")
    Image.new("L", (24, 16), 0).save(masks / "b.png")
    (masks / "deep" / "c.png").write_bytes(b"no picture")
    collected = masked(photos, masks, deployment, store, keep_places=True)
    assert collected.refs == [None, None, None]
    reasons = {Path(one.input).name: one.error for one in collected.rejected}
    assert "25 × 16 px, its content 24 × 16 px" in reasons["a.png"]
    assert "black throughout" in reasons["b.png"]
    assert "no picture" in reasons["c.png"]
    for one, name in zip(collected.rejected, ("a.PNG", "b.jpg", "deep/c.webp"), strict=True):
        assert one.error.endswith(f"{photos}/{name} is left out with it")
    assert list(store.list("inputs/")) == []


def test_a_bad_content_is_named_and_not_its_mask(
    photos: Path, tmp_path: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "b.png").write_bytes(make_picture(200))
    (photos / "b.jpg").write_bytes(b"")
    collected = masked(photos, tmp_path / "masks", deployment, store)
    assert [Path(one.input).name for one in collected.rejected] == ["b.jpg"]
    assert len(collected.refs) == 2


def test_equal_photographs_under_other_masks_are_other_contents(
    photos: Path, tmp_path: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    (tmp_path / "masks").mkdir()
    (photos / "z.jpg").write_bytes((photos / "b.jpg").read_bytes())
    (tmp_path / "masks" / "z.png").write_bytes(make_picture(200))
    collected = masked(photos, tmp_path / "masks", deployment, store)
    assert (len(collected.refs), collected.duplicates) == (4, 0)


def test_a_blend_has_all_its_paintings_with_their_weights(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    blend = Blend("dusk", {photos / "a.PNG": 0.7, photos / "b.jpg": 0.3})
    (ref,) = blended([blend], deployment, store).refs
    assert isinstance(ref, BlendRef)
    assert (ref.name, ref.slug) == ("dusk", "dusk")
    assert [(Path(one.name).name, one.weight) for one in ref.blend] == [("a.PNG", 0.7), ("b.jpg", 0.3)]
    for painting in ref.blend:
        data = store.get(painting.uri.removeprefix("store:"))
        assert hashlib.sha256(data).hexdigest() == painting.sha256


def test_a_bad_painting_rejects_its_blend_by_name_and_no_other(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    (photos / "b.jpg").write_bytes(b"no picture")
    bad = Blend("dusk", {photos / "a.PNG": 1, photos / "b.jpg": 1})
    good = Blend("dawn", {photos / "a.PNG": 1, photos / "deep" / "c.webp": 1})
    collected = blended([bad, good], deployment, store)
    assert [ref.name for ref in collected.refs if ref is not None] == ["dawn"]
    (rejected,) = collected.rejected
    assert rejected.input == "dusk"
    assert f"{photos}/b.jpg: this is no picture" in rejected.error


def test_blends_and_single_styles_have_slugs_of_their_own(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    reader = InputReader(store, limit_bytes=deployment.max_input_bytes)
    sources = [photos / "a.PNG", Blend("a", {photos / "b.jpg": 1, photos / "deep": 2})]
    candidates = find_styles(sources, list_objects=reader.list).candidates
    refs = Collector(deployment, store, reader).styles(candidates).refs
    assert [ref.slug for ref in refs if ref is not None] == ["a", "a-2"]


def old(folder: Path) -> None:
    """As if every file had lain there for long."""
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9))


def collector(deployment: Deployment, store: ObjectStore, **options: bool) -> Collector:
    return Collector(deployment, store, InputReader(store, limit_bytes=deployment.max_input_bytes), **options)


def contents_of(collector: Collector, *folders: Path) -> Collected[Content]:
    return collector.contents(find(folders, list_objects=lambda _: ()).candidates)


def test_a_file_that_has_not_changed_is_not_read_again(
    photos: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    old(photos)
    first = collector(deployment, store)
    before = contents_of(first, photos)
    assert (first.tally.read, first.tally.known, first.tally.uploaded) == (3, 0, 3)
    again = collector(deployment, store)
    assert contents_of(again, photos) == before
    assert (again.tally.read, again.tally.known, again.tally.uploaded, again.tally.there) == (0, 3, 0, 3)
    (photos / "b.jpg").write_bytes(make_picture(77, format="JPEG"))
    changed = collector(deployment, store)
    assert contents_of(changed, photos).refs != before.refs
    assert (changed.tally.read, changed.tally.known, changed.tally.uploaded) == (1, 2, 1)


def test_an_input_that_lies_in_several_files_is_counted_once_as_there(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    (photos / "copy.png").write_bytes((photos / "a.PNG").read_bytes())
    for put, there in ((3, 0), (0, 3)):
        one = collector(deployment, store)
        contents_of(one, photos)
        assert (one.tally.uploaded, one.tally.there) == (put, there)


def test_a_known_file_that_the_store_has_not_is_read_and_uploaded(
    photos: Path, deployment: Deployment, store: FolderStore, tmp_path: Path
) -> None:
    old(photos)
    contents_of(collector(deployment, store, upload=False), photos)
    other = collector(deployment, FolderStore(tmp_path / "other"))
    refs = contents_of(other, photos).refs
    assert (other.tally.read, other.tally.uploaded) == (3, 3)
    for ref in refs:
        assert ref is not None
        data = FolderStore(tmp_path / "other").get(ref.uri.removeprefix("store:"))
        assert hashlib.sha256(data).hexdigest() == ref.sha256


class Troubled(Collector):
    """One of its files can't be read."""

    name = ""
    error = OSError()

    def _read(self, candidate: Candidate) -> bytes:
        if candidate.name.endswith(self.name):
            raise self.error
        return super()._read(candidate)


def troubled(deployment: Deployment, store: ObjectStore, name: str, number: int) -> Troubled:
    one = Troubled(deployment, store, InputReader(store, limit_bytes=deployment.max_input_bytes))
    one.name, one.error = name, OSError(number, os.strerror(number))
    return one


def test_a_known_file_that_is_gone_when_it_is_to_be_uploaded_is_rejected_alone(
    photos: Path, tmp_path: Path, deployment: Deployment, store: FolderStore, make_picture: MakePicture
) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(make_picture(200))
    old(tmp_path)
    candidates = find_contents([photos], [tmp_path / "masks"], list_objects=lambda _: ()).candidates
    collector(deployment, store, upload=False).contents(candidates)

    of_content = troubled(deployment, store, "b.jpg", errno.ENOENT).contents(candidates)
    assert [ref and Path(ref.name).name for ref in of_content.refs] == ["a.PNG", "c.webp"]
    assert [(Path(one.input).name, one.error) for one in of_content.rejected] == [
        ("b.jpg", "No such file or directory")
    ]
    other = FolderStore(tmp_path / "other")
    of_mask = troubled(deployment, other, "masks/a.png", errno.ENOENT).contents(candidates)
    assert [ref and Path(ref.name).name for ref in of_mask.refs] == ["b.jpg", "c.webp"]
    ((name, error),) = [(Path(one.input).name, one.error) for one in of_mask.rejected]
    assert name == "a.png"
    assert error.endswith("a.PNG is left out with it")


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EHOSTDOWN, errno.EMFILE, errno.ENOMEM])
def test_a_disk_or_machine_that_fails_ends_the_collecting_and_rejects_nobody(
    photos: Path, deployment: Deployment, store: FolderStore, number: int
) -> None:
    old(photos)
    candidates = find([photos], list_objects=lambda _: ()).candidates
    with pytest.raises(Transient, match=r"c\.webp can't be read now .*: .* then do the same again") as raised:
        troubled(deployment, store, "c.webp", number).contents(candidates)
    assert raised.value.exit_code == 75
    again = collector(deployment, store)
    assert len(again.contents(candidates).refs) == 3
    assert (again.tally.known, again.tally.uploaded) == (2, 1)


def test_a_sector_that_can_t_be_read_is_its_files_alone_unless_the_folder_fails_too(
    photos: Path, deployment: Deployment, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = find([photos], list_objects=lambda _: ()).candidates
    collected = troubled(deployment, store, "c.webp", errno.EIO).contents(candidates)
    assert [(Path(one.input).name, one.error) for one in collected.rejected] == [
        ("c.webp", "Input/output error")
    ]

    def gone(folder: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(Transient, match="disk or share"):
        troubled(deployment, store, "c.webp", errno.EIO).contents(candidates)


def test_recheck_reads_everything_again(photos: Path, deployment: Deployment, store: FolderStore) -> None:
    old(photos)
    contents_of(collector(deployment, store), photos)
    again = collector(deployment, store, recheck=True)
    contents_of(again, photos)
    assert (again.tally.read, again.tally.known) == (3, 0)


def test_a_known_file_is_refused_by_a_limit_of_now(
    photos: Path, deployment: Deployment, store: FolderStore
) -> None:
    old(photos)
    contents_of(collector(deployment, store), photos)
    strict = deployment.model_copy(update={"max_input_pixels": 300})
    assert len(contents_of(collector(strict, store), photos).rejected) == 3


def test_a_known_picture_must_still_prove_to_be_a_mask(
    photos: Path, tmp_path: Path, deployment: Deployment, store: FolderStore
) -> None:
    (tmp_path / "masks").mkdir()
    Image.new("L", (24, 16), 0).save(tmp_path / "masks" / "b.png")
    old(photos)
    old(tmp_path / "masks")
    assert len(contents_of(collector(deployment, store), photos, tmp_path / "masks").refs) == 4
    (rejected,) = masked(photos, tmp_path / "masks", deployment, store).rejected
    assert "black throughout" in rejected.error


def test_a_collection_asks_the_store_once_and_not_for_each_picture(
    tmp_path: Path, deployment: Deployment, make_picture: MakePicture
) -> None:
    class AskedStore(CountingStore):
        heads = 0

        def head(self, key: str) -> ObjectInfo | None:
            self.heads += 1
            return super().head(key)

    many = tmp_path / "many"
    many.mkdir()
    for number in range(40):
        (many / f"{number:02}.png").write_bytes(make_picture(number % 36))
    store = AskedStore(tmp_path / "asked")
    first = collector(deployment, store)
    contents_of(first, many)
    assert (store.puts, store.heads, first.tally.uploaded, first.tally.there) == (36, 0, 36, 0)
    contents_of(collector(deployment, store), many)
    assert (store.puts, store.heads) == (36, 0)


def test_what_a_store_holds_beyond_the_listing_is_asked_for(
    tmp_path: Path, deployment: Deployment, make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_LISTED_AT_LEAST", 10)
    monkeypatch.setattr(uploads, "_LISTED_PER_INPUT", 0)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(40):
        (many / f"{number:02}.png").write_bytes(make_picture(number))
    store = CountingStore(tmp_path / "counted")
    for _ in range(2):
        contents_of(collector(deployment, store), many)
        assert store.puts == 40


def test_an_upload_that_the_store_refuses_ends_it_and_is_no_inputs_fault(
    photos: Path, deployment: Deployment, tmp_path: Path
) -> None:
    class FullStore(FolderStore):
        def put(self, key: str, data: bytes, *, content_type: str, metadata: object = None) -> None:
            raise StoreRefused("the bucket takes no more")

    with pytest.raises(StoreRefused, match="takes no more"):
        contents_of(collector(deployment, FullStore(tmp_path / "full")), photos)
