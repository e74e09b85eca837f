"""A profile is a function of the set of its events: not of their order, their repetition, or of when people were merged."""

import random
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.clock import DAY, MINUTE
from cdp.events import Event
from profiles.components.orders.state import ORDERS
from profiles.components.triggers.state import OCCASIONS
from profiles.state import Person
from tests.shop import NOW, Harness, canonical, make_event, make_person, order, reopened, tags_of

HARNESS = Harness()

times = st.integers(0, 500 * 24 * 60).map(lambda minutes: NOW - minutes * MINUTE)
views = st.builds(lambda t: ("Product Viewed", {}, {}, t), times)
carts = st.builds(lambda t: ("Product Added", {}, {}, t), times)
signups = st.builds(
    lambda t, n: ("Signed Up", {}, {"name": n, "birthday": f"1990-0{1 + len(n) % 9}-11"}, t), times, st.text(max_size=5)
)
order_ids = st.sampled_from(["o1", "o2", "o3", "o4"])
amounts = st.integers(0, 5000).map(lambda cents: cents / 100)
versions = st.sampled_from([None, 0, 1, 2, 3])
currencies = st.sampled_from(["", "CNY", "EUR"])
orders = st.builds(
    lambda i, a, c, t, v, y: (
        "Order Completed",
        {
            "order_id": i, "total": a, "version": v, "currency": y,
            "products": [{"sku": "a", "quantity": 1, "price": a, "category": c}],
        },
        {},
        t,
    ),
    order_ids, amounts, st.sampled_from(["Shoes", "Hats", ""]), times, versions, currencies,
)  # fmt: skip
placements = st.builds(
    lambda i, a, t, v: ("Order Placed", {"order_id": i, "total": a, "version": v}, {}, t), order_ids, amounts, times, versions
)
refund_ids = st.sampled_from(["", "r1", "r2", 7])
refunds = st.builds(
    lambda i, a, t, y, r: ("Order Refunded", {"order_id": i, "total": a, "currency": y, "refund_id": r}, {}, t),
    order_ids, amounts, times, currencies, refund_ids,
)  # fmt: skip
full_refunds = st.builds(
    lambda i, t, r, v: ("Order Refunded", {"order_id": i, "refund_id": r, "version": v}, {}, t),
    order_ids, times, refund_ids, versions,
)  # fmt: skip
cancellations = st.builds(lambda i, t, v: ("Order Cancelled", {"order_id": i, "version": v}, {}, t), order_ids, times, versions)
histories = st.lists(st.one_of(views, carts, signups, orders, placements, refunds, full_refunds, cancellations), max_size=25)


def to_events(history: list) -> list[Event]:
    return [
        make_event(f"m{i}", name, time=time, properties=properties, traits=traits, ids=f"user_id:u1 anonymous_id:d{i % 3}")
        for i, (name, properties, traits, time) in enumerate(history)
    ]


def said(person: Person) -> tuple[bytes, int]:
    """What follows from the events alone. Which occasions there were depends on their order, and so do the timers for these."""
    person.whole.drop(OCCASIONS)
    HARNESS.kernel.set_timer(person)
    return canonical(person), person.due


