"""Segment messages to events."""

import json

import msgspec
import pytest

from cdp.clock import DAY, SECOND
from cdp.errors import InvalidEvent
from cdp.events import Identifier, decode_event
from serving.collect.segment import MAX_DEPTH, Envelope, to_event
from serving.collect.times import event_time, parse, skew_of

NOW = 1_795_380_000 * SECOND  # 2026-11-22T20:40:00Z
ENVELOPE = Envelope("shop", NOW, 10_000)


def mapped(message: object, envelope: Envelope = ENVELOPE):
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    return to_event(raw, envelope)


def refused(message: object, envelope: Envelope = ENVELOPE) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        mapped(message, envelope)
    return caught.value


def track(**fields: object) -> dict[str, object]:
    return {"type": "track", "event": "Product Viewed", "userId": "u1", **fields}


def test_a_track_message_becomes_an_event() -> None:
    event, key, value = mapped(
        track(
            messageId="m1", anonymousId="a1", timestamp="2026-11-22T20:39:59.500Z",
            properties={"price": 1.10, "store_id": 7}, context={"library": {"name": "py", "version": "2"}, "channel": "server"},
        )
    )  # fmt: skip
    assert (event.message_id, event.kind, event.event, key) == ("m1", "track", "Product Viewed", "user_id:u1")
    assert event.ids == [Identifier("user_id", "u1"), Identifier("anonymous_id", "a1")]
    assert (event.time, event.received_at) == (NOW - SECOND // 2, NOW)
    assert (event.channel, event.store) == ("server", "7")
    assert (event.source.name, event.source.library, event.source.version) == ("shop", "py", "2")
    assert decode_event(value) == event


def test_properties_travel_as_they_came() -> None:
    raw = b'{"type":"track","event":"E","userId":"u","properties":{"price": 1.10, "big": 123456789012345678901234567890}}'
    assert bytes(mapped(raw).event.properties) == b'{"price": 1.10, "big": 123456789012345678901234567890}'


@pytest.mark.parametrize(
    ("message", "ids"),
    [
        (track(userId=42), ["user_id:42"]),
        (track(userId=42.0), ["user_id:42"]),
        ({"type": "identify", "userId": "u", "traits": {"email": "a@b.c", "phone": 13800000000}},
         ["user_id:u", "phone:13800000000", "email:a@b.c"]),
        (track(userId=None, context={"traits": {"email": "a@b.c"}}), ["email:a@b.c"]),
        (track(traits={"email": "a@b.c"}), ["user_id:u1"]),
        (track(context={"externalIds": [{"id": 5, "type": "unionid", "collection": "users"}]}), ["user_id:u1", "unionid:5"]),
        ({"type": "alias", "userId": "u", "previousId": "a"}, ["user_id:u", "anonymous_id:a"]),
        (track(userId="", anonymousId="a"), ["anonymous_id:a"]),
        (track(event="Order Completed", userId=None, properties={"order_id": 536365}), ["order_id:536365"]),
    ],
)  # fmt: skip
def test_identifiers(message: object, ids: list[str]) -> None:
    assert [f"{i.type}:{i.value}" for i in mapped(message).event.ids] == ids


def test_the_key_is_the_strongest_identifier() -> None:
    context = {"traits": {"email": "e@x.y", "phone": "138"}, "externalIds": [{"id": "w", "type": "unionid"}]}
    assert mapped(track(userId=None, anonymousId="a", context=context)).key == "phone:138"
    assert mapped(track(userId=None, anonymousId="a", context={"externalIds": context["externalIds"]})).key == "unionid:w"


def test_pages_and_screens() -> None:
    page = mapped({"type": "page", "anonymousId": "a", "name": "Home"}).event
    assert (page.kind, page.event, page.channel) == ("page", "Home", "web")
    screen = mapped({"type": "screen", "anonymousId": "a"}).event
    assert (screen.kind, screen.event, screen.channel) == ("screen", "", "app")


def test_the_path_says_the_type() -> None:
    assert mapped({"userId": "u", "type": "track"}, ENVELOPE._replace(kind="identify")).event.kind == "identify"


def test_a_batch_lends_its_context_and_timestamp() -> None:
    outer = ENVELOPE._replace(context=msgspec.Raw(b'{"app":"x","ip":"1"}'), timestamp="2026-01-01T00:00:00Z")
    event = mapped(track(context={"ip": "2"}), outer).event
    assert json.loads(bytes(event.context)) == {"app": "x", "ip": "2"}
    assert event.time == parse("2026-01-01T00:00:00Z")
    assert mapped(track(context=None), outer).event.context == outer.context


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        (track(userId=None), "missing_identifier", "userId"),
        (track(event=None), "missing_event", "event"),
        (track(event="e" * 600), "name_too_long", "event"),
        (track(userId=True), "wrong_type", "userId"),
        (track(userId=["u"]), "wrong_type", "userId"),
        (track(userId="u\0"), "invalid_identifier", "userId"),
        (track(userId="u" * 600), "invalid_identifier", "userId"),
        (track(properties=[1]), "wrong_type", "properties"),
        (track(properties="x"), "wrong_type", "properties"),
        (track(context={"traits": 5}), "wrong_type", "context.traits"),
        (track(context={"externalIds": [{"id": "1"}]}), "wrong_type", "context.externalIds[0]"),
        (track(context={"externalIds": [{"id": "1", "type": "a:b"}]}), "invalid_identifier", "context.externalIds"),
        (track(messageId="m" * 300), "message_id_too_long", "messageId"),
        (track(type="group"), "unsupported_type", "type"),
        (track(type=None), "missing_type", "type"),
        ({"type": "alias", "userId": "u"}, "missing_identifier", "previousId"),
        (track(properties={"x": "y" * 20_000}), "too_large", ""),
        (5, "wrong_type", ""),
        (b'{"type":"track","event":"E","userId":"u","properties":{"x":NaN}}', "invalid_json", ""),
        (b'{"type":"track","event":"E","userId":"u","properties":{"x":"\\ud800"}}', "invalid_json", ""),
        (b'{"type":"track","event":"E","userId":"u","properties":{"x":"\xff"}}', "invalid_json", ""),
        (b'{"type":"track","event":"E","userId":"u","properties":{"x":1e999}}', "number_out_of_range", ""),
        (b'{"type":"track","event":"E","userId":"u","properties":{"x":' + b"9" * 5000 + b"}}", "number_out_of_range", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(message: object, reason: str, field: str) -> None:
    error = refused(message)
    assert (error.reason, error.field) == (reason, field)


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        return b'{"type":"track","event":"E","userId":"u","properties":{"x":' + b"[" * depth + b"]" * depth + b"}}"

    assert refused(nested(MAX_DEPTH)).reason == "too_deep"
    assert refused(nested(4900)).reason == "too_deep"
    assert mapped(nested(MAX_DEPTH - 3)).event.kind == "track"
    wide = track(properties={"products": [{"sku": str(i)} for i in range(200)]})
    assert mapped(wide).event.kind == "track"


def test_without_a_message_id_each_is_its_own() -> None:
    assert mapped(track()).event.message_id != mapped(track()).event.message_id


@pytest.mark.parametrize(
    ("stamp", "original", "sent", "expected"),
    [
        (None, None, None, (NOW, False)),
        ("2026-11-22T20:00:00Z", None, None, (NOW - 2400 * SECOND, False)),
        ("2026-11-22T20:00:00", None, None, (NOW - 2400 * SECOND, False)),
        ("2026-11-23T04:00:00+08:00", None, "2026-11-22T20:39:59Z", (NOW - 2400 * SECOND, False)),
        ("2026-11-22T19:00:00Z", None, "2026-11-22T19:40:00Z", (NOW - 2400 * SECOND, False)),
        (None, "2026-11-22T19:00:00Z", "2026-11-22T19:40:00Z", (NOW - 2400 * SECOND, False)),
        ("2026-11-22T20:00:00Z", "2026-11-22T19:00:00Z", "2026-11-22T19:40:00Z", (NOW - 2400 * SECOND, False)),
        (1795377600, None, None, (NOW - 2400 * SECOND, False)),
        (1795377600000, None, None, (NOW - 2400 * SECOND, False)),
        ("1970-01-01T00:00:00Z", None, None, (NOW, True)),
        ("2027-11-22T20:00:00Z", None, None, (NOW, True)),
        ("yesterday", None, None, (NOW, True)),
        (1e300, None, None, (NOW, True)),
        ("0001-01-01T00:00:00+23:59", None, None, (NOW, True)),
    ],
)
def test_event_time(stamp: object, original: object, sent: object, expected: tuple[int, bool]) -> None:
    assert event_time(stamp, original, skew_of(sent, NOW), NOW) == expected


def test_a_replaced_time_is_flagged() -> None:
    event = mapped(track(timestamp="1970-01-01T00:00:00Z", context={"ip": "1"})).event
    assert event.time == NOW
    assert json.loads(bytes(event.context)) == {"ip": "1", "time_corrected": True}
    assert mapped(track(timestamp=(NOW + DAY // 2) / SECOND)).event.context == msgspec.Raw(b"{}")
