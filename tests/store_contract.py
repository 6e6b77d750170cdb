"""What every store promises, stated once: `StoreContract` runs for whatever its `store` fixture gives."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from impasto.shared.errors import BadPicture, ObjectMissing, StoreRefused
from impasto.shared.store import ObjectInfo, ObjectStore

PNG = "image/png"

_counter = itertools.count()
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_parts = st.text(st.sampled_from("abzAZ09-_ +%&=?#é×漢🎨'()~,;:@$!*"), min_size=1, max_size=12).filter(
    lambda part: part.strip(" ") == part
)


class StoreContract:
    @pytest.mark.parametrize("size_bytes", [0, 1, 300_000])
    def test_what_was_put_is_got_back_whole(self, store: ObjectStore, size_bytes: int) -> None:
        data = bytes(range(256)) * (size_bytes // 256) + bytes(size_bytes % 256)
        store.put("outputs/b/one.png", data, content_type=PNG)
        assert store.get("outputs/b/one.png") == data
        assert store.head("outputs/b/one.png") == ObjectInfo("outputs/b/one.png", size_bytes, PNG, {})

    def test_a_second_put_replaces_object_type_and_metadata(self, store: ObjectStore) -> None:
        store.put("key", b"first", content_type=PNG, metadata={"fingerprint": "old", "more": "x"})
        store.put("key", b"second one", content_type="text/plain", metadata={"fingerprint": "new"})
        assert store.get("key") == b"second one"
        assert store.head("key") == ObjectInfo("key", 10, "text/plain", {"fingerprint": "new"})

    def test_what_is_not_there_is_missing_and_has_no_head(self, store: ObjectStore) -> None:
        store.put("folder/there", b"x", content_type=PNG)
        for key in ("not-there", "folder", "folder/there/below"):
            assert store.head(key) is None
            with pytest.raises(ObjectMissing, match=key):
                store.get(key)

    def test_put_if_absent_stores_once_and_leaves_what_is_there(self, store: ObjectStore) -> None:
        assert store.put_if_absent("k", b"mine", content_type=PNG, metadata={"by": "first"}) is True
        assert store.put_if_absent("k", b"yours", content_type="text/plain", metadata={"by": "2nd"}) is False
        assert store.get("k") == b"mine"
        assert store.head("k") == ObjectInfo("k", 4, PNG, {"by": "first"})

    def test_put_if_absent_leaves_a_large_object_too(self, store: ObjectStore) -> None:
        assert store.put_if_absent("k", b"1" * 400_000, content_type=PNG) is True
        assert store.put_if_absent("k", b"2" * 400_000, content_type=PNG) is False
        assert store.get("k") == b"1" * 400_000

    def test_of_many_put_if_absent_at_once_one_stores(self, store: ObjectStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            stored = list(
                pool.map(lambda i: store.put_if_absent("race", b"%d" % i, content_type=PNG), range(8))
            )
        assert stored.count(True) == 1
        assert store.get("race") == b"%d" % stored.index(True)

    def test_of_many_puts_at_once_one_stays_whole_with_its_own_metadata(self, store: ObjectStore) -> None:
        def put(i: int) -> None:
            store.put("race", bytes([i]) * 70_000, content_type=f"x/{i}", metadata={"by": str(i)})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, range(8)))
        data = store.get("race")
        assert data == data[:1] * 70_000
        assert store.head("race") == ObjectInfo("race", 70_000, f"x/{data[0]}", {"by": str(data[0])})

    def test_deleting_is_idempotent_and_takes_the_metadata_along(self, store: ObjectStore) -> None:
        store.put("key", b"x", content_type=PNG, metadata={"a": "b"})
        store.delete("key")
        store.delete("key")
        assert store.head("key") is None
        assert list(store.list("")) == []
        assert store.put_if_absent("key", b"y", content_type=PNG) is True
        assert store.head("key") == ObjectInfo("key", 1, PNG, {})

    def test_a_listing_is_sorted_by_key_and_sees_nothing_but_objects(self, store: ObjectStore) -> None:
        keys = ["a", "b-1", "b/1", "b/2/x", "b0", "bé", "B", "c/🎨", "c/ﬀ"]
        for size_bytes, key in enumerate(keys):
            store.put(key, bytes(size_bytes), content_type=PNG, metadata={"k": "v"})
        everything = [ObjectInfo(key, keys.index(key)) for key in sorted(keys)]
        assert list(store.list("")) == everything
        for prefix in ("b", "b/", "b/2", "b/2/", "c/", "none", "none/", "a/"):
            assert list(store.list(prefix)) == [o for o in everything if o.key.startswith(prefix)]

    def test_a_copy_has_type_and_metadata_and_goes_its_own_way(self, store: ObjectStore) -> None:
        store.put("one", b"first", content_type=PNG, metadata={"fingerprint": "é"})
        store.put("two", b"in the way", content_type="text/plain", metadata={"more": "x"})
        for _ in range(2):
            store.copy("one", "two")
            store.copy("one", "below/a folder/three")
        store.put("one", b"second one", content_type="text/plain")
        for key in ("two", "below/a folder/three"):
            assert store.get(key) == b"first"
            assert store.head(key) == ObjectInfo(key, 5, PNG, {"fingerprint": "é"})
        store.delete("two")
        assert store.get("one") == b"second one"
        assert [info.key for info in store.list("")] == ["below/a folder/three", "one"]

    def test_a_copy_onto_itself_changes_nothing(self, store: ObjectStore) -> None:
        store.put("key", b"x", content_type=PNG, metadata={"a": "b"})
        store.copy("key", "key")
        assert store.head("key") == ObjectInfo("key", 1, PNG, {"a": "b"})

    def test_what_is_not_there_is_not_copied(self, store: ObjectStore) -> None:
        store.put("there", b"x", content_type=PNG)
        for target in ("missing", "there"):
            with pytest.raises(ObjectMissing, match="missing"):
                store.copy("missing", target)
        assert store.get("there") == b"x"

    def test_a_stamp_tells_of_other_bytes_in_listings_and_heads(self, store: ObjectStore) -> None:
        stamps = []
        for data in (b"one", b"two"):
            store.put("key", data, content_type=PNG)
            (listed,) = store.list("key")
            found = store.head("key")
            assert found is not None
            assert found.stamp == listed.stamp
            stamps.append(listed.stamp)
        assert len({"", *stamps}) == 3

    def test_a_listing_of_an_empty_store_is_empty(self, store: ObjectStore) -> None:
        assert list(store.list("")) == []
        assert list(store.list("outputs/")) == []

    def test_the_limit_is_the_largest_size_that_is_read(self, store: ObjectStore) -> None:
        store.put("key", b"12345", content_type=PNG)
        assert store.get("key", limit_bytes=5) == b"12345"
        with pytest.raises(BadPicture, match=r"key.* 5 bytes.* 4 "):
            store.get("key", limit_bytes=4)

    @pytest.mark.parametrize(
        "key",
        ["", "/abs", "a//b", "a/", "../up", "a/../b", "a/./b", ".meta/x.json", "a\nb", "a\0b", "e\u0301"],
    )
    def test_a_key_that_might_leave_the_store_is_refused_by_every_method(
        self, store: ObjectStore, key: str
    ) -> None:
        for use in (
            lambda: store.put(key, b"", content_type=PNG),
            lambda: store.put_if_absent(key, b"", content_type=PNG),
            lambda: store.get(key),
            lambda: store.head(key),
            lambda: store.delete(key),
            lambda: store.copy(key, "there"),
            lambda: store.copy("there", key),
        ):
            with pytest.raises(StoreRefused):
                use()

    def test_more_metadata_than_s3_holds_is_refused_before_anything_is_stored(
        self, store: ObjectStore
    ) -> None:
        store.put("fits", b"", content_type=PNG, metadata={"name": "x" * 2044})
        for metadata in ({"name": "x" * 2045}, {"name": "é" * 400}, {"Name": ""}, {"na me": ""}):
            with pytest.raises(StoreRefused, match="metadata"):
                store.put("full", b"", content_type=PNG, metadata=metadata)
        assert store.head("full") is None

    @settings(
        max_examples=25,
        deadline=None,
        # One test for several stores, each a fixture, is what this class is for.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        parts=st.lists(_parts, min_size=1, max_size=4), metadata=st.dictionaries(_names, _texts, max_size=3)
    )
    def test_any_key_and_metadata_survive_the_round_trip(
        self, store: ObjectStore, parts: list[str], metadata: dict[str, str]
    ) -> None:
        # Each in a folder of its own: `a` and `a/b` can't both be.
        key = f"{next(_counter)}/{'/'.join(parts)}"
        store.put(key, b"data", content_type=PNG, metadata=metadata)
        assert store.head(key) == ObjectInfo(key, 4, PNG, metadata)
        assert store.get(key) == b"data"
        assert list(store.list(key)) == [ObjectInfo(key, 4)]

    def test_checking_leaves_nothing_behind(self, store: ObjectStore) -> None:
        store.check()
        assert list(store.list("")) == []
