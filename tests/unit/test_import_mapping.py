"""The mapping language, and every shipped mapping's examples."""

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cdp.errors import InvalidEvent
from cdp.events import is_order
from cdp.orders import parse_order
from cdp.settings import Settings
from serving.imports import convert
from serving.imports.apply import Mapper
from serving.imports.find import SHIPPED, Mappers, NoMapping, all_mappings, find_mapping, mapper_of
from serving.imports.mapping import EventRule, Example, InvalidMapping, Kind, Mapping, Value, load_mapping, parse_mapping
from serving.imports.models import Member, Order, OrderStatus

SHIPPED_MAPPINGS = [load_mapping(file) for file in sorted(SHIPPED.glob("*.yaml"))]
EXAMPLES = [(mapping, example) for mapping in SHIPPED_MAPPINGS for example in mapping.examples]

BASIC = """
name: t
timezone: Asia/Shanghai
events:
  - event: E
    ids: [{type: user_id, path: u}]
"""


def mapper(events: str, head: str = "name: t\n") -> Mapper:
    return Mapper(parse_mapping(f"{head}events:\n{events}", "t.yaml"), "t.yaml")


def first(properties: str, record: dict[str, Any]) -> dict[str, Any]:
    made = mapper(f"  - event: E\n    ids: [{{type: user_id, value: u}}]\n    properties: {{{properties}}}").map(record)
    return dict(made[0].get("properties", {}))


def test_the_shipped_mappings_are_there() -> None:
    assert [m.name for m in SHIPPED_MAPPINGS] == ["jd", "shopify", "tmall", "wechat-miniprogram", "youzan"]
    for mapping in SHIPPED_MAPPINGS:
        assert mapping.description
        named = {event["event"] for example in mapping.examples for event in example.events}
        assert {"Order Completed", "Order Refunded", "Order Cancelled"} <= named, mapping.name


@pytest.mark.parametrize(("mapping", "example"), EXAMPLES, ids=[f"{m.name}: {e.title}" for m, e in EXAMPLES])
def test_every_example_of_a_shipped_mapping(mapping: Mapping, example: Example) -> None:
    made = Mapper(mapping).map(example.input)
    for message in made:
        assert message["context"].pop("library")["name"] == "cdp-import"
        assert message.pop("originalTimestamp") == message["timestamp"]
    assert made == example.events
    for message in made:
        if is_order(message["type"], message["event"]):
            parse_order(message["event"], msgspec.json.encode(message["properties"]))


def test_masked_and_encrypted_phones_are_nobodys() -> None:
    ids = "  - event: E\n    ids: [{type: phone, path: p}, {type: email, path: e}, {type: open_id, path: o}]"
    for phone in ("138****5678", "*******5678", "$eTS8t8hAECdXKgNtV6DIfw==$1$", "1380000xxxx", ""):
        made = mapper(ids).map({"p": phone, "e": "a***@example.com", "o": 7})
        assert made[0]["context"]["externalIds"] == [{"type": "open_id", "id": "7"}], phone
    made = mapper(ids).map({"p": "+86 138-0000-0000", "e": "a@example.com"})
    assert [one["type"] for one in made[0]["context"]["externalIds"]] == ["phone", "email"]
    traits = "  - type: identify\n    ids: [{type: user_id, path: u}]\n    traits: {phone: p, name: n}"
    assert mapper(traits).map({"u": "1", "p": "138****5678", "n": "Li"})[0]["traits"] == {"name": "Li"}


def test_values() -> None:
    record = {
        "a": " 1,200.50 ",
        "f": 7.0,
        "c": "255",
        "b": "是",
        "m": "2",
        "n": None,
        "d": {"x.y": 1},
        "x.y": 2,
        "l": [1, {"k": "v"}],
    }
    assert first("v: {path: a, as: number}", record) == {"v": 1200.5}
    assert first("v: {path: f, as: text}, w: f", record) == {"v": "7", "w": 7}
    assert first("v: {path: c, as: cents}", record) == {"v": 2.55}
    assert first("v: {path: b, as: boolean}", record) == {"v": True}
    assert first("v: {path: m, map: {'2': two}}, w: {path: c, map: {'2': two}}", record) == {"v": "two", "w": "255"}
    assert first("v: {path: c, map: {'2': two}, strict: true, default: other}", record) == {"v": "other"}
    assert first("v: {path: [n, missing, c]}, w: n, x: {path: n, default: 0}", record) == {"v": "255", "x": 0}
    assert first("v: x.y, w: 'l[1].k', x: 'l[9]', y: d.x", record) == {"v": 2, "w": "v"}
    assert first("v: {template: '{c}-{f}'}, w: {template: '{c}-{n}'}", record) == {"v": "255-7"}
    assert first("'*': d, v: {value: 1}", record) == {"x.y": 1, "v": 1}
    assert first("v: {path: [c, m], matching: '.'}", record) == {"v": "2"}


