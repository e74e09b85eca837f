"""After an upgrade: people who waited in profiles of an older format are woken, once."""

import struct
from typing import Any

import pytest

from cdp import kafka
from cdp.clock import MINUTE
from cdp.errors import Unavailable
from cdp.people import one_id
from cdp.settings import Settings
from infra.upgrade import PAGE, wake_upgraded
from loadtest.job_log import PARTITIONS
from profiles.state import FORMAT
from serving.waiters import NOBODY, read_waiters
from streams.profile.store import ProfileStore
from streams.records import decode_resolved
from tests.integration.test_exactly_once_steps import Platform
from tests.integration.test_who_waits import Place, place, stuck
from tests.shop import NOW, events_of, make_event

__all__ = ["place"]


def test_people_who_wait_in_older_profiles_are_woken_once(place: Place) -> None:
    place.put_older(1, as_of=NOW, awaiting={9: [5]}, events=3)
    place.put_older(2, as_of=NOW, events=3)
    place.put_older(3, awaiting={9: [5]})  # whose first event is held back
    place.put(stuck(4, NOW))
    reports: list[str] = []
    assert wake_upgraded(place.config, reports.append) == 2
    assert place.woken() == {person: kafka.partition_of(one_id(person), PARTITIONS) for person in (1, 3)}
    waiting = {p: place.listed(place.names.waiting_key(p)) for p in range(PARTITIONS)}
    assert {person: waiting[partition].get(person) for person, partition in place.woken().items()} == {1: NOW, 3: 1}
    assert reports == ["2 people who waited in profiles of an older format will be looked at"]
    place.put_older(5, as_of=NOW, awaiting={9: [5]})
    assert wake_upgraded(place.config, reports.append) == 0
    assert 5 not in place.woken()


def test_a_new_folder_costs_nothing(place: Place) -> None:
    reports: list[str] = []
    assert wake_upgraded(place.config, reports.append) == 0
    assert (reports, place.redis.get(place.names.upgraded_key)) == ([], str(FORMAT).encode())


def test_waking_can_be_broken_off_and_repeated(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    many = range(1, PAGE + 50)
    for person in many:
        place.put_older(person, as_of=NOW, awaiting={9: [5]})
    monkeypatch.setattr("infra.upgrade.partition_of", break_off_after(PAGE + 10))
    with pytest.raises(KeyboardInterrupt):
        wake_upgraded(place.config, lambda _: None)
    assert place.redis.get(place.names.upgraded_key) is None
    assert 0 < len(place.woken()) < len(many)
    monkeypatch.undo()
    assert wake_upgraded(place.config, lambda _: None) == len(many)
    assert place.woken().keys() == set(many)


def break_off_after(count: int) -> Any:
    left = iter(range(count))

    def partition_of(key: str, partitions: int) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return kafka.partition_of(key, partitions)

    return partition_of


def test_profiles_that_nobody_can_read_are_left_alone(place: Place) -> None:
    place.redis.set(place.names.people_key, 1)
    place.redis.set(place.names.profile_key(1), struct.pack(">QB", 1, 2) + b"x")
    assert wake_upgraded(place.config, lambda _: None) == 0
    assert place.woken() == {}


def test_redis_away_is_one_sentence() -> None:
    with pytest.raises(Unavailable, match="Redis does not answer"):
        wake_upgraded(Settings(redis="redis://127.0.0.1:1"), lambda _: None)


def test_who_was_stuck_before_an_upgrade_is_helped_at_the_next_ticks(redis_url: str) -> None:
    platform = Platform(redis_url, 1, 0.0)
    platform.send(make_event("held-back", "Product Viewed", time=NOW))
    while not any(platform.log["resolved"]):
        platform.step("events")
    partition = next(p for p, entries in enumerate(platform.log["resolved"]) if entries)
    (value,) = platform.log["resolved"][partition]
    person = decode_resolved(value).person
    platform.read["resolved"][partition] = platform.committed["resolved"][partition] = 1  # it was handled: it is held back
    place = Place(redis_url)
    place.names, place.config = platform.names, place.config.model_copy(update={"topic_prefix": platform.names.prefix})
    place.put_older(person, awaiting={person + 1: [5]}, pending=[(0, value)], offset=0)
    platform.tick(NOW + 10 * MINUTE)
    platform.drain()
    store = ProfileStore(place.redis, place.names)
    assert events_of(store.load([person])[person].person) == 0  # nobody wakes it

    assert wake_upgraded(place.config, lambda _: None) == 1
    for minute in (11, 12):
        platform.tick(NOW + minute * MINUTE)
        platform.drain()
    profile = store.load([person])[person].person
    assert (events_of(profile), profile.log.is_waiting, profile.log.pending) == (1, False, [])
    assert read_waiters(place.redis, place.names, PARTITIONS, NOW + 20 * MINUTE) == NOBODY
