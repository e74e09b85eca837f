"""What bodies are like that programs really send: marks, members, halves of characters, empty lists, keys that stand twice."""

import codecs
import gzip
import json
import zlib
from typing import Any

import msgspec
import pytest

from cdp.errors import InvalidEvent
from cdp.events import Event, decode_event
from serving.collect.body import MAX_MEMBERS, decode_items, decode_message, unpack
from serving.collect.collector import _query
from serving.collect.dialects.jitsu import ROUTES as JITSU
from serving.collect.dialects.mparticle import ROUTES as MPARTICLE
from serving.collect.dialects.posthog import ROUTES as POSTHOG
from serving.collect.dialects.segment import ROUTES as SEGMENT
from serving.collect.dialects.sensors import ROUTES as SENSORS
from serving.collect.dialects.snowplow import POST_PATH
from serving.collect.dialects.snowplow import ROUTES as SNOWPLOW
from serving.collect.draft import Broken, Dialect, Incoming, RefusedError
from serving.collect.finish import Arrival, Finish
from serving.collect.quick import Quick
from serving.collect.wellformed import mend, mend_text, says_twice
from tests.sealing import sealer

NOW = 1_795_380_000_000_000
FINISH = Finish("events", "items", 100_000, sealer)
HALF, EMOJI = "\ufffd", "\U0001f600"
SCHEMA = "iglu:com.shop/thing/jsonschema/1-0-0"


def events(dialect: Dialect, path: str, body: bytes, query: bytes = b"", method: str = "POST") -> list[Event]:
    """What becomes of a request; every message must be usable."""
    plain = unpack(body, "", 100_000)
    opened = dialect.open(Incoming(method, path, _query(query), {}, "", plain))
    made = []
    for message in opened.messages:
        if isinstance(message, Broken):
            raise message.error
        record = FINISH(dialect.read(message, opened), Arrival("shop", NOW))
        made.append(decode_event(record.value))
    return made


def refusal(body: bytes, encoding: str = "", limit: int = 1000) -> str:
    with pytest.raises(RefusedError) as caught:
        unpack(body, encoding, limit)
    return caught.value.code


# --- members


@pytest.mark.parametrize("padding", [b"", b"\0" * 512, b"\r\n"])
def test_several_gzip_members_are_one_body(padding: bytes) -> None:
    assert unpack(gzip.compress(b'{"a":') + gzip.compress(b"") + gzip.compress(b"1}") + padding, "gzip", 7) == b'{"a":1}'


def test_the_limit_holds_for_all_members_together() -> None:
    body = gzip.compress(b"12345") * 3
    assert unpack(body, "", 15) == b"12345" * 3
    assert refusal(body, limit=14) == "body_too_large"
    assert refusal(gzip.compress(b"x" * 10**7), limit=10**6) == "body_too_large"


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"{}") + b"{}", gzip.compress(b"{}")[:-1], gzip.compress(b"{}") + gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}") + b"\x1f\x8bxxxxxxxxxxxxxxxx", gzip.compress(b"") * (MAX_MEMBERS + 1),
    ],
)  # fmt: skip
def test_what_is_broken_behind_a_member_is_refused(body: bytes) -> None:
    assert refusal(body) == "invalid_gzip"


def test_deflate_is_taken_with_its_frame_and_without() -> None:
    for window in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        packer = zlib.compressobj(wbits=window)
        body = packer.compress(b'{"a":1}') + packer.flush()
        assert unpack(body, "deflate", 7) == b'{"a":1}'
        assert refusal(body, "deflate", 6) == "body_too_large"
        assert refusal(body[:-2], "deflate") == "invalid_gzip"
        assert refusal(body + b"x", "deflate") == "invalid_gzip"


# --- byte order marks

TEXT = '{"batch":[{"type":"track","userId":"u","event":"看"}]}'


@pytest.mark.parametrize(
    "body",
    [
        codecs.BOM_UTF8 + TEXT.encode(), codecs.BOM_UTF8 * 3 + TEXT.encode(), codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), gzip.compress(codecs.BOM_UTF8 + TEXT.encode()),
    ],
)  # fmt: skip
def test_byte_order_marks_are_taken_off(body: bytes) -> None:
    assert [event.event for event in events(SEGMENT["/v1/batch"], "/v1/batch", body)] == ["看"]


def test_a_text_that_grew_is_still_held_against_the_limit() -> None:
    body = codecs.BOM_UTF16_LE + "看看看".encode("utf-16-le")
    assert refusal(body, limit=8) == "body_too_large"
    assert unpack(body, "", 9).decode() == "看看看"


def test_utf_32_is_refused() -> None:
    assert refusal(codecs.BOM_UTF32_LE + "{}".encode("utf-32-le")) == "unsupported_encoding"
    assert refusal(codecs.BOM_UTF32_BE + "{}".encode("utf-32-be")) == "unsupported_encoding"


