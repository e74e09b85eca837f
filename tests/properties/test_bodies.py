"""Whatever a body is packed, marked or cut like: everybody reads the same in it."""

import codecs
import gzip
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.collect.body import unpack
from serving.collect.draft import RefusedError
from serving.collect.wellformed import mend, mend_text, says_twice

texts = st.text(st.sampled_from('ab:"\\看\ud83d\ude00\ud800\udfff\ud55c\n') | st.characters(exclude_categories=[]), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


def whole(value: Any) -> Any:
    """The value without halves of characters; of keys that become equal the last counts."""
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return {whole(name): whole(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def joined(value: Any) -> Any:
    """The value as JSON can say it: two halves that follow each other are a character."""
    return json.loads(json.dumps(value))


@given(values, st.booleans(), st.sampled_from([b"", codecs.BOM_UTF8, codecs.BOM_UTF8 * 2]))
def test_halves_and_marks_go_and_all_else_stays(value: Any, escaped: bool, mark: bytes) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert msgspec.json.decode(mend(mark + text)) == whole(joined(value))
    assert mend(mend(mark + text)) == mend(mark + text)


@given(values, st.sampled_from(["utf-16-le", "utf-16-be"]))
def test_utf_16_with_its_mark_says_the_same(value: Any, encoding: str) -> None:
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else codecs.BOM_UTF16_BE
    assert msgspec.json.decode(mend(mark + json.dumps(value).encode(encoding))) == whole(joined(value))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6), st.sampled_from([b"", b"\0\0", b"\n"]), st.integers(0, 300))
def test_members_are_one_body_within_one_limit(parts: list[bytes], padding: bytes, limit: int) -> None:
    plain = b"".join(parts)
    if plain[:1] in (b"\xef", b"\xff", b"\xfe", b"\0"):
        plain, parts = b"x" + plain, [b"x", *parts]
    body = b"".join(map(gzip.compress, parts)) + padding
    if len(plain) > limit:
        with pytest.raises(RefusedError) as caught:
            unpack(body, "gzip", limit)
        assert caught.value.code == "body_too_large"
    else:
        assert unpack(body, "gzip", limit) == plain


names = st.sampled_from(["a", "b", "a:", '"'])
pairs = st.recursive(
    st.integers(0, 9) | st.sampled_from(["", ":", 'a":', "\\:"]),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(names, inner), max_size=3).map(tuple),
    max_leaves=8,
)
spaces = st.sampled_from(["", " ", "\t", "\n "])


def written(value: Any, space: str) -> str:
    """JSON of a value in which objects are tuples of pairs, so that a key may stand twice."""
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(name)}{space}:{space}{written(inner, space)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(inner, space) for inner in value) + "]"
    return json.dumps(value)


def is_double(value: Any) -> bool:
    if isinstance(value, tuple):
        return len({name for name, _ in value}) < len(value) or any(is_double(inner) for _, inner in value)
    return isinstance(value, list) and any(is_double(inner) for inner in value)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c:"]), pairs), max_size=4).map(tuple), spaces)
def test_keys_that_stand_twice_are_found_and_only_those(value: Any, space: str) -> None:
    text = written(value, space).encode()
    assert says_twice(text, msgspec.json.decode(text)) is is_double(value)
