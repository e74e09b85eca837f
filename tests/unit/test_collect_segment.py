"""Segment messages to events."""

import json
from datetime import UTC, datetime

import pytest

from cdp.clock import DAY, SECOND
from cdp.errors import InvalidEvent
from cdp.events import Event, Identifier, decode_event
from serving.collect.dialects.segment import Segment
from serving.collect.draft import Broken, Draft, Incoming, RefusedError
from serving.collect.finish import MAX_DEPTH, Arrival, Finish
from serving.collect.publish import Record
from serving.collect.quick import Quick
from serving.collect.times import clock_of, event_time, parse, skew_of
from tests.sealing import RING, opened, sealer

NOW = 1_795_380_000 * SECOND  # 2026-11-22T20:40:00Z
ARRIVAL = Arrival("shop", NOW)
FINISH = Finish("events", "items", 10_000, sealer)


def finished(message: object, said: str = "", **outer: object) -> Record:
    """The record of one message, alone (`said` is its path) or in a batch with outer fields."""
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    around = b"".join(b",%b:%b" % (json.dumps(name).encode(), json.dumps(value).encode()) for name, value in outer.items())
    body = raw if said else b'{"batch":[' + raw + b"]" + around + b"}"
    dialect = Segment(said)
    found = dialect.open(Incoming("POST", f"/v1/{said or 'batch'}", {}, {}, "", body))
    (only,) = found.messages
    if isinstance(only, Broken):
        raise only.error
    arrival = ARRIVAL._replace(skew=skew_of(found.sent_at, NOW), timestamp=found.timestamp)
    return FINISH(dialect.read(only, found), arrival)


def mapped(message: object, said: str = "", **outer: object) -> Event:
    return decode_event(finished(message, said, **outer).value)


def refused(message: object) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        finished(message)
    return caught.value


def track(**fields: object) -> dict[str, object]:
    return {"type": "track", "event": "Product Viewed", "userId": "u1", **fields}


