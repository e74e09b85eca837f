"""RESOLVE and PROFILE on a real Redis, over a log that loses and repeats what a crash loses and repeats: `loadtest.job_log`.

Whatever happens, each message is applied once, each occasion fires once, and the profiles are those of a run without crashes.
"""

import random
from collections import defaultdict

import msgspec
import pytest

from cdp.clock import DAY, MINUTE, date_of
from cdp.events import Event
from loadtest.job_log import JobLog, Misfortune
from profiles.canonical import fingerprints
from profiles.components.activity.state import ACTIVITY
from profiles.components.attributes.state import ATTRIBUTES
from profiles.components.identifiers.state import IDENTIFIERS
from profiles.components.metrics.state import METRICS
from profiles.components.triggers.state import OCCASIONS
from profiles.state import Person, pack, unpack
from streams import records
from tests.shop import CALENDAR, NOW, events_of, figures, make_event, order, rules, tags_of

RULES = rules()


class Platform(JobLog):
    """Both jobs, their topics as lists, and a hand that kills them."""

    def __init__(self, redis_url: str, seed: int, crashes: float) -> None:
        super().__init__(redis_url, seed, Misfortune(crashes), RULES)
        self.now = NOW

    def profiles(self) -> dict[str, Person]:
        """The people who stand, by their strongest identifier."""
        found = {}
        for person in self.every_profile().values():
            if events_of(person):
                assert not person.log.is_waiting
                assert not person.log.pending
                name = max(person.whole.get(IDENTIFIERS).seen)
                assert name not in found, f"two people for {name}"
                found[name] = person
        return found

    def facts(self) -> tuple[dict[str, int], int]:
        """How often each message was applied, and how many duplicates there were; repeats of a position count once."""
        counts: dict[str, int] = defaultdict(int)
        for _, value in self.counted():
            counts[msgspec.json.decode(value)["message_id"]] += 1
        return counts, len(self.facts_table.refused)


def history(seed: int) -> list[Event]:
    """People on several devices who log in now and then, order, return things, and SDKs that repeat themselves."""
    source = random.Random(seed)
    events = []
    for number in range(160):
        person, time = source.randrange(6), NOW + number * MINUTE
        device = f"anonymous_id:d{person}-{source.randrange(3)}"
        known = f"user_id:u{person} {device}"
        name = source.choice(["Product Viewed", "Product Viewed", "Product Added", "login", "order", "refund"])
        message = f"m{number}"
        if name == "login":
            traits = {"name": f"N{person}", "birthday": "1990-11-18"}
            events.append(make_event(message, "Signed Up", ids=known, time=time, traits=traits))
        elif name == "order":
            events.append(order(message, f"o{number}", 10.5 + number, ids=known, time=time))
        elif name == "refund":
            properties = {"order_id": f"o{source.randrange(number + 1)}", "total": 1}
            events.append(make_event(message, "Order Refunded", ids=f"user_id:u{person}", time=time, properties=properties))
        else:
            events.append(make_event(message, name, ids=device, time=time))
        if source.random() < 0.1:
            done = source.choice([("increment", {"points": number}), ("append", {"likes": [number % 7]}), ("unset", {"name": 1})])
            events.append(make_event(f"p{number}", done[0], kind="profile", ids=known, time=time, traits=done[1]))
        if source.random() < 0.1:
            events.append(msgspec.structs.replace(make_event(f"b{number}", "Product Viewed", ids=device, time=time), bot=True))
        if source.random() < 0.15:
            events.append(events[source.randrange(len(events))])
    return events


def run(redis_url: str, seed: int, crashes: float) -> Platform:
    platform = Platform(redis_url, seed, crashes)
    for index, event in enumerate(history(seed)):
        platform.send(event)
        if index % 25 == 24:
            platform.tick(event.time)
        if index % 5 == 4:
            platform.step("events")
            platform.step("resolved")
    platform.drain()
    platform.tick(NOW + 400 * MINUTE)
    platform.drain()
    return platform


