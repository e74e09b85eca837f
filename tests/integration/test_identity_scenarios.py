"""Everyday situations, live: RESOLVE and PROFILE on a real Redis find the people that a simulation finds.

The histories are those of `tests.identity_histories`; here they come in the order of time, backwards and shuffled.
"""

import random
from collections import defaultdict

import msgspec
import pytest

from cdp.clock import DAY
from cdp.events import Event
from cdp.identity import unpack_component
from profiles.components.identifiers.state import IDENTIFIERS
from profiles.state import Person
from streams import records
from tests.identity_histories import HISTORIES, History
from tests.integration.test_exactly_once_steps import Platform
from tests.integration.test_identity_any_order import people, settle
from tests.integration.test_identity_by_hand import Desk
from tests.shop import NOW, events_of, make_event

START = NOW - 30 * DAY


def messages(history: History) -> list[Event]:
    """One a day; the names of the events are their message ids."""
    return [
        make_event(name, "Product Viewed" if not kind else "", kind=kind[0] if kind else "track", ids=ids, time=START + day * DAY)
        for day, (ids, name, *kind) in enumerate(history.told)
    ]


def arranged(events: list[Event], order: str) -> list[Event]:
    if order == "shuffled":
        return random.Random(7).sample(events, len(events))
    return events[::-1] if order == "backwards" else events


@pytest.mark.parametrize("order", ["in time", "backwards", "shuffled"])
@pytest.mark.parametrize("name", HISTORIES)
def test_everyday(redis_url: str, name: str, order: str) -> None:
    history = HISTORIES[name]
    platform = Platform(redis_url, 0, 0.0)
    for event in arranged(messages(history), order):
        platform.send(event)
        platform.drain()  # each is settled as if nothing came after it
    settle(platform)
    assert people(platform).keys() == {frozenset(names) for names in history.people}
    known = set().union(*history.people)
    nobody = sum(event.message_id not in known for event in messages(history))
    letters = [msgspec.json.decode(value) for value in platform.out[records.DEAD_LETTERS]]
    assert [letter["reason"] for letter in letters] == ["missing_identifier"] * nobody
    kinds = {event.message_id: event.kind for event in messages(history)}
    counted = sorted(sum(kinds[one] != "unbind" for one in names) for names in history.people)
    assert sorted(events_of(person) for person in profiles(platform) if events_of(person)) == [n for n in counted if n]


def test_two_member_numbers_at_the_till_wait_for_somebody(redis_url: str) -> None:
    desk = Desk(redis_url)
    desk.send(*messages(HISTORIES["two member numbers at the till stay two"]))
    (item,) = desk.reviews().reviews
    assert [side.identifiers for side in item.sides] == [["member_id:m1"], ["member_id:m2"]]
    assert desk.decide(item.id, "approve").status == "done"
    assert [events_of(person) for person in profiles(desk.platform) if events_of(person)] == [4]


def test_ten_thousand_accounts_behind_one_blocked_value(redis_url: str) -> None:
    """They stay ten thousand, nothing hangs together, and what has nothing else identifies nobody."""
    platform = Platform(redis_url, 0, 0.0)
    platform.misfortune.batch = 400
    for number in range(10_000):
        ids = f"user_id:u{number} phone:13800138000 device_id:0000"
        platform.send(make_event(f"m{number}", "", kind="identify", ids=ids, time=START + number))
    platform.send(make_event("nobody", "Product Viewed", ids="phone:13800138000 device_id:0000", time=START))
    platform.drain()
    found = profiles(platform)
    assert len(found) == 10_000
    assert {(events_of(person), len(person.whole.get(IDENTIFIERS).seen)) for person in found} == {(1, 1)}
    assert not list(platform.redis.scan_iter(platform.names.component_key_pattern, count=1000))
    (letter,) = [msgspec.json.decode(value) for value in platform.out[records.DEAD_LETTERS]]
    assert letter["reason"] == "missing_identifier"


def test_hundreds_of_accounts_on_one_device_that_nobody_blocked(redis_url: str) -> None:
    """From the second one on the device is nobody's: accounts and their telephones stay as many people, and it stays small."""
    platform = Platform(redis_url, 0, 0.0)
    platform.misfortune.batch = 50
    for number in range(300):
        ids = f"user_id:u{number} device_id:kiosk phone:1390000{number:04}"
        platform.send(make_event(f"m{number}", "", kind="identify", ids=ids, time=START + number))
        platform.send(make_event(f"p{number}", "Product Viewed", ids=f"phone:1390000{number:04}", time=START + 1000 + number))
    platform.send(make_event("kiosk", "Product Viewed", ids="device_id:kiosk", time=START + 2000))
    settle(platform)
    assert people(platform).keys() == {frozenset({f"m{n}", f"p{n}"}) for n in range(300)} | {frozenset({"kiosk"})}
    keys = list(platform.redis.scan_iter(platform.names.component_key_pattern, count=1000))
    assert max(len(unpack_component(platform.redis.get(key))[0].nodes) for key in keys) < 50


def profiles(platform: Platform) -> list[Person]:
    """All of them, those included whose fragments have gone to others."""
    return list(platform.every_profile().values())


def test_each_history_tells_of_different_events() -> None:
    for history in HISTORIES.values():
        names = [name for _, name, *_ in history.told]
        count: dict[str, int] = defaultdict(int)
        for person in history.people:
            for name in person:
                count[name] += 1
        assert len(names) == len({*names})
        assert set(count) <= {*names}
        assert set(count.values()) == {1}
