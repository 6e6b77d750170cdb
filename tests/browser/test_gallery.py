"""The gallery's page in a real browser: from disk, from S3, by mouse, touch, keyboard and screen reader."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from browsing import Open, Watched
from galleries import BATCH, Batch
from impasto.producer.gallery import build_gallery
from impasto.shared.store.folder import FolderStore
from s3_server import S3Server

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0.5) return colour;
    }
  };
  const shown = [...document.querySelectorAll("body *")].filter(
    (element) =>
      element.checkVisibility({ visibilityProperty: true }) &&
      !element.closest(".unseen, .skip, :disabled") &&
      [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()),
  );
  return shown.map((element) => {
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    return [element.tagName + "." + element.className, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
}"""
"""The contrast of each text that is in sight with what lies behind it (WCAG 2.2, 1.4.3)."""


def tile(page: Page, content: str, style: str) -> Locator:
    return page.locator(f".tile[aria-label^='{content} in the style of {style}']")


def in_sight(page: Page) -> list[str]:
    """The names of the pictures shown, in their order."""
    labels: list[str] = page.locator(".tile").evaluate_all("all => all.map((one) => one.ariaLabel)")
    return labels


def share(page: Page) -> int:
    return int(page.get_by_role("slider").input_value())


def edge(page: Page) -> float:
    """Where the output begins, as a share of the picture's width, as the browser has laid it out."""
    clip: str = page.locator(".after").evaluate("one => getComputedStyle(one).clipPath")
    found = re.fullmatch(r"inset\(0px 0px 0px ([\d.]+)%\)", clip)
    assert found is not None, clip
    return float(found.group(1))


def focused(page: Page) -> str:
    label: str = page.evaluate("document.activeElement.ariaLabel || document.activeElement.tagName")
    return label


def test_it_opens_from_disk_and_asks_for_nothing_but_its_own_files(
    small: Path, opened: Open, watched: Watched
) -> None:
    page = opened(small)
    expect(page.get_by_role("heading", level=1)).to_have_text("June")
    expect(page.locator(".tile")).to_have_count(6)
    tile(page, "harbour", "night").click()
    expect(page.locator("dialog .after")).to_have_js_property("naturalWidth", 36)
    expect(page.locator("dialog .before")).to_have_js_property("naturalWidth", 36)
    assert page.locator("dialog .curve svg").get_attribute("aria-label") == (
        "Loss from 1.1 at evaluation 1 to 0.125 at 40"
    )
    home = small.parent.as_uri()
    assert [url for url in watched.requests if not url.startswith(f"{home}/")] == []
    assert len(watched.requests) > 6 + 5


def test_the_slider_goes_by_keyboard_mouse_and_touch(small: Path, opened: Open) -> None:
    page = opened(small)
    tile(page, "garden", "night").click()
    slider = page.get_by_role("slider")
    expect(slider).to_be_focused()
    assert (share(page), edge(page)) == (50, 50)
    page.keyboard.press("ArrowRight")
    assert (share(page), edge(page)) == (51, 51)
    assert slider.get_attribute("aria-valuetext") == "51 % content on the left, 49 % output"
    page.keyboard.press("Home")
    assert edge(page) == 0
    box = page.locator(".frame").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    assert edge(page) == pytest.approx(25, abs=2)
    page.mouse.move(box["x"] + box["width"] * 0.8, y)
    page.mouse.up()
    assert edge(page) == pytest.approx(80, abs=2)

    phone = opened(small, **PHONE)
    tile(phone, "garden", "night").tap()
    box = phone.locator(".frame").bounding_box()
    assert box is not None
    phone.touchscreen.tap(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
    assert edge(phone) == pytest.approx(70, abs=2)


def test_all_of_it_goes_by_keyboard_alone(small: Path, opened: Open) -> None:
    page = opened(small)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip the pictures")).to_be_focused()
    for _ in range(30):
        if focused(page).startswith("harbour in the style of night"):
            break
        page.keyboard.press("Tab")
    stops = [focused(page)]
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "Home", "End", "Control+Home"):
        page.keyboard.press(key)
        stops.append(focused(page).split(",")[0])
    assert stops == [
        "harbour in the style of night",
        "harbour in the style of woodcut",
        "garden in the style of woodcut",
        "portrait in the style of woodcut",
        "portrait in the style of night",
        "portrait in the style of night",
        "portrait in the style of woodcut",
        "harbour in the style of night",
    ]
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for _ in range(8):
        # Behind the last comes the browser's own bar, never what lies under the dialog.
        assert page.evaluate("document.activeElement.matches('body, dialog *')")
        page.keyboard.press("Tab")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("garden")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert focused(page) == "garden in the style of night"
    # The pictures are one stop: behind them comes what is behind them.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#failures') !== null")


