"""Rules tried on recorded history: read from the real engine page by page, compared with who is who live, nothing changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from cdp.clickhouse import connect
from cdp.clock import DAY
from cdp.errors import CdpError
from cdp.events import Identifier, encode
from cdp.settings import Settings
from cdp.topics import Names
from rules.identity.simulate import tell_nobody
from sinks.migrate import migrate
from sinks.read_events import read_recorded
from sinks.try_rules import load, try_on_history
from sinks.write import FactWriter
from tests.shop import make_event

NAMES = Names("cdp")
START = 20_700 * DAY
SPAN = (START, START + 100 * DAY)
TOKEN = "~" + "Ab-_9" * 4 + "xy"


@pytest.fixture
def client(clickhouse_settings: Settings) -> Iterator[Client]:
    migrate(clickhouse_settings)
    client = connect(clickhouse_settings)
    for table in ("events", "merges", "overrides"):
        client.command(f"TRUNCATE TABLE cdp.{table}")
    yield client
    client.close()


def record(client: Client, *told: tuple[str, int, float, str, str]) -> None:
    """Events as (message id, part, day, kind, identifiers)."""
    facts = []
    for offset, (message_id, part, day, kind, ids) in enumerate(told):
        listed = [Identifier(type_, value) for type_, _, value in (key.partition(":") for key in ids.split())]
        event = make_event(message_id, "Product Viewed" if kind == "track" else "", time=START + int(day * DAY))
        event.ids, event.kind = listed, kind
        head = {"p": 0, "o": offset, "one_id": f"P{part:010d}", "person": part, "part": part, "origin": [0, offset]}
        value = msgspec.json.encode({**head, **json.loads(encode(event))})
        facts.append((value, NAMES.facts, 0, offset))
    FactWriter(client, "cdp", NAMES).process(facts)


def merge(client: Client, part: int, person: int, offset: int) -> None:
    said = {
        "change": "merge", "one_id": f"P{person:010d}", "person": person, "loser": f"P{part:010d}", "loser_person": part,
        "version": 1, "time": START, "message_id": "x", "p": 0, "o": offset, "seq": 1,
    }  # fmt: skip
    FactWriter(client, "cdp", NAMES).process(
        [(json.dumps(said).encode(), topic, 0, offset) for topic in (NAMES.merges, NAMES.changes)]
    )


STORY = (
    ("early", 7, -1, "track", "device_id:d"),
    ("a", 7, 0, "track", "device_id:d"),
    ("b", 8, 1, "identify", f"user_id:ann device_id:d phone:{TOKEN}"),
    ("c", 9, 2, "identify", "user_id:bob email:a@b.cn"),
    ("d", 10, 3, "track", "email:a@b.cn"),
    ("e", 11, 4, "track", f"phone:{TOKEN}"),
    ("late", 9, 100, "track", "user_id:bob"),
)
NEW = """
version: 5
identifiers:
  - {name: user_id, priority: 1}
  - {name: phone, priority: 2}
  - {name: email, priority: 3, blocked: [a@b.cn]}
"""


def test_pages_are_read_in_the_order_of_time(client: Client, clickhouse_settings: Settings) -> None:
    record(client, *((f"m{n:02}", 1 + n % 3, n // 4, "track", f"user_id:u{n}") for n in reversed(range(40))))
    told: list[tuple[str, int, int]] = []
    reader = connect(clickhouse_settings, reader=True)
    for page in (1, 3, 4, 1000):
        found = read_recorded(reader, "cdp", *SPAN, lambda *said: told.append(said), page=page)
        assert [event.message_id for event in found.events] == [f"m{n:02}" for n in range(40)]
        assert found.live["m07"] == 1 + 7 % 3
    reader.close()
    assert told[-1] == ("events read", 40, 40)


def test_history_is_compared_with_who_is_who_live(client: Client, clickhouse_settings: Settings, tmp_path: Path) -> None:
    record(client, *STORY)
    for offset, (part, person) in enumerate([(8, 7), (11, 7), (10, 9)]):
        merge(client, part, person, offset)
    file = tmp_path / "new.yaml"
    file.write_text(NEW)
    report, message_ids, after = try_on_history(load(file), None, clickhouse_settings, SPAN, tell_nobody)
    found = report.as_json()
    assert message_ids == ["a", "b", "c", "d", "e"]
    assert (found["against"]["name"], found["since"][:10]) == ("live", "2026-09-04")
    assert found["people"] == {"before": 2, "after": 2, "same": 1}
    assert found["without_person"] == {"before": 0, "after": 1}
    assert after.keys_of["b"] == ("user_id:ann", f"phone:{TOKEN}", "device_id:d")
    assert found["merges"]["vanish"] == 0
    assert after.person_of["b"] == after.person_of["e"] == after.person_of["a"] != after.person_of["c"]
    counts = {table: client.query(f"SELECT count() FROM cdp.{table}").first_row[0] for table in ("events", "merges")}
    assert counts == {"events": 7, "merges": 3}


def test_what_comes_apart_for_want_of_evidence_is_said(client: Client, clickhouse_settings: Settings) -> None:
    """The link of two parts is older than the span: the shipped rules would not make it of these events either."""
    record(client, ("a", 7, 1, "track", "device_id:d"), ("b", 8, 2, "track", "user_id:ann"))
    merge(client, 8, 7, 0)
    report, _, _ = try_on_history(load(None), None, clickhouse_settings, SPAN, tell_nobody)
    merges = report.as_json()["merges"]
    assert (merges["vanish"], merges["vanish_for_want_of_evidence"]) == (1, 1)
    assert merges["vanishing"][0]["one_id"] == "P0000000007"
    against, _, _ = try_on_history(load(None), load(None), clickhouse_settings, SPAN, tell_nobody)
    assert against.as_json()["against"] == {"name": "shipped", "version": 1}
    assert against.as_json()["merges"]["vanish"] == 0


def test_a_database_that_is_not_there_is_one_sentence(clickhouse_settings: Settings) -> None:
    reader: Any = connect(clickhouse_settings, reader=True)
    with pytest.raises(CdpError, match="ClickHouse: "):
        read_recorded(reader, "nowhere", *SPAN, tell_nobody)
    reader.close()
