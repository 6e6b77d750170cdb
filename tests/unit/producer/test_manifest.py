from __future__ import annotations

import io
import json
import sys
import tracemalloc
from pathlib import Path

import pytest

from impasto.producer import SubmissionRefused
from impasto.producer.manifest import Manifest, Row, read_manifest
from impasto.shared.errors import BadSettings


def written(tmp_path: Path, text: str, name: str = "pairs.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def problems(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(SubmissionRefused, match="nothing was submitted") as refused:
        read_manifest(path)
    return [(one.input.removeprefix(f"{path}, "), one.error) for one in refused.value.rejected]


def short(manifest: Manifest, folder: Path) -> list[tuple[object, ...]]:
    """Line, content, style, mask, name and settings, files by their names in the folder."""
    return [
        tuple(part.removeprefix(f"{folder}/") if isinstance(part, str) else part for part in row)
        for row in manifest.rows
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_as_spreadsheets_of_all_countries_write_it(
    tmp_path: Path, delimiter: str, mark: str, end: str
) -> None:
    lines = (
        ("style", "content", "mask", "name"),
        ("a.png", "b.jpg", "", ""),
        ("a.png", "c.jpg", "m.png", "C"),
    )
    path = written(tmp_path, mark + end.join(map(delimiter.join, lines)))
    assert short(read_manifest(path), tmp_path) == [
        (2, "b.jpg", "a.png", None, None, {}),
        (3, "c.jpg", "a.png", "m.png", "C", {}),
    ]


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    as_csv = written(
        tmp_path,
        "content,style,settings.steps,settings.style_layers,settings.network\n"
        'a.jpg,b.png,20,"relu1_1,relu2_1",vgg16\nc.jpg,b.png,,,\n',
    )
    rows = [
        {
            "content": "a.jpg",
            "style": "b.png",
            "settings": {"steps": 20, "style_layers": ["relu1_1", "relu2_1"], "network": "vgg16"},
        },
        {"content": "c.jpg", "style": "b.png"},
    ]
    as_jsonl = written(tmp_path, "\n" + "\n".join(map(json.dumps, rows)), "pairs.jsonl")
    assert short(read_manifest(as_csv), tmp_path) == short(read_manifest(as_jsonl), tmp_path)


def test_relative_paths_are_the_manifests_and_addresses_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    text = "content,style,mask\n../a.jpg,s3://bucket/b.png,/m.png\n~/c.jpg,store:inputs/x.png,\n"
    written(tmp_path / "deep", text)
    assert read_manifest("deep/pairs.csv").rows == [
        Row(2, "deep/../a.jpg", "s3://bucket/b.png", "/m.png", None, {}),
        Row(3, "~/c.jpg", "store:inputs/x.png", None, None, {}),
    ]


def test_standard_input_is_read_once_its_format_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"content": "a.jpg", "style": "b.png"}\n'))
    )
    with pytest.raises(BadSettings, match="--manifest-format"):
        read_manifest("-")
    assert read_manifest("-", "jsonl").rows == [Row(1, "a.jpg", "b.png", None, None, {})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("content,stile\na,b\n", [("line 1, column stile", "no column is called stile")]),
        ("content\na\n", [("line 1, column style", "it is not there")]),
        ("", [("line 1, column content", "it is not there")]),
        ("content,style,style\na,b,c\n", [("line 1, column style", "twice")]),
        (
            "content,style\na,b\n\n,c\nd,\n",
            [("line 4, column content", "empty"), ("line 5, column style", "empty")],
        ),
        ("content,style\na,b,c\n", [("line 2, column 3", "3 cells under 2 columns")]),
        (
            'content,style\n"a\nb",\nc,\n',
            [("line 2, column style", "empty"), ("line 4, column style", "empty")],
        ),
        ('content,style\na,b\nc,"d\n', [("line 3", "close its quotes")]),
        ("content,style,name\na,b,\x07\n", [("line 2, column name", "printable")]),
    ],
)
def test_each_senseless_row_of_csv_is_named_by_line_and_column(
    tmp_path: Path, text: str, expected: list[tuple[str, str]]
) -> None:
    told = problems(written(tmp_path, text))
    assert [where for where, _ in told] == [where for where, _ in expected]
    assert all(why in error for (_, error), (_, why) in zip(told, expected, strict=True))


@pytest.mark.parametrize(
    ("line", "where", "why"),
    [
        ("{", "line 2", "no JSON"),
        ("[1]", "line 2", "no object"),
        ('{"content": "a", "style": 7}', "line 2, column style", "no text"),
        ('{"content": "a", "stlye": "b"}', "line 2, column stlye", "no column"),
        ('{"content": "a", "style": "b", "settings": 5}', "line 2, column settings", "no object"),
        ('{"content": " ", "style": "b"}', "line 2, column content", "no name"),
        ('{"content": "\\ud800.jpg", "style": "b"}', "line 2, column content", "no Unicode text"),
        ('{"content": "a", "style": "s3://b/\\udcff.png"}', "line 2, column style", "no Unicode text"),
        (
            json.dumps({"content": "a", "style": "b", "mask": f"s3://bucket/{'m' * 4085}"}),
            "line 2, column mask",
            "4,097 characters",
        ),
    ],
)
def test_each_senseless_row_of_json_lines_is_named_by_line_and_column(
    tmp_path: Path, line: str, where: str, why: str
) -> None:
    good = '{"content": "a", "style": "b"}'
    ((told, error),) = problems(written(tmp_path, f"{good}\n{line}\n", "pairs.jsonl"))
    assert told == where
    assert why in error


def test_a_thousand_senseless_rows_are_counted_and_the_first_named(tmp_path: Path) -> None:
    path = written(tmp_path, "content,style\n" + "a,\n" * 1000)
    with pytest.raises(SubmissionRefused, match="1,000 rows make no sense, of which the first 20") as refused:
        read_manifest(path)
    assert len(refused.value.rejected) == 20


def test_a_file_that_is_none_or_not_text_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="No such file"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(BadSettings, match="--manifest-format"):
        read_manifest(written(tmp_path, "", "pairs.xlsx"))
    (tmp_path / "latin.csv").write_bytes("content,style\nJosé.jpg,b.png\n".encode("latin-1"))
    with pytest.raises(BadSettings, match="save it as UTF-8"):
        read_manifest(tmp_path / "latin.csv")
    with pytest.raises(SubmissionRefused, match="has no row"):
        read_manifest(written(tmp_path, "content,style\n"))


def test_a_row_that_says_the_same_again_is_counted_and_no_pair(tmp_path: Path) -> None:
    text = "content,style,settings.steps\na,b,\na,b,5\na,b,\na,b,5\na,c,\n"
    manifest = read_manifest(written(tmp_path, text))
    assert [row.line for row in manifest.rows] == [2, 3, 6]
    assert len(manifest.repeated) == 2


def test_a_hundred_thousand_rows_take_little_memory(tmp_path: Path) -> None:
    lines = "".join(
        f"photos/2026/IMG_{number:06d}.jpg,styles/{number % 9}.png,\n" for number in range(100_000)
    )
    path = written(tmp_path, f"content,style,settings.steps\n{lines}")
    tracemalloc.start()
    manifest = read_manifest(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(manifest.rows) == 100_000
    assert peak_bytes < 64 * 2**20
    assert len({id(row.settings) for row in manifest.rows}) == 1
