"""The order of tags is a function of what they use: no file order matters, and a circle is named."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.rule_books import PublishedRule, RuleBookDocument
from rules.definitions.entries import InvalidRule
from rules.definitions.load import read_book

NAMES = "abcdefgh"
Uses = dict[str, set[str]]


def tags(uses: Uses) -> list[PublishedRule]:
    def body(name: str) -> dict[str, str]:
        value = " + ".join(["count(orders)", *(f"tag.{used}" for used in sorted(uses[name]))])
        return {"name": name, "title": name, "type": "number", "value": value}

    return [PublishedRule(name, 1, body(name)) for name in uses]


@st.composite
def without_circles(draw: st.DrawFn) -> Uses:
    """Each may use those before it, in an order of their own."""
    names = draw(st.permutations(NAMES[: draw(st.integers(1, len(NAMES)))]))
    return {name: draw(st.sets(st.sampled_from(names[:at]))) if at else set() for at, name in enumerate(names)}


def ordered(rules: list[PublishedRule]) -> list[str]:
    return [tag.name for tag in read_book(RuleBookDocument(1, 0, rules)).tags]


@given(without_circles(), st.randoms(use_true_random=False))
def test_the_order_is_topological_and_independent_of_the_files(uses: Uses, random: object) -> None:
    rules = tags(uses)
    order = ordered(rules)
    assert sorted(order) == sorted(uses)
    assert all(order.index(used) < order.index(name) for name, names in uses.items() for used in names)
    random.shuffle(rules)  # type: ignore[attr-defined]
    assert ordered(rules) == order


@given(st.data())
def test_a_circle_is_named(data: st.DataObject) -> None:
    uses = data.draw(without_circles())
    names = list(uses)
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(names) - 1)] * 2)))
    for one, other in pairwise(names[first : last + 1]):
        uses[other].add(one)
    uses[names[first]].add(names[last])
    with pytest.raises(InvalidRule) as caught:
        ordered(tags(uses))
    found = re.fullmatch(r"Tag '(\w)', field 'value': the tags use each other in a circle: (.*)\.", caught.value.message)
    assert found is not None
    circle = found[2].split(" -> ")
    assert circle[0] == circle[-1] == found[1]
    assert all(used in uses[name] for name, used in pairwise(circle))
    assert len(set(circle)) == len(circle) - 1