def test_sums() -> None:
    record = {"t": [{"k": "r", "a": "1.10"}, {"k": "r", "a": 2.2}, {"k": "x", "a": 9}, {"k": "r", "a": None}], "e": []}
    assert first("v: {sum: 't[].a', as: number}", record) == {"v": 12.3}
    assert first("v: {sum: 't[].a', where: {k: r}, as: number}", record) == {"v": 3.3}
    assert first("v: {sum: 'e[].a', as: number}, w: {sum: 'missing[].a', as: number}", record) == {}


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("2026-06-01 08:00:00", "", "2026-06-01T00:00:00.000000Z"),
        ("2026-06-01T08:00:00Z", "", "2026-06-01T08:00:00.000000Z"),
        ("2026/06/01 08:00:00", "", "2026-06-01T00:00:00.000000Z"),
        ("01.06.2026 08:00", ", format: '%d.%m.%Y %H:%M'", "2026-06-01T00:00:00.000000Z"),
        ("2026-06-01 08:00", ", timezone: UTC", "2026-06-01T08:00:00.000000Z"),
        (1780300000, "", "2026-06-01T07:46:40.000000Z"),
        ("1780300000123", "", "2026-06-01T07:46:40.123000Z"),
        (1780300000123456, ", unit: us", "2026-06-01T07:46:40.123456Z"),
        (datetime(2026, 6, 1, 8, tzinfo=UTC), "", "2026-06-01T08:00:00.000000Z"),
        (datetime(2026, 6, 1, 8), "", "2026-06-01T00:00:00.000000Z"),
        (date(2026, 6, 1), "", "2026-05-31T16:00:00.000000Z"),
    ],
)
def test_times(value: Any, options: str, expected: str) -> None:
    text = f"  - event: E\n    ids: [{{type: user_id, value: u}}]\n    time: {{path: t{options}}}"
    made = mapper(text, "name: t\ntimezone: Asia/Shanghai\n").map({"t": value})
    assert (made[0]["timestamp"], made[0]["originalTimestamp"]) == (expected, expected)


def test_dates_are_of_the_zone() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    assert convert.day("2026-06-01T20:00:00Z", [], "", zone) == "2026-06-02"
    assert convert.day(date(1990, 5, 1), [], "", zone) == "1990-05-01"
    assert convert.day("1990-05-01", [], "", zone) == "1990-05-01"


def test_days_without_a_zone_are_the_workspaces() -> None:
    text = (
        "name: t\nevents:\n  - type: identify\n    ids: [{type: user_id, value: u}]\n    traits: {birthday: {path: b, as: date}}"
    )
    record = {"b": "1990-04-30T16:00:00.000Z"}
    for said, day in (("", "1990-05-01"), ("timezone: UTC\n", "1990-04-30")):
        (made,) = Mapper(parse_mapping(said + text, "t.yaml"), "t.yaml", "Asia/Shanghai").map(record)
        assert made["traits"] == {"birthday": day}


def test_a_mapping_says_what_the_comma_is() -> None:
    properties = (
        "    properties: {v: {path: a, as: number}, w: {path: a, as: number, decimal: point}, x: {sum: 'l[]', as: cents}}"
    )
    event = f"  - event: E\n    ids: [{{type: user_id, value: u}}]\n{properties}"
    record = {"a": "1.250", "l": ["1.000,50", 7.5]}
    assert mapper(event, "name: t\ndecimal: comma\n").map(record)[0]["properties"] == {"v": 1250, "w": 1.25, "x": 10.08}
    with pytest.raises(InvalidEvent, match=r"l\[\] cannot be used: '1.000,50' is not a number: the comma"):
        mapper(event).map(record)
    above = mapper("  - event: E\n    ids: [{type: user_id, value: u}]\n    when: {a: {above: 2}}", "name: t\ndecimal: comma\n")
    assert [bool(above.map({"a": a})) for a in ("2,5", "1,5", "2.5")] == [True, False, False]


