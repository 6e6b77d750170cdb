from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from impasto.shared.names import SlugSet, is_slug, slugify

names = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        ["", ".", "..", "../../etc/passwd", "a__b.jpg", "new\nline.png", "_x_", "CON", "日本.jpeg"]
    ),
)


@given(names)
def test_any_name_gives_a_slug_that_cannot_leave_its_prefix(name: str) -> None:
    slug = slugify(name)
    assert is_slug(slug)
    assert "/" not in slug
    assert slug not in {".", ".."}
    assert slug.isprintable()
    assert len(slug.encode()) <= 100


@given(names)
def test_a_slug_is_its_own_slug_unless_it_ends_like_a_file(name: str) -> None:
    slug = slugify(name)
    assert slugify(f"{slug}.jpg") == slug


@given(st.lists(names, max_size=30))
def test_no_two_inputs_get_one_slug_whatever_the_file_system_thinks_of_case(many: list[str]) -> None:
    slugs = SlugSet()
    given_out = [slugs.give(name) for name in many]
    assert len({slug.casefold() for slug in given_out}) == len(many)
    assert all(is_slug(slug) for slug in given_out)


@given(st.lists(st.tuples(names, names), min_size=2, max_size=12, unique=True))
def test_two_pairs_never_share_an_output_name(pairs: list[tuple[str, str]]) -> None:
    contents, styles = SlugSet(), SlugSet()
    content_slugs = {name: contents.give(name) for name, _ in dict.fromkeys(pairs)}
    style_slugs = {name: styles.give(name) for _, name in dict.fromkeys(pairs)}
    stems = {f"{content_slugs[c]}__{style_slugs[s]}".casefold() for c, s in pairs}
    assert len(stems) == len(pairs)


def test_names_that_clash_are_numbered_in_order() -> None:
    slugs = SlugSet()
    assert [slugs.give(n) for n in ("cat.jpg", "cat.png", "CAT.gif", "cat-2.jpg")] == [
        "cat",
        "cat-2",
        "CAT-3",
        "cat-2-2",
    ]
