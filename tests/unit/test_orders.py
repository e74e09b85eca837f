"""Orders read from events: amounts are exact, signs are right, rubbish is refused by the field's name."""

import msgspec
import pytest

from cdp.errors import InvalidEvent
from cdp.orders import parse_order, read_order


def read(event: str, **properties: object):  # type: ignore[no-untyped-def]
    return parse_order(event, msgspec.json.encode(properties))


def test_total_wins_over_lines_and_lines_are_kept_as_sent() -> None:
    order = read(
        "Order Completed", order_id=7, total="99.95", currency="cny", products=[{"sku": "a", "quantity": -2, "price": 2.55}]
    )
    assert (order.order_id, order.amount, order.currency, order.quantity) == ("7", 999_500, "CNY", -20_000)
    assert order.lines[0].amount == -51_000


def test_without_total_the_lines_are_the_amount() -> None:
    lines = [{"product_id": "a", "quantity": 3, "price": 0.1}, {"sku": "b", "quantity": 1, "price": 0.2, "line": 9}]
    order = read("Order Completed", order_id="o", products=lines)
    assert order.amount == 5_000
    assert [(line.line, line.sku) for line in order.lines] == [(1, "a"), (9, "b")]


@pytest.mark.parametrize("quantity", [2, -2])
def test_refunds_are_negative_whichever_sign_is_sent(quantity: int) -> None:
    order = read("Order Refunded", order_id="o", total=5, products=[{"sku": "a", "quantity": quantity, "price": 2.5}])
    assert (order.amount, order.quantity, order.lines[0].amount) == (-50_000, -20_000, -50_000)


def test_versions_are_numbers_and_none_is_zero() -> None:
    found = [read("Order Completed", order_id="o", **given).version for given in ({}, {"version": None}, {"version": 7})]
    assert found == [0, 0, 7]


def test_a_refund_that_names_no_amount_is_a_full_one() -> None:
    assert read("Order Refunded", order_id="o").amount is None


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({}, "properties.order_id"),
        ({"order_id": ""}, "properties.order_id"),
        ({"order_id": "2.98877E+18"}, "properties.order_id"),
        ({"order_id": 2.98877e18}, "properties.order_id"),
        ({"order_id": True}, "properties.order_id"),
        ({"order_id": "#N/A"}, "properties.order_id"),
        ({"order_id": "o", "products": [{"sku": "1.5E+10"}]}, "properties.products[0].sku"),
        ({"order_id": "o", "total": "twelve"}, "properties.total"),
        ({"order_id": "o", "total": True}, "properties.total"),
        ({"order_id": "o", "version": -1}, "properties.version"),
        ({"order_id": "o", "version": True}, "properties.version"),
        ({"order_id": "o", "version": "2"}, "properties.version"),
        ({"order_id": "o", "version": 2**63 - 1}, "properties.version"),
        ({"order_id": "o", "total": 1e300}, "properties.total"),
        ({"order_id": "o", "total": 10**40}, "properties.total"),
        ({"order_id": "o", "products": {"sku": "a"}}, "properties.products"),
        ({"order_id": "o", "products": ["a"]}, "properties.products[0]"),
        ({"order_id": "o", "products": [{"quantity": "many"}]}, "properties.products[0].quantity"),
        ({"order_id": "o", "products": [{"price": "NaN"}]}, "properties.products[0].price"),
    ],
)
def test_rubbish_is_refused_by_name(properties: dict, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_order("Order Completed", msgspec.json.encode(properties))
    assert caught.value.field == field


def test_lines_may_come_as_php_writes_them() -> None:
    gaps = {"0": {"sku": "a", "price": 2}, "2": {"sku": "b", "price": 3}}
    plain = read("Order Completed", order_id="o", products=[*gaps.values()])
    assert read("Order Completed", order_id="o", products=gaps) == plain
    assert read("Order Completed", order_id="o", products=[[]]) == read("Order Completed", order_id="o", products=[{}])
    assert read("Order Completed", order_id="o", products={}).lines == ()


def test_amounts_are_read_as_everywhere() -> None:
    lines = [{"sku": "a", "quantity": "2", "price": "￥1,299.00"}, {"sku": "b", "price": 14.309999999999999}]
    order = read("Order Completed", order_id="o", total="1,23,456.78", products=lines)
    assert (order.amount, [line.unit_price for line in order.lines]) == (1_234_567_800, [12_990_000, 143_100])
    for wrong in ("12,50", "1.234,50", "1e3", "1_000", "١٢", "#REF!"):
        with pytest.raises(InvalidEvent, match=r"not a number|digits are lost"):
            read("Order Completed", order_id="o", total=wrong)


@pytest.mark.parametrize(
    ("given", "number"), [('="2988"', "2988"), (7.0, "7"), ("7.0", "7"), ("'SO-1\t", "SO-1"), (2**64, str(2**64))]
)
def test_order_ids_are_read_as_everywhere(given: object, number: str) -> None:
    assert read("Order Completed", order_id=given).order_id == number


def test_an_order_placed_says_with_its_version_that_it_is_not_paid() -> None:
    def placed(**properties: object) -> object:
        return read_order("track", "Order Placed", msgspec.json.encode(properties))

    found = placed(order_id=7, version=2, total="rubbish", products="rubbish", currency="eur")
    assert found is not None
    assert (found.order_id, found.status, found.version, found.amount, found.lines) == ("7", "placed", 2, None, ())
    for nothing in ({}, {"order_id": "o"}, {"version": 2}, {"order_id": "o", "version": 0}, {"order_id": "o", "version": "2"}):
        assert placed(**nothing) is None
    assert read_order("page", "Order Completed", b"{}") is None


def test_refunds_have_numbers_of_their_own() -> None:
    assert read("Order Refunded", order_id="o", refund_id=5).refund_id == "5"
    assert read("Order Completed", order_id="o", refund_id=5).refund_id == ""
