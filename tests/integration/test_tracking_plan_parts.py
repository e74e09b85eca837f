"""The tracking plan with a real ClickHouse engine and a real Redis: learning from facts, and counting what does not fit."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cdp import redis
from cdp.clickhouse import connect
from cdp.clock import DAY
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from serving.documents.document import Edit
from serving.documents.kinds import PLAN
from serving.documents.store import find, put
from serving.plan.compile import Verdict, Violation, compile_plan
from serving.plan.service import draft_plan, try_traffic
from serving.plan.violations import SAMPLES, Violations, counts_key, read_samples, samples_key, total
from sinks.migrate import migrate
from tests.sealing import REVEAL, sealer


@pytest.fixture(scope="module")
def client(clickhouse_settings: Settings) -> Any:
    migrate(clickhouse_settings)
    client = connect(clickhouse_settings)
    client.command("TRUNCATE TABLE events")  # other tests use the same engine
    now = datetime.now(UTC)
    columns = ["event_time", "received_at", "kind", "event", "properties", "source_offset"]
    rows = [(now, now, "track", "Product Viewed", json.dumps({"sku": f"s{n}", "price": n - 0.5}), n) for n in range(20)]
    rows += [(now, now, "page", f"Title {n}", '{"path":"/"}', 100 + n) for n in range(3)]
    rows += [(now, now, "identify", "", "{}", 200), (now, datetime(2026, 1, 1, tzinfo=UTC), "track", "Old", "{}", 201)]
    client.insert("events", rows, column_names=columns)
    yield client
    client.command("TRUNCATE TABLE events")


def test_a_plan_is_learnt_from_facts_and_tried_on_them(client: Any, clickhouse_settings: Settings) -> None:
    plan, learnt_from = draft_plan(client, REVEAL, wall_clock(), days=7, each=15, limit=1_000)
    assert learnt_from == {"Page Viewed": 3, "Product Viewed": 15}
    assert plan["events"]["Product Viewed"]["schema"]["required"] == ["price", "sku"]
    assert put(clickhouse_settings, PLAN, plan, Edit("test")).version == 1
    found = find(clickhouse_settings, PLAN.key)
    assert found is not None
    tried = try_traffic(client, REVEAL, compile_plan(found.body), wall_clock(), days=7, each=1_000, limit=1_000)
    assert {name: dict(one.actions) for name, one in tried.items()} == {
        "Page Viewed": {"allow": 3}, "Product Viewed": {"allow": 20},
    }  # fmt: skip
    plan["events"]["Product Viewed"]["schema"]["properties"]["price"]["minimum"] = 0
    plan["events"]["Product Viewed"]["on_violation"] = "block"
    tried = try_traffic(client, REVEAL, compile_plan(plan), wall_clock(), days=7, each=1_000, limit=1_000)
    assert dict(tried["Product Viewed"].actions) == {"allow": 19, "block": 1}


def test_violations_reach_redis(redis_url: str) -> None:
    names, now = Names("plantest"), wall_clock()

    async def run() -> None:
        client = redis.connect_async(redis_url)
        violations = Violations(names, client, lambda: now, sealer)
        for number in range(25):
            verdict = Verdict("warn", (Violation(f"properties.products[{number}].price", "wrong", "type"),))
            violations.record("Product Viewed", "shop", f"m{number}", verdict, {"products": []})
            await violations.flush()
        await violations.stop()
        await client.aclose()

    asyncio.run(run())
    client = redis.connect(redis_url)
    counts = total([client.hgetall(counts_key(names, now // DAY))])
    assert [(c.event, c.path, c.keyword, c.source, c.count) for c in counts] == [
        ("Product Viewed", "properties.products[].price", "type", "shop", 25)
    ]
    samples = read_samples(client.lrange(samples_key(names, "Product Viewed"), 0, -1))
    assert [sample["message_id"] for sample in samples] == [f"m{number}" for number in range(24, 24 - SAMPLES, -1)]
    assert 0 < client.ttl(counts_key(names, now // DAY)) <= 30 * 86_400
    client.close()
