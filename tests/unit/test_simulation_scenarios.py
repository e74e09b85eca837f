"""What happens to people in everyday situations, under the shipped rules; see `tests.identity_histories`."""

from collections import defaultdict
from collections.abc import Sequence

import pytest

from cdp.clock import DAY
from rules.identity import load_identity_rules
from rules.identity.simulate import Event, simulate, unique
from tests.identity_histories import HISTORIES, Told

START = 20_000 * DAY


def story(told: Sequence[Told]) -> list[set[str]]:
    """Simulate events, one a day.

    Returns the names of each person's events, in the order of the people's first events.
    """
    events, names = [], {}
    for day, (ids, name, *kind) in enumerate(told):
        pairs = tuple((type_, value) for type_, _, value in (key.partition(":") for key in ids.split()))
        events.append(Event(f"m{day:05}", START + day * DAY, *(kind or ["track"]), ids=pairs))
        names[f"m{day:05}"] = name
    return named(events, names)


def named(events: Sequence[Event], names: dict[str, str]) -> list[set[str]]:
    people: dict[int, set[str]] = defaultdict(set)
    for message_id, person in simulate(unique(events), load_identity_rules()).person_of.items():
        people[person].add(names[message_id])
    return [people[person] for person in sorted(people)]


@pytest.mark.parametrize("name", HISTORIES)
def test_everyday(name: str) -> None:
    assert story(HISTORIES[name].told) == list(HISTORIES[name].people)


def test_two_member_numbers_merged_at_the_till_are_asked_about() -> None:
    events = [Event("a", START, "alias", ids=(("member_id", "m1"), ("member_id", "m2")))]
    found = simulate(events, load_identity_rules())
    assert [(one.reason, one.review) for one in found.refusals] == [("exclusive", True)]


def test_ten_thousand_accounts_behind_one_blocked_value() -> None:
    events = [
        Event(f"m{n}", START + n, "identify", ids=(("user_id", f"u{n}"), ("phone", "13800138000"), ("device_id", "0000")))
        for n in range(10_000)
    ]
    found = simulate(unique(events), load_identity_rules())
    assert len(found.people) == 10_000
    assert not found.refusals
    assert found.keys_of["m7"] == ("user_id:u7",)


def test_two_thousand_accounts_on_one_device() -> None:
    """Where it is not blocked, the device is nobody's from the second account on: it stays cheap, and glues nobody."""
    events = [
        Event(f"m{n}", START + n, "identify", ids=(("user_id", f"u{n}"), ("device_id", "kiosk"), ("phone", f"1390000{n:04}")))
        for n in range(2_000)
    ] + [Event(f"p{n}", START + 20_000 + n, "track", ids=(("phone", f"1390000{n:04}"),)) for n in range(2_000)]
    found = simulate(unique(events), load_identity_rules())
    assert len(found.people) == 2_000
    assert all(found.person_of[f"m{n}"] == found.person_of[f"p{n}"] for n in range(2_000))


def test_an_event_of_before_the_login_counts_however_late_it_comes() -> None:
    late = Event("late", START - DAY, "track", ids=(("device_id", "d"),))
    login = Event("login", START, "identify", ids=(("device_id", "d"), ("user_id", "u")))
    assert named([login, late], {"late": "u", "login": "u"}) == [{"u"}]


def test_what_somebody_decided_counts() -> None:
    login = Event("login", START, "identify", ids=(("user_id", "u"), ("phone", "13800000001")))
    bought = Event("bought", START + DAY, "track", ids=(("phone", "13800000001"),))
    pairs = b'{"pairs": [["phone:+8613800000001", "user_id:u"]]}'
    parted = Event("no", START + 2 * DAY, "decision", "apart", (("user_id", "u"),), properties=pairs)
    names = {"login": "u", "bought": "stranger", "no": "u"}
    assert named([login, bought, parted], names) == [{"u"}, {"stranger"}]
    again = Event("yes", START + 3 * DAY, "decision", "together", (("user_id", "u"),), properties=pairs)
    assert named([login, bought, parted, again], names | {"yes": "u"}) == [{"u", "stranger"}]
    broken = Event("no", START + 2 * DAY, "decision", "apart", (("user_id", "u"),), properties=b'{"pairs": 7}')
    found = simulate(unique([login, broken]), load_identity_rules())
    assert "no" not in found.person_of
