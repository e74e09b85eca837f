"""Timers of the real PROFILE step over a real Redis: what time alone changes comes at its moment."""

import uuid

import pytest

from cdp.clock import DAY, MINUTE, date_of
from cdp.redis import connect
from cdp.topics import Names
from streams.profile.store import ProfileStore
from tests.shop import CALENDAR, NOW, make_event, order
from tests.timers import Driver, late, rule_book, tag, trigger

MIDNIGHT = CALENDAR.start(CALENDAR.day(NOW) + 1)


@pytest.fixture
def person(redis_url: str):  # type: ignore[no-untyped-def]
    """Makes a person under some rules."""
    return lambda *rules: Driver(rule_book(*rules), ProfileStore(connect(redis_url), Names(f"t{uuid.uuid4().hex[:12]}")))


def cart(message_id: str, minutes: float, **properties: object):  # type: ignore[no-untyped-def]
    return make_event(message_id, "Product Added", time=NOW + int(minutes * MINUTE), properties=properties)


def came(changes: list) -> list[tuple[float, str, object]]:
    """Changes of tags, or actions, with the minutes since the beginning."""
    return [((clock - NOW) / MINUTE, name, what) for clock, name, what in changes]


def test_two_waits_on_one_event(person) -> None:  # type: ignore[no-untyped-def]
    soon = tag("soon", 'minutes_since(last("Product Added".time)) >= 30')
    someone = person(soon, tag("late", 'minutes_since(last("Product Added".time)) >= 600'))
    someone.send(cart("a", 0))
    someone.send(cart("b", 50))
    someone.wait_until(NOW + DAY)
    assert came(someone.changes) == [(30, "soon", True), (50, "soon", None), (80, "soon", True), (650, "late", True)]


def test_a_wait_on_any_event_runs_out_again_and_again(person) -> None:  # type: ignore[no-untyped-def]
    someone = person(tag("away", "minutes_since(last(any.time)) >= 30"))
    for number in range(3):
        someone.send(cart(f"m{number}", 60 * number))
    someone.wait_until(NOW + DAY)
    assert came(someone.changes) == [
        (30, "away", True), (60, "away", None), (90, "away", True), (120, "away", None), (150, "away", True),
    ]  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
def test_waits_on_one_event_with_different_conditions(person, turned: bool) -> None:  # type: ignore[no-untyped-def]
    shoes = tag("shoes", 'minutes_since(last("Product Added".time where category = "Shoes")) >= 30')
    hats = tag("hats", 'minutes_since(last("Product Added".time where category = "Hats")) >= 30')
    someone = person(*((hats, shoes) if turned else (shoes, hats)))
    someone.send(make_event("0", "Product Viewed"))
    someone.send(cart("a", 1, category="Shoes"))
    someone.send(cart("b", 11, category="Hats"))
    someone.send(cart("c", 21, category="Gloves"))
    someone.wait_until(NOW + DAY)
    assert came(someone.changes) == [(31, "shoes", True), (41, "hats", True)]


def test_a_cancelled_order_is_not_waited_for(person) -> None:  # type: ignore[no-untyped-def]
    someone = person(tag("idle", "minutes_since(last(orders.time)) >= 30"))
    someone.send(order("a", "o1", 5, time=NOW))
    someone.send(order("b", "o2", 5, time=NOW + 20 * MINUTE))
    someone.send(make_event("c", "Order Cancelled", properties={"order_id": "o2"}, time=NOW + 25 * MINUTE))
    someone.wait_until(NOW + DAY)
    assert came(someone.changes) == [(30, "idle", True)]


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (">= 2.01", [(120_600_000, True)]),  # in floating point, 2.01 minutes are 120,599,999.99999999 microseconds
        ("> 30", [(30 * MINUTE + 1, True)]),
        ("< 30", [(0, True), (30 * MINUTE, None)]),
        ("<= 30", [(0, True), (30 * MINUTE + 1, None)]),
        ("= 30", [(30 * MINUTE, True), (30 * MINUTE + 1, None)]),
        ("!= 30", [(0, True), (30 * MINUTE, None), (30 * MINUTE + 1, True)]),
        ("< 100000000000000000000", [(0, True)]),
    ],
)
def test_every_comparison_changes_at_its_microsecond(person, comparison: str, expected: list) -> None:  # type: ignore[no-untyped-def]
    someone = person(tag("t", f'minutes_since(last("Product Added".time)) {comparison}'))
    someone.send(cart("a", 0))
    someone.wait_until(NOW + DAY)
    assert [(clock - NOW, value) for clock, _, value in someone.changes] == expected