# --- halves of surrogate pairs


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (rb'"nice \ud83d"', f'"nice {HALF}"'), (rb'"\uDC31"', f'"{HALF}"'), (rb'"\ud83d\ude00"', f'"{EMOJI}"'),
        (rb'"\ud83d\ud83d\ude00"', f'"{HALF}{EMOJI}"'), (rb'"\\ud83d"', r'"\\ud83d"'), (rb'"\\\ud83d"', rf'"\\{HALF}"'),
        (rb'"\ud83d\\ude00"', rf'"{HALF}\\ude00"'), (rb'"\ud55c"', r'"\ud55c"'), (rb'"\ud83"', r'"\ud83"'),
        ('"\ud83d\ude00 \ud83d"'.encode("utf-8", "surrogatepass"), f'"{EMOJI} {HALF}"'), (rb'{"\udc00":1}', f'{{"{HALF}":1}}'),
    ],
)  # fmt: skip
def test_halves_become_replacement_characters(text: bytes, mended: str) -> None:
    assert mend(text).decode() == mended


def test_what_is_no_utf_8_is_not_guessed_at() -> None:
    with pytest.raises(UnicodeError):
        mend(b'{"a":"\xff"}')
    assert mend_text("\ud83d\ude00\udc00a") == f"{EMOJI}{HALF}a"


HALVES = {"text": "nice \ud83d", "deep": [{"\udc31": "\ud83d\ude00"}]}
WHOLE = {"text": f"nice {HALF}", "deep": [{HALF: EMOJI}]}


def in_every_dialect(properties: Any) -> list[tuple[str, Dialect, str, bytes]]:
    """A request with these properties: what it is, and whom it is for."""
    track = {"type": "track", "userId": "u", "event": "E", "properties": properties}
    inner = {"schema": SCHEMA, "data": properties}
    outer = {"schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0", "data": inner}
    snowplow = {"e": "ue", "uid": "u", "ue_pr": json.dumps(outer)}
    mparticle = {"event_type": "custom_event", "data": {"event_name": "E", "custom_attributes": properties}}
    bodies: list[tuple[str, Dialect, str, Any]] = [
        ("batch", SEGMENT["/v1/batch"], "/v1/batch", {"batch": [track]}),
        ("single", SEGMENT["/v1/track"], "/v1/track", track),
        ("jitsu", JITSU["/api/s/event"], "/api/s/event", track),
        ("sensors", SENSORS["/sa"], "/sa", [{"type": "track", "distinct_id": "u", "event": "E", "properties": properties}]),
        ("posthog", POSTHOG["/e/"], "/e/", {"event": "E", "distinct_id": "u", "properties": properties}),
        ("snowplow", SNOWPLOW[POST_PATH], POST_PATH, {"data": [snowplow]}),
        ("mparticle", MPARTICLE["/v2/events"], "/v2/events", {"user_identities": {"customer_id": "u"}, "events": [mparticle]}),
    ]
    return [(name, dialect, path, json.dumps(body).encode()) for name, dialect, path, body in bodies]


def properties_of(event: Event) -> Any:
    found = msgspec.json.decode(event.properties)
    found.pop("event_type", None)
    return found


@pytest.mark.parametrize("case", in_every_dialect(HALVES), ids=lambda case: case[0])
def test_every_dialect_takes_halves(case: tuple[str, Dialect, str, bytes]) -> None:
    _, dialect, path, body = case
    (event,) = events(dialect, path, body)
    assert properties_of(event) == WHOLE


@pytest.mark.parametrize("case", in_every_dialect([]), ids=lambda case: case[0])
def test_every_dialect_takes_an_empty_list_for_an_empty_object(case: tuple[str, Dialect, str, bytes]) -> None:
    _, dialect, path, body = case
    (event,) = events(dialect, path, body)
    assert properties_of(event) == {}


@pytest.mark.parametrize("case", [one for one in in_every_dialect(["x"]) if one[0] != "snowplow"], ids=lambda case: case[0])
def test_a_list_with_something_in_it_stays_wrong(case: tuple[str, Dialect, str, bytes]) -> None:
    _, dialect, path, body = case
    with pytest.raises(InvalidEvent) as caught:
        events(dialect, path, body)
    assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize("context", [[], {"traits": []}, {"page": [], "library": [], "device": [], "campaign": []}])
def test_empty_lists_in_the_context_say_nothing(context: Any) -> None:
    message = {"type": "identify", "userId": "u", "traits": [], "properties": [], "context": context}
    for body in ({"batch": [message]}, {"batch": [message], "context": context}):
        (event,) = events(SEGMENT["/v1/batch"], "/v1/batch", json.dumps(body).encode())
        assert (bytes(event.context), bytes(event.traits)) == (b"{}", b"{}")


