"""kill -9 of the TaskManager, and of a Python worker, in the middle of a replay: it goes on by itself, and it is exact."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cdp.clickhouse import connect
from cdp.clock import SECOND
from cdp.events import Event, Identifier, encode
from cdp.identity import decode_record
from cdp.kafka import producer
from cdp.redis import connect as connect_redis
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from profiles.components.orders.state import ORDERS
from streams.profile.store import ProfileStore
from tests.conftest import Stack
from tests.shop import events_of, tags_of

EVENTS, PEOPLE = 30_000, 600


def history(run: str) -> list[Event]:
    """Anonymous views, logins that merge two devices of each person, and orders whose sums are known."""
    start = wall_clock() - 3600 * SECOND
    events = []
    for number in range(EVENTS):
        person, turn = number % PEOPLE, number // PEOPLE
        device = Identifier("anonymous_id", f"{run}-d{person}-{turn % 2}")
        user = Identifier("user_id", f"{run}-u{person}")
        name, ids, properties = "Product Viewed", [device], {}
        if turn % 10 == 4:
            ids = [user, device]  # the first device logs in
        if turn % 10 == 9:
            name, ids = "Order Completed", [user, device]
            properties = {"order_id": f"{run}-o{number}", "total": 10, "currency": "CNY"}
        events.append(
            Event(
                message_id=f"{run}-m{number}", kind="track", event=name, time=start + number * 1000, received_at=wall_clock(),
                ids=ids, properties=msgspec.Raw(msgspec.json.encode(properties)),
            )
        )  # fmt: skip
    return events


def send(stack: Stack, events: list[Event]) -> None:
    client = producer(stack.settings.kafka_servers, client_id="test-kills")
    for event in events:
        identifier = event.ids[0]
        client.produce(Names("cdp").events, encode(event), key=f"{identifier.type}:{identifier.value}")
        client.poll(0)
    assert client.flush(30) == 0


def worker_pids(stack: Stack, job: str) -> list[int]:
    text = (Path(stack.settings.data_dir) / "run" / f"worker-{job}.pid").read_text()
    return [int(line) for line in text.split() if Path(f"/proc/{line}").exists()]


def wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_kills_in_the_middle_of_a_replay_lose_nothing_and_double_nothing(stack: Stack) -> None:
    run = f"kill{wall_clock() % 10**9}"
    clickhouse = connect(stack.settings)
    redis = connect_redis(stack.settings.redis_url)

    def count(column: str = "count()") -> int:
        query = f"SELECT {column} AS n FROM events WHERE startsWith(message_id, {{run:String}})"
        return int(clickhouse.query(query, parameters={"run": f"{run}-m"}).first_item["n"])

    events = history(run)
    send(stack, events)
    wait(lambda: count() > EVENTS // 20, 90, "the replay did not begin")
    killed = worker_pids(stack, "profile")[-1]
    os.kill(killed, signal.SIGKILL)
    wait(lambda: any(pid != killed for pid in worker_pids(stack, "profile")), 90, "no new Python worker came")
    before = count()
    assert before < EVENTS, "the replay was over before anything was killed"
    os.kill(stack.part("taskmanager")["pid"], signal.SIGKILL)
    send(stack, events[:2000])  # SDKs repeat themselves, of all times, now
    wait(lambda: count() >= EVENTS, 240, f"only {count()} of {EVENTS} events arrived")

    ledger = json.loads(stack.cdp("ledger", "--json", "--wait", "90").stdout)
    assert ledger["balanced"], ledger
    assert (count(), count("uniqExact(message_id)")) == (EVENTS, EVENTS)
    merged = "uniqExact(dictGetOrDefault('person_overrides', 'person', toUInt64(part), owner))"
    assert count(merged) == PEOPLE
    totals = clickhouse.query(
        "SELECT count() AS n, sum(amount) AS amount FROM orders WHERE startsWith(order_id, {run:String})",
        parameters={"run": f"{run}-o"},
    ).first_item
    assert (totals["n"], int(totals["amount"])) == (EVENTS // 10, EVENTS)
    for person in range(0, PEOPLE, 50):
        record = decode_record(redis.get(f"{Names('cdp').identifier_prefix}user_id:{run}-u{person}"))
        number = record.spans[0].person
        found = ProfileStore(redis, Names("cdp")).load([number])[number].person
        assert (events_of(found), len(found.whole.get(ORDERS).by_id)) == (EVENTS // PEOPLE, EVENTS // PEOPLE // 10)
        assert tags_of(found)["order_amount"] == EVENTS // PEOPLE
