"""Repair rules: small, forgiving with messages, strict with themselves."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from serving.dead_letters.rule import Operation, repair

RULE = TypeAdapter(list[Operation])

MESSAGE = {
    "event": "Order Completed",
    "properties": {"total": "¥1,234.50", "products": [{"price": "1.5"}, {"price": "x"}, {}]},
    "a.b": 1,
}


def fixed(*operations: dict[str, Any], message: Any = MESSAGE) -> Any:
    return repair(message, RULE.validate_python(list(operations)))


def test_cast_reads_numbers_as_people_write_them() -> None:
    assert fixed({"op": "cast", "path": "properties.total", "to": "number"})["properties"]["total"] == 1234.5
    prices = fixed({"op": "cast", "path": "properties.products[*].price", "to": "number"})["properties"]["products"]
    assert prices == [{"price": 1.5}, {"price": "x"}, {}]
    for given, to, wanted in [
        ("7", "integer", 7), ("7.0", "integer", 7), ("7.5", "integer", 7.5), ("-3", "number", -3), (True, "number", True),
        (12, "text", "12"), (12.0, "text", "12"), (False, "text", "false"), ("Yes", "yes_no", True), (0, "yes_no", False),
        ("maybe", "yes_no", "maybe"), (None, "number", None), ([1], "text", [1]), ("1e5", "number", "1e5"),
        ("1.234,50", "number", "1.234,50"), ("12,50", "number", "12,50"), ("1,234", "number", 1234), ("CNY 5", "number", 5),
        ("5.00元", "number", 5.0), ("$-.5", "number", -0.5), ("five 5", "number", "five 5"),
        ("12,50", "comma_number", 12.5), ("1.234,50", "comma_number", 1234.5), ("7", "comma_number", 7),
        ("1,234.50", "comma_number", "1,234.50"), (5, "comma_number", 5), ("9" * 70, "number", "9" * 70),
    ]:  # fmt: skip
        assert fixed({"op": "cast", "path": "v", "to": to}, message={"v": given})["v"] == wanted, (given, to)


def test_set_makes_the_way_remove_and_rename_do_not_mind_what_is_not_there() -> None:
    assert fixed({"op": "set", "path": "context.device.type", "value": "ios"})["context"] == {"device": {"type": "ios"}}
    assert fixed({"op": "set", "path": "properties.products[3]", "value": {"price": 2}})["properties"]["products"][3] == {
        "price": 2
    }
    assert fixed({"op": "set", "path": "properties.products[9]", "value": 1}) == MESSAGE
    assert fixed({"op": "set", "path": "event.x", "value": 1}) == MESSAGE
    assert fixed({"op": "remove", "path": "nothing.here[0]"}) == MESSAGE
    assert fixed({"op": "remove", "path": r"a\.b"}).keys() == {"event", "properties"}
    assert fixed({"op": "remove", "path": "properties.products[*]"})["properties"]["products"] == []
    renamed = fixed({"op": "rename", "path": "properties.total", "to": "properties.money.total"})["properties"]
    assert renamed["money"] == {"total": "¥1,234.50"}
    assert "total" not in renamed
    assert fixed({"op": "rename", "path": "properties.products[0].price", "to": "price"})["price"] == "1.5"
    assert fixed({"op": "rename", "path": "properties", "to": "event.inside"}) == MESSAGE  # there is no way there


@pytest.mark.parametrize(
    ("message", "path", "to", "wanted"),
    [
        ({"a": 1}, "a", "a", {"a": 1}), ({"a": 1}, "a", "a.b", {"a": {"b": 1}}), ({"a": 1}, "a", "a[0]", {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, "a", "a.b", {"a": {"b": {"b": 1, "c": 2}}}),
        ({"a": [1, 2]}, "a[0]", "a[1]", {"a": [2, 1]}), ({"a": [1, 2]}, "a[0]", "a[2]", {"a": [1, 2]}),
        ({"a": [1, 2]}, "a[1]", "b", {"a": [1], "b": 2}), ([1, {"x": 2}], "[1].x", "[1].y", [1, {"y": 2}]),
        ({r"a.b\\": 1}, r"a\.b\\\\", "c", {"c": 1}),
    ],
)  # fmt: skip
def test_rename_moves_a_value_or_leaves_it_where_it_is(message: Any, path: str, to: str, wanted: Any) -> None:
    assert fixed({"op": "rename", "path": path, "to": to}, message=message) == wanted


def test_the_message_itself_stays() -> None:
    before = repr(MESSAGE)
    fixed({"op": "remove", "path": "properties"}, {"op": "set", "path": "event", "value": "x"})
    assert repr(MESSAGE) == before
    assert fixed({"op": "set", "path": "x", "value": 1}, message="text") == "text"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "set", "path": "a..b"}, {"op": "set", "path": ".a"}, {"op": "set", "path": "a[x]"}, {"op": "set", "path": "a["},
        {"op": "set", "path": "]"}, {"op": "set", "path": "a\\"}, {"op": "set", "path": ".".join("a" * 40)},
        {"op": "cast", "path": "a"}, {"op": "cast", "path": "a", "to": "date"}, {"op": "rename", "path": "a"},
        {"op": "rename", "path": "a[*]", "to": "b"}, {"op": "rename", "path": "a", "to": "b[*]"},
        {"op": "remove", "path": "a", "to": "b"}, {"op": "set", "path": ""}, {"op": "drop", "path": "a"},
    ],
)  # fmt: skip
def test_a_wrong_rule_is_refused_whatever_the_message(operation: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        fixed(operation, message={})
    assert caught.value.errors()[0]["loc"][0] == 0


def test_nesting_without_end_is_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RecursionError):
        fixed({"op": "set", "path": "a", "value": deep}, message={})
