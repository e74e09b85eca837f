"""What a dry run says of columns: the problem, how often, an example, and the line to write."""

from datetime import date
from typing import Any

import pytest

from serving.imports.mapping import parse_mapping
from serving.imports.suspect import Columns, Use, look

MAPPING = """
name: t
timezone: Asia/Shanghai
events:
  - event: Order Completed
    message_id: "t:{nr}"
    time: {path: paid}
    ids: [{type: user_id, path: member}, {type: phone, path: phone}]
    properties:
      {order_id: {path: nr, as: text}, total: {path: total, as: number}, tax: tax, memo: memo, made: {path: made, as: date}}
  - type: identify
    ids: [{type: user_id, path: member}]
    traits: {birthday: born, since: {path: since, as: date, unit: serial}}
"""
CLEAN = {
    "nr": "2988", "paid": "2026-11-20 10:00", "member": "M-7", "phone": "13900019003", "total": "1,234.50", "tax": 1.5,
    "memo": "12,50", "made": "20261120", "born": "1990-05-01", "since": "32994",
}  # fmt: skip


def said(*changes: dict[str, Any]) -> list[str]:
    columns = Columns(parse_mapping(MAPPING, "t.yaml"))
    for change in changes:
        columns.add(CLEAN | change)
    return [str(one) for one in columns.suspicions()]


def test_nothing_is_said_of_clean_columns() -> None:
    assert said(*[{}] * 5) == []


@pytest.mark.parametrize(
    ("change", "problem", "fix"),
    [
        ({"total": "12,50"}, "total: 1 of 2 values have a decimal comma, such as '12,50'", "`decimal: comma`"),
        ({"tax": "12,50"}, "tax: 1 of 2 values have a decimal comma", "`as: number`"),
        ({"total": "1.23E+05"}, "total: 1 of 2 values are in scientific notation", "digits are lost"),
        ({"total": "#REF!"}, "total: 1 of 2 values are a spreadsheet's errors", "Mend"),
        ({"paid": "45981.4"}, "paid: 1 of 2 values look like a spreadsheet's serials", "`unit: serial`"),
        ({"made": 45981}, "made: 1 of 2 values look like a spreadsheet's serials", "`unit: serial`"),
        ({"made": "1990"}, "made: 1 of 2 values look like years", "as: integer"),
        ({"paid": "20.11.2026 10:00"}, "paid: 1 of 2 values do not begin with the year", '`format: "%d.%m.%Y"`'),
        ({"paid": "11/20/2026"}, "paid: 1 of 2 values do not begin with the year", '`format: "%m/%d/%Y"`'),
        ({"paid": "2026112010"}, "paid: 1 of 2 values may be a day with its hour", "`unit: s`"),
        ({"made": "0"}, "made: 1 of 2 values are 0", "empty"),
        ({"nr": "2.98877E+18"}, "nr: 1 of 2 values are numbers that a spreadsheet has ruined", "as text"),
        ({"nr": 2.98877e18}, "nr: 1 of 2 values are numbers that a spreadsheet has ruined", "as text"),
        ({"nr": '="2988"'}, "nr: 1 of 2 values have a guard", "read without"),
        ({"member": "`77"}, "member: 1 of 2 values have a guard", "read without"),
        ({"phone": "13900019003.0"}, "phone: 1 of 2 values end in .0", "read without"),
        ({"nr": date(2026, 3, 4)}, "nr: 1 of 2 values are dates", "3-4"),
        ({"born": 32994}, "born: 1 of 2 values are no birthdays", "as: date"),
    ],
)
def test_what_looks_wrong_is_said_once_with_the_fix(change: dict[str, Any], problem: str, fix: str) -> None:
    (only,) = said({}, change)
    assert only.startswith(problem)
    assert fix in only


def test_what_the_mapping_says_is_not_suspected() -> None:
    comma = Columns(parse_mapping(MAPPING.replace("timezone", "decimal: comma\ntimezone", 1), "t.yaml"))
    comma.add(CLEAN | {"total": "1.234,50"})
    assert comma.suspicions() == []
    comma.add(CLEAN)
    assert [one.problem for one in comma.suspicions()] == ["have a decimal point"]


def test_the_columns_of_order_lines_are_looked_at_too() -> None:
    text = """
name: t
group_by: nr
events:
  - event: Order Completed
    ids: [{type: user_id, path: member}]
    properties: {order_id: nr, total: {sum: "rows[].sum"}}
    products: {each: rows, fields: {sku: sku, price: {path: price, as: number}, nr: ^.nr}}
"""
    columns = Columns(parse_mapping(text, "t.yaml"))
    for _ in range(2_000):
        columns.add({"nr": "1", "rows": [{"sku": "1E+15", "price": "12,50", "sum": "3"}, {"sku": "a", "sum": "1,5"}]})
    assert [(one.column, one.found, one.of) for one in columns.suspicions()] == [
        ("sum", 500, 1_000), ("sku", 500, 1_000), ("price", 1_000, 1_000),
    ]  # fmt: skip


def test_whole_columns() -> None:
    rounded = [{"nr": "2988765432100000000"}, {"nr": "2988765432100010000"}]
    assert said(*rounded, {"nr": "2988765432100001111"}) == []
    assert "16th" in said({"nr": "2988765432100000000"}, {"nr": "2988765432100010000"[:15] + "0000"})[0]
    assert "read as thousands" in said({"total": "1,234"}, {"total": "2,250"}, {"total": "1,500"})[0]
    assert said({"total": "1,234"}, {"total": "2,250"}, {"total": "15"}) == []


def test_a_thousand_records_are_looked_at() -> None:
    assert said(*[{}] * 1_000, {"total": "12,50"}) == []
    assert look("c", [], [Use("number")]) == []
