"""Chromium for tests of pages, and pages that tell of every request, error and message."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from browsing import Open, Watched
from galleries import BATCH, Batch
from impasto.producer.gallery import build_gallery
from impasto.shared.store.folder import FolderStore

_ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Gone with the module: Playwright's event loop would stand in the way of asyncio's in later tests."""
    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next(filter(None, map(shutil.which, names)), None)
    if binary is None:
        pytest.skip("no Chromium is installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def opened(chromium: Browser, watched: Watched) -> Iterator[Open]:
    """Opens pages, each in a context of its own; at the end none may have complained or asked elsewhere."""
    contexts = []

    def opened(index: Path | str, **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        watched.follow(page)
        page.goto(index.as_uri() if isinstance(index, Path) else index)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert watched.complaints == []


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three contents by two styles, of which one pair failed."""
    folder = tmp_path_factory.mktemp("small")
    batch = Batch(FolderStore(folder / "store"), folder / "state")
    batch.settle({3: "garden.jpg: the picture is damaged"})
    build_gallery(batch.connection, BATCH, folder=folder / "gallery")
    return folder / "gallery" / "index.html"


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two thousand outputs."""
    folder = tmp_path_factory.mktemp("large")
    contents = [f"photo {number:03}.jpg" for number in range(100)]
    styles = [f"style {number:02}.png" for number in range(20)]
    batch = Batch(FolderStore(folder / "store"), folder / "state", contents, styles)
    batch.settle()
    build_gallery(batch.connection, BATCH, folder=folder / "gallery")
    return folder / "gallery" / "index.html"