@pytest.mark.parametrize("seed", range(12))
def test_crashes_lose_nothing_and_double_nothing(redis_url: str, seed: int) -> None:
    calm, stormy = run(redis_url, seed, 0.0), run(redis_url, seed, 0.25)
    sent = {event.message_id for event in history(seed)}
    for platform in (calm, stormy):
        counts, _ = platform.facts()
        assert counts == dict.fromkeys(sent, 1)
    assert stormy.crash_count > 5
    plain = {name: _story(person) for name, person in calm.profiles().items()}
    assert {name: _story(person) for name, person in stormy.profiles().items()} == plain
    assert _actions(stormy) == _actions(calm)


def _story(person: Person) -> dict[str, object]:
    """Numbers depend on who came first, clocks on which tick woke somebody; everything else must be the same."""
    return figures(person) | {"tags": tags_of(person)}


def _actions(platform: Platform) -> list[tuple[str, str]]:
    """(rule, strongest identifier) of each action, each id once."""
    owner = {person.number: name for name, person in platform.profiles().items()}
    owner |= {number: name for name, person in platform.profiles().items() for number in person.fragment_numbers}
    actions = {a["action_id"]: a for a in map(msgspec.json.decode, platform.out[records.ACTIONS])}
    return sorted((a["rule"], owner[a["person"]]) for a in actions.values())


def test_a_birthday_is_kept_though_an_event_of_the_day_comes_before_the_tick(redis_url: str) -> None:
    midnight = CALENDAR.start(CALENDAR.day(NOW) + 1)
    born = f"1990-{date_of(CALENDAR.day(midnight)).isoformat()[5:]}"
    platform = Platform(redis_url, 0, 0.0)
    platform.send(make_event("m1", "Signed Up", traits={"birthday": born}, time=midnight - MINUTE))
    platform.drain()
    assert [rule for rule, _ in _actions(platform)] == ["signup_welcome"]
    platform.send(make_event("m2", "Product Viewed", time=midnight + MINUTE))
    platform.drain()
    platform.tick(midnight + 2 * MINUTE)
    platform.drain()
    assert [rule for rule, _ in _actions(platform)] == ["birthday_greeting", "birthday_greeting", "signup_welcome"]


@pytest.mark.parametrize("seed", range(8))
def test_what_waited_and_turned_out_to_be_a_repetition_is_one_after_a_crash_as_well(redis_url: str, seed: int) -> None:
    """An old device: its epoch is over, so the first events of its person wait until the next tick."""
    platform = Platform(redis_url, seed, 0.0)
    for _ in range(2):
        platform.send(make_event("m1", "Product Viewed", ids="user_id:u1 device_id:d", time=NOW - 900 * DAY))
    for number in range(2):
        platform.drain()
        platform.tick(NOW + number)
    platform.drain()
    platform.start("resolved")
    platform.drain()
    counts, refused = platform.facts()
    assert (counts, refused) == ({"m1": 1}, 1)


@pytest.mark.parametrize("kind", ["unbind", "decision", "bot"])
def test_what_changes_nobody_goes_to_the_fragment_in_which_it_counts_as_well(redis_url: str, kind: str) -> None:
    """It came before it was known that the telephone had been given up by then: it is another person's, and is known there."""
    platform = Platform(redis_url, 0, 0.0)
    platform.send(make_event("m1", "Product Viewed", ids="phone:+8613900000001", time=NOW - 3 * DAY))
    ids, other = "phone:+8613900000001 email:a@example.com", {"pairs": [["phone:+8613900000001", "email:a@example.com"]]}
    if kind == "bot":
        late = msgspec.structs.replace(make_event("m2", "Product Viewed", ids="phone:+8613900000001", time=NOW), bot=True)
    elif kind == "decision":
        late = make_event("m2", "apart", kind="decision", ids=ids, time=NOW, properties=other)
    else:
        late = make_event("m2", "", kind="unbind", ids=ids, time=NOW)
    platform.send(late)
    platform.drain()
    platform.send(make_event("m3", "", kind="unbind", ids="phone:+8613900000001", time=NOW - 2 * DAY))
    for number in range(3):
        platform.drain()
        platform.tick(NOW + number)
    platform.send(late)
    platform.drain()
    assert platform.facts() == ({"m1": 1, "m2": 1, "m3": 1}, 1)
    silent = {"unbind": {"phone:+8613900000001", "email:a@example.com"}, "decision": set(), "bot": {"phone:+8613900000001"}}
    found = [person for person in platform.every_profile().values() if fingerprints(person) and not events_of(person)]
    parted = [set(person.whole.get(IDENTIFIERS).seen) for person in found]
    assert parted == [silent[kind]]