@pytest.mark.parametrize("field", ["$set", "$set_once", "$unset"])
def test_empty_lists_of_posthog_say_nothing(field: str) -> None:
    message = {"event": "E", "distinct_id": "u", field: [], "properties": {field: [], "x": 1}}
    (event,) = events(POSTHOG["/e/"], "/e/", json.dumps(message).encode())
    assert properties_of(event) == {"x": 1} and bytes(event.traits) == b"{}"


# --- keys that stand twice


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        (b'{"a":1,"a":2}', True), (b'{"a" :1,"a":2}', True), (b'{"x":[{"a":1,"a":2}]}', True), (b'{"a":1,"\\u0061":2}', True),
        (b'{"a":1,"a":2,"b":"\\u003a"}', True), (b'{"a":1,"a":2,"b":":"}', True), (b'{"a":"x:y","b":"\\":"}', False),
        (b'{"a":1,"b":{"a":2}}', False), (b'{"url":"https://x.cn/?a=1:2","b":[1,{"c":":"}]}', False), (b"{}", False),
    ],
)  # fmt: skip
def test_keys_that_stand_twice_are_noticed(text: bytes, twice: bool) -> None:
    assert says_twice(text, msgspec.json.decode(text)) is twice


@pytest.mark.parametrize("type_", ["track", "identify", "page"])
@pytest.mark.parametrize(
    "fields",
    [
        '{"total":1,"total":2}', '{"total":1,"items":[{"sku":"a","sku":"b"}],"total":2}', '{"t":"10:00","total":1,"total":2}',
        '{"total":1,"t\\u006ftal":2}',
    ],
)  # fmt: skip
def test_the_last_of_two_equal_keys_counts_and_the_other_is_not_kept(type_: str, fields: str) -> None:
    text = f'{{"batch":[{{"type":"{type_}","event":"E","name":"N","messageId":"m","userId":"u","properties":{fields},'
    text += f'"traits":{fields},"context":{{"library":{{"name":"a","name":"b"}},"page":{{"url":"/"}}}}}}]}}'
    dialect = SEGMENT["/v1/batch"]
    opened = dialect.open(Incoming("POST", "/v1/batch", {}, {}, "", text.encode()))
    arrival = Arrival("shop", NOW, 0)
    (message,) = opened.messages
    record = Quick(FINISH).of("", opened, arrival)(message) or FINISH(dialect.read(message, opened), arrival)
    event = decode_event(record.value)
    for part in (event.properties, event.traits):
        assert msgspec.json.decode(part)["total"] == 2
        assert bytes(part).count(b'"total"') == 1 and bytes(part).count(b'"sku"') <= 1
    assert event.source.library == "b"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000])
@pytest.mark.parametrize("field", ["properties", "traits"])
def test_a_number_that_nobody_can_read_is_no_fact(number: str, field: str) -> None:
    text = f'{{"batch":[{{"type":"identify","messageId":"m","userId":"u","{field}":{{"phone":"13811112222","x":{number}}}}}]}}'
    dialect = SEGMENT["/v1/batch"]
    opened = dialect.open(Incoming("POST", "/v1/batch", {}, {}, "", text.encode()))
    (message,) = opened.messages
    assert Quick(FINISH).of("", opened, Arrival("shop", NOW, 0))(message) is None
    with pytest.raises(InvalidEvent) as caught:
        dialect.read(message, opened)
    assert caught.value.reason == "number_out_of_range"


# --- items


@pytest.mark.parametrize("number", ["1e999", "9" * 5000, "NaN"])
def test_a_broken_item_costs_itself_only(number: str) -> None:
    one = f'{{"order_id":"b","total":{number}}}'
    body = f'{{"orders":[{{"order_id":"a\\ud83d"}},{one},{{"order_id":"c"}}]}}'.encode()
    first, broken, last = decode_items(body, "orders")["orders"]
    assert (first, last) == ({"order_id": f"a{HALF}"}, {"order_id": "c"}) and isinstance(broken, Broken)
    assert isinstance(decode_items(one.encode(), "orders"), Broken)
    listed = decode_items(f"[{one},1]".encode())
    assert isinstance(listed[0], Broken) and listed[1] == 1


def test_what_is_no_json_is_refused() -> None:
    for body in (b"", b"nope", b'{"orders":['):
        with pytest.raises(RefusedError) as caught:
            decode_items(body, "orders")
        assert caught.value.code == "invalid_json"


def test_a_mark_before_a_message_is_taken_off() -> None:
    assert decode_message(codecs.BOM_UTF8 + b'{"a":1}') == {"a": 1}
    assert isinstance(decode_message(codecs.BOM_UTF32_LE + b"{}"), Broken)