def test_filters_and_order_show_what_they_say(small: Path, opened: Open) -> None:
    page = opened(small)
    count = page.locator("output")
    expect(count).to_have_text("6 in all")
    page.get_by_role("combobox", name="Content").select_option("portrait")
    assert in_sight(page) == [f"portrait in the style of {style}" for style in ("night", "woodcut")]
    page.get_by_role("combobox", name="Content").select_option("All contents")
    page.get_by_role("combobox", name="State").select_option("Failed")
    expect(count).to_have_text("1 of 6")
    assert in_sight(page) == ["garden in the style of woodcut, failed: garden.jpg: the picture is damaged"]
    page.get_by_role("searchbox").fill("harbour")
    expect(page.get_by_text("No picture is like that.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(count).to_have_text("6 in all")
    page.get_by_role("searchbox").fill("DAMAGED gard")
    expect(count).to_have_text("1 of 6")
    page.get_by_role("searchbox").fill("")
    page.get_by_text("Wall").click()
    expect(page.get_by_role("list").locator(".tile")).to_have_count(6)
    page.get_by_role("combobox", name="Order").select_option("Newest first")
    assert in_sight(page)[:2] == ["portrait in the style of woodcut", "portrait in the style of night"]
    page.get_by_role("combobox", name="Order").select_option("By name")
    assert in_sight(page)[0].startswith("garden in the style of night")


def test_failures_are_told_with_their_reasons(small: Path, opened: Open) -> None:
    page = opened(small)
    page.get_by_role("link", name="Failures (1)").click()
    failures = page.get_by_role("region", name="Failures")
    expect(failures.get_by_role("listitem")).to_contain_text("garden.jpg: the picture is damaged")
    failures.get_by_role("button", name="garden × woodcut").click()
    expect(page.get_by_role("dialog")).to_contain_text("This pair failed: garden.jpg: the picture is damaged")


def test_a_link_to_one_picture_opens_it(small: Path, opened: Open) -> None:
    page = opened(f"{small.as_uri()}#pair-4")
    expect(page.get_by_role("dialog").get_by_role("heading", level=2)).to_contain_text("portrait")
    assert page.url.endswith("#pair-4")
    page.get_by_role("button", name="Close").click()
    assert page.url.endswith("index.html")


def test_of_two_thousand_outputs_only_those_near_are_loaded(
    large: Path, opened: Open, watched: Watched
) -> None:
    page = opened(large)
    expect(page.locator(".tile")).to_have_count(2000)
    page.wait_for_load_state("networkidle")
    thumbnails = {url for url in watched.requests if url.endswith(".webp")}
    assert 20 < len(thumbnails) < 700
    assert not any("/views/" in url or "/pictures/" in url for url in watched.requests)
    last = tile(page, "photo 099", "style 19").locator("img")
    assert last.evaluate("one => one.currentSrc") not in watched.requests
    tile(page, "photo 000", "style 00").focus()
    page.keyboard.press("Control+End")
    assert focused(page) == "photo 099 in the style of style 19"
    expect(last).to_have_js_property("complete", True)
    expect(last).not_to_have_js_property("naturalWidth", 0)
    page.get_by_role("searchbox").fill("photo 077")
    expect(page.locator(".tile")).to_have_count(20)


def test_a_grid_too_wide_for_the_window_scrolls_in_itself_with_its_heads_in_sight(
    large: Path, opened: Open
) -> None:
    page = opened(large)
    page.get_by_text("Grid").click()
    tile(page, "photo 050", "style 17").scroll_into_view_if_needed()
    expect(page.get_by_role("rowheader", name="photo 050")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("columnheader", name="style 17")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_before_the_rest_is_laid_out_the_first_pictures_are_there(large: Path, opened: Open) -> None:
    page = opened("about:blank")
    # What the page has when its scripts have run once, before any idle moment.
    page.add_init_script(
        "addEventListener('DOMContentLoaded', () => {"
        " window.first = document.querySelectorAll('.tile').length;"
        " window.elements = document.querySelectorAll('*').length; })"
    )
    page.goto(large.as_uri())
    assert 40 <= page.evaluate("window.first") < 2000
    assert page.evaluate("window.elements") < 5000


def test_no_name_is_taken_for_more_than_a_name(tmp_path: Path, opened: Open) -> None:
    names = (
        "<script>alert(1)</script>.jpg",
        "\"><img src=x onerror='alert(2)'>.png",
        "javascript:alert(3)//.jpg",
        "\u202egpj.evil.jpg",
        "100% #1?.jpg",
    )
    batch = Batch(FolderStore(tmp_path / "store"), tmp_path / "state", names, names[::-1], names[0])
    batch.settle({3: "<img src=x onerror=alert(4)>"})
    build_gallery(batch.connection, BATCH, folder=tmp_path / "gallery")
    page = opened(tmp_path / "gallery" / "index.html")
    expect(page.get_by_role("heading", level=1)).to_have_text(names[0])
    expect(page.locator(".tile")).to_have_count(25)
    for view in ("Wall", "Grid"):
        page.get_by_text(view).click()
        assert page.locator("script:not([src]), [onerror], img[src=x]").count() == 0
    page.locator(".tile").nth(4).click()
    for _ in range(24):
        page.keyboard.press("PageDown")
    expect(page.get_by_role("dialog")).to_contain_text("25 of 25")
    expect(page.locator("dialog .after")).to_have_js_property("naturalWidth", 36)


def test_the_policy_holds_in_the_browser(
    small: Path, s3_server: S3Server, opened: Open, watched: Watched
) -> None:
    page = opened(small)
    refused = page.evaluate(
        """async (url) => {
          const seen = [];
          document.addEventListener("securitypolicyviolation", (event) => seen.push(event.violatedDirective));
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.head.append(script);
          new Image().src = url;
          await new Promise((resolve) => setTimeout(resolve, 100));
          return [window.ran === undefined, seen.sort()];
        }""",
        f"{s3_server.endpoint_url}/x.png",
    )
    assert refused == [True, ["img-src", "script-src-elem"]]
    watched.complaints.clear()


def test_a_picture_that_is_gone_is_shown_as_such(tmp_path: Path, opened: Open, watched: Watched) -> None:
    batch = Batch(FolderStore(tmp_path / "store"), tmp_path / "state")
    batch.settle()
    build_gallery(batch.connection, BATCH, folder=tmp_path / "gallery")
    (tmp_path / "gallery" / "pictures" / "garden__night.png").unlink()
    page = opened(tmp_path / "gallery" / "index.html")
    tile(page, "garden", "night").click()
    expect(page.get_by_role("dialog")).to_contain_text("The picture can’t be loaded.")
    watched.complaints.clear()


def test_without_javascript_it_is_a_list_of_links(small: Path, opened: Open) -> None:
    page = opened(small, java_script_enabled=False)
    links = page.get_by_role("main").get_by_role("link")
    expect(links).to_have_count(5)
    for link in links.all():
        href = link.get_attribute("href")
        assert href is not None
        assert (small.parent / unquote(href)).is_file()
    expect(page.locator("noscript li").nth(3)).to_contain_text("garden.jpg: the picture is damaged")
    expect(page.locator("form")).to_be_hidden()


def test_a_screen_reader_finds_landmarks_names_and_roles(small: Path, opened: Open) -> None:
    page = opened(small)
    for role in ("banner", "main", "contentinfo", "search"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("navigation", name="This page")).to_be_visible()
    for name in ("Pictures", "Failures", "About this batch"):
        expect(page.get_by_role("region", name=name)).to_be_visible()
    grid = page.get_by_role("grid", name="Contents by styles")
    assert grid.get_attribute("aria-rowcount") == "4"
    assert grid.get_by_role("row").count() == 4
    assert grid.get_by_role("columnheader").all_inner_texts() == ["Content", "night", "woodcut"]
    assert grid.get_by_role("rowheader").all_inner_texts() == ["harbour", "garden", "portrait"]
    tile(page, "harbour", "night").click()
    snapshot = page.locator("body").aria_snapshot()
    assert "dialog" in snapshot
    assert "slider" in snapshot
    nameless = re.findall(
        r"^\s*- (?:link|button|combobox|searchbox|slider|radio|img)(?! \")[^\"]*$", snapshot, re.M
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(small: Path, opened: Open, scheme: str) -> None:
    page = opened(small, color_scheme=scheme)
    sheet = page.evaluate(CONTRAST)
    tile(page, "harbour", "night").click()
    viewer = page.evaluate(CONTRAST)
    assert min(len(sheet), len(viewer)) > 20
    assert [(name, ratio) for name, ratio in (*sheet, *viewer) if ratio < 4.5] == []


def test_nothing_moves_for_whoever_wants_no_motion(small: Path, opened: Open) -> None:
    page = opened(small, reduced_motion="reduce")
    tile(page, "harbour", "night").click()
    assert page.evaluate("document.getAnimations().length") == 0
    moving = "(one) => parseFloat(getComputedStyle(one).transitionDuration) > 0"
    assert page.evaluate(f"[...document.querySelectorAll('*')].some({moving})") is False


def test_on_a_phone_nothing_is_cut_off_and_filters_wait_behind_a_button(small: Path, opened: Open) -> None:
    page = opened(small, **PHONE)
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wider) == 0
    expect(page.get_by_role("combobox", name="State")).to_be_hidden()
    page.get_by_role("button", name="Filter").tap()
    page.get_by_role("combobox", name="State").select_option("Failed")
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_role("combobox", name="State").select_option("All states")
    page.get_by_text("Grid").tap()
    expect(page.get_by_role("grid")).to_be_visible()
    assert page.evaluate(wider) == 0
    tile(page, "harbour", "night").tap()
    dialog = page.get_by_role("dialog")
    assert dialog.evaluate("one => one.scrollWidth - one.clientWidth") == 0
    expect(dialog.get_by_role("button", name="Close")).to_be_in_viewport(ratio=1)


def test_it_opens_from_s3_over_http_too(
    tmp_path: Path, s3_server: S3Server, namespace: str, opened: Open, watched: Watched
) -> None:
    batch = Batch(s3_server.store(namespace), tmp_path / "state")
    batch.settle({0: "it is damaged"})
    answer = build_gallery(batch.connection, BATCH, put=True)
    assert answer.url == f"{s3_server.endpoint_url}/{s3_server.bucket}/{namespace}/{answer.index}"
    # As a bucket's policy would: moto knows only access lists.
    client = s3_server.access().client()
    for info in batch.store.list(""):
        client.put_object_acl(Bucket=s3_server.bucket, Key=f"{namespace}/{info.key}", ACL="public-read")
    page = opened(answer.url)
    expect(page.locator(".tile")).to_have_count(6)
    tile(page, "garden", "woodcut").click()
    expect(page.locator("dialog .after")).to_have_js_property("naturalWidth", 36)
    expect(page.locator("dialog .before")).to_have_js_property("naturalWidth", 36)
    hosts = {urlsplit(url).netloc for url in watched.requests}
    assert hosts == {urlsplit(s3_server.endpoint_url).netloc}
