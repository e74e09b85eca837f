"""People who wait, as PROFILE lists them on a real Redis: read, shown, counted, and woken after an upgrade."""

import asyncio
import struct
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cdp import kafka
from cdp.clock import MINUTE, SECOND
from cdp.errors import Unavailable
from cdp.people import one_id
from cdp.redis import connect
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from infra.status import gather as gather_status
from loadtest.job_log import PARTITIONS
from profiles.components.activity.state import ACTIVITY, Activity
from profiles.formats import _Format3
from profiles.state import FORMAT, Person, pack
from profiles.transfer_log import Awaited, Rebuild
from rules.identity.place import Move
from serving import metrics
from serving.operations import ledger
from serving.operations.scrape import Scraper
from serving.waiters import GONE, NOBODY, UNREADABLE, Waiter, as_json, read_waiters, say, waiter
from streams import records
from streams.commands import for_move
from tests.conftest import make_stack, running
from tests.integration.test_exactly_once_steps import Platform
from tests.shop import NOW


class Place:
    """Names of their own on the Redis of the tests."""

    def __init__(self, redis_url: str, **settings: Any) -> None:
        prefix = f"w{uuid.uuid4().hex[:12]}"
        self.config = Settings(redis=redis_url, topic_prefix=prefix, partitions=PARTITIONS, **settings)
        self.names = Names(prefix)
        self.redis = connect(redis_url)

    def put(self, person: Person, partition: int = 0) -> Waiter:
        """A profile that PROFILE has written, listed as waiting."""
        stored = pack(person)
        self.redis.set(self.names.profile_key(person.number), stored.head)
        for name, value in stored.fields.items():
            self.redis.hset(self.names.slices_key(person.number), name, value)
        self.redis.zadd(self.names.waiting_key(partition), {str(person.number): person.log.waits_since or 1})
        return waiter(person)

    def put_older(self, person: int, **fields: Any) -> None:
        body = msgspec.msgpack.encode(_Format3(person=person, **fields))
        self.redis.set(self.names.profile_key(person), struct.pack(">QB", 7, 3) + body)
        self.redis.set(self.names.people_key, person)

    def listed(self, key: str) -> dict[int, int]:
        return {int(person): int(score) for person, score in self.redis.zrange(key, 0, -1, withscores=True)}

    def woken(self) -> dict[int, int]:
        """Person to partition, of those who are due at once."""
        return {person: p for p in range(PARTITIONS) for person, at in self.listed(self.names.due_key(p)).items() if at == 1}


@pytest.fixture
def place(redis_url: str) -> Place:
    return Place(redis_url)


def waiting(number: int, **log: Any) -> Person:
    person = Person(number)
    for name, value in log.items():
        setattr(person.open_log, name, value)
    return person


def stuck(number: int, since: int, pending: int = 0) -> Person:
    return waiting(number, awaiting={9: {5: Awaited(9, since)}}, pending=[(n, b"") for n in range(pending)])


# -- who waits -----------------------------------------------------------------------------------------------------------


def test_nobody_waits(place: Place) -> None:
    assert read_waiters(place.redis, place.names, PARTITIONS, NOW) == NOBODY


def test_who_waits_for_five_seconds_is_read_from_all_partitions_the_first_first(place: Place) -> None:
    late = place.put(stuck(1, NOW - 6 * SECOND), partition=2)
    first = place.put(waiting(2, rebuild={2: Rebuild(NOW - MINUTE, [(0, 1)])}), partition=0)
    on_the_dot = place.put(stuck(3, NOW - 5 * SECOND, pending=3), partition=1)
    place.put(stuck(4, NOW - 4 * SECOND), partition=1)
    found = read_waiters(place.redis, place.names, PARTITIONS, NOW)
    assert (found.count, found.since, found.first) == (3, NOW - MINUTE, (first, late, on_the_dot))
    shortened = read_waiters(place.redis, place.names, PARTITIONS, NOW, limit=1)
    assert (shortened.count, shortened.since, shortened.first) == (3, NOW - MINUTE, (first,))


def test_who_holds_back_so_much_that_it_lies_beside_the_profile_is_read_as_well(place: Place) -> None:
    someone = place.put(waiting(1, awaiting={9: {5: Awaited(9, NOW - 9 * SECOND)}}, pending=[(n, b"x" * 999) for n in range(9)]))
    assert place.redis.exists(place.names.slices_key(1))
    found = read_waiters(place.redis, place.names, PARTITIONS, NOW)
    assert (found.count, found.first, someone.held_back) == (1, (someone,), 9)


def test_who_is_listed_is_shown_though_the_profile_cannot_be_read(place: Place) -> None:
    since = NOW - 9 * SECOND
    for person, value in ((1, None), (2, struct.pack(">QB", 1, FORMAT + 1) + b"x"), (3, struct.pack(">QB", 1, FORMAT) + b"\xc1")):
        place.redis.zadd(place.names.waiting_key(0), {str(person): since})
        if value is not None:
            place.redis.set(place.names.profile_key(person), value)
    found = read_waiters(place.redis, place.names, PARTITIONS, NOW)
    assert [(one.one_id, one.since, one.amiss) for one in found.first] == [
        (one_id(1), since, GONE), (one_id(2), since, UNREADABLE), (one_id(3), since, UNREADABLE),
    ]  # fmt: skip
    assert found.count == 3
    assert as_json(found.first[0], NOW)["waits"] == []


