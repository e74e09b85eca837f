"""The rule language: what it accepts, what it refuses and how, and what it computes."""

import pytest

from cdp.clock import DAY, MINUTE
from cdp.errors import CdpError
from profiles.book import functions, vocabulary
from profiles.components.attributes.component import attribute
from profiles.context import Context
from rules.definitions.load import InvalidRule, load_rules
from rules.language.compile_python import Evaluator, compile_expression
from rules.language.parse import RuleSyntaxError, parse
from rules.language.syntax import Binary, Constant, Metric
from tests.shop import CALENDAR, NOW, Harness, make_event, make_person, order, tags_of
from tests.timers import rule_book, tag

HARNESS = Harness()


def compiled(text: str) -> Evaluator:
    return compile_expression(parse(text, functions()), vocabulary())


def value(text: str, *events: object) -> object:
    profile = HARNESS.apply(make_person(), *events)
    return compiled(text)(Context(profile, profile.as_of or NOW, CALENDAR))


def test_precedence() -> None:
    assert parse("1 + 2 * 3 = 7 and not false") == Binary(
        "and", Binary("=", Binary("+", Constant(1), Binary("*", Constant(2), Constant(3))), Constant(7)), parse("not false")
    )


def test_metric_with_filter_and_window() -> None:
    metric = parse('count("Product Viewed" where category = "Shoes" and sale = true, last 7 days)')
    assert metric == Metric("count", "Product Viewed", "", (("category", "Shoes"), ("sale", True)), 7)


@pytest.mark.parametrize(
    ("text", "problem", "position"),
    [
        ("", "found 'the end'", 1),
        ("1 +", "found 'the end'", 4),
        ("count(order)", "orders, any or an event's name in quotes", 7),
        ("count(orders.amount)", "of orders there is count(orders)", 20),
        ("sum(orders)", "sum(orders.amount) or sum(orders.quantity)", 11),
        ("sum(orders.price)", "sum(orders.amount) or sum(orders.quantity)", 17),
        ("days(orders, last 7 days)", "days is there for events only", 25),
        ('days("Product Viewed")', "days needs a window", 22),
        ('max("Product Viewed".price)', "max is there for orders only", 27),
        ("count(orders, last 0 days)", "a window has 1 to 730 days", 20),
        ("count(orders, last 30)", "expected days", 22),
        ("1 = 2 = 3", "expected the end", 7),
        ("attribute.", "the attribute's name", 11),
        ("name = 1", "expected a function, attribute.NAME", 1),
        ("1 ; 2", "this character means nothing here", 3),
        ("__import__('os')", "expected a function", 1),
        ("minutes_since(1, 2)", "1 argument for minutes_since", 20),
    ],
)
def test_mistakes_are_shown_where_they_are(text: str, problem: str, position: int) -> None:
    with pytest.raises(RuleSyntaxError) as caught:
        parse(text)
    assert problem in caught.value.message
    assert f"at character {position}." in caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("1 / 0", None),
        ("null = null", False),
        ("attribute.unknown > 1", False),
        ("not attribute.unknown > 1", True),
        ("attribute.name = 'Ann'", True),
        ("attribute.name > 1", False),
        ("attribute.name in ('Bob', 'Ann')", True),
        ("concat('R', 1, attribute.unknown)", None),
        ("coalesce(attribute.unknown, 'x')", "x"),
        ("month_of('1990-02-29x')", None),
        ("month_of('1990-05-01')", 5),
        ("-1 < 0", True),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert value(text, make_event("m1", "Signed Up", traits={"name": "Ann"})) == expected


def test_orders_refunds_and_cancellations() -> None:
    events = [
        order("a", "o1", 100, time=NOW - 40 * DAY),
        order("b", "o2", 50),
        order("c", "o3", 30),
        order("d", "o4", 20),
        make_event("e", "Order Refunded", properties={"order_id": "o2", "total": 10}),
        make_event("f", "Order Refunded", properties={"order_id": "o3"}),
        make_event("g", "Order Cancelled", properties={"order_id": "o4"}),
    ]
    assert value("count(orders)", *events) == 2
    assert value("count(orders, last 30 days)", *events) == 1
    assert value("sum(orders.amount)", *events) == 140
    assert value("avg(orders.amount)", *events) == 70
    assert value("max(orders.amount)", *events) == 100
    assert value("min(orders.amount)", *events) == 40
    assert value("top(orders.category)", *events) == "Shoes"


def test_windows_are_calendar_days_of_the_workspace() -> None:
    midnight = CALENDAR.start(CALENDAR.day(NOW))
    views = [make_event(str(i), "Product Viewed", time=midnight - i * DAY - 1) for i in range(8)]
    profile = HARNESS.apply(make_person(), *views, make_event("now", "Product Viewed", time=midnight))
    seven_days = compiled('count("Product Viewed", last 7 days)')
    assert seven_days(Context(profile, profile.as_of, CALENDAR)) == 7
    assert seven_days(Context(profile, profile.as_of + DAY, CALENDAR)) == 6


