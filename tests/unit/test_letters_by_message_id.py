"""A dead letter is found by its message's id, whatever the message was and wherever it stopped."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cdp.events import DeadLetter, decode_event, message_id_in
from cdp.topics import Names
from serving.collect.collector import Collector, Request
from serving.collect.dialects.jitsu import ROUTES as JITSU
from serving.collect.dialects.mparticle import ROUTES as MPARTICLE
from serving.collect.dialects.posthog import ROUTES as POSTHOG
from serving.collect.dialects.segment import ROUTES as SEGMENT
from serving.collect.dialects.sensors import ROUTES as SENSORS
from serving.collect.dialects.snowplow import POST_PATH
from serving.collect.dialects.snowplow import ROUTES as SNOWPLOW
from serving.collect.draft import Dialect
from serving.collect.finish import Finish
from serving.collect.publish import Record
from serving.collect.quick import Quick
from serving.definitions.credentials import Grant
from tests.sealing import sealer

NAMES = Names("cdp")
KEY = "phc_0123456789abcdef0123456789"
NOW = 1_795_380_000_000_000


class Kept:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def publish(self, records: Any) -> None:
        self.records += records


class Known:
    """Credentials: one write key."""

    def known(self, secret: str) -> Any:
        return Grant("shop", None) if secret == KEY else None

    def known_app(self, app: str) -> Any:
        return None


def send(
    dialect: Dialect, path: str, body: bytes, query: bytes = b"", key: str = KEY, *, quick: bool = False
) -> list[Record]:  # fmt: skip
    """What a request makes, through the collector."""
    kept = Kept()
    finish = Finish(NAMES.events, NAMES.items, 100_000, sealer)
    parts: Any = SimpleNamespace(publisher=kept, credentials=Known())
    collector = Collector(NAMES, parts.publisher, parts.credentials, lambda: NOW, finish, None, 1_000_000)  # type: ignore[arg-type]
    if quick:
        collector = replace(collector, quick=Quick(finish))
    headers = [(b"authorization", b"Bearer " + key.encode())] if key else []
    reply = asyncio.run(collector.handle(dialect, Request("POST", path, query, headers, body, "1.2.3.4")))
    assert reply.status in (200, 202), reply
    return kept.records


def letter_of(record: Record) -> DeadLetter:
    assert record.topic == NAMES.dead_letters
    return msgspec.json.decode(record.value, type=DeadLetter)


LONG = "x" * 600  # too long for the name of an event
CASES: list[tuple[str, Dialect, str, Any]] = [
    ("segment", SEGMENT["/v1/batch"], "/v1/batch",
     {"batch": [{"type": "track", "messageId": "ID", "userId": "u", "event": "NAME"}]}),
    ("single", SEGMENT["/v1/track"], "/v1/track", {"messageId": "ID", "userId": "u", "event": "NAME"}),
    ("jitsu", JITSU["/api/s/event"], "/api/s/event", {"type": "track", "messageId": "ID", "userId": "u", "event": "NAME"}),
    ("posthog", POSTHOG["/e/"], "/e/", {"uuid": "ID", "distinct_id": "u", "event": "NAME"}),
    ("insert", POSTHOG["/e/"], "/e/", {"properties": {"$insert_id": "ID"}, "distinct_id": "u", "event": "NAME"}),
    ("snowplow", SNOWPLOW[POST_PATH], POST_PATH, {"data": [{"e": "se", "eid": "ID", "uid": "u", "se_ac": "NAME"}]}),
    ("mparticle", MPARTICLE["/v2/events"], "/v2/events",
     {"mpid": 5, "events": [{"event_type": "custom_event", "data": {"event_id": "ID", "event_name": "NAME"}}]}),
]  # fmt: skip


@pytest.mark.parametrize("id_", ["m-1", "order of +8613811112222"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_letter_and_event_have_the_same_message_id(case: tuple[str, Dialect, str, Any], id_: str) -> None:
    _, dialect, path, body = case
    text = json.dumps(body).replace("ID", id_)
    (event,) = send(dialect, path, text.replace("NAME", "Seen").encode())
    (letter,) = send(dialect, path, text.replace("NAME", LONG).encode())
    broken = text.replace('"NAME"', '"Seen", "more": NaN').encode()
    (unreadable,) = send(dialect, path, broken)
    wanted = decode_event(event.value).message_id
    assert wanted
    assert letter_of(letter).message_id == letter_of(unreadable).message_id == wanted


def test_ids_that_are_hashes_of_the_content() -> None:
    messages = [
        {"type": "track", "distinct_id": "u", "event": "E", "time": 1795380000000, "properties": {"a": name}} for name in "ab"
    ]
    messages[1]["event"] = LONG
    good, bad = send(SENSORS["/sa"], "/sa", json.dumps(messages).encode())
    assert letter_of(bad).message_id[0] == decode_event(good.value).message_id[0] == "~"
    assert send(SENSORS["/sa"], "/sa", json.dumps(messages[1:]).encode())[0].key == "shop"


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (b'{"message_id":"m","kind":5}', "m"), (b'{"message_id":"m","kin', "m"), (b'{"a":1,"message_id" : "m\\"x"', 'm"x'),
        (b'{"message_id":5}', ""), (b"", ""), (b"\xff", ""), (b"[1]", ""), (b'{"message_id":"\\ud83d"', ""),
    ],
)  # fmt: skip
def test_the_id_in_a_record(value: bytes, id_: str) -> None:
    assert message_id_in(value) == id_
