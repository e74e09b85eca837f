"""Records compared by their traits: what is compared, what finds candidates, what counts for and against, who is joined."""

from pathlib import Path
from typing import Any

import pytest

from cdp.errors import CdpError
from rules.identity import load_identity_rules, parse_identity_rules
from rules.identity.canonical import canonical
from rules.identity.compare import compare, outcome
from rules.identity.decide import bar, posterior, threshold
from rules.identity.derive import Record, derive_keys, derive_values
from rules.identity.join import TOLD_APART, Decisions, Edge, Refusal, join
from rules.identity.match import resolve_records
from rules.identity.model import Matching

RULES = Path(__file__).parents[1] / "data" / "febrl_identity.yaml"
ANN = {
    "given_name": "annabel", "surname": "o'brien", "date_of_birth": "1980-04-12", "soc_sec_id": "7364009", "street_number": "12",
    "address_1": "high street", "address_2": "rose cottage", "suburb": "carlton", "postcode": "3053", "state": "vic",
}  # fmt: skip


def matching() -> Matching:
    found = load_identity_rules(RULES).matching
    assert found is not None
    return found


def values(**changes: Any) -> dict[str, str]:
    return derive_values({**ANN, **changes}, matching())


def verdict(a: dict[str, str], b: dict[str, str], population: int = 5000) -> str:
    return bar(matching(), population).verdict(compare(a, b, matching()))


@pytest.mark.parametrize(
    ("value", "comparator", "expected"),
    [
        ("Mary-Ann  O'Brien", "name", "maryannobrien"),
        ("Zoë", "name", "zoe"),
        ("王小明", "name", "王小明"),
        ("张**", "name", ""),
        ("138****0000", "code", ""),
        (3053, "code", "3053"),
        (True, "code", ""),
        (None, "text", ""),
        (["a"], "text", ""),
        ("x" * 201, "text", ""),
        ("1980-04-12", "date", "19800412"),
        ("1980/4/2", "date", "19800402"),
        ("1980年4月12日", "date", "19800412"),
        ("1980-04-12T00:00:00Z", "date", "19800412"),
        ("12.04.1980", "date", "19800412"),
        (19800412, "date", "19800412"),
        ("19801341", "date", "19801341"),
        ("April", "date", ""),
    ],
)
def test_canonical_values(value: object, comparator: Any, expected: str) -> None:
    assert canonical(value, comparator) == expected


def test_values_are_read_from_the_first_trait_that_says_something() -> None:
    rules = parse_identity_rules(
        """
        identifiers: []
        matching:
          fields:
            - {name: city, traits: [city, address.city], compare: text, evidence: address, ignore: [N/A], agree: {m: 0.9, u: 0.1}}
          keys: [[city]]
        """
    ).matching
    assert rules is not None
    assert derive_values({"city": "n/a", "address": {"city": "Hang Zhou"}}, rules) == {"city": "hangzhou"}
    assert derive_values({"address": "x", "other": 1}, rules) == {}


@pytest.mark.parametrize(
    ("comparator", "a", "b", "expected"),
    [
        ("name", "nicholas", "nicholas", "agree"),
        ("name", "nicholas", "nichooas", "close"),
        ("name", "snell", "snlel", "close"),
        ("name", "n", "nicholas", "unknown"),
        ("name", "m", "nicholas", "differ"),
        ("name", "marcus", "markus", "close"),
        ("name", "james", "peter", "differ"),
        ("name", "王伟", "王芳", "differ"),
        ("date", "19800412", "19801204", "close"),
        ("date", "19800412", "19800421", "close"),
        ("date", "19800412", "19810412", "close"),
        ("date", "19500412", "19800412", "similar"),
        ("date", "19800412", "19800530", "differ"),
        ("code", "7364009", "7364090", "close"),
        ("code", "7364009", "7364999", "similar"),
        ("code", "7364009", "1234567", "differ"),
        ("code", "12", "13", "differ"),
        ("exact", "vic", "vix", "differ"),
        ("exact", "", "vic", "unknown"),
    ],
)
def test_outcomes(comparator: Any, a: str, b: str, expected: str) -> None:
    assert outcome(comparator, a, b) == outcome(comparator, b, a) == expected


def test_a_key_needs_all_its_parts_and_forgives_exchanged_names() -> None:
    straight, crossed = values(), values(given_name="o'brien", surname="annabel")
    assert len(derive_keys(straight, matching())) == len(matching().keys)
    by_sound = [key for key in derive_keys(straight, matching()) if key.startswith(("4|", "5|"))]
    assert len(by_sound) == 2
    assert set(by_sound) <= set(derive_keys(crossed, matching()))
    assert not any(key.startswith("0|") for key in derive_keys(values(soc_sec_id=""), matching()))
    assert set(by_sound) <= set(derive_keys(values(given_name="anabel", soc_sec_id="1"), matching())), "they sound alike"


