"""Whatever record or mapping comes: the mapping language raises its own errors and nothing else."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import InvalidEvent
from serving.imports.apply import Mapper
from serving.imports.find import SHIPPED
from serving.imports.mapping import InvalidMapping, load_mapping, parse_mapping
from serving.imports.orders import member_messages, order_messages

MAPPERS = [Mapper(load_mapping(file)) for file in sorted(SHIPPED.glob("*.yaml"))]
ORDER = {
    "order_id": "1", "status": "paid", "placed_at": "2026-06-01T12:00:00Z", "currency": "CNY", "total": 1,
    "customer": {"member_id": "M"}, "lines": [{"sku": "s", "price": 1}], "refunds": [{"refund_id": 1, "refunded_at": 1780300000}],
}  # fmt: skip
MEMBER = {"member_id": "M", "traits": {"birthday": "1990-05-01"}, "registered_at": "2026-06-01T12:00:00Z", "registered": True}

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.datetimes()
    | st.sampled_from(["1e99999", "2026-06-01", "0001-01-01 00:00:00", "138****1234", "-1", "\ud800", "9" * 5000, "١٢"])
)  # fmt: skip
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12
)


def paths(value: Any) -> list[list[Any]]:
    found: list[list[Any]] = [[]]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += [[key, *rest] for rest in paths(child)]
    return found


def replaced(value: Any, path: list[Any], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_records_are_mapped_or_refused(data: st.DataObject) -> None:
    mapper = data.draw(st.sampled_from(MAPPERS))
    record = data.draw(st.sampled_from([example.input for example in mapper.mapping.examples]))
    for _ in range(data.draw(st.integers(1, 3))):
        record = replaced(record, data.draw(st.sampled_from(paths(record))), data.draw(anything))
    try:
        messages = mapper.map(record)
    except InvalidEvent as error:
        assert error.reason
        return
    for message in messages:
        assert message["messageId"]
        msgspec.json.encode(message)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_orders_and_members_are_converted_or_refused(data: st.DataObject) -> None:
    whole, convert = data.draw(st.sampled_from([(ORDER, order_messages), (MEMBER, member_messages)]))
    item = replaced(whole, data.draw(st.sampled_from(paths(whole))), data.draw(anything))
    try:
        messages = convert(item)
    except InvalidEvent as error:
        assert error.reason
        return
    assert messages


@pytest.mark.parametrize("traits", [{"x": "\ud800"}, {"\udfff": 1}])
def test_traits_that_cannot_be_json_are_refused(traits: dict[str, object]) -> None:
    with pytest.raises(InvalidEvent, match="traits"):
        member_messages(MEMBER | {"traits": traits})


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_mappings_say_what_is_wrong(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([file.read_text(encoding="utf-8")[:3000] for file in sorted(SHIPPED.glob("*.yaml"))]))
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=6)) + text[at + data.draw(st.integers(0, 6)) :]
    try:
        Mapper(parse_mapping(text, "m.yaml"), "m.yaml")
    except InvalidMapping as error:
        assert "m.yaml" in str(error)


@pytest.mark.parametrize("deep", [400, 900])
def test_deep_records_are_refused_or_mapped(deep: int) -> None:
    record: Any = {"u": "1"}
    for _ in range(deep):
        record = {"a": record}
    text = "name: t\nevents:\n  - event: E\n    ids: [{type: user_id, value: u}]\n    properties: {'*': a}"
    try:
        Mapper(parse_mapping(text, "t.yaml")).map(record)
    except InvalidEvent as error:
        assert error.reason == "too_deep"
