"""Who is who, and every profile, is a function of the set of events: of no order, repetition, partitioning or crash.

The two jobs run on a real Redis over a log, see `tests.integration.test_exactly_once_steps`.
"""

import random
from collections import defaultdict

import msgspec
import pytest

from cdp.clock import MINUTE
from cdp.events import Event
from cdp.identity import decode_record
from rules.identity import load_identity_rules, simulate
from streams import records
from tests.integration.test_exactly_once_steps import Platform
from tests.shop import NOW, folds, make_event, order

DAY_LATER = NOW + 400 * MINUTE


def history(seed: int) -> list[Event]:
    """People who share devices and phones, have two cards, lend and lose them; every event has a time of its own."""
    source = random.Random(seed)
    people = [f"user_id:u{n}" for n in range(4)]
    cards = [f"member_id:c{n}" for n in range(4)]
    phones = [f"phone:+861380000000{n}" for n in range(3)]
    devices = [f"anonymous_id:d{n}" for n in range(5)]
    events = []
    for number in range(source.randint(3, 40)):
        message, time = f"m{number}", NOW + number * MINUTE
        kind = source.random()
        if kind < 0.3:
            events.append(make_event(message, "Product Viewed", ids=source.choice(devices), time=time))
        elif kind < 0.5:
            ids = f"{source.choice(people)} {source.choice(devices)}"
            events.append(make_event(message, "Product Added", ids=ids, time=time))
        elif kind < 0.6:
            traits = {"phone": number, "name": f"N{number}"}
            ids = f"{source.choice(people)} {source.choice(phones)}"
            events.append(make_event(message, "", kind="identify", ids=ids, time=time, traits=traits))
        elif kind < 0.7:
            ids = f"{source.choice(phones)} {source.choice(devices)}"
            events.append(order(message, f"o{number}", 10 + number, ids=ids, time=time))
        elif kind < 0.8:
            ids = f"{source.choice(people)} {source.choice(cards)}"
            events.append(make_event(message, "Product Viewed", ids=ids, time=time))
        elif kind < 0.9:
            events.append(
                make_event(message, "", kind="unbind", ids=f"{source.choice(people)} {source.choice(phones)}", time=time)
            )
        else:
            events.append(make_event(message, "Product Viewed", ids=source.choice([*phones, *cards]), time=time))
    return events


def settle(platform: Platform) -> None:
    """Until everything is where it belongs: what has to be taken out of fragments waits for ticks."""
    for number in range(40):
        platform.drain()
        platform.tick(DAY_LATER + number)
    platform.drain()


def run(redis_url: str, events: list[Event], seed: int, crashes: float = 0.0) -> Platform:
    platform = Platform(redis_url, seed, crashes)
    for event in events:
        platform.send(event)
        if platform.random.random() < 0.3:
            platform.step("events")
            platform.step("resolved")
    settle(platform)
    return platform


def people(platform: Platform) -> dict[frozenset[str], dict[str, object]]:
    """The people, as the sets of messages that are theirs, with what their profiles say."""
    changes = [msgspec.json.decode(value) for value in platform.out[records.MERGES]]
    moved = {c["loser_person"]: c["person"] for c in sorted(changes, key=lambda c: c.get("version", 0)) if c["change"] == "merge"}
    messages: dict[int, set[str]] = defaultdict(set)
    for part, value in platform.counted():
        fact = msgspec.json.decode(value)
        messages[moved.get(part, fact["person"])].add(fact["message_id"])
    found, profiles = {}, platform.every_profile()
    for number, theirs in messages.items():
        person = profiles[number]
        assert not person.log.is_waiting
        assert not person.log.pending
        found[frozenset(theirs)] = folds(person)
    return found


def placed(platform: Platform) -> dict[str, list[tuple[int, bool]]]:
    """By identifier, from when on it is shared or somebody's."""
    prefix = platform.names.identifier_prefix
    keys = [key.decode() for key in platform.redis.scan_iter(f"{prefix}*", count=1000)]
    records_ = {key.removeprefix(prefix): decode_record(platform.redis.get(key)) for key in keys}
    return {key: [(span.start, span.is_shared) for span in record.spans] for key, record in records_.items()}


@pytest.mark.parametrize("seed", range(30))
def test_any_order_repetition_and_crash_end_in_the_same_people_and_profiles(redis_url: str, seed: int) -> None:
    events = history(seed)
    calm = run(redis_url, events, seed)
    shuffled = events + random.Random(seed).choices(events, k=len(events) // 4)
    random.Random(seed + 1).shuffle(shuffled)
    stormy = run(redis_url, shuffled, seed + 2, crashes=0.15)
    assert placed(stormy) == placed(calm)
    expected = people(calm)
    found = people(stormy)
    assert found.keys() == expected.keys()
    assert found == expected
    assert set().union(*found) == {event.message_id for event in events}
    assert found.keys() == simulated(events)


def simulated(events: list[Event]) -> set[frozenset[str]]:
    """The people that a simulation of the same events finds."""
    read = [
        simulate.Event(event.message_id, event.time, event.kind, event.event, tuple((i.type, i.value) for i in event.ids))
        for event in events
    ]
    assigned = simulate.simulate(simulate.unique(read), load_identity_rules())
    return {frozenset(messages) for messages in assigned.people.values()}
