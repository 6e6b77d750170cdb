from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.shared.errors import BadSettings
from impasto.shared.names import SlugSet
from impasto.shared.output_names import (
    FIELDS,
    OutputNames,
    check_output_names,
    folders_of,
    problem_of_output_name,
)

names = st.text(max_size=30) | st.sampled_from(
    ["a__b", "a_b", "a-b", "b", "a", "A", "x.png.png", "report", ".."]
)
texts = st.sampled_from(["", "-", "_", "__", "/", "x", "2026/", "é"])
templates = st.lists(
    st.sampled_from([f"{{{field}}}" for field in FIELDS]) | texts, min_size=1, max_size=7
).map("".join)


def valid(template: str) -> bool:
    try:
        check_output_names(template)
    except BadSettings:
        return False
    return True


@given(
    templates.filter(valid),
    st.lists(st.tuples(names, names), min_size=1, max_size=6),
    st.lists(names, min_size=1, max_size=4),
    st.booleans(),
)
def test_names_that_pass_never_collide_and_never_leave_their_prefix(
    template: str, given_contents: list[tuple[str, str]], given_styles: list[str], zipped: bool
) -> None:
    slugs, style_slugs = SlugSet(), SlugSet()
    contents = [(slugs.give(name), folders_of(folder)) for name, folder in given_contents]
    styles = [style_slugs.give(name) for name in given_styles]
    if zipped:
        contents, styles = contents[: len(styles)], styles[: len(contents)]
    named = OutputNames(template, batch="june-abc234", date="2026-05-04")
    try:
        named.check(contents, styles, zipped=zipped)
    except BadSettings:
        return
    pairs = zip(contents, styles, strict=True) if zipped else itertools.product(contents, styles)
    made = [named.name(content=content, style=style, path=path) for (content, path), style in pairs]
    files = {f"{name}{end}".casefold() for name in made for end in (".png", ".json")}
    assert len(files) == 2 * len(made)
    for name in made:
        assert problem_of_output_name(name) is None
        parts = name.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert name.isprintable()
        assert "\\" not in name
        assert all(len(part.encode()) <= 250 for part in parts)
        folders = {"/".join(parts[:i]).casefold() for i in range(1, len(parts))}
        assert not folders & files


@pytest.mark.parametrize(
    ("template", "path", "name"),
    [
        ("{content}__{style}", "a/b", "cat__night"),
        ("{path}/{content}__{style}", "a/b", "a/b/cat__night"),
        ("{path}/{content}__{style}", "", "cat__night"),
        ("{style}/{path}/{content}", "", "night/cat"),
        ("{date}/{batch}/{content}-{style}", "a", "2026-05-04/june-abc234/cat-night"),
        ("Été {date}/{content} by {style}", "", "Été 2026-05-04/cat by night"),
        ("{content}/{style}/1", "", "cat/night/1"),
    ],
)
def test_a_template_is_filled_with_what_it_names(template: str, path: str, name: str) -> None:
    named = OutputNames(check_output_names(template), batch="june-abc234", date="2026-05-04")
    named.check([("cat", path), ("dog", path)], ["night", "dusk"], zipped=False)
    assert named.name(content="cat", style="night", path=path) == name


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("", "empty"),
        ("/{content}", "slash"),
        ("{content}/", "slash"),
        ("{content}//{style}", "slash"),
        ("../{content}", "dot"),
        ("{content}/../{style}", "dot"),
        (".{content}", "dot"),
        ("{content}.", "dot"),
        ("{content}\n", "can't be seen"),
        ("{content}\x00", "can't be seen"),
        ("C:{content}", "it has :"),
        ("{content}\\{style}", "it has \\"),
        ("{content}*", "it has *"),
        ("e\u0301{content}", "normal form"),
        ("{content", "brace"),
        ("{content}}", "brace"),
        ("{{content}}", "brace"),
        ("{content!r}", "brace"),
        ("{0}", "{0}"),
        ("{contents}", "{contents}"),
        ("{content.png}/{style}", "brace"),
        ("x.png/{content}", "picture's file"),
        ("{content}/{path}", "{content} or {style}"),
        ("{path}", "{content} or {style}"),
        ("x" * 250 + "{content}", "245"),
        ("{content}" * 110, "900"),
        ("report", "report"),
    ],
)
def test_a_template_that_can_give_no_name_is_refused_in_one_line_with_the_reason(
    template: str, word: str
) -> None:
    with pytest.raises(BadSettings, match=re.escape(word)) as refused:
        check_output_names(template)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("template", "contents", "styles", "zipped", "word"),
    [
        ("{content}", "a b", "x y", False, "all 2 styles: put {style} in"),
        ("{style}", "a b", "x", False, "all 2 contents: put {content} in"),
        ("{date}", "a b", "x y", True, "all 2 pairs: put {content} in"),
        ("{content}-{style}", "a a-b", "b-c c", False, "called 'a-b-c': put / or __"),
        ("{content}{style}", "a A-a", "b", False, None),
        ("{content}-{style}", "a b", "x y", False, None),
        ("{content}", "a b", "x", False, None),
        ("{style}", "a", "x y", False, None),
        ("{style}", "a b", "x y", True, None),
        ("fixed", "a", "x", False, None),
        ("{content}", "a report", "x", False, "report"),
        ("{style}/{content}", "a", "x.png", False, "picture's file"),
    ],
)
def test_names_are_judged_by_the_lists_that_they_are_for(
    template: str, contents: str, styles: str, zipped: bool, word: str | None
) -> None:
    named = OutputNames(template, batch="b", date="2026-05-04")
    pairs = [(content, "") for content in contents.split()]
    if word is None:
        named.check(pairs, styles.split(), zipped=zipped)
        return
    with pytest.raises(BadSettings, match=re.escape(word)):
        named.check(pairs, styles.split(), zipped=zipped)


def test_names_too_long_are_refused_by_the_name_that_is() -> None:
    named = OutputNames("{batch}-{content}__{style}", batch="b" * 80, date="2026-05-04")
    named.check([("a", "")], ["x"], zipped=False)
    with pytest.raises(BadSettings, match="245 are the most"):
        named.check([("a", ""), ("c" * 100, "")], ["x", "s" * 100], zipped=False)
    deep = OutputNames("{path}/{content}", batch="b", date="2026-05-04")
    with pytest.raises(BadSettings, match="900 are the most"):
        deep.check([("a", "/".join(["f" * 100] * 10))], ["x"], zipped=False)


@pytest.mark.parametrize(
    ("folders", "path"),
    [
        ("", ""),
        ("2026/June 1", "2026/June_1"),
        ("2026.06/x.png", "2026.06/x_png"),
        ("../a/./b//c", "a/b/c"),
        ("a__b/.hidden", "a_b/hidden"),
        ("trip_.jpg/__.PNG", "trip_jpg/PNG"),
    ],
)
def test_folders_become_slugs_that_no_picture_is_called(folders: str, path: str) -> None:
    assert folders_of(folders) == path
