"""Whatever comes, mapping answers with an event or with InvalidEvent, and what it lets pass can be read by everyone."""

import contextlib
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import InvalidEvent
from cdp.events import decode_event
from serving.collect.body import unpack
from serving.collect.dialects.segment import Message, Segment
from serving.collect.draft import Broken, Incoming, RefusedError
from serving.collect.enrich import Enricher, shipped_table
from serving.collect.finish import Arrival, Finish
from serving.collect.quick import Quick
from tests.sealing import sealer

NOW = 1_795_380_000_000_000
ARRIVAL = Arrival("shop", NOW, skew=10**15)
FINISH = Finish("events", "items", 100_000, sealer)
FIELDS = [
    "type", "event", "name", "messageId", "userId", "anonymousId", "previousId", "timestamp", "originalTimestamp", "sentAt",
    "properties", "traits", "context",
]  # fmt: skip

text = st.text(st.characters(exclude_categories=[]), max_size=20)  # surrogates and NUL included
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
nested = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=12
)
stamps = st.sampled_from(
    ["2026-11-22T20:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "2026-W01", "", 1e308, -1, 10**30]
)
likely = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "identify", "page", "alias", "group"])},
    optional={
        "event": text | st.sampled_from(["Order Completed"]), "userId": scalars, "anonymousId": scalars, "previousId": scalars,
        "timestamp": stamps, "originalTimestamp": stamps, "sentAt": stamps, "messageId": scalars,
        "properties": st.dictionaries(st.sampled_from(["order_id", "store_id", "channel", "x"]), nested, max_size=3),
        "traits": st.dictionaries(st.sampled_from(["email", "phone", "x"]), nested, max_size=3),
        "context": st.dictionaries(st.sampled_from(["traits", "externalIds", "library", "channel", "store"]), nested, max_size=3),
    },
)  # fmt: skip
messages = st.dictionaries(st.sampled_from(FIELDS), nested, max_size=8) | likely | nested


def finish_all(body: bytes, said: str) -> None:
    dialect = Segment(said)
    opened = dialect.open(Incoming("POST", f"/v1/{said or 'batch'}", {}, {}, "", body))
    for message in opened.messages:
        if isinstance(message, Broken):
            assert message.error.reason
            continue
        try:
            record = FINISH(dialect.read(message, opened), ARRIVAL)
        except InvalidEvent as error:
            assert error.reason
            assert error.message
            continue
        event = decode_event(record.value)
        assert event.ids
        assert record.key.encode()
        assert 86_400_000_000 <= event.time <= NOW + 86_400_000_000
        for part in (event.properties, event.traits, event.context):
            assert isinstance(msgspec.json.decode(part), dict)


@given(messages, st.sampled_from(["", "track", "identify", "page"]), nested)
def test_mapping_raises_only_invalid_event(message: object, said: str, context: object) -> None:
    body = message if said else {"batch": [message, message], "context": context}
    with contextlib.suppress(RefusedError):
        finish_all(json.dumps(body).encode(), said)


@given(
    st.binary(max_size=200) | messages.map(lambda m: json.dumps(m).encode()), st.booleans(), st.sampled_from(["", "gzip", "br"])
)
def test_bodies_are_parsed_or_refused(body: bytes, is_batch: bool, encoding: str) -> None:
    with contextlib.suppress(RefusedError):
        finish_all(unpack(body, encoding, 1000), "" if is_batch else "track")


plain = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "page", "screen", "identify"]), "messageId": st.sampled_from(["m1", "m2"]),
        "timestamp": st.sampled_from(["2026-11-22T20:00:00Z", 1795377600, "2020-01-01T00:00:00Z", "junk", None]),
    },
    optional={
        "originalTimestamp": st.sampled_from(["2026-11-22T19:00:00Z", None]),
        "event": st.sampled_from(["Viewed", "Order Completed", "Application Opened"]), "name": st.sampled_from(["Home", "", 5]),
        "userId": st.sampled_from(["u1", "", "u\0", 7]), "anonymousId": st.sampled_from(["a1", "u1", None]),
        "sentAt": st.sampled_from([NOW / 1e6, NOW / 1e6 - 60]),
        "properties": st.dictionaries(st.sampled_from(["order_id", "store_id", "channel", "x", "url"]), nested, max_size=3),
        "traits": st.dictionaries(st.sampled_from(["email", "phone", "x"]), st.sampled_from(["a@b.c", 5, "x"]), max_size=3),
        "context": st.dictionaries(
            st.sampled_from(["traits", "externalIds", "library", "channel", "store", "page", "campaign"]), nested, max_size=3
        ) | st.sampled_from([
            {"library": {"name": "js", "version": "1"}, "page": {"url": "https://shop.example/?utm_source=a", "path": "/"}},
            {"userAgent": "Mozilla/5.0 (Windows NT 10.0)", "channel": "app", "store": "s1", "traits": {"email": "e@x.y"}},
        ]),
    },
)  # fmt: skip
ENRICHED = Finish("events", "items", 100_000, sealer, Enricher(shipped_table()).enrich)
QUICK = Quick(ENRICHED)


outers = st.sampled_from([None, {}, {"library": {"name": "outer"}, "store": 9}, {"page": {"path": "/o"}}])


@given(plain, st.sampled_from([None, 0, 10**8]), outers)
def test_the_short_cut_and_the_general_way_make_the_same_event(message: object, skew: int | None, outer: object) -> None:
    dialect = Segment("")
    body = {"batch": [message], "context": outer, "timestamp": "2026-11-21T00:00:00Z"}
    opened = dialect.open(Incoming("POST", "/v1/batch", {}, {}, "", json.dumps(body).encode()))
    (only,) = opened.messages
    arrival = Arrival("shop", NOW, skew, opened.timestamp, ip="1.2.3.4", agent="python-requests/2")
    quick = QUICK.of("", opened, arrival)(only) if isinstance(only, Message) else None
    if quick is None:
        return
    general = ENRICHED(dialect.read(only, opened), arrival)
    assert (quick.topic, quick.key) == (general.topic, general.key)
    nothing = {"properties": {}, "traits": {}, "context": {}}  # said, or left out: the same
    assert nothing | json.loads(quick.value) == nothing | json.loads(general.value)