def test_serials_are_days_where_the_mapping_says_so() -> None:
    assert first("v: {path: d, as: date, unit: serial}, w: {path: d, as: time, unit: serial}", {"d": "45981"}) == {
        "v": "2025-11-20", "w": "2025-11-20T00:00:00.000000Z",
    }  # fmt: skip
    with pytest.raises(InvalidEvent, match="unit: serial"):
        first("v: {path: d, as: date}", {"d": "45981"})


IDS = """
  - event: E
    message_id: 'm:{o}:{d}'
    ids: [{type: user_id, path: [u, v]}]
    properties: {order_id: o, sku: {path: s, as: text}}"""


def test_ids_lose_what_a_spreadsheet_put_around_them() -> None:
    record = {"u": "#N/A", "v": "'M-7", "o": '="2988"', "d": date(2026, 11, 20), "s": "\ufeff4006381333931.0\t"}
    (made,) = mapper(IDS).map(record)
    assert (made["messageId"], made["userId"]) == ("m:2988:2026-11-20", "M-7")
    assert made["properties"] == {"order_id": "2988", "sku": "4006381333931"}
    assert mapper(IDS).map(record | {"o": 2988})[0]["properties"]["order_id"] == 2988
    notes = {"a": "'til tomorrow", "b": "`13900019003", "c": "#REF!", "d": "#REF!", "e": "3E+10"}
    assert first("a: {path: a, as: text}, b: {path: b, as: text}, c: {path: c, as: text}, d: d, e: e", notes) == {
        "a": "'til tomorrow", "b": "13900019003", "e": "3E+10",
    }  # fmt: skip


def test_a_ruined_contact_identifies_nobody_and_costs_nothing_else() -> None:
    ids = "  - event: E\n    ids: [{type: phone, path: p}, {type: email, path: e}, {type: open_id, path: o}]"
    made = mapper(ids).map({"p": "1.39E+10", "e": "#N/A", "o": 7})
    assert made[0]["context"]["externalIds"] == [{"type": "open_id", "id": "7"}]


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"o": "2.98877E+18"}, "o", "the digits are lost"), ({"o": 2.98877e18}, "o", "2\\^53"), ({"u": True}, "u", "not an id"),
        ({"u": "1.00E+15"}, "u", "scientific notation"), ({"s": date(2026, 3, 4)}, "s", "a spreadsheet makes one"),
        ({"o": "#N/A"}, "o", "has no o"), ({"s": "1.5E+10"}, "s", "scientific notation"),
    ],
)  # fmt: skip
def test_ruined_ids_are_refused(change: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidEvent, match=says) as caught:
        mapper(IDS).map({"u": "M-7", "o": "2988", "d": 1, "s": "A"} | change)
    assert caught.value.field in (field, "u, v")


def test_a_spreadsheets_error_is_no_amount() -> None:
    with pytest.raises(InvalidEvent, match="a spreadsheet's error"):
        first("v: {path: a, as: number}", {"a": "#DIV/0!"})


def test_conditions() -> None:
    def made(when: str, record: dict[str, Any]) -> bool:
        return bool(mapper(f"  - event: E\n    ids: [{{type: user_id, value: u}}]\n    when: {when}").map(record))

    assert made("{s: [1, '2']}", {"s": 1.0})
    assert made("{s: '1'}", {"s": 1})
    assert not made("{s: [1]}", {"s": None})
    assert made("{s: {present: false}}", {"s": ""})
    assert not made("{s: {present: true}}", {"s": []})
    assert made("{s: {not: [a, b]}}", {"s": "c"})
    assert made("{n: {above: 0}}", {"n": "0.01"})
    assert not made("{n: {above: 0}}", {"n": "x"})
    assert made("{s: {matching: 'A.*'}}", {"s": "ABC"})
    assert made("{'l[].k': r}", {"l": [{"k": "x"}, {"k": "r"}]})
    assert made("{'l[].k': {present: false}}", {"l": [{"k": None}]})
    assert made("[{a: 1}, {b: 2}]", {"b": 2})
    assert not made("{a: 1, b: 2}", {"b": 2})


