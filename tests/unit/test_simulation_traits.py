"""People whom only their traits make one, in a simulation: with identifiers, limits, decisions, and none of all that."""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from cdp.clock import DAY
from rules.identity import load_identity_rules, parse_identity_rules
from rules.identity.read_lines import read_event
from rules.identity.score import score
from rules.identity.simulate import Assignment, Event, simulate, unique
from tests import febrl

FEBRL = load_identity_rules(Path(__file__).parents[1] / "data" / "febrl_identity.yaml")

RULES = parse_identity_rules("""
identifiers:
  - {name: user_id, priority: 1, exclusive: true}
  - {name: card, priority: 2, limits: {ever: 2}}
  - {name: device_id, priority: 3, strength: 0.9}
matching:
  population: 100000
  fields:
    - {name: given_name, compare: name, evidence: personal, agree: {m: 0.85, u: 0.008, home: 0.04}, close: {m: 0.09, u: 0.002}}
    - {name: surname, compare: name, evidence: other, agree: {m: 0.85, u: 0.002}, close: {m: 0.09, u: 0.002}}
    - {name: born, compare: date, evidence: personal, agree: {m: 0.9, u: 0.00004, home: 0.015}, close: {m: 0.06, u: 0.002}}
    - {name: street, compare: text, evidence: address, agree: {m: 0.75, u: 0.001}, close: {m: 0.13, u: 0.004}}
  keys: [[born, "surname(1)"], ["given_name(sound)", "surname(sound)"], [street]]
""")

ANN = {"given_name": "Ann", "surname": "Martinez", "born": "1990-05-17", "street": "12 High Street"}
TYPO = ANN | {"given_name": "Anne", "surname": "Martines"}
WEAK = {"given_name": "Ann"}


def told(message_id: str, traits: dict[str, Any], ids: str = "", day: int = 0, kind: str = "identify", **more: Any) -> Event:
    pairs = tuple((type_, value) for type_, _, value in (key.partition(":") for key in ids.split()))
    return Event(message_id, (20_000 + day) * DAY, kind, ids=pairs, traits=traits, **more)


def outcome(*events: Event) -> Assignment:
    """The answer, which is the same whatever the order of the events."""
    found = simulate(unique(events), RULES)
    shuffled = list(events)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        again = simulate(unique(shuffled), RULES)
        assert (again.person_of, again.refusals) == (found.person_of, found.refusals)
    return found


def partition(found: Assignment) -> list[set[str]]:
    groups = defaultdict(set)
    for message_id, person in found.person_of.items():
        groups[person].add(message_id)
    return [groups[person] for person in sorted(groups)]


def test_a_mistyped_form_finds_its_person() -> None:
    found = outcome(told("a", ANN), told("b", TYPO), told("c", ANN | {"given_name": "Bob", "born": "1961-01-02"}))
    assert partition(found) == [{"a", "b"}, {"c"}]
    assert found.matched.candidates > 0
    assert found.matched.merges == 1


def test_traits_lead_to_a_person_with_identifiers_and_join_two_of_them() -> None:
    later = told("d", {}, "card:2", day=3, kind="track")
    found = outcome(told("a", ANN, "card:1"), told("b", TYPO, "card:2", day=1), told("c", ANN, day=2), later)
    assert partition(found) == [{"a", "b", "c", "d"}]


def test_the_same_form_sent_twice_is_one_identifier() -> None:
    found = outcome(told("a", ANN), told("b", dict(reversed(ANN.items())), day=1))
    assert found.keys_of["a"] == found.keys_of["b"]
    assert partition(found) == [{"a", "b"}]


def test_what_says_too_little_to_tell_people_apart_makes_nobody_one() -> None:
    """Each such event stands for itself, although all say the same."""
    found = outcome(told("a", WEAK), told("b", WEAK), told("c", WEAK))
    assert partition(found) == [{"a"}, {"b"}, {"c"}]


def test_an_event_that_says_nothing_comparable_identifies_nobody() -> None:
    assert partition(outcome(told("a", {"colour": "red"}), told("b", {"born": ""}), told("c", {"truth": "x"}))) == []


