"""Currencies: one reader for every way in."""

import msgspec
import pytest

from cdp.errors import InvalidEvent
from cdp.orders import parse_order
from cdp.values.currencies import CURRENCIES, WITHDRAWN, name_currency, read_currency
from serving.imports.orders import order_messages
from tests.unit.test_orders_and_members import ORDER

WRITTEN = {
    "CNY": "CNY", "cny": "CNY", " Eur ": "EUR", "RMB": "CNY", "rmb": "CNY", "CNH": "CNY", "\uff32\uff2d\uff22": "CNY",
    "人民币": "CNY", "NTD": "TWD", "HK$": "HKD", "€": "EUR", "£": "GBP", "￡": "GBP", "DEM": "DEM",
}  # fmt: skip
REFUSED = ["", " ", "¥", "￥", "$", "元", "yuan", "XXX", "EURO", "CN", 156, 1.5, True, None, ["CNY"], {}]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_currency_is_the_same_by_every_way_in(written: str) -> None:
    code = WRITTEN[written]
    assert (read_currency(written), name_currency(written)) == (code, code)
    (message,) = order_messages({**ORDER, "currency": written})
    assert message["properties"]["currency"] == code
    assert parse_order("Order Completed", msgspec.json.encode({"order_id": "o", "currency": written})).currency == code


@pytest.mark.parametrize("written", REFUSED)
def test_what_is_no_currency_or_one_of_several_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="currency"):
        read_currency(written)
    with pytest.raises(InvalidEvent) as caught:
        order_messages({**ORDER, "currency": written})
    assert caught.value.field == "currency"


def test_an_sdks_order_keeps_a_currency_that_nobody_knows() -> None:
    for written, kept in (("points", "POINTS"), (" ¥ ", "¥"), (None, ""), (156, ""), ("a very long name", "A VERY L")):
        assert parse_order("Order Completed", msgspec.json.encode({"order_id": "o", "currency": written})).currency == kept


def test_no_code_is_both_in_force_and_withdrawn() -> None:
    assert not CURRENCIES & WITHDRAWN
    assert all(read_currency(code) == code for code in CURRENCIES | WITHDRAWN)