def test_each_and_what_is_around() -> None:
    text = (
        "name: t\neach: orders\nevents:\n  - event: E\n    each: refunds\n    message_id: '{^.^.shop}:{^.id}:{id}'\n"
        "    ids: [{type: user_id, path: ^.u}]\n    products:\n"
        "      {each: lines, when: {q: {above: 0}}, fields: {sku: s, refund: ^.id}}\n"
    )
    record = {
        "shop": "S",
        "orders": [{"id": 1, "u": "a", "refunds": [{"id": 9, "lines": [{"s": "x", "q": 1}, {"s": "y", "q": 0}]}]}],
    }
    (made,) = Mapper(parse_mapping(text, "t.yaml")).map(record)
    assert made["messageId"] == "S:1:9"
    assert made["properties"]["products"] == [{"sku": "x", "refund": 9}]


def test_a_list_may_be_as_php_writes_it() -> None:
    text = "  - event: E\n    ids: [{type: user_id, path: u}]\n    products: {each: l, fields: {sku: s}}"
    (made,) = mapper(text).map({"u": "a", "l": {"1": {"s": "x"}, "3": {"s": "y"}}})
    assert made["properties"]["products"] == [{"sku": "x"}, {"sku": "y"}]


def test_message_ids_follow_from_the_record() -> None:
    basic = Mapper(parse_mapping(BASIC, "t.yaml"))
    one, same, other = (basic.map(r)[0]["messageId"] for r in ({"u": "1", "x": 2}, {"x": 2, "u": "1"}, {"u": "1", "x": 3}))
    assert one == same != other
    lined = mapper("  - event: E\n    message_id: 'f:{@line}'\n    ids: [{type: user_id, path: u}]")
    assert lined.map({"u": "1"}, {"@line": 7})[0]["messageId"] == "f:7"
    long = mapper("  - event: E\n    message_id: 'f:{u}'\n    ids: [{type: user_id, value: u}]").map({"u": "x" * 300})[0]
    assert len(long["messageId"]) < 100


@pytest.mark.parametrize(
    ("record", "reason", "field"),
    [
        ([], "not_an_object", ""),
        ({"t": 1780300000, "n": 1}, "missing_field", "id"),
        ({"id": 1, "n": 1}, "missing_field", "t"),
        ({"id": 1, "t": "soon", "n": 1}, "invalid_value", "t"),
        ({"id": 1, "t": 1780300000, "n": "many"}, "invalid_value", "n"),
        ({"id": 1, "t": 1780300000}, "missing_field", "n"),
        ({"id": 1, "t": 1780300000, "n": 1, "u": " "}, "missing_identifier", "ids"),
        ({"id": 1, "t": 1780300000, "n": 1, "u": "x" * 600}, "invalid_value", "ids.user_id"),
        ({"id": 1, "t": 1780300000, "n": 1, "u": {"a": 1}}, "invalid_value", "u"),
        ({"id": 1, "t": 1780300000, "n": 1, "u": "a", "l": {}}, "invalid_value", "l"),
    ],
)
def test_what_cannot_be_mapped_says_why(record: Any, reason: str, field: str) -> None:
    text = (
        "  - event: E\n    message_id: 'm:{id}'\n    time: t\n    ids: [{type: user_id, path: u}]\n"
        "    properties: {n: {path: n, as: integer, required: true}}\n    products: {each: l, fields: {sku: s}}"
    )
    with pytest.raises(InvalidEvent) as caught:
        mapper(text).map(record)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not YAML"),
        ("[]", "Expected `object`"),
        ("name: t\nevents: []", "key events: must have"),
        ("name: T!\nevents: [{event: E, ids: [{type: a, path: b}]}]", "key name"),
        ("name: t\nevents: [{ids: [{type: a, path: b}]}]", "key events[0].event"),
        ("name: t\nevents: [{event: E, ids: []}]", "key events[0].ids"),
        ("name: t\nevents: [{event: E, ids: [{type: 'a b', path: b}]}]", "key events[0].ids[0].type"),
        ("name: t\nevents: [{event: E, ids: [{type: a, path: b}], propertys: {}}]", "unknown field `propertys`"),
        ("name: t\nevents: [{event: E, ids: [{type: a, path: b, as: money}]}]", "key events[0].ids[0].as"),
        ("name: t\nevents: [{event: E, ids: [{type: a}]}]", "key events[0].ids[0]: takes one of path"),
        ("name: t\nevents: [{event: E, ids: [{type: a, path: 'b[x]'}]}]", "key events[0].ids[0]: the path 'b[x]'"),
        ("name: t\nevents: [{event: E, ids: [{type: a, path: b, matching: '('}]}]", "is not a regular expression"),
        ("name: t\ntimezone: Mars\nevents: [{event: E, ids: [{type: a, path: b}]}]", "unknown time zone 'Mars'"),
        ("name: t\nevents: [{event: E, ids: [{type: a, path: b}], when: {s: {}}}]", "key events[0].when.s"),
        ("name: t\nevents: [{event: E, ids: [{type: a, path: b}], time: {path: t, unit: h}}]", "key events[0].time.unit"),
        ("name: t\n? [a]\n: 1", "is not"),
    ],
)
def test_mistakes_in_a_mapping_name_file_and_key(text: str, says: str) -> None:
    with pytest.raises(InvalidMapping) as caught:
        Mapper(parse_mapping(text, "my.yaml"), "my.yaml")
    assert "my.yaml" in str(caught.value)
    assert says in str(caught.value)