def test_traits_join_nobody_against_an_exclusive_identifier() -> None:
    found = outcome(told("a", ANN, "user_id:1"), told("b", ANN, "user_id:2", day=1))
    assert partition(found) == [{"a"}, {"b"}]
    [refusal] = found.refusals
    assert (refusal.a, refusal.b, refusal.reason) == ("user_id:1", "user_id:2", "exclusive")
    assert refusal.detail == "a person has one user_id"
    assert refusal.bits > 20
    assert refusal.time == 20_001 * DAY


def test_traits_keep_other_limits() -> None:
    found = outcome(*(told(f"m{n}", ANN | {"street": f"{n} High Street"}, f"card:{n}", day=n) for n in range(4)))
    assert sorted(len(person) for person in partition(found)) == [2, 2]
    assert {refusal.reason for refusal in found.refusals} == {"limit"}


def test_what_was_decided_about_two_people_stands() -> None:
    ann, other = told("a", ANN, "card:1"), told("b", TYPO, "card:2", day=1)
    pairs = b'{"pairs": [["card:2", "card:1"]]}'
    apart = told("no", {}, "card:1", day=2, kind="decision", event="apart", properties=pairs)
    found = outcome(ann, other, apart)
    assert partition(found) == [{"a", "no"}, {"b"}]
    assert [refusal.reason for refusal in found.refusals if refusal.bits] == ["decided"]
    together = told(
        "yes", {}, "card:1", day=3, kind="decision", event="together", properties=b'{"pairs": [["card:2", "card:1"]]}'
    )
    assert partition(outcome(ann, other, apart, together)) == [{"a", "b", "no", "yes"}]


def test_what_is_said_on_a_shared_device_is_nobodys_trait() -> None:
    events = [
        told("a", ANN, "user_id:1 device_id:d"), told("b", {}, "user_id:2 device_id:d", day=1),
        told("c", TYPO, "device_id:d", day=2), told("d", TYPO, day=3),
    ]  # fmt: skip
    assert partition(outcome(*events)) == [{"a", "d"}, {"b"}, {"c"}]


def test_an_identifier_that_was_unbound_leaves_its_traits_behind() -> None:
    events = [
        told("a", ANN, "user_id:1 card:7"), told("x", {}, "user_id:1 card:7", day=1, kind="unbind"),
        told("b", {"given_name": "Zoe", "surname": "Quick", "born": "1955-12-24"}, "card:7", day=2), told("c", TYPO, day=3),
    ]  # fmt: skip
    assert partition(outcome(*events)) == [{"a", "x", "c"}, {"b"}]


def test_look_alikes_wait_for_somebody_to_look() -> None:
    """Twins: all but the given name is the same."""
    found = outcome(told("a", ANN, "card:1"), told("b", ANN | {"given_name": "Tom"}, "card:2"))
    assert partition(found) == [{"a"}, {"b"}]
    assert [(one.a, one.b, one.reason, one.review) for one in found.refusals] == [("card:1", "card:2", "traits", True)]


def test_without_matching_traits_say_nothing() -> None:
    rules = parse_identity_rules("identifiers: [{name: card, priority: 1}]")
    found = simulate(unique([told("a", ANN), told("b", ANN, "card:1"), told("c", ANN, "card:2")]), rules)
    assert partition(found) == [{"b"}, {"c"}]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_labelled_records_with_relatives_among_them(number: int) -> None:
    """Data sets with typing errors, and 600 spouses, twins and sons of their father's name; in two orders at two times."""
    records = febrl.read(number)
    records += febrl.plant_relatives(records, 600, seed=1)
    answers = []
    for seed in (1, 2):
        told = febrl.events(records, seed)
        found = simulate(unique([read_event(values) for values in told]), FEBRL)
        answers.append({frozenset(person) for person in partition(found)})
        quality = score(found.person_of, {values["message_id"]: values["truth"] for values in told})
        assert quality.precision >= 0.999
        assert quality.recall >= 0.985
    assert answers[0] == answers[1]
