"""Each component keeps the laws of its kind, those of the platform and one that stands in the tests alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.clock import DAY
from cdp.errors import CdpError
from loadtest.laws import LAWS, try_laws
from profiles.book import compile_book, functions
from profiles.component import At, Component, Touched
from profiles.components import COMPONENTS
from profiles.components.activity.state import Activity
from profiles.slots import Slot
from profiles.state import Person
from rules.definitions.model import RuleBook, TagRule
from rules.language.parse import parse
from tests.shop import NOW, Harness, make_event, tags_of
from tests.streak import Streaks

WITH_STREAKS = (*COMPONENTS, Streaks)


@given(st.integers(0, 2**32))
@settings(max_examples=2_000, deadline=None)
@pytest.mark.timeout(600)
def test_every_component_keeps_the_laws_of_its_kind(seed: int) -> None:
    assert try_laws(seed, WITH_STREAKS) == []


def test_a_new_component_brings_a_word_of_the_language() -> None:
    known = functions(WITH_STREAKS)
    rule = TagRule("loyal", "Loyal", "yes_no", "streak() >= 3", parse("streak() >= 3", known))
    harness = Harness(compile_book(RuleBook((), (rule,), ()), 1, WITH_STREAKS), WITH_STREAKS)
    person = Person(1)
    for number, days in enumerate([0, 1, 4, 6, 5]):
        harness.apply(person, make_event(f"m{number}", "Product Viewed", time=NOW - days * DAY))
        assert tags_of(person) == ({"loyal": True} if number == 4 else {})


def test_a_word_that_no_component_brings_is_none() -> None:
    with pytest.raises(CdpError, match="expected a function"):
        parse("streak() >= 3")


class Counting(Component[Activity, bool]):
    """Says that it is a fold, and counts a person's events whatever fragment they are in: merging forgets the other's."""

    slot = Slot("counting", Activity)

    def read(self, event: object) -> bool:
        return True

    def apply(self, state: Activity, delta: bool, at: At) -> Touched:
        state.events += 1
        return frozenset()


def test_a_component_that_breaks_its_law_is_found() -> None:
    broken = {one.law for seed in range(20) for one in try_laws(seed, (*COMPONENTS, Counting))}
    assert broken <= {law.__name__ for law in LAWS}
    assert {"split_then_merge", "a_fragment_leaves_nothing_behind"} <= broken
