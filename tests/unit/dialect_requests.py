"""Requests for the dialects' tests: as SDKs sent them, and made up."""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from hypothesis import strategies as st

from cdp.errors import InvalidEvent
from serving.collect.draft import Answer, Broken, Dialect, Draft, Incoming, ItemDraft, Opened, RefusedError
from serving.collect.finish import Arrival, Finish
from tests.sealing import sealer

NOW = 1_795_392_000_000_000
CAPTURED = Path(__file__).parent / "captured"
finish = Finish("events", "items", 1_000_000, sealer)


def captured(name: str) -> list[Incoming]:
    """Requests that a vendor's package really sent."""
    return [
        incoming(one["method"], one["target"], base64.b64decode(one["body"]), one["headers"])
        for one in json.loads((CAPTURED / f"{name}.json").read_text())
    ]


def incoming(method: str, target: str, body: bytes | Any = b"", headers: Mapping[str, str] | None = None) -> Incoming:
    """A request as the collector hands it to a dialect."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if raw.startswith(b"\x1f\x8b"):
        raw = zlib.decompress(raw, 31)
    names = {name.lower(): value for name, value in (headers or {}).items()}
    url = urlsplit(target)
    return Incoming(method, url.path, dict(parse_qsl(url.query)), names, _key(names.get("authorization", "")), raw)


def _key(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    return base64.b64decode(value).decode().partition(":")[0] if scheme == "Basic" else value


def taken(dialect: Dialect, request: Incoming) -> tuple[Opened, list[Draft], list[tuple[int, InvalidEvent]], Answer]:
    """What becomes of a request: drafts that pass the common checks, the errors of the others, and the answer."""
    opened, drafts, refused, _, answer = taken_with_items(dialect, request)
    return opened, drafts, refused, answer


def taken_with_items(
    dialect: Dialect, request: Incoming
) -> tuple[Opened, list[Draft], list[tuple[int, InvalidEvent]], list[ItemDraft], Answer]:
    """The same, with what was said of things that are not people."""
    opened = dialect.open(request)
    drafts: list[Draft] = []
    items: list[ItemDraft] = []
    refused: list[tuple[int, InvalidEvent]] = []
    for index, message in enumerate(opened.messages):
        try:
            if isinstance(message, Broken):
                raise message.error
            draft = dialect.read(message, opened)
            finish(draft, Arrival("shop", NOW))
        except InvalidEvent as error:
            refused.append((index, error))
        else:
            if isinstance(draft, Draft):
                drafts.append(draft)
            else:
                items.append(draft)
    return opened, drafts, refused, items, dialect.answer(opened, refused)


def ids_of(draft: Draft) -> dict[str, Any]:
    """The identifiers that say something, by type."""
    return {type_: value for type_, value, _ in draft.ids if value not in (None, "")}


def never_raises(dialect: Dialect, request: Incoming) -> None:
    """Whatever comes: refused as a whole, or read, or a dead letter; and an answer that is JSON, or nothing."""
    try:
        opened = dialect.open(request)
    except RefusedError:
        return
    refused = []
    for index, message in enumerate(opened.messages):
        try:
            if isinstance(message, Broken):
                raise message.error
            finish(dialect.read(message, opened), Arrival("shop", NOW))
        except InvalidEvent as error:
            refused.append((index, error))
    body = dialect.answer(opened, refused).body
    assert not body or msgspec.json.decode(body) is not None


def junk(words: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Any JSON, with NaN, huge integers and lone surrogates in it; its objects like to have fields of these names."""
    texts = st.text(st.characters(), max_size=8) | st.sampled_from(words)
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | st.just("\ud800") | texts
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=6), max_leaves=25
    )


def bodies(values: Any) -> Iterator[bytes]:
    """Values as bodies: as JSON (which Python writes with NaN and all), cut short, and in base64."""
    text = json.dumps(values).encode()
    yield text
    yield text[: len(text) // 2]
    yield b"data=" + base64.b64encode(text)