def test_missing_values_say_nothing_and_each_field_says_its_part() -> None:
    whole = compare(values(), values(), matching())
    less = compare(values(), values(date_of_birth=None), matching())
    parts = {part.field: part for part in less.fields}
    assert parts["date_of_birth"].outcome == "unknown"
    assert parts["date_of_birth"].bits == 0
    born = next(part for part in whole.fields if part.field == "date_of_birth")
    assert whole.bits - less.bits == pytest.approx(born.bits)


def test_address_has_a_ceiling_and_a_floor() -> None:
    home = ("street_number", "address_1", "address_2", "suburb", "postcode", "state")
    only = {name: value for name, value in values().items() if name in home}
    moved = dict.fromkeys(only, "elsewhere") | {"street_number": "99", "postcode": "9999"}
    assert compare(only, only, matching()).bits == matching().address_ceiling
    assert compare(only, moved, matching()).bits == matching().address_floor
    assert sum(part.bits for part in compare(only, only, matching()).fields) > matching().address_ceiling


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"given_name": "anabel", "soc_sec_id": "7364090"},
        {"given_name": "o'brien", "surname": "annabel"},
        {"date_of_birth": "1980-12-04", "soc_sec_id": ""},
        {"street_number": "9", "address_1": "elm road", "address_2": "", "suburb": "perth", "postcode": "6000", "state": "wa"},
        {"given_name": "", "surname": "obrian", "date_of_birth": ""},
        {"soc_sec_id": "1111111", "date_of_birth": "1980-04-13"},
    ],
)
def test_mistakes_and_moving_do_not_make_two_people(changes: dict[str, str]) -> None:
    assert verdict(values(), values(**changes)) == "merge"


@pytest.mark.parametrize(
    ("relative", "changes", "expected"),
    [
        ("spouse", {"given_name": "peter", "date_of_birth": "1979-11-30", "soc_sec_id": "2222222"}, "apart"),
        ("spouse of whom little is known", {"given_name": "peter", "date_of_birth": "", "soc_sec_id": ""}, "apart"),
        ("twin", {"given_name": "peter", "soc_sec_id": "2222222"}, "apart"),
        ("twin without a number", {"given_name": "peter", "soc_sec_id": ""}, "review"),
        ("twin without a name", {"given_name": "", "soc_sec_id": "2222222"}, "review"),
        ("junior", {"date_of_birth": "2006-01-30", "soc_sec_id": "2222222"}, "apart"),
        ("junior without a number", {"date_of_birth": "2010-04-12", "soc_sec_id": ""}, "review"),
        ("one of the same name", {"date_of_birth": "", "soc_sec_id": ""}, "review"),
        ("the address alone", {"given_name": "", "date_of_birth": "", "soc_sec_id": ""}, "apart"),
    ],
)
def test_a_household_is_not_a_person(relative: str, changes: dict[str, str], expected: str) -> None:
    assert verdict(values(), values(**changes)) == expected, relative


def test_the_threshold_grows_with_the_population() -> None:
    assert threshold(0.99, 5_000) == pytest.approx(18.92, abs=0.01)
    assert threshold(0.99, 100_000_000) == pytest.approx(33.2, abs=0.01)
    assert posterior(threshold(0.99, 5_000), 5_000) == pytest.approx(0.99)
    assert posterior(-2000, 5_000) == 0.0
    stranger = values(given_name="", soc_sec_id="", address_1="elm road", address_2="", suburb="perth", postcode="6000")
    assert verdict(values(), values(given_name="", soc_sec_id="", street_number="", address_1=""), 1_000) == "review"
    assert verdict(values(soc_sec_id=""), stranger | {"given_name": "annabel"}, 10_000) == "merge"
    assert verdict(values(soc_sec_id=""), stranger | {"given_name": "annabel"}, 10**10) == "apart"


def run(groups: dict[str, list[str]], margins: dict[tuple[str, str], float], **kwargs: Any) -> Any:
    edges = [Edge(a, b, margin, review=margin < 0) for (a, b), margin in margins.items()]
    return join(groups, edges, lambda a, b: margins.get((a, b), margins.get((b, a), -20.0)), **kwargs)


def test_edges_join_groups_and_groups_without_records_stay() -> None:
    joined = run({"A": ["1", "2"], "B": ["3"], "C": []}, {("1", "3"): 5.0, ("2", "3"): 1.0})
    assert joined.people == (("A", "B"), ("C",))
    assert not joined.reviews
    assert not joined.refusals