def test_the_last_value_is_waited_for_where_the_rule_asks_for_a_property(person) -> None:  # type: ignore[no-untyped-def]
    someone = person(tag("over", 'minutes_since(last("Booked".until)) >= 5'))
    someone.send(make_event("a", "Booked", properties={"until": NOW + 60 * MINUTE}))
    someone.send(make_event("b", "Booked", properties={"until": 2**62}, time=NOW + 70 * MINUTE))
    someone.wait_until(NOW + DAY)
    assert came(someone.changes) == [(65, "over", True), (70, "over", None)]


def test_a_birthday_is_over_at_midnight(person) -> None:  # type: ignore[no-untyped-def]
    for value in ("is_anniversary(attribute.birthday)", "is_anniversary(coalesce(attribute.day, attribute.birthday))"):
        someone = person(tag("today", value))
        someone.send(make_event("a", "Signed Up", traits={"birthday": "1990-11-20"}))
        someone.wait_until(NOW + 400 * DAY)
        days = [(str(date_of(CALENDAR.day(clock))), new) for clock, _, new in someone.changes]
        assert days == [("2026-11-20", True), ("2026-11-21", None), ("2027-11-20", True), ("2027-11-21", None)]
        assert all(CALENDAR.start(CALENDAR.day(clock)) == clock for clock, _, _ in someone.changes)


def test_an_event_of_tomorrow_counts_from_midnight_on(person) -> None:  # type: ignore[no-untyped-def]
    """Its device's clock is ahead."""
    someone = person(tag("views", 'count("Product Viewed", last 2 days)'), tag("orders", "count(orders, last 2 days)"))
    someone.send(late(make_event("a", "Product Viewed", time=MIDNIGHT + MINUTE), NOW))
    someone.send(late(order("b", "o1", 5, time=MIDNIGHT + MINUTE), NOW))
    someone.wait_until(NOW + 10 * DAY)
    assert [(clock - MIDNIGHT, name, value) for clock, name, value in someone.changes] == [
        (0, "views", 1), (0, "orders", 1), (2 * DAY, "views", None), (2 * DAY, "orders", None),
    ]  # fmt: skip


WAIT = 'minutes_since(last("Product Added".time)) >= 30'


def test_a_wait_that_was_over_when_its_event_came_fires_at_once(person) -> None:  # type: ignore[no-untyped-def]
    someone = person(trigger("left", WAIT))
    someone.send(make_event("a", "Product Viewed", time=NOW + 60 * MINUTE))
    someone.send(cart("b", 10))
    assert came(someone.fired) == [(60, "left", "ever")]


def test_what_an_old_event_may_not_fire_a_tick_may(person) -> None:  # type: ignore[no-untyped-def]
    someone = person(trigger("left", WAIT, days=1))
    someone.send(make_event("a", "Product Viewed"))
    someone.send(late(cart("b", -3 * 24 * 60), NOW))
    assert someone.fired == []
    someone.wait_until(NOW)
    assert came(someone.fired) == [(0, "left", "ever")]


def test_a_daily_trigger_fires_on_each_day_on_which_it_holds(person) -> None:  # type: ignore[no-untyped-def]
    someone = person(trigger("daily", "tag.left", "day"), trigger("yearly", "tag.left", "year"), tag("left", WAIT))
    someone.send(make_event("a", "Product Viewed"))
    someone.send(cart("b", 1))
    someone.wait_until(NOW + 2 * DAY)
    someone.send(cart("c", 2 * 24 * 60))
    someone.wait_until(NOW + 2 * DAY + 29 * MINUTE)
    daily = [clock for clock, name, _ in someone.fired if name == "daily"]
    assert daily == [NOW + 31 * MINUTE, MIDNIGHT, MIDNIGHT + DAY]
    someone.wait_until(NOW + 60 * DAY)
    assert [occasion for _, name, occasion in someone.fired if name == "yearly"] == ["2026", "2027"]


@pytest.mark.parametrize("on", [("time",), ("time", "Product Viewed")])
def test_a_daily_trigger_that_an_event_fired_fires_on_the_next_day(person, on: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    someone = person(trigger("seen", 'count("Product Viewed") >= 2', "day", on))
    for number in range(3):
        someone.send(make_event(f"m{number}", "Product Viewed", time=NOW + number))
    someone.wait_until(NOW + DAY)
    assert [clock for clock, _, _ in someone.fired] == [NOW + 1, MIDNIGHT]


def test_a_fragment_that_makes_a_trigger_hold_fires_it_at_the_next_tick(person) -> None:  # type: ignore[no-untyped-def]
    """The wait of its event was over when the fragment came."""
    rules = [trigger("left", f'{WAIT} and count("Product Viewed") > 0')]
    someone, other = person(*rules), person(*rules)
    other.send(cart("a", -60))
    someone.send(make_event("b", "Product Viewed"))
    someone.receive(2, other.profile, NOW)
    assert someone.fired == []
    someone.wait_until(NOW + MINUTE)
    assert came(someone.fired) == [(0, "left", "ever")]
