"""Enriched facts through the writer into the real engine, and sessions out of it as the API asks for them."""

import json

from cdp.clickhouse import connect
from cdp.events import encode
from cdp.settings import Settings
from cdp.topics import Names
from serving.analytics import sessions
from serving.analytics.query import run
from serving.analytics.span import Span
from sinks.migrate import migrate
from sinks.write import FactWriter
from tests.shop import make_event

HOUR = 3_600_000_000


def test_enriched_events_become_sessions(clickhouse_settings: Settings) -> None:
    migrate(clickhouse_settings)
    client = connect(clickhouse_settings)
    for table in ("events", "orders", "merges", "overrides"):  # other tests use the same engine
        client.command(f"TRUNCATE TABLE cdp.{table}")
    client.command("SYSTEM RELOAD DICTIONARY cdp.person_overrides")
    event = json.loads(encode(make_event("m", "Product Viewed")))
    context = {
        "page": {"path": "/x", "referrer": "https://www.baidu.com/s"},
        "client": {"browser": "Chrome", "os": "iOS", "device": "mobile"},
        "geo": {"country": "CN"}, "click_id": {"name": "bd_vid", "value": "v"},
    }  # fmt: skip
    head = {"p": 1, "one_id": "P0000000001", "person": 1, "origin": [0, 1], "traffic": "paid_search", "context": context}
    facts = [{**event, **head, "o": 1}, {**event, **head, "o": 2, "bot": True}]
    written = FactWriter(client, "cdp", Names("cdp")).process(
        [(json.dumps(fact).encode(), "cdp.facts", 1, offset) for offset, fact in enumerate(facts)]
    )
    assert written["events"] == 2
    columns = "bot, traffic, browser, os, device_type, country, referrer_domain, click_id"
    row = ("paid_search", "Chrome", "iOS", "mobile", "CN", "baidu.com", "v")
    found = client.query(f"SELECT {columns} FROM cdp.events ORDER BY source_offset").result_rows
    assert found == [(0, *row), (1, *row)]
    span = Span(event["time"] - HOUR, event["time"] + HOUR, event["time"])
    (answer,) = sessions.summarise(run(client, sessions.build(span, "UTC")))
    assert (answer.traffic, answer.sessions, answer.people, answer.bounce_rate) == ("paid_search", 1, 1, 1)
    client.command("TRUNCATE TABLE cdp.events")