def test_a_limit_refuses_with_its_reason_and_the_heaviest_edge_goes_first() -> None:
    def may_join(a: tuple[str, ...], b: tuple[str, ...]) -> str:
        return "two values of user_id" if {"A", "C"} <= {*a, *b} else ""

    joined = run({"A": ["1"], "B": ["2"], "C": ["3"]}, {("1", "2"): 3.0, ("2", "3"): 9.0}, may_join=may_join)
    assert joined.people == (("A",), ("B", "C"))
    assert joined.refusals == (Refusal(("A",), ("B", "C"), ("1", "2"), "two values of user_id"),)


def test_chains_of_look_alikes_are_for_review() -> None:
    joined = run({"A": ["1"], "B": ["2"], "C": ["3"]}, {("1", "2"): 8.0, ("2", "3"): 2.0})
    assert joined.people == (("A", "B"), ("C",))
    (review,) = joined.reviews
    assert (review.a, review.b, review.records) == (("A", "B"), ("C",), ("2", "3"))
    assert "on average" in review.reason


def test_operators_decide() -> None:
    groups, margins = {"A": ["1"], "B": ["2"], "C": ["3"]}, {("1", "2"): 6.0}
    apart = run(groups, margins, decisions=Decisions(apart=[("B", "A")]))
    assert apart.people == (("A",), ("B",), ("C",))
    assert [refusal.reason for refusal in apart.refusals] == [TOLD_APART]
    together = run(groups, margins, decisions=Decisions(together=[("C", "B"), ("B", "nobody")]))
    assert together.people == (("A",), ("B", "C")), "A does not fit to both"
    both = run(groups, margins, decisions=Decisions(apart=[("A", "B")], together=[("A", "B")]))
    assert both.people == (("A",), ("B",), ("C",))
    assert both.refusals[0].records == ()


def test_a_key_is_crowded_by_people_not_by_records() -> None:
    ann = [Record(f"a{n:03}", values(street_number=str(n))) for n in range(120)]
    other = Record("b", values())
    resolution = resolve_records([*ann, other], matching(), {"A": [record.id for record in ann], "B": ["b"]})
    assert resolution.joined.people == (("A", "B"),)
    assert not resolution.crowded
    crowd = [
        Record(f"c{n:03}", derive_values({"date_of_birth": "1970-01-01", "postcode": "3053"}, matching())) for n in range(60)
    ]
    assert resolve_records(crowd, matching()).crowded
    assert resolve_records(crowd, matching()).candidates == 0


FIELD = "{name: a, compare: name, evidence: personal, agree: {m: 0.9, u: 0.01}}"


def section(fields: str = FIELD, keys: str = "[[a]]", more: str = "") -> str:
    return f"identifiers: []\nmatching: {{fields: [{fields}], keys: {keys}{more}}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (section(FIELD.replace("name: a, ", "")), "field 1 has no name"),
        (section(FIELD.replace("compare: name", "compare: soundex")), "field 'compare': must be one of exact, name"),
        (section(FIELD.replace("evidence: personal", "evidence: weak")), "field 'evidence': must be one of"),
        (section(FIELD.replace("u: 0.01", "u: 0")), "field 'u': must be from"),
        (section(FIELD.replace("u: 0.01", "u: 0.95")), "must be better evidence"),
        (section(FIELD.replace("m: 0.9", "m: 1.0")), "must leave something"),
        (section(FIELD.replace("}}", "}, close: {m: 0.09, u: 0.0001}}")), "must be better evidence"),
        (section(FIELD.replace("compare: name", "compare: exact, close: {m: 0.05, u: 0.02}")), "'exact' never finds"),
        (section(FIELD.replace("}}", "}, similar: {m: 0.05, u: 0.02}}")), "needs close as well"),
        (section(FIELD.replace("}}", "}, swap: b}")), "which must be another field"),
        (section(FIELD.replace("}}", "}, colour: red}")), "field 'colour': is not a field"),
        (section(f"{FIELD}, {FIELD}"), "holds 'a' twice"),
        (section(keys="[]"), "field 'keys': is empty"),
        (section(keys="[a]"), "each is a list of"),
        (section(keys="[[b]]"), "uses 'b', which is not among the fields"),
        (section(keys="[[a(year)]]"), "are for dates"),
        (section(keys="[['a(']]"), "not 'a('"),
        (section(keys="[[a], [a]]"), "holds one key twice"),
        (section(more=", merge_from: 0.4"), "field 'merge_from': must be from 0.5"),
        (section(more=", merge_from: 0.9, review_from: 0.95"), "must be below merge_from"),
        (section(more=", population: 1"), "must be at least 2"),
        (section(more=", crowd: 1"), "field 'crowd': must be from 2"),
        (section(more=", colour: red"), "field 'colour': is not a field"),
        ("identifiers: []\nmatching: 7", "field 'matching': must be dict"),
    ],
)
def test_a_mistake_in_matching_is_one_sentence_with_its_place(text: str, message: str) -> None:
    with pytest.raises(CdpError) as caught:
        parse_identity_rules(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("identity.yaml")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
