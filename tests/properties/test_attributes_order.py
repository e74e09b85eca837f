"""An attribute is a function of the set of what was done to it: in any order, repeated, or split between two people."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.clock import MINUTE
from profiles.components.attributes.operations import KEPT, change
from profiles.components.attributes.state import ATTRIBUTES, Attributes
from tests.shop import NOW, Harness, canonical, make_event, make_person, reopened

HARNESS = Harness()

names = st.sampled_from(["points", "likes"])
numbers = st.one_of(st.integers(-50, 50), st.integers(-500, 500).map(lambda n: n / 100))
words = st.sampled_from(["a", "b", "c", 1, True, None, "ä"])
lists = st.lists(words, max_size=4)
operations = st.one_of(
    st.tuples(st.sampled_from(["set", "set_once"]), st.dictionaries(names, st.one_of(words, numbers, lists), max_size=2)),
    st.tuples(st.just("increment"), st.dictionaries(names, numbers, max_size=2)),
    st.tuples(st.sampled_from(["append", "union"]), st.dictionaries(names, st.one_of(words, lists), max_size=2)),
    st.tuples(st.just("unset"), st.dictionaries(names, st.just(True), max_size=2)),
    st.tuples(st.just("delete"), st.just({})),
)
# Few moments, so that ties are common: those go by digest.
histories = st.lists(st.tuples(operations, st.integers(0, 8)), max_size=14)


def to_events(history: list) -> list:
    return [
        make_event(
            f"m{i}", "" if name == "set" else name, kind="identify" if name == "set" else "profile", traits=values,
            time=NOW - minute * MINUTE,
        )
        for i, ((name, values), minute) in enumerate(history)
    ]  # fmt: skip


def values_of(state: Attributes) -> dict[str, object]:
    return {name: attribute.value for name, attribute in state.values.items() if not attribute.gone}


@given(histories, st.integers(0, 2**32))
@settings(max_examples=400, deadline=None)
def test_any_order_and_any_repetition_make_the_same_attributes(history: list, seed: int) -> None:
    events = to_events(history)
    shuffled = events + events[: len(events) // 2]
    random.Random(seed).shuffle(shuffled)
    assert canonical(HARNESS.apply(make_person(), *shuffled)) == canonical(HARNESS.apply(make_person(), *events))


@given(histories, st.integers(0, 2**32), st.integers(0, 14))
@settings(max_examples=400, deadline=None)
def test_merging_two_halves_makes_the_attributes_of_the_whole(history: list, seed: int, cut: int) -> None:
    events = to_events(history)
    shuffled = list(events)
    random.Random(seed).shuffle(shuffled)
    survivor, loser = HARNESS.apply(make_person(1), *shuffled[:cut]), HARNESS.apply(make_person(2), *shuffled[cut:])
    HARNESS.kernel.put_in(survivor, 2, reopened(loser).whole)
    whole = HARNESS.apply(make_person(1), *events)
    merged, expected = survivor.whole.get(ATTRIBUTES), whole.whole.get(ATTRIBUTES)
    assert msgspec.to_builtins(merged.values) == msgspec.to_builtins(expected.values)
    assert merged.deleted == expected.deleted


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_more_than_is_kept_is_bounded_and_still_does_not_depend_on_the_order(seed: int) -> None:
    source = random.Random(seed)
    done = [("increment", {"points": n}, (n, n)) for n in range(1, 2 * KEPT)]
    done += [("append", {"likes": [str(n)]}, (n, n + 1000)) for n in range(1, 2 * KEPT)]
    done += [
        ("set", {"points": 5, "likes": ["x"]}, (source.randrange(2 * KEPT), 5000)),
        ("delete", {}, (source.randrange(90), 9)),
    ]
    found = set()
    for _ in range(3):
        source.shuffle(done)
        state = Attributes()
        for operation, values, moment in done:
            change(state, operation, values, moment)
        for attribute in state.values.values():
            assert attribute.operations is not None
            assert len(attribute.operations.added) <= KEPT
            assert len(attribute.operations.items) <= KEPT
        found.add(repr(sorted((k, msgspec.to_builtins(v, order="sorted")) for k, v in state.values.items())))
        assert ATTRIBUTES.decode(ATTRIBUTES.encode(state)).values.keys() == state.values.keys()
    assert len(found) == 1


def after(*done: tuple[str, dict]) -> dict[str, object]:
    state = Attributes()
    for moment, (operation, values) in enumerate(done, start=1):
        change(state, operation, values, (moment, moment))
    return values_of(state)


def test_what_the_operations_mean() -> None:
    assert after(("set_once", {"a": 1}), ("set_once", {"a": 2})) == {"a": 1}
    assert after(("set_once", {"a": 1}), ("set", {"a": 2}), ("set_once", {"a": 3})) == {"a": 2}
    assert after(("set_once", {"a": 1}), ("unset", {"a": True}), ("set_once", {"a": 3})) == {"a": 3}
    assert after(("increment", {"n": 1.5}), ("increment", {"n": 2})) == {"n": 3.5}
    assert after(("set", {"n": 10}), ("increment", {"n": 0.1}), ("increment", {"n": 0.2}), ("increment", {"n": -0.3})) == {
        "n": 10
    }
    assert after(("increment", {"n": 1}), ("set", {"n": 10}), ("increment", {"n": 1})) == {"n": 11}
    assert after(("set", {"n": "ten"}), ("increment", {"n": 1})) == {"n": "ten"}
    assert after(("append", {"l": ["a", "b"]}), ("append", {"l": "a"}), ("union", {"l": ["b", "c"]})) == {"l": ["a", "b", "c"]}
    assert after(("set", {"l": ["x"]}), ("append", {"l": ["y", "x"]})) == {"l": ["x", "y"]}
    assert after(("append", {"l": "a"}), ("unset", {"l": True}), ("append", {"l": "b"})) == {"l": ["b"]}
    assert after(("set", {"a": 1, "b": 2}), ("increment", {"c": 3}), ("delete", {}), ("set", {"b": 4})) == {"b": 4}
    assert after(("set", {"a": None})) == {"a": None}
    assert after(("unset", {"a": True})) == {}


def test_what_was_deleted_is_not_kept() -> None:
    state = Attributes()
    secret = "13800000000"
    for moment, operation in enumerate(["set", "set_once", "append"], start=1):
        change(state, operation, {operation: secret}, (moment, 1))
    assert secret.encode() in ATTRIBUTES.encode(state)
    change(state, "delete", {}, (9, 9))
    assert secret.encode() not in ATTRIBUTES.encode(state)
    assert values_of(state) == {}
