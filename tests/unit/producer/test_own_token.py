from __future__ import annotations

from typing import Any

import pytest

from impasto.producer.own_token import identity
from impasto.producer.request import Request
from impasto.shared.jobs import BlendRef, Content, InputRef, Painting, StyleRef
from impasto.shared.settings import StyleSettings

A, B = (f"{digit}" * 64 for digit in "ab")


def request(**fields: Any) -> Request:
    return Request(
        **{"contents": ("photos",), "styles": ("paintings",), "settings": StyleSettings(), **fields}
    )


def content(name: str = "photo.jpg", sha256: str = A, **fields: Any) -> Content:
    return Content(
        uri="s3://bucket/photo.jpg", name=name, slug="photo", sha256=sha256, size_bytes=5, **fields
    )


def style(sha256: str = B) -> InputRef:
    return InputRef(uri="s3://bucket/night.png", name="night.png", slug="night", sha256=sha256, size_bytes=5)


def blend(weight: float) -> BlendRef:
    paintings = (Painting(**dict(style()), weight=1.0), Painting(**dict(style(A)), weight=weight))
    return BlendRef(name="dusk", slug="dusk", blend=paintings)


@pytest.mark.parametrize(
    ("asked", "contents", "styles"),
    [
        pytest.param({"settings": StyleSettings(seed=1)}, [content()], [style()], id="settings"),
        pytest.param({"name": "June"}, [content()], [style()], id="name"),
        pytest.param({"name": "None"}, [content()], [style()], id="a name that looks like none"),
        pytest.param({"owner": "ann"}, [content()], [style()], id="owner"),
        pytest.param({"pairs": "zip"}, [content()], [style()], id="pairs"),
        pytest.param({"output_names": "{content}"}, [content()], [style()], id="output names"),
        pytest.param({"output_names": "None"}, [content()], [style()], id="output names that look like none"),
        pytest.param({}, [content(sha256=B)], [style()], id="an object changed in place"),
        pytest.param({}, [content(mask=style())], [style()], id="a mask"),
        pytest.param({}, [content(path="2026")], [style()], id="a folder"),
        pytest.param({}, [content(), content("other.jpg")], [style()], id="one more"),
        pytest.param({}, [content()], [blend(1.0)], id="a blend"),
        pytest.param({}, [content()], [blend(2.0)], id="a blend of other weights"),
    ],
)
def test_no_two_different_submissions_are_taken_for_one(
    asked: dict[str, Any], contents: list[Content], styles: list[StyleRef]
) -> None:
    others = [identity(request(), [content()], [style()]), identity(request(), [content()], [blend(3.0)])]
    assert identity(request(**asked), contents, styles) not in others


def test_what_does_not_change_the_result_is_the_same_submission() -> None:
    plain = identity(request(), [content()], [style()])
    for same in ({"priority": 0}, {"strict": True}, {"recheck": True}, {"contents": ("./photos",)}):
        assert identity(request(**same), [content()], [style()]) == plain