def test_numbers_keep_their_digits() -> None:
    assert convert.number("9007199254740993") == 9007199254740993
    assert convert.number("0.1") == 0.1
    assert convert.number(Decimal("12345678901234567.25")) == "12345678901234567.25"
    for wrong in ("1e999999999", "NaN", "inf", "1_0", "", None, True, math.inf, "1" * 500):
        with pytest.raises(ValueError, match="is not a number"):
            convert.number(wrong)


def test_own_mappings_go_before_the_shipped_ones(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    own = tmp_path / "mappings"
    own.mkdir()
    (own / "tmall.yaml").write_text(BASIC)
    (own / "t.yaml").write_text(BASIC)
    assert find_mapping(settings, "tmall").parent == own
    assert [(m.name, shipped) for m, shipped in all_mappings(settings)][-2:] == [("wechat-miniprogram", True), ("youzan", True)]
    known = Mappers(settings)
    assert known.get("t").map({"u": "1"})[0]["event"] == "E"
    (own / "t.yaml").write_text(BASIC.replace("event: E", "event: Other"))
    import os

    os.utime(own / "t.yaml", ns=(1, 1))
    assert known.get("t").map({"u": "1"})[0]["event"] == "Other"
    for name in ("nothing", "../t", ""):
        with pytest.raises(NoMapping):
            known.get(name)
    assert mapper_of(settings, str(own / "t.yaml")).mapping.name == "t"


DOCS = (Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(name: .*?)^```$", DOCS, re.MULTILINE | re.DOTALL))
def test_the_mappings_in_the_docs_do_what_they_say(text: str) -> None:
    mapping = parse_mapping(text, "docs")
    assert mapping.examples
    for example in mapping.examples:
        made = Mapper(mapping).map(example.input)
        for message in made:
            message["context"].pop("library")
            message.pop("originalTimestamp")
        assert made == example.events


@pytest.mark.parametrize("struct", [Mapping, EventRule, Value, Order, Member])
def test_everything_that_may_be_said_is_documented(struct: Any) -> None:
    names = [f.encode_name for f in msgspec.structs.fields(struct)] if issubclass(struct, msgspec.Struct) else struct.model_fields
    for name in names:
        assert f"`{name}`" in DOCS, name


def test_every_shipped_mapping_and_status_is_documented() -> None:
    for name in [*(m.name for m in SHIPPED_MAPPINGS), *get_args(OrderStatus), *get_args(Kind)]:
        assert f"`{name}`" in DOCS, name
    reasons = {
        reason
        for path in Path(convert.__file__).parent.glob("*.py")
        for reason in re.findall(r'(?:InvalidEvent\(\s*|RefusedError\(\s*\d+,\s*|code=)"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert {"missing_field", "too_many_items", "in_progress"} <= reasons
    for reason in reasons:
        assert f"`{reason}`" in DOCS, reason


def test_a_contact_that_cannot_be_read_never_costs_an_order() -> None:
    text = """  - event: Order Completed
    message_id: "m:{o}"
    ids: [{type: user_id, path: u}, {type: phone, path: p}]
    properties: {order_id: {path: o, as: text}}"""
    (made,) = mapper(text).map({"o": "7", "u": {"id": 1}, "p": "13900019001"})
    assert made["context"]["externalIds"] == [{"type": "phone", "id": "13900019001"}]
    assert ([one["field"] for one in made["warnings"]], made["context"]["ids_left_out"]) == (["u"], ["u"])
    (guest,) = mapper(text).map({"o": "7", "u": ["a"], "p": "x" * 600})
    assert guest["context"]["externalIds"] == [{"type": "order_id", "id": "7"}]
    for other in (text.replace("Order Completed", "Product Viewed"), text.replace("path: u}", "path: u, required: true}")):
        with pytest.raises(InvalidEvent):
            mapper(other).map({"o": "7", "u": {"id": 1}, "p": "13900019001"})


def test_two_fields_are_compared() -> None:
    def holds(condition: str, **record: Any) -> bool:
        when = f"{{a: {condition}}}"
        return bool(mapper(f"  - event: E\n    ids: [{{type: user_id, value: u}}]\n    when: {when}").map(record))

    assert [holds("{same_as: b}", a=a, b=b) for a, b in ((1, "1"), ("x", "y"), (None, None), (None, "x"))] == [
        True,
        False,
        True,
        False,
    ]
    assert [holds("{other_than: b}", a=a, b=b) for a, b in ((1, "1"), ("x", "y"), (None, "x"))] == [False, True, True]
    assert not holds("{other_than: b, present: true}", a=None, b="x")
    with pytest.raises(InvalidMapping, match="not both"):
        holds("{same_as: b, other_than: c}")


def test_an_amount_in_another_currency() -> None:
    text = """  - event: E
    ids: [{type: user_id, value: u}]
    properties: {x: {path: a, times: [none, eur], over: usd, as: number}}"""
    assert mapper(text).map({"a": "5.50", "eur": 100, "usd": "109.9"})[0]["properties"] == {"x": 5}
    assert "properties" not in mapper(text).map({"eur": 100, "usd": 110})[0]
    for wrong in ({"usd": 1}, {"eur": 1, "usd": 0}, {"eur": "x", "usd": 1}):
        with pytest.raises(InvalidEvent) as caught:
            mapper(text).map({"a": 5} | wrong)
        assert caught.value.field == "a"
    with pytest.raises(InvalidMapping, match="together"):
        mapper(text.replace(", over: usd", ""))


def test_one_refund_by_three_ways_counts_once() -> None:
    """An SDK's message, `/v1/orders` and Shopify's webhook tell one refund of an order."""
    from profiles.components.orders.state import ORDERS
    from serving.imports.orders import order_messages
    from tests.shop import Harness, make_event, make_person, tags_of

    shopify = Mapper(load_mapping(SHIPPED / "shopify.yaml"))
    order = {
        "order_id": "7", "status": "paid", "placed_at": "2026-06-01T08:00:00Z", "currency": "USD", "total": 100,
        "refunds": [{"refund_id": "9", "amount": 10, "refunded_at": "2026-06-02T08:00:00Z"}],
    }  # fmt: skip
    webhook = {
        "id": 9, "order_id": 7, "created_at": "2026-06-02T08:00:00Z",
        "transactions": [{"kind": "refund", "status": "success", "amount": "10.00", "currency": "USD"}],
    }  # fmt: skip
    sdk = {"event": "Order Refunded", "messageId": "sdk", "properties": {"order_id": "7", "refund_id": 9, "total": 10}}
    messages = [*order_messages(order), *shopify.map(webhook), sdk]
    assert [message["event"] for message in messages].count("Order Refunded") == 3
    for some in permutations(messages):
        profile = Harness().apply(
            make_person(), *(make_event(one["messageId"], one["event"], properties=one["properties"]) for one in some)
        )
        assert (profile.whole.get(ORDERS).by_id["7"].refunded, tags_of(profile)["order_amount"]) == (100_000, 90)


@pytest.mark.parametrize(
    ("traits", "problem"),
    [
        ("since: {path: s, as: time, format: '%Y-%m-%d %H:%M %p'}", "traits.since.format: '%Y-%m-%d %H:%M %p': %I"),
        ("since: {path: s, as: date, format: ['%Y-%m-%d', '%m-%d']}", "traits.since.format: '%m-%d' must say a year"),
        ("birthday: {path: s, as: date, format: '%m/%d/%y'}", "traits.birthday.format: %y does not say the century"),
    ],
)
def test_formats_are_checked_when_the_mapping_is_read(traits: str, problem: str) -> None:
    with pytest.raises(InvalidMapping, match=re.escape(problem)):
        mapper(f"  - type: identify\n    ids: [{{type: user_id, path: u}}]\n    traits: {{{traits}}}")
