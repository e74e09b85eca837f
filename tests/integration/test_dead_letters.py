"""Dead letters over HTTP, with a real ClickHouse and Redis: found, repaired, replayed, and counted once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from cdp import redis
from cdp.clickhouse import connect
from cdp.clock import DAY, SECOND, to_iso
from cdp.events import DeadLetter, decode_event, encode
from cdp.seal import LETTER
from cdp.settings import Settings
from cdp.topics import Names
from serving.app import collector, create_app
from serving.collect.finish import Finish
from serving.collect.publish import Record
from serving.collect.router import endpoints
from serving.definitions import migrate as migrate_definitions
from serving.definitions import mint_token
from serving.definitions.cache import Credentials
from serving.operations.ledger import COUNTS
from sinks.migrate import migrate
from sinks.write import FactWriter
from tests.sealing import SEALER, sealing
from tests.shop import NOW

TABLES = ("events", "duplicates", "dead_letters", "items", "orders", "order_items")
LATER = NOW + 3 * DAY


class Desk:
    """The API's part, and everything behind it in one hand: what is published becomes facts, as PROFILE would make them."""

    def __init__(self, config: Settings, redis_url: str, folder: Path) -> None:
        self.config = config
        self.names = Names(f"d{folder.name[-12:]}")
        self.client: Client = connect(config)
        for table in TABLES:
            self.client.command(f"TRUNCATE TABLE cdp.{table}")
        self.writer = FactWriter(self.client, "cdp", self.names)
        self.published: list[Record] = []
        self.letters = 0
        self.unwritten: list[tuple[bytes, str, int, int]] = []
        self.applied: set[str] = set()
        self.settings = Settings(data_dir=folder)
        migrate_definitions(self.settings)
        self.token = mint_token(self.settings, "t", "ops")
        self.reader = mint_token(self.settings, "r", "analyst")
        self.app = create_app(self.settings)
        self.redis_url = redis_url

    def letter(self, payload: Any, reason: str = "invalid_number", position: tuple[int, int] | None = None, **more: Any) -> str:
        """A letter, written down before the next call; gives its id."""
        partition, offset = position or (0, self.letters)
        self.letters += 1
        text = payload if isinstance(payload, str) else json.dumps(payload)
        given = {
            "stage": "collect",
            "source": "shop",
            "dialect": "segment",
            "letter_id": f"l{partition}-{offset}",
            "detail": "why",
        }
        if more.get("stage", "collect") == "collect":
            text = SEALER.whole(LETTER, text)
        letter = DeadLetter(reason=reason, time=NOW + offset, payload=text, **{**given, **more})
        self.unwritten.append((encode(letter), self.names.dead_letters, partition, offset))
        return f"{partition}-{offset}"

    def arrive(self) -> None:
        """What was published goes through PROFILE and FACTS."""
        facts = []
        for offset, record in enumerate(self.published):
            topic, value = record.topic, record.value
            if topic == self.names.items:
                facts.append((value, topic, 0, offset))
                continue
            event = decode_event(value)
            head: dict[str, Any] = {"p": 5, "o": offset, "one_id": "P0000000001", "person": 1, "origin": [9, offset]}
            if event.message_id in self.applied:
                more = {"outcome": "duplicate", "message_id": event.message_id, "time": event.time, "conflict": False}
                fact = {**head, **more, "replay_of": event.source.replay_of}
            else:
                fact = {**head, **json.loads(value)}
            self.applied.add(event.message_id)
            facts.append((msgspec.json.encode(fact), self.names.facts, 5, offset))
        self.writer.process(facts)

    def call(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        return asyncio.run(self._call(method, path, token or self.token, options))

    async def together(self, *bodies: tuple[str, dict[str, Any]]) -> list[httpx.Response]:
        async with self._client() as client:
            return await asyncio.gather(*(client.post(path, json=body, headers=self._head(self.token)) for path, body in bodies))

    async def _call(self, method: str, path: str, token: str, options: dict[str, Any]) -> httpx.Response:
        async with self._client() as client:
            headers = {**self._head(token), **options.pop("headers", {})}
            return await client.request(method, path, headers=headers, **options)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        written, self.unwritten = self.unwritten, []
        self.writer.process(written)
        store = redis.connect_async(self.redis_url)
        parts = SimpleNamespace(
            settings=self.settings, sealing=sealing(self.settings),
            names=self.names, clock=lambda: LATER, publisher=self, redis=store,
            clickhouse=self._ask, credentials=Credentials(self.settings), count_rejected=None,
        )  # fmt: skip
        self.app.state.parts = parts
        self.app.state.collector = collector(parts, Finish(parts.names.events, parts.names.items, 262_144, parts.sealing.sealer))
        self.app.collect = endpoints(self.app.state.collector)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client
        await store.aclose()

    @staticmethod
    def _head(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async def _ask(self, use: Callable[[Client], Any]) -> Any:
        return use(self.client)

    async def publish(self, records: list[tuple[str, str, bytes]]) -> None:
        self.published += records


@pytest.fixture
def desk(clickhouse_settings: Settings, redis_url: str, tmp_path: Path) -> Iterator[Desk]:
    migrate(clickhouse_settings)
    made = Desk(clickhouse_settings, redis_url, tmp_path)
    yield made
    made.client.close()


def order(total: Any = "12,50 kr", **more: Any) -> dict[str, Any]:
    message = {"type": "track", "event": "Order Completed", "userId": "u1", "properties": {"order_id": "o1", "total": total}}
    return {**message, **more}


def test_what_came_is_sealed_opened_for_ops_and_masked_for_analysts(desk: Desk) -> None:
    traits = {"name": "Li Na", "email": "li.na@example.com"}
    payload = order(userId="13811112222", traits=traits, context={"library": {"name": "js"}})
    id_, other = desk.letter(payload), desk.letter("{not json, li.na@example.com", "invalid_json")
    whole = json.loads(desk.call("GET", f"/v1/dead-letters/{id_}").json()["payload"])
    assert whole == payload
    shown = desk.call("GET", f"/v1/dead-letters/{id_}", token=desk.reader).json()
    masked = json.loads(shown["payload"])
    assert shown["event"] == "Order Completed"
    assert (masked["userId"], masked["traits"]) == ("138****2222", {"name": "L***", "email": "l***@example.com"})
    assert masked["context"] == payload["context"]
    assert "li.na" not in desk.call("GET", f"/v1/dead-letters/{other}", token=desk.reader).text
    assert len(desk.call("GET", "/v1/dead-letters?text=li.na@").json()["letters"]) == 2
    assert desk.call("GET", "/v1/dead-letters?text=li.na@", token=desk.reader).json()["letters"] == []
    stored = desk.client.query("SELECT payload FROM dead_letters").result_rows
    assert not any("li.na" in row[0] or "1381111" in row[0] for row in stored)


def test_letters_are_found_by_message_id_as_sent_and_as_kept(desk: Desk) -> None:
    kept = SEALER.message_id("m of +8613811112222")
    named = desk.letter(order(0), message_id=kept)
    desk.letter(order(1), message_id="m")
    for asked in ("m%20of%20%2B8613811112222", kept):
        found = desk.call("GET", f"/v1/dead-letters?message_id={asked}").json()["letters"]
        assert [(one["id"], one["message_id"]) for one in found] == [(named, kept)]
        assert desk.call("GET", f"/v1/dead-letters/summary?message_id={asked}").json()["open"] == 1
    tried = {"filter": {"message_id": "m of +8613811112222"}, "dry_run": True}
    assert [one["id"] for one in desk.call("POST", "/v1/dead-letters/replay", json=tried).json()["shown"]] == [named]
    assert desk.call("GET", "/v1/dead-letters?message_id=of").json()["letters"] == []


def test_letters_are_listed_searched_and_counted(desk: Desk) -> None:
    ids = [desk.letter(order(n), source="shop" if n % 2 else "till") for n in range(7)]
    other = desk.letter("{not json", "invalid_json", stage="resolve", source="", letter_id="", p=3, o=44)
    desk.letter("{not json", "invalid_json", stage="resolve", source="", letter_id="", p=3, o=44)  # a job restarted
    desk.letter(order(0), letter_id="l0-0", position=(1, 0))  # the spool was drained twice
    first = desk.call("GET", "/v1/dead-letters?limit=5", token=desk.reader).json()
    second = desk.call("GET", f"/v1/dead-letters?limit=5&cursor={first['next']}").json()
    assert [one["id"] for one in first["letters"] + second["letters"]] == [other, *reversed(ids)]
    assert second["next"] is None

    def found(query: str) -> list[str]:
        return [one["id"] for one in desk.call("GET", f"/v1/dead-letters?{query}").json()["letters"]]

    assert found("source=till") == [ids[6], ids[4], ids[2], ids[0]]
    assert found("event=Order%20Completed&reason=invalid_number&source=shop") == [ids[5], ids[3], ids[1]]
    assert found("text=NOT%20jSon") == [other]
    assert found("stage=collect&status=replayed") == []
    assert found(f"since={to_iso(NOW + 3).replace('+', '%2B')}&until={to_iso(NOW + 5)}") == [ids[4], ids[3]]
    assert found("text=%25&source=%27%20OR%201=1%20--%20%5C") == []
    assert found("limit=2&event=Order%20Completed&source=till") == [ids[6], ids[4]]
    searched = desk.call("GET", "/v1/dead-letters/summary?text=order%20completed&source=till").json()
    assert (searched["open"], searched["replayed"], [group["open"] for group in searched["groups"]]) == (4, 0, [4])
    summary = desk.call("GET", "/v1/dead-letters/summary").json()
    assert (summary["open"], summary["replayed"], len(summary["groups"])) == (8, 0, 3)
    assert {
        "stage": "collect",
        "reason": "invalid_number",
        "source": "till",
        "open": 4,
        "replayed": 0,
        "day": to_iso(NOW)[:10],
    } in (summary["groups"])
    for asked in (other, f"0-{int(other[2:]) + 1}"):  # by its repetition, too
        letter = desk.call("GET", f"/v1/dead-letters/{asked}").json()
        assert (letter["id"], letter["payload"], letter["status"]) == (other, "{not json", "open")
    row = desk.client.query(COUNTS).result_rows[0]
    assert row[3:6] == (10, 7, 1)  # rows; at collect and later, each letter once


def test_one_is_repaired_by_hand_and_counts_once_however_often(desk: Desk) -> None:
    id_ = desk.letter(order(timestamp=to_iso(NOW - DAY), sentAt=to_iso(NOW - 3600 * SECOND)), message_id="m1")
    path = f"/v1/dead-letters/{id_}/repair"
    tried = desk.call("POST", path, json={"rule": [{"op": "cast", "path": "properties.total", "to": "number"}], "dry_run": True})
    assert tried.json()["outcome"] == "refused"  # a comma, and something after it: 1250 would be wrong
    fixed = order(12.5, timestamp=to_iso(NOW - DAY), sentAt=to_iso(NOW - 3600 * SECOND))
    dry = desk.call("POST", path, json={"payload": fixed, "dry_run": True}).json()
    assert (dry["outcome"], dry["before"]["properties"]["total"], dry["after"]["properties"]["total"]) == (
        "passed",
        "12,50 kr",
        12.5,
    )
    assert not desk.published
    assert desk.call("POST", path, token=desk.reader, json={"payload": fixed}).status_code == 403
    assert desk.call("POST", path, json={"payload": fixed}).json()["outcome"] == "replayed"
    assert desk.call("POST", path, json={"payload": fixed}).json()["outcome"] == "replayed"  # nobody knows yet: the same again
    assert desk.call("POST", path, json={"payload": order(13)}).json()["outcome"] == "skipped"  # but not another
    assert len(desk.published) == 2
    first = desk.published[0]
    topic, key, value = first.topic, first.key, first.value
    event = decode_event(value)
    assert (topic, key, event.message_id) == (desk.names.events, "user_id:u1", "m1")
    assert (event.received_at, event.source.name, event.source.replay_of) == (LATER, "shop", "0:0")
    assert event.time == NOW - DAY + 3600 * SECOND  # by the clock of the day when it came
    desk.arrive()
    assert desk.call("GET", f"/v1/dead-letters/{id_}").json()["status"] == "replayed"
    assert desk.call("POST", path, json={"payload": fixed}).json()["outcome"] == "skipped"
    assert len(desk.published) == 2
    assert desk.client.query("SELECT count(), any(replay_of) FROM cdp.events").first_row == (1, "0:0")
    assert desk.client.query(COUNTS).result_rows[0][-1] == 1


def test_many_are_repaired_by_a_rule(desk: Desk) -> None:
    good = [desk.letter(order(f"{n}.5"), message_id=f"m{n}") for n in range(250)]
    bad = desk.letter(order("free"), message_id="m-free")
    nobody = desk.letter(order("5", userId=None, anonymousId="a1"))
    text = desk.letter('{"cut', "invalid_number")
    other = desk.letter(order("7"), "something_else")
    body = {
        "filter": {"reason": "invalid_number"},
        "rule": [{"op": "cast", "path": "properties.total", "to": "number"}],
        "show": 2,
    }
    dry = desk.call("POST", "/v1/dead-letters/replay", json={**body, "dry_run": True}).json()
    assert (dry["matched"], dry["passed"], dry["replayed"], dry["refused"], dry["more"]) == (253, 251, 0, 2, False)
    assert dry["refusals"] == {"invalid_number": 1, "invalid_json": 1}
    assert [one["id"] for one in dry["shown"]] == good[:2]
    assert dry["shown"][1]["after"]["properties"] == {"order_id": "o1", "total": 1.5}
    assert not desk.published
    part = desk.call("POST", "/v1/dead-letters/replay", json={**body, "limit": 201, "show": 0}).json()
    assert (part["matched"], part["replayed"], part["more"], part["shown"]) == (201, 201, True, [])
    done = desk.call("POST", "/v1/dead-letters/replay", json=body).json()
    assert (done["replayed"], done["refused"]) == (251, 2)
    desk.arrive()
    assert desk.call("POST", "/v1/dead-letters/replay", json=body).json()["matched"] == 2
    left = desk.call("GET", "/v1/dead-letters?status=open").json()["letters"]
    assert [one["id"] for one in left] == [other, text, bad]
    assert f"letter:{nobody}" in desk.applied
    assert desk.client.query("SELECT count(), uniqExact(message_id) FROM cdp.events").first_row == (251, 251)


def test_two_hands_at_once_make_one_event(desk: Desk) -> None:
    id_ = desk.letter(order("x"))
    path = f"/v1/dead-letters/{id_}/repair"
    answers = asyncio.run(desk.together(*((path, {"payload": order(n, userId=f"u{n}")}) for n in range(5))))
    outcomes = sorted(answer.json()["outcome"] for answer in answers)
    assert outcomes == ["replayed", "skipped", "skipped", "skipped", "skipped"]
    assert len(desk.published) == 1


def test_letters_of_inner_stages_are_repaired_as_events(desk: Desk) -> None:
    event = {
        "one_id": "P0000000001", "person": 1, "origin": [0, 7], "message_id": "m1", "kind": "track", "time": NOW - DAY,
        "received_at": NOW,
        "event": "Order Completed", "ids": [{"type": "phone", "value": "1"}, {"type": "user_id", "value": "u1"}],
        "properties": {"total": 5}, "source": {"name": "till"},
    }  # fmt: skip
    given = {"stage": "profile", "source": "", "dialect": "", "letter_id": "", "p": 0, "o": 7}
    path = f"/v1/dead-letters/{desk.letter(event, 'missing_order_id', **given)}/repair"
    assert desk.call("POST", path, json={"dry_run": True}).json()["error"]["reason"] == "missing_order_id"
    done = desk.call("POST", path, json={"rule": [{"op": "set", "path": "properties.order_id", "value": "o7"}]}).json()
    assert done["outcome"] == "replayed"
    first = desk.published[0]
    topic, key, value = first.topic, first.key, first.value
    sent = decode_event(value)
    assert (topic, key, sent.message_id, sent.time, sent.received_at) == (desk.names.events, "user_id:u1", "m1", NOW - DAY, LATER)
    assert (sent.source.name, sent.source.replay_of) == ("till", "0:0")
    assert b"one_id" not in value
    for broken, reason in [
        ({**event, "kind": "command"}, "unsupported_type"), ({**event, "ids": []}, "missing_identifier"),
        ({**event, "time": -1}, "invalid_time"), ({**event, "properties": [1]}, "invalid_properties"),
        ({**event, "event": "", "kind": "profile"}, "unknown_operation"), ([1], "malformed"), ("x", "malformed"),
    ]:  # fmt: skip
        id_ = desk.letter(event, **{**given, "o": desk.letters + 100})
        assert desk.call("POST", f"/v1/dead-letters/{id_}/repair", json={"payload": broken}).json()["error"]["reason"] == reason
    path = f"/v1/dead-letters/{desk.letter('x', stage='facts')}/repair"
    assert desk.call("POST", path, json={"payload": {}}).json()["error"] == {
        "reason": "not_replayable", "field": "stage", "message": "Letters of stage facts cannot be replayed.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "?source=%00", None), ("GET", "?text=%ff%fe", None), ("GET", "?limit=0", None), ("GET", "?limit=1e400", None),
        ("GET", f"?limit={10**40}", None), ("GET", "?cursor=-1-2-3", None), ("GET", "?cursor=1-99999-3", None),
        ("GET", "?cursor=", None),
        ("GET", "?since=soon", None), ("GET", "?since=0001-01-01", None), ("GET", "?until=9999-12-31T23:59:59-23:59", None),
        ("GET", "?status=lost", None), ("GET", "/-1--5", None), ("GET", "/0-9999999999999999999", None),
        ("GET", "/99999-1", None),
        ("GET", "/\u0663-\u0664", None), ("GET", "/0-1%00", None), ("GET", "/nothing", None), ("GET", "/0-99", None),
        ("POST", "/0-99/repair", b"{}"), ("POST", "/0-0/repair", b"[]"), ("POST", "/0-0/repair", b""),
        ("POST", "/0-0/repair", b'{"payload": {"a": "\\ud800"}}'), ("POST", "/0-0/repair", b'{"payload": {"\\ud800": 1}}'),
        ("POST", "/0-0/repair", b'{"payload": {"a": 1' + b"0" * 5000 + b"}}"), ("POST", "/0-0/repair", b'{"payload": NaN}'),
        ("POST", "/0-0/repair", b'{"payload": {"a": 1e999}}'),
        ("POST", "/0-0/repair", b'{"payload": ' + b"[" * 900 + b"]" * 900 + b"}"),
        ("POST", "/0-0/repair", b'{"payload": ' + b"[" * 90_000 + b"]" * 90_000 + b"}"),
        ("POST", "/0-0/repair", b'{"payload": "text"}'),
        ("POST", "/0-0/repair", b'{"payload": {}, "rule": []}'), ("POST", "/0-0/repair", b'{"\\ud800": 1}'),
        ("POST", "/0-0/repair", b'{"dry_run":true,"rule": [{"op": "set", "path": "a", "value": "\\ud800"}]}'),
        ("POST", "/0-0/repair", b'{"dry_run":true,"rule": [{"op": "set", "path": "a", "value": 1e999}]}'),
        ("POST", "/replay", b'{"limit": 100000000000000000000}'), ("POST", "/replay", b'{"filter": {"text": "\\u0000"}}'),
        ("POST", "/replay", b'{"filter": {"text": "\\ud800"}}'),
        ("POST", "/replay", b'{"rule": [{"op": "cast", "path": "a", "to": "x"}]}'),
        ("POST", "/replay", b'{"filter": {"since": "\\u0000"}}'), ("POST", "/replay", b"\xff"),
        ("POST", "/replay", b'{"show": -1}'),
        ("POST", "/replay", b'{"dry_run": true, "show": 100}'),
    ],
)  # fmt: skip
def test_odd_input_is_answered_in_order(desk: Desk, method: str, path: str, body: bytes | None) -> None:
    desk.letter(order("x", deep=[1e308]))
    desk.letter('{"a":' + "[" * 500 + "]" * 500 + "}")
    desk.letter('{"a":1e400,"b":123456789012345678901234567890}')
    headers = {"Content-Type": "application/json"} if body is not None else {}
    answer = desk.call(method, f"/v1/dead-letters{path}", content=body, headers=headers)
    assert answer.status_code in (200, 400, 404, 422), answer.text
    body_ = answer.json()
    assert answer.status_code == 200 or {"code", "message"} <= body_.keys()
