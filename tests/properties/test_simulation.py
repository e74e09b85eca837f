"""A simulation is a function of the set of events, keeps the limits, and says what a plain reading of the documentation says."""

import json
import random
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.clock import DAY, HOUR
from rules.identity import parse_identity_rules
from rules.identity.find_bases import find_bases
from rules.identity.read_lines import read_lines
from rules.identity.simulate import read_sightings, simulate, take_in, unique
from tests.identity_model import Said, Type, people

TYPES = {
    "user": Type(1, limits={"ever": 1}),
    "card": Type(2, limits={"ever": 1}),
    "phone": Type(3, strength=0.98, limits={"week": 2, "ever": 3}),
    "mail": Type(4, strength=0.95),
    "device": Type(5, strength=0.9, limits={"ever": 4}),
    "cookie": Type(6, strength=0.9, lifetime=3),
    "order": Type(98, strength=0.5, lifetime=5, transaction=True),
}
RULES = parse_identity_rules(
    json.dumps(
        {
            "identifiers": [
                {
                    "name": name,
                    "priority": type_.priority,
                    "strength": type_.strength,
                    "exclusive": type_.exclusive,
                    "limits": {window: count for window, count in type_.limits.items() if not type_.exclusive},
                    "lifetime_days": type_.lifetime,
                    "transaction": type_.transaction,
                }
                for name, type_ in TYPES.items()
            ]
        }
    )
)

identifiers = st.tuples(st.sampled_from(sorted(TYPES)), st.sampled_from("12345"))
kinds = st.sampled_from(["track", "track", "identify", "identify", "alias", "unbind"])
times = st.integers(0, 14 * 24).map(lambda hours: 20_000 * DAY + hours * HOUR)
said = st.tuples(times, kinds, st.lists(identifiers, min_size=0, max_size=3, unique=True), st.sampled_from(["web", "till"]))
# Drawn by a generator of numbers: so many identifiers meet that lists drawn one by one hardly ever become so tangled.
histories = st.one_of(st.lists(said, max_size=25), st.integers(0, 2**32).map(lambda seed: tangled(random.Random(seed))))


def tangled(draw: random.Random) -> list:
    """Logins, shared devices and unbindings of a few people."""
    history = []
    for _ in range(draw.randrange(5, 40)):
        ids = [(draw.choice(sorted(TYPES)), draw.choice("123")) for _ in range(draw.randrange(1, 4))]
        kind = draw.choice(["track", "track", "identify", "identify", "alias", "unbind"])
        history.append(
            (20_000 * DAY + draw.randrange(14 * 24) * HOUR, kind, list(dict.fromkeys(ids)), draw.choice(["web", "till"]))
        )
    return history


def to_line(number: int, time: int, kind: str, ids: list, source: str) -> bytes:
    listed = [{"type": type_, "value": value} for type_, value in ids]
    return json.dumps(
        {"message_id": f"m{number}", "time": time, "kind": kind, "ids": listed, "source": {"name": source}}
    ).encode()


def outcome(lines: list[bytes]) -> dict[str, int]:
    found = read_lines(lines)
    assert not found.bad
    return dict(simulate(unique(found.events), RULES).person_of)