def test_cart_abandoned_after_half_an_hour_and_not_after_an_order() -> None:
    cart = make_event("a", "Product Added", time=NOW)
    profile = HARNESS.apply(make_person(), cart)
    assert "cart_abandoned" not in tags_of(profile)
    assert profile.due == NOW + 30 * MINUTE
    assert HARNESS.at(profile, 31 / 1440)["cart_abandoned"] is True
    bought = HARNESS.apply(make_person(), cart, order("b", "o1", 5, time=NOW + MINUTE))
    assert "cart_abandoned" not in HARNESS.at(bought, 31 / 1440)


@pytest.mark.parametrize(
    "text",
    [
        "minutes_since(last(orders.time))",
        "minutes_since(first(orders.time)) >= 30",
        "minutes_since(attribute.seen) >= 30",
        "30 <= minutes_since(last(orders.time))",
        "minutes_since(last(orders.time)) >= count(orders)",
        "minutes_since(last(orders.time)) >= '30'",
        "minutes_since(last(orders.time)) / 60 >= 2",
        "minutes_since(last(orders.time)) and 2",
    ],
)
def test_a_wait_for_which_there_is_no_timer_is_refused(text: str) -> None:
    with pytest.raises(CdpError, match="compared with a number on its right"):
        rule_book(tag("t", text))


@pytest.mark.parametrize(("born", "today", "expected"), [
    ("1990-11-18", "2026-11-18", True),
    ("1992-02-29", "2027-02-28", True),
    ("1992-02-29", "2028-02-28", False),
    ("1992-02-29", "2028-02-29", True),
    ("not a date", "2026-11-18", False),
    ("1990-11-17T16:00:00.000Z", "2026-11-18", True),
    ("1990-11-18T00:00:00Z", "2026-11-18", True),
    ("19901118", "2026-11-18", True),
    ("2027-11-18", "2026-11-18", False),
    ("1890-11-18", "2026-11-18", False),
    (658886400, "2026-11-18", False),
    ("658886400", "2026-11-18", False),
])  # fmt: skip
def test_anniversaries(born: object, today: str, expected: bool) -> None:
    from datetime import date

    from cdp.clock import day_number

    noon = CALENDAR.start(day_number(date.fromisoformat(today))) + DAY // 2
    profile = HARNESS.apply(make_person(), make_event("m", "Signed Up", traits={"birthday": born}))
    condition = compiled("is_anniversary(attribute.birthday)")
    assert condition(Context(profile, noon, CALENDAR)) is expected


def test_a_profile_keeps_the_day_of_a_birthday() -> None:
    for born, kept, month in (("1990-04-30T16:00:00.000Z", "1990-05-01", 5), ("19900501", "1990-05-01", 5), (32994, 32994, None)):
        profile = HARNESS.apply(make_person(), make_event("m", "Signed Up", traits={"birthday": born}))
        context = Context(profile, NOW, CALENDAR)
        assert attribute(context, "birthday") == kept
        assert compiled("month_of(attribute.birthday)")(context) == month
    renewed = HARNESS.apply(make_person(), make_event("m", "Signed Up", traits={"renewal": "2027-03-31T16:00:00Z"}))
    assert attribute(Context(renewed, NOW, CALENDAR), "renewal") == "2027-03-31T16:00:00Z"
    assert compiled("month_of(attribute.renewal)")(Context(renewed, NOW, CALENDAR)) == 4


def test_shipped_rules_load() -> None:
    book = load_rules()
    assert len(book.tags) >= 20
    assert {trigger.name for trigger in book.triggers} == {"signup_welcome", "first_order_thanks", "birthday_greeting"}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("tags.yaml", "tags: [{name: a, title: A, type: number, value: count(}]", "tags.yaml"),
        ("tags.yaml", "tags: [{name: a, title: A, type: number, value: 'count('}]", "rule 'a', field 'value'"),
        ("tags.yaml", "tags: [{name: a, title: A, type: colour, value: '1'}]", "field 'type': must be one of"),
        ("tags.yaml", "tags: [{name: a, title: A, type: number, value: '1', colour: red}]", "field 'colour': is not a field"),
        ("tags.yaml", "tags: [{name: a, title: A, type: number, value: tag.b}]", "uses tag.b"),
        (
            "tags.yaml",
            "tags: [{name: a, title: A, type: text, value: '1'}, {name: a, title: B, type: text, value: '2'}]",
            "two tag rules",
        ),
        (
            "triggers.yaml",
            "triggers: [{name: t, title: T, event: E, occasion: often, channels: log, content: {}}]",
            "field 'occasion'",
        ),
        (
            "triggers.yaml",
            "triggers: [{name: t, title: T, event: E, occasion: ever, channels: pigeon, content: {}}]",
            "field 'channels'",
        ),
        (
            "triggers.yaml",
            "triggers: [{name: t, title: T, event: E, occasion: ever, channels: log, content: {}, max_age_days: -1}]",
            "field 'max_age_days': must be from 0",
        ),
        ("identity.yaml", "identifiers: [{name: phone, priority: high}]", "field 'priority': must be int"),
        ("identity.yaml", "identifiers: {}", "must hold a list"),
    ],
)
def test_a_bad_rule_file_is_one_sentence(tmp_path, file: str, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    from rules.definitions.load import SHIPPED

    for name in ("identity.yaml", "tags.yaml", "triggers.yaml"):
        (tmp_path / name).write_text((SHIPPED / name).read_text())
    (tmp_path / file).write_text(text)
    with pytest.raises(InvalidRule) as caught:
        load_rules(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