def test_two_members_of_one_device_stay_two(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    for number, ids in enumerate(["anonymous_id:d", "user_id:u1 anonymous_id:d", "user_id:u2 anonymous_id:d", "anonymous_id:d"]):
        platform.send(make_event(f"m{number}", "Product Viewed", ids=ids, time=NOW + number))
        platform.drain()
    people = platform.profiles()
    counts = {name: events_of(person) for name, person in people.items()}
    assert counts == {"user_id:u1": 2, "user_id:u2": 1, "anonymous_id:d": 1}


def test_a_lone_persons_history_follows_a_login(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    for number, ids in enumerate(
        ["anonymous_id:d1", "user_id:u1", "anonymous_id:d2", "user_id:u1 anonymous_id:d1 anonymous_id:d2"]
    ):
        platform.send(make_event(f"m{number}", "Product Viewed", ids=ids))
        platform.drain()
    (person,) = platform.profiles().values()
    assert (events_of(person), person.number, person.fragment_numbers) == (4, 1, [1, 2, 3])


def test_what_cannot_be_read_is_a_dead_letter_and_stops_nobody(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    platform.log["events"][0] += [
        b"",
        b'{"message_id":"mid","ki',
        b"[]",
        b'{"message_id":"x","kind":"track","time":-5,"received_at":1}',
    ]
    platform.send(make_event("m1", "Order Completed", properties={"total": 5}))
    platform.send(make_event("m2", "Order Completed", properties={"order_id": "o", "total": "five"}))
    platform.send(make_event("m3", "Product Viewed", ids="user_id:NULL"))
    platform.send(make_event("m4", "Signed Up", traits={"big": 2**70, "deep": {"big": [2**70]}}))
    platform.drain()
    letters = [msgspec.json.decode(value) for value in platform.out[records.DEAD_LETTERS]]
    assert sorted((letter["stage"], letter["reason"]) for letter in letters) == [
        ("profile", "invalid_number"), ("profile", "missing_order_id"),
        ("resolve", "invalid_time"), ("resolve", "malformed"), ("resolve", "malformed"), ("resolve", "malformed"),
        ("resolve", "missing_identifier"),
    ]  # fmt: skip
    assert sorted(letter.get("message_id", "") for letter in letters) == ["", "", "m1", "m2", "m3", "mid", "x"]
    (person,) = platform.profiles().values()
    assert events_of(person) == 1
    assert person.whole.get(ATTRIBUTES).values["big"].value == str(2**70)


def outcomes(platform: Platform) -> list[tuple[str, bool]]:
    """(message id, conflict) of each duplicate."""
    found = [msgspec.json.decode(value) for value in platform.out[records.FACTS]]
    return [(fact["message_id"], fact["conflict"]) for fact in found if "outcome" in fact]


def test_the_same_id_with_another_payload_is_a_conflict_and_the_first_one_counts(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    first = make_event("m1", "Signed Up", traits={"name": "Ann"}, properties={"n": 1})
    platform.send(first)
    platform.send(msgspec.structs.replace(first, time=NOW - MINUTE, context=msgspec.Raw(b'{"ip":"1.1.1.1"}')))  # a retry
    platform.send(make_event("m1", "Signed Up", traits={"name": "Bob"}, properties={"n": 1}))
    platform.send(make_event("m1", "Signed Up", traits={"name": "Ann"}, properties={"n": 2}))
    platform.send(make_event("m1", "Signed Out", traits={"name": "Ann"}, properties={"n": 1}))
    platform.drain()
    assert outcomes(platform) == [("m1", False), ("m1", True), ("m1", True), ("m1", True)]
    (person,) = platform.profiles().values()
    assert (events_of(person), person.whole.get(ATTRIBUTES).values["name"].value) == (1, "Ann")


@pytest.mark.parametrize(("days", "dropped"), [(1, True), (27, True), (28, True), (29, False), (60, False)])
def test_duplicates_are_dropped_up_to_28_days_back(redis_url: str, days: int, dropped: bool) -> None:
    """A fingerprint is kept for 28 days by the day of receipt; later, and once something else has come, the message is new."""
    platform = Platform(redis_url, 0, 0.0)
    first = make_event("m1", "Product Viewed")
    platform.send(first)
    platform.send(msgspec.structs.replace(make_event("m2", "Product Viewed"), received_at=NOW + days * DAY))
    platform.send(msgspec.structs.replace(first, received_at=NOW + days * DAY))
    platform.drain()
    assert outcomes(platform) == ([("m1", False)] if dropped else [])
    (person,) = platform.profiles().values()
    assert events_of(person) == (2 if dropped else 3)


def test_a_bot_is_a_fact_and_nothing_else(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    seen = make_event("b1", "Signed Up", traits={"name": "Bot", "birthday": "1990-11-18"})
    broken = make_event("b2", "Order Completed", properties={"total": "not an order"})
    grouped = make_event("g1", "", kind="group", traits={"name": "a company"})
    for event in (msgspec.structs.replace(seen, bot=True), msgspec.structs.replace(seen, bot=True), grouped):
        platform.send(event)
    platform.send(msgspec.structs.replace(broken, bot=True))
    platform.send(make_event("m1", "Product Viewed"))
    platform.drain()
    assert platform.facts() == ({"b1": 1, "g1": 1, "b2": 1, "m1": 1}, 1)
    (person,) = platform.profiles().values()
    activity = person.whole.get(ACTIVITY)
    assert (activity.events, person.whole.get(ATTRIBUTES).values, person.whole.get(OCCASIONS).fired) == (1, {}, {})
    assert activity.first_seen == NOW
    assert not platform.out[records.DEAD_LETTERS]


def test_a_lone_bot_has_a_profile_without_any_figure(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    platform.send(msgspec.structs.replace(make_event("b1", "Product Viewed"), bot=True))
    platform.tick(NOW + DAY)
    platform.drain()
    (person,) = platform.every_profile().values()
    found = events_of(person), person.as_of, person.whole.get(METRICS).days, tags_of(person), person.due
    assert found == (0, 0, {}, {}, 0)
    assert list(person.whole.get(IDENTIFIERS).seen) == ["user_id:u1"]


def test_to_part_two_identifiers_does_not_join_them(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    platform.send(make_event("m1", "Product Viewed", ids="user_id:u1"))
    platform.send(make_event("m2", "Product Viewed", ids="wechat_openid:w1"))
    platform.send(make_event("m3", "", kind="unbind", ids="user_id:u1 wechat_openid:w1"))
    platform.drain()
    people = platform.every_profile().values()
    assert sorted((events_of(person), person.log.gone) for person in people if events_of(person)) == [(1, {}), (1, {})]
    assert platform.facts()[0] == {"m1": 1, "m2": 1, "m3": 1}


def test_operations_change_the_profile_and_wrong_ones_are_dead_letters(redis_url: str) -> None:
    platform = Platform(redis_url, 0, 0.0)
    done = [
        ("increment", {"points": 5}), ("increment", {"points": 2.5}), ("append", {"likes": ["a", 2**70]}),
        ("increment", {"points": "many"}), ("increment", {"points": 10**12}), ("polish", {"points": 1}),
    ]  # fmt: skip
    for number, (name, traits) in enumerate(done):
        platform.send(make_event(f"m{number}", name, kind="profile", traits=traits))
    platform.drain()
    (person,) = platform.profiles().values()
    values = person.whole.get(ATTRIBUTES).values
    assert {name: a.value for name, a in values.items()} == {"points": 7.5, "likes": ["a", str(2**70)]}
    letters = [msgspec.json.decode(value) for value in platform.out[records.DEAD_LETTERS]]
    assert [(letter["reason"], letter["field"]) for letter in letters] == [
        ("invalid_number", "traits.points"), ("invalid_number", "traits.points"), ("unknown_operation", "event"),
    ]  # fmt: skip


def test_a_profile_of_another_format_is_refused() -> None:
    person = Person(1)
    person.version = 6
    packed = pack(person).head
    assert unpack(packed).version == 7
    with pytest.raises(msgspec.DecodeError, match="another format"):
        unpack(packed[:8] + b"\x01" + packed[9:])
    with pytest.raises(msgspec.DecodeError, match="too short"):
        unpack(packed[:8])