@given(histories, st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_any_order_and_any_repetition_make_the_same_profile(history: list, seed: int) -> None:
    events = to_events(history)
    shuffled = events + events[: len(events) // 2]
    random.Random(seed).shuffle(shuffled)
    assert said(HARNESS.apply(make_person(), *shuffled)) == said(HARNESS.apply(make_person(), *events))


@given(histories, st.integers(0, 2**32), st.integers(0, 25))
@settings(max_examples=150, deadline=None)
def test_merging_two_halves_makes_the_profile_of_the_whole(history: list, seed: int, cut: int) -> None:
    events = to_events(history)
    shuffled = list(events)
    random.Random(seed).shuffle(shuffled)
    survivor = HARNESS.apply(make_person(1), *shuffled[:cut])
    loser = HARNESS.apply(make_person(2), *shuffled[cut:])
    survivor.as_of = max(survivor.as_of, loser.as_of)
    HARNESS.kernel.put_in(survivor, 2, reopened(loser).whole)
    whole = HARNESS.apply(make_person(1), *events)
    HARNESS.at(survivor, 0)
    HARNESS.at(whole, 0)
    assert said(survivor) == said(whole)


@given(histories)
@settings(max_examples=50, deadline=None)
def test_a_profile_survives_its_encoding(history: list) -> None:
    profile = HARNESS.apply(make_person(), *to_events(history))
    again = reopened(profile)
    assert canonical(again) == canonical(profile)
    assert (again.due, again.whole.get(OCCASIONS)) == (profile.due, profile.whole.get(OCCASIONS))


@given(histories, st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_tags_change_only_when_a_profile_is_due(history: list, days: int) -> None:
    """Between two due moments no tag changes, so nobody who is asleep has a wrong tag."""
    profile = HARNESS.apply(make_person(), *to_events(history))
    HARNESS.kernel.set_timer(profile)
    due = profile.due
    moment = profile.as_of + days * DAY
    if due and moment >= due:
        moment = due - 1
    before = tags_of(profile)
    assert HARNESS.at(profile, (moment - profile.as_of) / DAY) == before


def test_refund_before_its_order() -> None:
    profile = HARNESS.apply(
        make_person(), make_event("r", "Order Refunded", properties={"order_id": "o1", "total": 30}), order("o", "o1", 100)
    )
    assert tags_of(profile)["order_amount"] == 70


def standing(*events: Event) -> tuple[object, object]:
    tags = tags_of(HARNESS.apply(make_person(), *events))
    return tags.get("order_count"), tags.get("order_amount")


def both_ways(*events: Event) -> tuple[object, object]:
    found = {standing(*some) for some in permutations(events)}
    assert len(found) == 1
    return found.pop()


def of_order(message_id: str, name: str, minutes_ago: int = 0, **properties: object) -> Event:
    return make_event(message_id, name, properties={"order_id": "o1", **properties}, time=NOW - minutes_ago * MINUTE)


def test_the_highest_version_of_an_order_stands_whenever_it_comes_and_whatever_its_time() -> None:
    first = of_order("a", "Order Completed", 10, total=100, version=1)
    correction = of_order("b", "Order Completed", 500, total=80, version=2)  # dated back
    unversioned = of_order("c", "Order Completed", 0, total=5)
    assert both_ways(first, correction) == (1, 80)
    assert both_ways(first, correction, unversioned) == (1, 80)
    assert both_ways(of_order("d", "Order Completed", 10, total=1), of_order("e", "Order Completed", 5, total=2)) == (1, 2)


def test_a_cancellation_is_final_unless_a_higher_version_was_placed() -> None:
    placed = of_order("a", "Order Completed", 10, total=100, version=1)
    again = of_order("c", "Order Completed", 30, total=90, version=3)
    assert both_ways(placed, of_order("b", "Order Cancelled", 20, version=2)) == (None, None)
    assert both_ways(placed, of_order("b", "Order Cancelled", 0, version=2), again) == (1, 90)
    assert both_ways(placed, of_order("b", "Order Cancelled", 0), again) == (None, None)
    assert both_ways(placed, of_order("b", "Order Cancelled", 0, version=3), again) == (None, None)


def test_refunds_in_another_currency_are_not_subtracted() -> None:
    placed = of_order("a", "Order Completed", total=100, currency="eur")
    own, none = of_order("b", "Order Refunded", total=30, currency="EUR"), of_order("c", "Order Refunded", total=5)
    assert both_ways(placed, own, none, of_order("d", "Order Refunded", total=70, currency="CNY")) == (1, 65)
    assert both_ways(placed, of_order("e", "Order Refunded", currency="CNY")) == (None, None)  # names no amount: everything


def test_of_paid_and_unpaid_versions_the_highest_stands() -> None:
    paid, unpaid = of_order("a", "Order Completed", total=80, version=1), of_order("b", "Order Placed", total=80, version=2)
    again = of_order("c", "Order Completed", total=80, version=3)
    assert both_ways(paid) == (1, 80)
    assert both_ways(paid, unpaid) == (None, None)
    assert both_ways(paid, unpaid, again) == (1, 80)
    assert both_ways(unpaid) == (None, None)
    assert both_ways(of_order("d", "Order Completed", 0, total=80, version=2), unpaid) == (1, 80)  # of one version the paid one
    assert both_ways(paid, unpaid, of_order("e", "Order Refunded", total=80)) == (None, None)
    assert both_ways(of_order("f", "Order Cancelled", version=2), unpaid) == (None, None)
    assert both_ways(of_order("f", "Order Cancelled", version=2), unpaid, again) == (1, 80)


def test_without_a_version_an_order_placed_says_nothing_about_one_that_is_paid() -> None:
    paid = of_order("a", "Order Completed", 10, total=80)
    assert both_ways(paid, of_order("b", "Order Placed", 0, total=80)) == (1, 80)
    assert both_ways(paid, of_order("b", "Order Placed", 0, version="2", total="rubbish")) == (1, 80)
    assert both_ways(paid, make_event("c", "Order Placed", properties={"version": 3})) == (1, 80)


def test_browser_and_server_tell_one_order() -> None:
    browser = of_order("a", "Order Completed", 10, total=100)
    server = of_order("b", "Order Completed", 12, total=98, version=1)
    shipped = of_order("c", "Order Completed", 12, total=97, version=2)
    assert both_ways(browser, server) == (1, 98)
    assert both_ways(browser, server, shipped) == (1, 97)


def test_a_refund_counts_once_by_its_number_whatever_its_messages_are_called() -> None:
    placed = of_order("a", "Order Completed", total=100, currency="CNY")
    sdk, server = (
        of_order(message_id, "Order Refunded", minutes, total=total, refund_id="R-1", currency="CNY")
        for message_id, minutes, total in (("sdk", 5, 30), ("refund:o1:R-1", 3, 31))
    )
    assert both_ways(placed, sdk, server) == (1, 69)  # the later telling of it
    assert both_ways(placed, sdk, of_order("x", "Order Refunded", total=9, refund_id="R-2")) == (1, 61)
    other = make_event("y", "Order Refunded", properties={"order_id": "o2", "total": 9, "refund_id": "R-1"})
    assert both_ways(placed, sdk, other) == (1, 61)


def test_a_full_refund_with_a_version_stands_until_a_higher_one_is_placed() -> None:
    placed, again = (of_order(f"v{v}", "Order Completed", total=100, version=v) for v in (1, 3))
    whole = of_order("r", "Order Refunded", refund_id="all:2", version=2)
    assert both_ways(placed, whole) == (None, None)
    assert both_ways(placed, whole, again) == (1, 100)
    assert both_ways(placed, of_order("r", "Order Refunded", refund_id="all"), again) == (None, None)


def test_what_was_given_back_in_another_currency_is_told() -> None:
    placed = of_order("a", "Order Completed", total=100, currency="EUR")
    back = of_order("b", "Order Refunded", total=70, currency="CNY")
    for events in permutations((placed, back)):
        assert HARNESS.apply(make_person(), *events).whole.get(ORDERS).by_id["o1"].other_currencies == {"CNY": 700_000}
