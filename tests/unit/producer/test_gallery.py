"""A gallery's files: all that the page needs, made once, wherever it is put."""

from __future__ import annotations

import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from galleries import BATCH, Batch, shade
from impasto.producer.fetch import fetch
from impasto.producer.gallery import Gallery, build_gallery
from impasto.producer.gallery.places import web_address
from impasto.shared import layout
from impasto.shared.errors import BadSettings, NoSuchBatch
from impasto.shared.jobs import BlendRef, InputRef, Painting
from impasto.shared.ledger import BatchOpening, BatchState
from impasto.shared.store import open_store
from impasto.shared.store.folder import FolderStore

HOSTILE = (
    "<script>alert(1)</script>.jpg",
    "\"><img src=x onerror='alert(2)'>.png",
    "javascript:alert(3)//.jpg",
    "\u202egpj.evil\u2066.jpg",
    "</script><script>alert(4)</script>.webp",
    "folder/${name} $& &amp; \x1b[31m\n.jpg",
)


@pytest.fixture
def batch(store: FolderStore, tmp_path: Path) -> Batch:
    return Batch(store, tmp_path / "state")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


def data_of(script: bytes) -> dict[str, Any]:
    text = script.decode("ascii")
    data: dict[str, Any] = json.loads(text.removeprefix("window.impastoGallery = ").removesuffix(";\n"))
    return data


def shown(home: Path) -> dict[str, Any]:
    return data_of((home / "assets" / "data.js").read_bytes())