def test_a_track_message_becomes_an_event() -> None:
    record = finished(
        track(
            messageId="m1", anonymousId="a1", timestamp="2026-11-22T20:39:59.500Z",
            properties={"price": 1.10, "store_id": 7}, context={"library": {"name": "py", "version": "2"}, "channel": "server"},
        )
    )  # fmt: skip
    event = decode_event(record.value)
    assert (event.message_id, event.kind, event.event) == ("m1", "track", "Product Viewed")
    assert (record.topic, record.key) == ("events", "user_id:u1")
    assert event.ids == [Identifier("user_id", "u1"), Identifier("anonymous_id", "a1")]
    assert (event.time, event.received_at) == (NOW - SECOND // 2, NOW)
    assert (event.channel, event.store) == ("server", "7")
    assert (event.source.name, event.source.library, event.source.version) == ("shop", "py", "2")


def test_properties_travel_as_they_came() -> None:
    raw = b'{"type":"track","event":"E","userId":"u","properties":{"price": 1.10, "big": 123456789012345678901234567890}}'
    assert bytes(mapped(raw).properties) == b'{"price":1.1,"big":123456789012345678901234567890}'


@pytest.mark.parametrize(
    ("message", "ids"),
    [
        (track(userId=42), ["user_id:42"]),
        (track(userId=42.0), ["user_id:42"]),
        ({"type": "identify", "userId": "u", "traits": {"email": "a@b.c", "phone": 13800000000}},
         ["user_id:u", "phone:+8613800000000", "email:a@b.c"]),
        (track(userId=None, context={"traits": {"email": "a@b.c"}}), ["email:a@b.c"]),
        (track(traits={"email": "a@b.c"}), ["user_id:u1"]),
        (track(context={"externalIds": [{"id": 5, "type": "unionid", "collection": "users"}]}), ["user_id:u1", "unionid:5"]),
        ({"type": "alias", "userId": "u", "previousId": "a"}, ["user_id:u", "anonymous_id:a"]),
        (track(userId="", anonymousId="a"), ["anonymous_id:a"]),
        (track(event="Order Completed", userId=None, properties={"order_id": 536365}), ["order_id:536365"]),
    ],
)  # fmt: skip
def test_identifiers(message: object, ids: list[str]) -> None:
    assert [f"{i.type}:{i.value}" for i in opened(finished(message).value).ids] == ids


def test_what_identifies_nobody_is_left_out_of_personal_identifiers() -> None:
    context = {"traits": {"email": " NULL ", "phone": "138"}}
    assert mapped(track(context=context)).ids == [Identifier("user_id", "u1")]
    assert refused(track(userId=None, context=context)).reason == "missing_identifier"


def test_the_key_is_the_strongest_identifier() -> None:
    context = {"traits": {"email": "e@x.y", "phone": "13811112222"}, "externalIds": [{"id": "w", "type": "unionid"}]}
    assert finished(track(userId=None, anonymousId="a", context=context)).key == f"phone:{RING.token('phone', '+8613811112222')}"
    assert finished(track(userId=None, anonymousId="a", context={"externalIds": context["externalIds"]})).key == "unionid:w"


def test_pages_and_screens() -> None:
    page = mapped({"type": "page", "anonymousId": "a", "name": "Home"})
    assert (page.kind, page.event, page.channel) == ("page", "Home", "web")
    screen = mapped({"type": "screen", "anonymousId": "a"})
    assert (screen.kind, screen.event, screen.channel) == ("screen", "", "app")


def test_the_path_says_the_type() -> None:
    assert mapped({"userId": "u", "type": "track"}, "identify").kind == "identify"


def test_a_batch_lends_its_context_and_timestamp() -> None:
    outer = {"context": {"app": "x", "ip": "1"}, "timestamp": "2026-01-01T00:00:00Z", "sentAt": "2026-11-22T20:40:00Z"}
    event = mapped(track(context={"ip": "2"}), **outer)
    assert json.loads(bytes(event.context)) == {"app": "x", "ip": "2"}
    assert event.time == parse("2026-01-01T00:00:00Z")
    assert json.loads(bytes(mapped(track(context=None), **outer).context)) == outer["context"]


def test_a_group_is_a_fact() -> None:
    event = mapped({"type": "group", "userId": "u", "groupId": "club", "traits": {"size": 3}})
    assert (event.kind, bytes(event.properties), bytes(event.traits)) == ("group", b'{"group_id":"club"}', b'{"size":3}')


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
        (track(context={"externalIds": [{"id": "1"}]}), "wrong_type", "context.externalIds"),
        (track(context={"externalIds": [{"id": "1", "type": "a:b"}]}), "invalid_identifier", "context.externalIds"),
        (track(messageId="m" * 300), "message_id_too_long", "messageId"),
        (track(type="merge"), "unsupported_type", "type"),
        (track(type=None), "missing_type", "type"),
        ({"type": "alias", "userId": "u"}, "missing_identifier", "previousId"),
        (track(properties={"x": "y" * 20_000}), "too_large", ""),
        (5, "wrong_type", ""),
        (b'{"type":"track","event":"E","userId":"u","properties":{"x":NaN}}', "invalid_json", ""),
        (b'{"type":"track","event":"E","userId":"u","properties":{"x":"\xff"}}', "invalid_json", ""),
        (b'{"type":"track","event":"E","userId":1e999}', "number_out_of_range", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(message: object, reason: str, field: str) -> None:
    error = refused(message)
    assert (error.reason, error.field) == (reason, field)


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        return b'{"type":"track","event":"E","userId":"u","properties":{"x":' + b"[" * depth + b"]" * depth + b"}}"

    assert refused(nested(MAX_DEPTH)).reason == "too_deep"
    assert refused(nested(400)).reason == "too_deep"
    with pytest.raises(RefusedError):  # nobody can even find the message's end
        finished(nested(4900))
    assert mapped(nested(MAX_DEPTH - 3)).kind == "track"
    wide = track(properties={"products": [{"sku": str(i)} for i in range(200)]})
    assert mapped(wide).kind == "track"


def test_without_a_message_id_each_is_its_own() -> None:
    assert mapped(track()).message_id != mapped(track()).message_id


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
    given = stamp if stamp is not None else original
    corrected = stamp is not None and original is not None
    assert event_time(given, corrected, skew_of(sent, NOW) or 0, NOW) == expected


def test_what_was_done_to_a_time_is_noted() -> None:
    def noted(**fields: object) -> object:
        return json.loads(bytes(mapped(track(**fields)).context))

    event = mapped(track(timestamp="1970-01-01T00:00:00Z", context={"ip": "1"}))
    assert (event.time, json.loads(bytes(event.context))) == (NOW, {"ip": "1", "time_corrected": True})
    assert noted(timestamp=(NOW + DAY // 2) / SECOND) == {}
    assert noted(timestamp="2026-11-22T20:00:00Z", sentAt="2026-11-22T20:39:00Z") == {"clock_skew_seconds": 60}
    assert noted(timestamp="2026-11-22T20:00:00Z", sentAt="2026-11-22T20:39:58.5Z") == {}
    assert noted(timestamp="2025-11-22T20:00:00Z") == {"time_unverified": True}


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-11-20T10:00:00.123456Z", 1_795_168_800_123_456),
        ("20261120T100000Z", 1_795_168_800_000_000),
        ("1795168800", 1_795_168_800_000_000),
        ("1795168800123", 1_795_168_800_123_000),
        (1_795_168_800_123, 1_795_168_800_123_000),
        (1_795_168_800.5, 1_795_168_800_500_000),
        ("2026-11-20 10", 1_795_168_800_000_000),
        ("20261120100000", 1_795_168_800_000_000),
        (0, None),
        (1, None),
        (32994, None),
        ("2026112010", None),
        (True, None),
        ("soon", None),
        (None, None),
        ({}, None),
        (1e300, None),
        ("1801010112345", 1_801_010_112_345_000),
    ],
)
def test_stamps_are_read_as_times_are_everywhere(stamp: object, expected: int | None) -> None:
    assert parse(stamp) == expected


OLD = "1997-02-01T00:00:00Z"
THEN = 854_755_200 * SECOND


@pytest.mark.parametrize(
    "fields",
    [
        {"originalTimestamp": OLD}, {"context": {"library": {"name": "cdp-import"}}}, {},
        {"context": {"library": {"name": "analytics-node"}, "userAgent": "forwarded"}}, {"sentAt": NOW / SECOND},
        {"context": {"library": {"name": "segment-analytics-python"}}, "sentAt": NOW / SECOND},
        {"context": {"library": {"name": "acme-erp"}, "ip": "1.2.3.4"}}, {"originalTimestamp": OLD, "context": {"device": {}}},
    ],
)  # fmt: skip
def test_what_servers_and_files_say_of_long_ago_counts_then(fields: dict[str, object]) -> None:
    event = mapped(track(timestamp=OLD, **fields))
    assert event.time == THEN and "time_corrected" not in json.loads(bytes(event.context))


@pytest.mark.parametrize(
    "fields",
    [
        {"context": {"library": {"name": "analytics.js"}}}, {"context": {"userAgent": "Mozilla/5.0"}},
        {"context": {"device": {"id": "d"}}}, {"type": "page"}, {"type": "screen"},
        {"context": {"library": {"name": "analytics-android"}}, "sentAt": NOW / SECOND},
    ],
)  # fmt: skip
def test_what_devices_say_of_long_ago_is_a_broken_clock_and_flagged(fields: dict[str, object]) -> None:
    record = finished(track(timestamp=OLD, **fields))
    event = decode_event(record.value)
    assert (event.time, record.corrected) == (NOW, True)
    assert json.loads(bytes(event.context))["time_corrected"] is True


@pytest.mark.parametrize("stamp", ["1970-01-01T08:00:00+08:00", "1965-07-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_time_that_is_meant_and_cannot_be_kept_is_refused(stamp: object) -> None:
    error = refused(track(timestamp=stamp, originalTimestamp=stamp))
    assert (error.reason, error.field) == ("invalid_time", "timestamp")
    assert mapped(track(timestamp="1970-01-02T00:00:00Z", originalTimestamp=OLD)).time == DAY


def test_a_server_that_does_not_know_the_time_is_no_historian() -> None:
    assert finished(track(timestamp=0)).corrected
    assert refused(track(timestamp="1965-07-01T00:00:00Z")).reason == "invalid_time"


def test_what_was_corrected_is_counted_in_the_answer() -> None:
    opened = Segment("").open(Incoming("POST", "/v1/batch", {}, {}, "", b'{"batch":[{},{}]}'))
    assert json.loads(Segment("").answer(opened, []).body) == {"success": True}
    opened = opened._replace(corrected=2)
    assert json.loads(Segment("").answer(opened, []).body) == {"success": True, "corrected": 2}
    some = json.loads(Segment("").answer(opened, [(0, InvalidEvent("r", "f", "m"))]).body)
    assert (some["accepted"], some["rejected"], some["corrected"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("library", "clock"),
    [
        ("analytics-node", "server"), ("segment-analytics-python", "server"), ("analytics-java", "server"),
        ("sensors-Java", "server"), ("snowplow-py", "server"), ("posthog-go", "server"), ("cdp-server", "server"),
        ("analytics.js", "device"), ("RudderLabs JavaScript SDK", "device"), ("snowplow-andr", "device"),
        ("sensors-iOS", "device"), ("web", "device"), ("posthog-react-native", "device"), ("", ""), ("shop 2.0", ""),
    ],
)  # fmt: skip
def test_whose_clock_an_sdk_goes_by(library: str, clock: str) -> None:
    assert clock_of(library) == clock


@pytest.mark.parametrize("days", [-400, -31, -1, 1, 31, 400])
def test_a_clock_that_is_wrong_by_days_is_corrected(days: int) -> None:
    def stamp(time: int) -> str:
        return datetime.fromtimestamp((time + days * DAY) / SECOND, UTC).isoformat()

    event = mapped(track(timestamp=stamp(NOW - 90 * SECOND), sentAt=stamp(NOW - SECOND)))
    assert abs(event.time - (NOW - 90 * SECOND)) <= SECOND
    assert json.loads(bytes(event.context))["clock_skew_seconds"] == pytest.approx(-days * 86_400, abs=2)


def test_the_short_cut_remembers_what_a_context_says_until_it_has_to_forget() -> None:
    calls = []

    def enrich(draft: Draft, ip: str, agent: str) -> tuple[bool, str]:
        calls.append((draft.kind, ip, agent))
        draft.context["client"] = {"browser": "B"}
        return True, "search"

    quick = Quick(Finish("events", "items", 10_000, sealer, enrich))
    plain = track(messageId="m", timestamp=NOW // SECOND, properties={"price": 1.10}, context={"page": {"path": "/"}, "store": 7})
    opened = Segment("").open(Incoming("POST", "/v1/batch", {}, {}, "", json.dumps({"batch": [plain] * 3}).encode()))

    def events(ip: str) -> list[Event]:
        record = quick.of("", opened, ARRIVAL._replace(ip=ip))
        records = [record(message) for message in opened.messages]
        return [decode_event(record.value) for record in records if record is not None]

    found = events("1.2.3.4")
    assert len(calls) == 1
    assert {(e.bot, e.traffic, e.store, bytes(e.context)) for e in found} == {
        (True, "search", "7", b'{"page":{"path":"/"},"store":7,"client":{"browser":"B"}}')
    }
    assert [bytes(event.properties) for event in found] == [b'{"price": 1.1}'] * 3
    events("5.6.7.8")
    assert len(calls) == 2
    quick.forget()
    events("5.6.7.8")
    assert len(calls) == 3


def test_the_short_cut_writes_every_field_of_an_event() -> None:
    message = {
        "type": "identify", "messageId": "m", "timestamp": NOW // SECOND, "userId": "u", "anonymousId": "a",
        "properties": {"p": 1}, "traits": {"email": "a@b.c"}, "context": {"channel": "app", "store": "s"},
    }  # fmt: skip
    opened = Segment("").open(Incoming("POST", "/v1/batch", {}, {}, "", json.dumps({"batch": [message]}).encode()))
    quick = Quick(Finish("events", "items", 10_000, sealer, lambda draft, ip, agent: (True, "search")))
    record = quick.of("", opened, ARRIVAL)(opened.messages[0])
    assert record is not None
    written = set(json.loads(record.value))
    assert written == set(Event.__struct_fields__) - {"v", "event"}  # the version by its default; identify has no name


def test_the_short_cut_remembers_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.collect.quick.REMEMBERED", 10)
    looked: list[object] = []

    def enrich(draft: Draft, ip: str, agent: str) -> tuple[bool, str]:
        looked.append(draft.context["n"])
        return False, ""

    quick = Quick(Finish("events", "items", 100_000, sealer, enrich))

    def send(n: object, ip: str) -> None:
        message = track(messageId="m", timestamp=NOW // SECOND, context={"n": n})
        opened = Segment("").open(Incoming("POST", "/v1/batch", {}, {}, "", json.dumps({"batch": [message]}).encode()))
        assert quick.of("", opened, ARRIVAL._replace(ip=ip))(opened.messages[0]) is not None

    for number in range(35):
        send(number, str(number % 7))
        assert sum(len(contexts) for contexts in quick._contexts.values()) <= 10
    send(34, "6")
    assert len(looked) == 35
    long = "x" * 5000
    for _ in range(2):
        send(long, "1.2.3.4")
    assert looked[35:] == [long, long]


@pytest.mark.parametrize(
    "message",
    [
        track(messageId="", timestamp=NOW // SECOND), track(messageId=5, timestamp=NOW // SECOND),
        track(messageId="m", timestamp=NOW // SECOND, userId=5), track(messageId="m", timestamp=NOW // SECOND, event=""),
        track(messageId="m", timestamp=NOW // SECOND, properties=[1]),
        track(messageId="m", timestamp=NOW // SECOND, properties={"store_id": 1}),
        track(messageId="m", timestamp=NOW // SECOND, context={"traits": {"email": "a@b.c"}}),
        track(messageId="m", timestamp=NOW // SECOND, context={"externalIds": 5}),
        {"type": "alias", "messageId": "m", "userId": "u", "previousId": "a", "timestamp": NOW // SECOND},
        {"type": "identify", "messageId": "m", "userId": "u", "timestamp": NOW // SECOND},
    ],
)  # fmt: skip
def test_the_short_cut_leaves_what_is_not_plain(message: object) -> None:
    opened = Segment("").open(Incoming("POST", "/v1/batch", {}, {}, "", json.dumps({"batch": [message]}).encode()))
    assert Quick(FINISH).of("", opened, ARRIVAL)(opened.messages[0]) is None


def test_traits_alone_name_somebody_where_people_are_found_by_them() -> None:
    message = {"type": "identify", "messageId": "m", "traits": {"name": "Li Na", "birthday": "1990-01-02"}}
    body = json.dumps({"batch": [message, {"type": "identify", "messageId": "n", "traits": {}}]}).encode()
    found = Segment("").open(Incoming("POST", "/v1/batch", {}, {}, "", body))
    one, nobody = (Segment("").read(message, found) for message in found.messages)
    with pytest.raises(InvalidEvent):
        FINISH(one, ARRIVAL)
    finish = Finish("events", "items", 10_000, sealer, matches=lambda: True)
    record = finish(one, ARRIVAL)
    event = decode_event(record.value)
    assert (record.key, event.ids) == ("record:m", [])
    assert b"Li Na" not in record.value
    with pytest.raises(InvalidEvent):
        finish(nobody, ARRIVAL)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('="2988"', "2988"), ("'M-7", "M-7"), ("88123.0", "88123"), (7.0, "7"), ("\ufeffM-7\t", "M-7"),
        ("1e5", "1e5"), ("GA1.2.17.4", "GA1.2.17.4"), ("#N/A", None), (" ", None), ("id-17", "id-17"),
    ],
)  # fmt: skip
def test_ids_are_read_as_everywhere(given: object, expected: str | None) -> None:
    ids = mapped(track(messageId="m", timestamp=NOW // SECOND, userId=given, anonymousId="a")).ids
    assert [one.value for one in ids] == ([expected, "a"] if expected else ["a"])


@pytest.mark.parametrize("given", ["2.98877E+18", "1E+15", 2.98877e18, 1.5e300, True, {}])
def test_ruined_ids_are_refused(given: object) -> None:
    with pytest.raises(InvalidEvent) as caught:
        mapped(track(messageId="m", timestamp=NOW // SECOND, userId=given, anonymousId="a"))
    assert caught.value.reason in ("invalid_identifier", "wrong_type")
    assert caught.value.field == "userId"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
def test_the_text_of_a_message_with_a_number_out_of_range_is_what_came(number: str) -> None:
    body = b'{"userId":"u","event":"E","writeKey":"k","properties":{"price":%s}}' % number.encode()
    opened = Segment("track").open(Incoming("POST", "/v1/track", {}, {}, "", body))
    assert opened.texts is not None
    assert opened.texts() == [b'{"type":"track","userId":"u","event":"E","properties":{"price":%s}}' % number.encode()]