def test_who_has_just_got_everything_does_not_wait(place: Place) -> None:
    person = Person(1)
    person.whole.put(ACTIVITY, Activity(events=3))
    place.put(person)  # the profile is written before the list
    assert read_waiters(place.redis, place.names, PARTITIONS, wall_clock()) == NOBODY
    place.put(stuck(2, NOW - 9 * SECOND))
    assert read_waiters(place.redis, place.names, PARTITIONS, NOW).count == 1


def test_profile_lists_who_waits_and_takes_from_the_list_who_has_got_it(redis_url: str) -> None:
    platform = Platform(redis_url, 1, 0.0)

    def waiters(now: int) -> list[str]:
        return [say(one, now) for one in read_waiters(platform.redis, platform.names, PARTITIONS, now).first]

    expect, transfer = map(records.send, for_move(Move(17, 2, 1, (2,)), NOW))
    platform.emit([expect])
    platform.drain()
    assert waiters(NOW + 4 * SECOND) == []
    assert waiters(NOW + 12 * SECOND) == ["P0000000001 waits 12 s for part 2 of P0000000002"]
    platform.emit([transfer])
    platform.drain()
    assert waiters(NOW + 12 * SECOND) == []


# -- who shows it --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_status_is_not_well_while_somebody_waits(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "data")
    with running(stack, "--only", "redis"):
        assert stack.cdp("status").returncode == 0
        client, names = connect(stack.settings.redis_url), Names(stack.settings.topic_prefix)
        client.set(names.profile_key(9986), pack(stuck(9986, wall_clock() - 12 * SECOND, pending=14)).head)
        client.zadd(names.waiting_key(stack.settings.partitions - 1), {"9986": wall_clock() - 12 * SECOND})
        done = stack.cdp("status")
        assert done.returncode == 1
        assert "for part 9 of P0000000009, 14 events held back\nNot all is well" in done.stdout
        found = stack.status()
        assert (found["ok"], found["people_waiting"], found["parts"][0]["state"]) == (False, 1, "ready")
        assert [(one["one_id"], one["held_back"]) for one in found["waiting"]] == [("P0000009986", 14)]
        client.zrem(names.waiting_key(stack.settings.partitions - 1), "9986")
        assert stack.cdp("status").returncode == 0


def test_status_without_redis_is_still_an_answer(tmp_path: Path) -> None:
    config = Settings(data_dir=tmp_path, redis="redis://127.0.0.1:1", kafka="127.0.0.1:1", flink="127.0.0.1:1")
    found = gather_status(config)
    assert (found.ok, found.waiters) == (False, NOBODY)


class Facts:
    """ClickHouse, with ten events."""

    def query(self, _: str) -> Any:
        return SimpleNamespace(result_rows=[(10, 0, 0, 0, 0, 0, 0, 0)])


def test_the_ledger_tells_who_waits_and_balances_as_before(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    place = Place(redis_url, data_dir=tmp_path)
    monkeypatch.setattr(kafka, "end_offsets", lambda _, topic: {0: 14 if topic == place.names.events else 0})
    alone = ledger.gather(place.config, Facts())
    assert (alone.waiting, alone.waiting_for, alone.difference) == (0, (), 4)
    person = place.put(stuck(1, wall_clock() - MINUTE, pending=4))
    found = ledger.gather(place.config, Facts())
    assert (found.waiting, found.waiting_for, found.entries) == (1, (person,), alone.entries)
    assert found.as_json()["waiting_for"][0]["seconds"] >= 60


def test_metrics_tell_how_many_wait_and_what_for(place: Place) -> None:
    now = wall_clock()
    place.put(stuck(1, now - 12 * SECOND), partition=1)
    place.put(waiting(2, expected={2: {3: Awaited(1, now - 30 * SECOND, 1)}}))
    place.put(waiting(3, rebuild={3: Rebuild(now - 9 * SECOND)}))
    place.redis.zadd(place.names.waiting_key(0), {"4": now - 7 * SECOND})
    place.redis.set(place.names.healed_key, 5)
    text = scrape(place.config, now)
    for line in (
        'cdp_people_waiting{for="part"} 1.0', 'cdp_people_waiting{for="range"} 1.0', 'cdp_people_waiting{for="facts"} 1.0',
        'cdp_people_waiting{for="unknown"} 1.0', "cdp_people_waiting_seconds 30.0", "cdp_people_healed_total 5.0",
    ):  # fmt: skip
        assert f"{line}\n" in text
    assert "cdp_people" not in scrape(Settings(redis="redis://127.0.0.1:1"), now)


def scrape(config: Settings, now: int) -> str:
    async def no_clickhouse(_: Any) -> Any:
        raise Unavailable("ClickHouse does not answer.")

    parts: Any = SimpleNamespace(settings=config, clock=lambda: now, clickhouse=no_clickhouse, check=asyncio.to_thread)
    try:
        return asyncio.run(Scraper().text(parts)).decode()
    finally:
        metrics.waiting.now = None