def files(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [
            attrs["href"] or ""
            for tag, attrs in self.tags
            if tag == "a" and "href" in attrs and attrs["href"]
        ]


def test_a_folder_has_the_page_the_pictures_and_all_that_it_names(batch: Batch, home: Path) -> None:
    batch.settle({1: "it is damaged"})
    answer = build_gallery(batch.connection, BATCH, folder=home)
    assert answer == Gallery(
        batch=BATCH,
        name="June",
        state=BatchState.FAILED,
        is_over=True,
        index=str(home / "index.html"),
        url=(home / "index.html").as_uri(),
        pairs=6,
        pictures=5,
        failed=1,
        made=13,
        problems=(),
    )
    data = shown(home)
    there = files(home)
    named = {
        one[kind]
        for one in (*data["contents"], *data["styles"], *data["pairs"])
        for kind in ("thumb", "view", "picture")
        if kind in one
    }
    assert len(named) == 5 + 13
    assert {unquote(name) for name in named} <= there
    assert [size(home / content["view"]) for content in data["contents"]] == [(36, 24)] * 3
    assert [pair.get("error") for pair in data["pairs"]] == [None, "it is damaged", None, None, None, None]
    assert [pair["state"] for pair in data["pairs"]].count("done") == 5
    assert data["pairs"][0]["curve"][-2:] == [40, 0.125]
    page = Page(home / "index.html")
    assert {unquote(link) for link in page.links() if not link.startswith("#")} <= there
    assert "it is damaged" in page.text
    assets = [attrs.get("src") or attrs.get("href") for tag, attrs in page.tags if tag in ("script", "link")]
    assert {name for name in assets if name is not None} <= there


def test_made_again_it_makes_only_what_is_new_and_drops_what_is_old(batch: Batch, home: Path) -> None:
    for pair in range(4):
        batch.finish(pair)
    first = build_gallery(batch.connection, BATCH, folder=home)
    assert (first.made, first.is_over, first.pictures) == (4 + 3 + 2 + 2, False, 4)
    thumbs = {path: path.stat().st_mtime_ns for path in (home / "assets" / "thumbs").iterdir()}
    assert build_gallery(batch.connection, BATCH, folder=home).made == 0
    batch.finish(4)
    batch.finish(5)
    again = build_gallery(batch.connection, BATCH, folder=home)
    # Two outputs, and the view of the content that had none before.
    assert (again.made, again.is_over) == (3, True)
    assert {path: path.stat().st_mtime_ns for path in thumbs} == thumbs
    stale = home / shown(home)["pairs"][0]["thumb"]
    other = shade(31_000)
    key = layout.metadata_key(BATCH, batch.files.job(BATCH, 0).output_stem)
    metadata = json.loads(batch.store.get(key))
    metadata["picture_sha256"] = hashlib.sha256(other).hexdigest()
    batch.put(key, json.dumps(metadata).encode(), "application/json")
    batch.put(metadata["picture_key"], other, "image/png")
    assert build_gallery(batch.connection, BATCH, folder=home).made == 1
    assert not stale.exists()


def test_a_page_of_a_running_batch_says_so(batch: Batch, home: Path) -> None:
    batch.finish(0)
    build_gallery(batch.connection, BATCH, folder=home)
    page = Page(home / "index.html")
    assert "still running" in page.text
    assert "1 of 6 pictures" in page.text
    assert [pair["state"] for pair in shown(home)["pairs"]] == ["done", *["waiting"] * 5]
    for pair in range(1, 6):
        batch.finish(pair)
    build_gallery(batch.connection, BATCH, folder=home)
    assert "still running" not in Page(home / "index.html").text


def test_in_a_folder_that_fetch_made_the_pictures_are_used_where_they_lie(batch: Batch, home: Path) -> None:
    batch.settle()
    fetch(batch.store, BATCH, 6, home)
    before = files(home)
    build_gallery(batch.connection, BATCH, folder=home)
    assert {name for name in files(home) - before if not name.startswith("assets/")} == {"index.html"}
    assert {unquote(pair["picture"]) for pair in shown(home)["pairs"]} <= before


def test_in_the_store_it_links_the_outputs_by_relative_keys(batch: Batch, store: FolderStore) -> None:
    batch.settle()
    answer = build_gallery(batch.connection, BATCH, put=True)
    assert answer.index == f"batches/{BATCH}/gallery/index.html" == layout.gallery_key(BATCH, "index.html")
    assert answer.url == (store.root / answer.index).as_uri()
    folder = PurePosixPath(answer.index).parent
    data = data_of(store.get(layout.gallery_key(BATCH, "assets/data.js")))
    for pair in data["pairs"]:
        lies_at = Path("/", folder, unquote(pair["picture"])).resolve().relative_to("/")
        assert store.head(lies_at.as_posix()) is not None
        assert store.head(layout.gallery_key(BATCH, pair["thumb"])) is not None
    types = {
        info.key.rpartition(".")[2]: (store.head(info.key) or info).content_type
        for info in store.list(layout.gallery_key(BATCH, ""))
    }
    assert types == {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "webp": "image/webp",
        "svg": "image/svg+xml",
    }
    assert build_gallery(batch.connection, BATCH, put=True).made == 0


@pytest.mark.parametrize("put", [False, True])
def test_what_is_damaged_or_missing_is_shown_as_such_and_ends_nothing(
    batch: Batch, store: FolderStore, home: Path, put: bool
) -> None:
    batch.settle()
    metadata = [layout.metadata_key(BATCH, batch.files.job(BATCH, pair).output_stem) for pair in range(6)]
    pictures = [key.removesuffix("json") + "png" for key in metadata]
    store.delete(metadata[0])
    store.put(metadata[1], b"{}", content_type="application/json")
    store.delete(pictures[2])
    strange = json.loads(store.get(metadata[3])) | {"picture_key": f"outputs/{BATCH}/../../x.png"}
    store.put(metadata[3], json.dumps(strange).encode(), content_type="application/json")
    store.delete(batch.files.content(BATCH, 2).uri.removeprefix("store:"))
    answer = build_gallery(batch.connection, BATCH, folder=home, put=put)
    assert len(answer.problems) == 5
    assert any("portrait.jpg" in problem for problem in answer.problems)
    script = store.get(layout.gallery_key(BATCH, "assets/data.js")) if put else None
    data = shown(home) if script is None else data_of(script)
    assert [("problem" in pair, pair["state"]) for pair in data["pairs"]] == [
        *[(True, "done")] * 4,
        *[(False, "done")] * 2,
    ]
    assert [("problem" in one, "view" in one) for one in data["contents"]] == [
        (False, False),
        (False, put),
        (True, False),
    ]


def test_no_name_becomes_markup(store: FolderStore, tmp_path: Path, home: Path) -> None:
    batch = Batch(store, tmp_path / "state", HOSTILE, HOSTILE[::-1], "</title><script>alert(5)</script>")
    batch.settle({0: "<script>alert(6)</script>", 7: "a\nb\x1b"})
    build_gallery(batch.connection, BATCH, folder=home)
    page = Page(home / "index.html")
    assert [attrs["src"] for tag, attrs in page.tags if tag == "script"] == [
        f"assets/{name}.js" for name in ("data", "viewer", "sheet", "gallery")
    ]
    assert [tag for tag, attrs in page.tags if any(name.startswith("on") for name in attrs)] == []
    assert not any(":" in link for link in page.links())
    for name in HOSTILE[:2]:
        assert name in page.text
    # Nothing but ASCII, no raw control or direction character.
    assert re.fullmatch(rb"[\n -~]+", (home / "assets" / "data.js").read_bytes())
    data = shown(home)
    assert data["contents"][3]["name"] == r"\u202egpj.evil\u2066.jpg"
    assert {unquote(pair["picture"]) for pair in data["pairs"] if "picture" in pair} <= files(home)


def test_the_policy_of_the_page_lets_nothing_in_from_elsewhere(batch: Batch, home: Path) -> None:
    build_gallery(batch.connection, BATCH, folder=home)
    page = Page(home / "index.html")
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv")]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert set(rules) == {"img-src", "script-src", "style-src"}
    assert set(rules.values()) == {"'self' file:"}
    written = (path for path in (home / "assets").iterdir() if path.is_file())
    text = "".join(path.read_text(encoding="utf-8") for path in (*written, home / "index.html"))
    assert set(re.findall(r"[a-z]+://[^\s\"')]+", text)) == {"http://www.w3.org/2000/svg"}


def test_what_browsers_cannot_show_has_a_view_that_they_can(batch: Batch, home: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (36, 24), (9, 9, 9)).save(out, "TIFF")
    stem = batch.files.job(BATCH, 0).output_stem
    key = layout.picture_key(BATCH, stem, "tif")
    batch.put(key, out.getvalue(), "image/tiff")
    batch.finish(0, out.getvalue(), picture_key=key)
    build_gallery(batch.connection, BATCH, folder=home)
    pair = shown(home)["pairs"][0]
    assert pair["picture"].endswith(".tif")
    with Image.open(home / pair["view"]) as view:
        assert (view.format, view.size) == ("WEBP", (36, 24))


def test_a_blend_is_shown_as_its_paintings_side_by_side(
    store: FolderStore, tmp_path: Path, home: Path
) -> None:
    class Blended(Batch):
        def _inputs(self, names: Any, first: int) -> Any:
            refs: list[InputRef] = super()._inputs(names, first)
            if not first:
                return refs
            paintings = [
                Painting(**refs[0].model_dump(), weight=3),
                Painting(**refs[1].model_dump(), weight=1),
            ]
            return [BlendRef(name="dusk", slug="dusk", blend=tuple(paintings))]

    batch = Blended(store, tmp_path / "state")
    build_gallery(batch.connection, BATCH, folder=home)
    (style,) = shown(home)["styles"]
    with Image.open(home / style["thumb"]) as strips:
        wide, narrow = (strips.convert("RGB").getpixel((x, 150)) for x in (150, 350))
    assert style["name"] == "dusk"
    assert wide != narrow


def test_a_large_output_has_a_small_thumbnail_of_its_proportions(batch: Batch, home: Path) -> None:
    batch.finish(0, shade(3, (1200, 600)), width_px=1200, height_px=600)
    build_gallery(batch.connection, BATCH, folder=home)
    data = shown(home)
    assert size(home / data["pairs"][0]["thumb"]) == (400, 200)
    assert size(home / data["contents"][0]["view"]) == (1200, 600)


def test_where_the_page_is_in_a_bucket_is_told_as_a_browser_needs_it() -> None:
    key = layout.gallery_key(BATCH, "index.html")
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    own = open_store("s3://museum/re styled", endpoint_url="https://s3.example.org/", **keys)
    assert web_address(own, key) == f"https://s3.example.org/museum/re%20styled/{key}"
    secret = open_store("s3://museum", endpoint_url="https://me:hush@s3.example.org", **keys)
    assert "hush" not in web_address(secret, key)
    amazon = open_store("s3://museum", region="eu-west-1", **keys)
    assert web_address(amazon, key) == f"https://s3.eu-west-1.amazonaws.com/museum/{key}"


def test_a_folder_that_cannot_be_written_is_named(batch: Batch, home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(BadSettings, match=str(home)):
        build_gallery(batch.connection, BATCH, folder=home)


def test_a_batch_too_large_for_a_page_is_said_so(batch: Batch, home: Path) -> None:
    batch.ledger.open(BatchOpening("huge", 1_000_000, "Huge"))
    with pytest.raises(BadSettings, match="1,000,000 pairs, and a page shows at most 100,000"):
        build_gallery(batch.connection, "huge", folder=home)


def test_a_batch_that_is_not_there_is_said_so(batch: Batch, home: Path) -> None:
    with pytest.raises(NoSuchBatch):
        build_gallery(batch.connection, "july-abc234", folder=home)
    assert not home.exists()
