"""People are a function of the set of records: not of their order; and no limit is ever broken on the way."""

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.identity import load_identity_rules, normalise
from rules.identity.compare import compare
from rules.identity.derive import Record, derive_keys, derive_values
from rules.identity.join import Decisions, Edge, join
from rules.identity.match import resolve_records
from rules.identity.steps import NORMALISERS

RULES = load_identity_rules(Path(__file__).parents[1] / "data" / "febrl_identity.yaml")
MATCHING = RULES.matching
assert MATCHING is not None

# Few values that are near each other, so that records agree, are close, differ and are exchanged all the time.
NAMES = st.sampled_from(["anna", "hanna", "annabel", "brown", "browne", "peter", "p", "", "王小明"])
DATES = st.sampled_from(["1980-04-12", "1980-12-04", "1981-04-12", "2010-04-12", "1970-01-01", ""])
CODES = st.sampled_from(["7364009", "7364090", "7364999", "1234567", ""])
STREETS = st.sampled_from(["high street", "hihg street", "elm road", "rose cottage", ""])
TRAITS = st.fixed_dictionaries(
    {
        "given_name": NAMES, "surname": NAMES, "date_of_birth": DATES, "soc_sec_id": CODES, "address_1": STREETS,
        "address_2": STREETS, "street_number": st.sampled_from(["1", "12", ""]), "postcode": st.sampled_from(["3053", "3035"]),
        "suburb": st.just("carlton"), "state": st.just("vic"),
    }
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(TRAITS, TRAITS)
def test_comparing_is_symmetric(one: dict[str, str], two: dict[str, str]) -> None:
    a, b = derive_values(one, MATCHING), derive_values(two, MATCHING)
    assert compare(a, b, MATCHING) == compare(b, a, MATCHING)
    assert compare(a, a, MATCHING).bits >= compare(a, b, MATCHING).bits


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(MATCHING.fields)), JSON),
    st.dictionaries(st.sampled_from(sorted(MATCHING.fields)), JSON),
)
def test_any_traits_can_be_compared(one: dict[str, object], two: dict[str, object]) -> None:
    a, b = derive_values(one, MATCHING), derive_values(two, MATCHING)
    assert compare(a, b, MATCHING) == compare(b, a, MATCHING)
    assert derive_values(a, MATCHING) == a, "what is canonical stays as it is"
    assert all(derive_keys(a, MATCHING))


@settings(max_examples=60, deadline=None)
@given(st.lists(TRAITS, min_size=2, max_size=14), st.randoms(use_true_random=False))
def test_records_in_any_order_are_the_same_people(traits: list[dict[str, str]], chance: random.Random) -> None:
    records = [Record(f"r{index}", derive_values(each, MATCHING)) for index, each in enumerate(traits)]
    groups = {f"g{index}": [record.id] for index, record in enumerate(records)}
    first = resolve_records(records, MATCHING, groups)
    shuffled, keys = list(records), list(groups)
    chance.shuffle(shuffled)
    chance.shuffle(keys)
    assert resolve_records(shuffled, MATCHING, {key: groups[key] for key in keys}) == first


PAIRS = st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] != pair[1])
MARGINS = st.sampled_from([-30.0, -8.0, -3.0, 0.0, 0.1, 2.0, 2.0, 5.5, 20.0])


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(PAIRS, MARGINS, max_size=25),
    st.lists(st.sampled_from(["", "", "u1", "u2"]), min_size=5, max_size=5),
    st.lists(PAIRS, max_size=3),
    st.lists(PAIRS, max_size=3),
    st.randoms(use_true_random=False),
)
def test_joining(
    margins: dict[tuple[int, int], float],
    users: list[str],
    apart: list[tuple[int, int]],
    together: list[tuple[int, int]],
    chance: random.Random,
) -> None:
    """Ten records in five groups, each of which may have a user_id, exclusive."""
    groups = {f"g{g}": [f"r{2 * g}", f"r{2 * g + 1}"] for g in range(5)}
    user_of = dict(zip(groups, users, strict=True))
    known = {tuple(sorted((f"r{a}", f"r{b}"))): margin for (a, b), margin in margins.items()}

    def may_join(a: tuple[str, ...], b: tuple[str, ...]) -> str:
        assert a <= b
        found = {user_of[key] for key in (*a, *b)} - {""}
        return f"user_id would be {' and '.join(sorted(found))}" if len(found) > 1 else ""

    decisions = Decisions(
        apart=[(f"g{a // 2}", f"g{b // 2}") for a, b in apart if a // 2 != b // 2],
        together=[(f"g{a // 2}", f"g{b // 2}") for a, b in together if a // 2 != b // 2],
    )
    edges = [Edge(a, b, margin, review=-7 < margin < 0) for (a, b), margin in known.items()]

    def margin(a: str, b: str) -> float:
        return known.get(tuple(sorted((a, b))), -10.0)

    joined = join(groups, edges, margin, may_join, decisions)
    turned = [Edge(e.b, e.a, e.margin, e.review) for e in edges]
    chance.shuffle(turned)
    keys = list(groups)
    chance.shuffle(keys)
    again = join({key: groups[key][::-1] for key in keys}, turned + turned[:2], margin, may_join, decisions)
    assert again == joined

    assert sorted(key for person in joined.people for key in person) == sorted(groups)
    person_of = {key: person for person in joined.people for key in person}
    for person in joined.people:
        assert len({user_of[key] for key in person} - {""}) <= 1
    for one, two in decisions.apart:
        assert person_of[one] != person_of[two]
    refused = {(refusal.a, refusal.b) for refusal in joined.refusals}
    asked = {(review.a, review.b) for review in joined.reviews}
    for edge in edges:
        pair = tuple(sorted((person_of[f"g{int(edge.a[1:]) // 2}"], person_of[f"g{int(edge.b[1:]) // 2}"])))
        if edge.margin >= 0 and pair[0] != pair[1]:
            assert pair in refused | asked, "nothing that matches is dropped without a word"


@settings(deadline=None)
@given(st.sampled_from(sorted(NORMALISERS)), st.text(max_size=40))
def test_steps_never_raise_and_a_second_time_change_nothing(step: str, value: str) -> None:
    once = NORMALISERS[step](value, "CN")
    assert NORMALISERS[step](once, "CN") == once


@settings(deadline=None)
@given(st.sampled_from(["phone", "email", "user_id", "id_card", "idfa", "imei", "nobody"]), st.text(max_size=30))
def test_a_normal_form_is_its_own(type_: str, value: str) -> None:
    normal = normalise(type_, value)
    if normal is not None:
        assert normalise(type_, normal) == normal