@given(histories, st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_any_order_and_any_repetition_give_the_same_people_with_the_same_numbers(history: list, seed: int) -> None:
    lines = [to_line(number, *one) for number, one in enumerate(history)]
    shuffled = lines + lines[: len(lines) // 2]
    random.Random(seed).shuffle(shuffled)
    assert outcome(shuffled) == outcome(lines)


def test_of_lines_with_one_message_id_the_earliest_counts_whatever_the_order() -> None:
    lines = [
        to_line(1, 20_000 * DAY, "identify", [("user", "1"), ("device", "1")], "web"),
        to_line(1, 20_001 * DAY, "identify", [("user", "2"), ("device", "1")], "web"),
        to_line(1, 20_000 * DAY, "identify", [("user", "1"), ("mail", "9")], "web"),
        to_line(2, 20_002 * DAY, "track", [("device", "1")], "web"),
        to_line(3, 20_002 * DAY, "track", [("user", "1")], "web"),
    ]
    expected = outcome(lines)
    assert expected.keys() == {"m1", "m2", "m3"}
    for seed in range(20):
        random.Random(seed).shuffle(lines)
        assert outcome(lines) == expected


@given(histories)
@settings(max_examples=300, deadline=None)
def test_it_says_what_a_plain_reading_of_the_documentation_says(history: list) -> None:
    found = outcome([to_line(number, *one) for number, one in enumerate(history)])
    plain = people([Said(f"m{n}", time, kind, tuple(ids), source) for n, (time, kind, ids, source) in enumerate(history)], TYPES)
    assert partition(found) == partition(plain)


def test_who_tells_of_an_order_after_a_lifetime_is_its_buyer() -> None:
    """The cookie is nobody's any more when it is seen with the order; an order has one buyer, and so it is the card's again."""
    day = 20_000 * DAY
    history = [
        (day, "track", [("card", "1"), ("cookie", "1"), ("order", "1")], "web"),
        (day + 3 * DAY, "track", [("cookie", "1"), ("order", "1")], "web"),
    ]
    assert len(partition(outcome([to_line(number, *one) for number, one in enumerate(history)]))) == 1


def test_an_identifier_that_was_turned_away_came_in_when_it_did() -> None:
    """The third number within a week is refused; said again when the first is older than a week, it is not the third any more."""
    at = [20_000 * DAY + hours * HOUR for hours in (40, 106, 163, 169, 230)]
    history = [
        (at[0], "identify", [("phone", "3"), ("user", "1")], "web"),
        (at[1], "track", [("phone", "1"), ("phone", "3")], "web"),
        (at[2], "unbind", [("phone", "2")], "web"),
        (at[3], "identify", [("phone", "3"), ("phone", "2")], "web"),
        (at[4], "track", [("user", "1"), ("phone", "2")], "web"),
    ]
    found = outcome([to_line(number, *one) for number, one in enumerate(history)])
    assert partition(found) == {frozenset({"m0", "m1", "m3", "m4"}), frozenset({"m2"})}


@given(st.integers(0, 2**32), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_the_order_in_which_evidence_is_taken_in_makes_no_difference(seed: int, order: int) -> None:
    """As in the stream, where events come in any order."""
    assert taken_in(tangled(random.Random(seed)), order) == taken_in(tangled(random.Random(seed)), None)


def test_what_is_seen_with_a_shared_identifier_counts_when_it_turns_out_not_to_be_shared() -> None:
    """mail:2 looks shared by user:1 and card:3 until card:1, which device:2 is of, turns out to be another person's."""
    history = [
        (20_000 * DAY + hour * HOUR, kind, ids, "web")
        for hour, kind, ids in (
            (99, "alias", [("device", "1"), ("mail", "2"), ("user", "1")]),
            (106, "identify", [("device", "2"), ("card", "1")]),
            (240, "track", [("device", "2"), ("mail", "3"), ("cookie", "3")]),
            (118, "identify", [("card", "3"), ("mail", "2")]),
            (277, "identify", [("card", "1"), ("user", "3"), ("user", "1")]),
            (237, "track", [("device", "2"), ("mail", "2")]),
        )
    ]
    assert all(taken_in(history, order) == taken_in(history, None) for order in range(50))


def taken_in(history: list, order: int | None) -> set[frozenset[str]]:
    """The people of a history whose events come in some order; None: in that of their times."""
    events = unique(read_lines([to_line(number, *one) for number, one in enumerate(history)]).events)
    sightings = list(read_sightings(events, [{}] * len(events), RULES))
    if order is not None:
        random.Random(order).shuffle(sightings)
    bases = find_bases(take_in(sightings, RULES), sightings, [{}] * len(sightings), RULES)
    named = zip(sightings, bases.of_sighting, strict=True)
    return partition({sighting.message_id: base for sighting, base in named if base is not None})


def partition(person_of: dict) -> set[frozenset[str]]:
    groups = defaultdict(set)
    for message_id, person in person_of.items():
        groups[person].add(message_id)
    return {frozenset(group) for group in groups.values()}


@given(histories)
@settings(max_examples=150, deadline=None)
def test_nobody_has_more_of_a_type_than_the_limits_allow(history: list) -> None:
    """Asked by events with one identifier, which say nothing themselves, after each event."""
    moments = sorted({time for time, *_ in history})
    mentioned = sorted({identifier for _, _, ids, _ in history for identifier in ids})
    probes = [(time + 1, "track", [identifier], "web") for time in moments for identifier in mentioned]
    person_of = outcome([to_line(number, *one) for number, one in enumerate(history + probes)])
    owned: dict[tuple[int, str], set[str]] = defaultdict(set)
    for number, (_, _, [(name, value)], _) in enumerate(probes, len(history)):
        owned[person_of[f"m{number}"], name].add(value)
    for (_, name), values in owned.items():
        assert len(values) <= TYPES[name].limits.get("ever", 99)
