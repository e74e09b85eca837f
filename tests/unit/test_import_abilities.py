"""What mappings make of tables: orders of several rows, dates of several columns, parts of texts, page events."""

import json
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import CdpError, InvalidEvent
from serving.imports.apply import Mapper
from serving.imports.deliver import Link, Refused
from serving.imports.mapping import InvalidMapping, parse_mapping
from serving.imports.readers import examine
from serving.imports.records import Records
from serving.imports.run import Limits, import_file
from serving.imports.state import State
from tests.fake_collector import FakeCollector

LINES = """
name: lines
group_by: Order
events:
  - event: Order Completed
    message_id: "o:{Order}"
    time: Day
    ids: [{type: user_id, path: Member}]
    properties:
      order_id: Order
      total: {sum: "rows[].Amount"}
      first: "rows[0].SKU"
      shipping: {path: Shipping, as: number}
    products: {each: rows, fields: {sku: SKU, price: {path: Amount, as: number}, member: ^.Member}}
"""
HEADER = "Order,Day,Member,SKU,Amount,Shipping\n"


def table(tmp_path: Path, text: str, name: str = "lines.csv") -> Path:
    path = tmp_path / name
    path.write_text(HEADER + text)
    return path


def orders(path: Path, mapping: str = LINES) -> list[Any]:
    """Order, total and SKUs of each, or the line and the problem."""
    mapper = Mapper(parse_mapping(mapping, "lines.yaml"))
    found: list[Any] = []
    for row in Records(examine(path), mapper.mapping):
        if row.record is None:
            found.append((row.line, row.problem))
            continue
        (message,) = mapper.map(row.record, {"@line": row.line})
        said = message["properties"]
        found.append((said["order_id"], said["total"], [one["sku"] for one in said["products"]]))
    return found


def value(rule: str, record: dict[str, Any]) -> Any:
    text = f"name: t\nevents:\n  - event: E\n    ids: [{{type: user_id, value: u}}]\n    properties: {{v: {rule}}}"
    return Mapper(parse_mapping(text, "t.yaml"), "t.yaml").map(record)[0].get("properties", {}).get("v")


def test_rows_of_one_order_are_one_order(tmp_path: Path) -> None:
    text = "A,2026-06-01,m,a1,1,5\nA,2026-06-01,m,a2,2.5,\n\nB,2026-06-02,,b1,3,\nB,,m,b2,4,\nB,,,b3,5\nC,2026-06-03,m,c1,6,\n"
    path = table(tmp_path, text)
    assert orders(path) == [("A", 3.5, ["a1", "a2"]), ("B", 12, ["b1", "b2", "b3"]), ("C", 6, ["c1"])]
    mapper = Mapper(parse_mapping(LINES, "lines.yaml"))
    rows = list(Records(examine(path), mapper.mapping))
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 5), (3, 8)]
    message = mapper.map(rows[0].record)[0]
    assert message["properties"]["products"][1] == {"sku": "a2", "price": 2.5, "member": "m"}
    assert (message["properties"]["first"], message["properties"]["shipping"]) == ("a1", 5)


def test_rows_that_do_not_stand_together_are_one_error(tmp_path: Path) -> None:
    path = table(tmp_path, "A,2026-06-01,m,a,1,\nB,2026-06-01,m,b,1,\nA,2026-06-01,m,c,1,\n" + "C,2026-06-01,m,c,1,\n" * 3)
    with pytest.raises(CdpError) as error:
        orders(path)
    assert error.value.message == "The rows of 1 groups of lines.csv do not stand together; the first is A, in lines 2 and 4."
    assert error.value.remedy == "Sort the file by Order."
    both = LINES.replace("group_by: Order", "group_by: [Order, SKU]")
    assert [one[0] for one in orders(path, both)] == ["A", "B", "A", "C"]


def test_an_order_number_is_one_in_all_its_writings(tmp_path: Path) -> None:
    """Two halves of an order would be two messages of one id, of which only the first counts."""
    row = "{},2026-06-01,m,s,1,\n"
    text = "".join(map(row.format, ["298.0", "298", '"=""298"""', "'A-1", "A-1", "`B7", "B7"]))
    assert [one[:2] for one in orders(table(tmp_path, text))] == [("298", 3), ("A-1", 2), ("B7", 2)]
    with pytest.raises(CdpError, match="in lines 2 and 4"):
        orders(table(tmp_path, "".join(map(row.format, ["298.0", "A", "298"]))))


@pytest.mark.parametrize("lost", ["2.98877E+18", "#N/A", "#NV"])
def test_rows_with_a_ruined_order_number_are_no_order(tmp_path: Path, lost: str) -> None:
    row = "{},2026-06-01,m,s,1,\n"
    found = orders(table(tmp_path, "".join(map(row.format, ["A", "B", lost, lost, "C", "D"]))))
    assert [one[0] for one in found] == ["A", 3, 4, 5, 6, "D"]


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "A,2026-06-01,m,a,1,5\nA,2026-06-01,m,b,1,6\nB,2026-06-01,m,b,1,\n")
    found = orders(path)
    assert found[0] == (
        2,
        "its rows say different things for Shipping: 5, 6. Add them up with `sum: rows[].Shipping`, or take one",
    )
    assert found[1][0] == "B"
    assert [one[0] for one in orders(path, LINES.replace("path: Shipping", "path: 'rows[0].Shipping'"))] == ["A", "B"]


def test_a_row_that_cannot_be_read_makes_no_half_order(tmp_path: Path) -> None:
    """It may be a line of the order before it or behind it: had they counted, the mended file would not count any more."""
    row = "{},2026-06-01,m,s,1,\n"
    text = row.format("A") + row.format("B") + 'B,2026-06-01,m,"s,1,\n' + row.format("B") + row.format("C") + row.format("D")
    found = orders(table(tmp_path, text))
    assert [one[0] for one in found] == ["A", 3, 4, 5, "C", "D"]
    assert "line 4 beside it cannot be read" in found[1][1]
    found = orders(table(tmp_path, row.format("A") + row.format("") + row.format("C") + row.format("D")))
    assert [one[0] for one in found] == [2, 3, 4, "D"]
    assert found[1][1] == "it has no Order, by which rows are grouped"


def test_groups_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.imports.group.MOST_ROWS", 2)
    assert orders(table(tmp_path, "A,2026-06-01,m,a,1,\n" * 4)) == [(2, "its group has 4 rows, more than 2")]


def test_columns_of_grouped_rows_are_checked(tmp_path: Path) -> None:
    path = table(tmp_path, "A,2026-06-01,m,a,1,\n")
    for wrong, column in (
        ("sku: SKU", "sku: Sku"),
        ("rows[].Amount", "rows[].amount"),
        ("^.Member", "^.member"),
        ("group_by: Order", "group_by: Nr"),
    ):
        with pytest.raises(CdpError, match="has no column"):
            orders(path, LINES.replace(wrong, column))
    path.write_text("Order,rows\nA,1\n")
    with pytest.raises(CdpError, match="named 'rows'"):
        orders(path, "name: t\ngroup_by: Order\nevents:\n  - event: E\n    ids: [{type: user_id, path: Order}]")


def test_a_grouping_mapping_is_for_files() -> None:
    with pytest.raises(InvalidEvent, match="brings rows of files together"):
        Mapper(parse_mapping(LINES, "lines.yaml")).map({"Order": "A"})


def test_json_lines_are_grouped_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"Order": order, "Day": "2026-06-01", "Member": "m", "SKU": n, "Amount": n} for n, order in enumerate([1, 1, "1", 2], 1)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert orders(path) == [(1, 6, [1, 2, 3]), (2, 4, [4])]


def test_an_interrupted_import_of_orders_goes_on(tmp_path: Path) -> None:
    fake = FakeCollector()
    path = table(tmp_path, "".join(f"{n},2026-06-01,m,{line},1,\n" for n in range(9) for line in range(n % 3 + 1)) + '"x\n')
    mapper = Mapper(parse_mapping(LINES, "lines.yaml"))
    link = Link(fake.url, "wk", sleep=lambda _: None)

    def run() -> Any:
        state = State(tmp_path / "imports", "key")
        try:
            return import_file(examine(path), mapper, link, state, Limits(2, 100_000, 10_000))
        finally:
            state.close()

    fake.answers = [(200, {}), (200, {}), (401, {})]
    with pytest.raises(Refused):
        run()
    done = run()
    fake.close()
    assert (done.records, done.resumed_at, done.sent, done.events, done.rejected) == (10, 4, 4, 8, 2)
    assert [message["messageId"] for message in fake.taken] == [f"o:{n}" for n in range(8)]
    assert [json.loads(line)["line"] for line in Path(done.rejected_file).read_text().splitlines()] == [17, 20]


@pytest.mark.parametrize(
    ("rule", "record", "expected"),
    [
        ("{template: '{y}-{m}-{d}', as: date, format: '%Y-%m-%d'}", {"y": "1990", "m": "5", "d": "1"}, "1990-05-01"),
        ("{template: '{y}-{m}-{d}', as: date, format: '%Y-%m-%d'}", {"y": 1990.0, "m": 5, "d": "01"}, "1990-05-01"),
        ("{template: '{y}-{m}-{d}', as: date, format: '%Y-%m-%d'}", {"y": "1990", "m": "", "d": "1"}, None),
        ("{template: '{d} {t}', as: time, format: '%Y%m%d %H:%M', timezone: Asia/Shanghai}", {"d": "20260601", "t": "8:05"},
         "2026-06-01T00:05:00.000000Z"),
        ("{path: x, matching: '(.+)/(\\d+)', take: 2}", {"x": "Li Na/138"}, "138"),
        ("{path: x, matching: '(?P<name>.+)/(\\d+)', take: name}", {"x": "Li Na/138"}, "Li Na"),
        ("{path: x, matching: '(.+)/(\\d+)', take: 2, as: integer}", {"x": "Li Na/138"}, 138),
        ("{path: x, matching: '(.+)/(\\d+)', take: 2}", {"x": "Li Na"}, None),
        ("{path: x, matching: '(.+)/(\\d+)', take: 2, default: none}", {"x": "Li Na"}, "none"),
        ("{path: [x, y], matching: '(a)?b?(c)?', take: 2}", {"x": "a", "y": "bc"}, "c"),
        ("{path: x, matching: 'b+'}", {"x": "bb"}, "bb"),
        ("{path: x, split: '[;,]'}", {"x": "a; b,,c ;"}, ["a", "b", "c"]),
        ("{path: x, split: '\\|', as: number}", {"x": "1|2.5"}, [1, 2.5]),
        ("{path: x, split: ';'}", {"x": ""}, None),
    ],
)  # fmt: skip
def test_values_of_parts(rule: str, record: dict[str, Any], expected: Any) -> None:
    assert value(rule, record) == expected


def test_values_of_parts_that_cannot_be(tmp_path: Path) -> None:
    for rule, record in (
        ("{template: '{y}-{m}-{d}', as: date, format: '%Y-%m-%d'}", {"y": "1990", "m": "2", "d": "30"}),
        ("{path: x, split: ';', as: number}", {"x": "1;b"}),
        ("{path: x, split: ';'}", {"x": ";" * 1001}),
    ):
        with pytest.raises(InvalidEvent, match="cannot be used"):
            value(rule, record)
    for rule, key in (
        ("{path: x, matching: 'a', take: 1}", "take"), ("{path: x, matching: 'a', take: n}", "take"),
        ("{path: x, take: 1}", "take"), ("{path: x, split: '('}", "split"),
    ):  # fmt: skip
        with pytest.raises(InvalidMapping, match=key):
            value(rule, {})
    with pytest.raises(InvalidMapping, match="split"):
        Mapper(parse_mapping("name: t\nevents:\n  - event: E\n    ids: [{type: a, path: x, split: ';'}]", "t.yaml"), "t.yaml")


PAGES = """
name: t
events:
  - type: page
    event: {path: title}
    ids: [{type: anonymous_id, path: cookie}]
    time: at
    page: {url: url, path: path, referrer: ref, title: title, search: nothing}
    properties: {seconds: s}
"""


def test_page_events() -> None:
    record = {"title": "Home", "cookie": "c", "at": "2026-06-01", "url": "https://a.example/?q=1", "path": "/", "ref": "", "s": 3}
    (message,) = Mapper(parse_mapping(PAGES, "t.yaml")).map(record)
    assert (message["type"], message["name"], message["anonymousId"]) == ("page", "Home", "c")
    assert message["context"]["page"] == {"url": "https://a.example/?q=1", "path": "/", "title": "Home"}
    assert "event" not in message
    (message,) = Mapper(
        parse_mapping(PAGES.replace("    event: {path: title}\n", "").replace("type: page", "type: screen"), "t.yaml")
    ).map(record)
    assert (message["type"], "name" in message) == ("screen", False)
    with pytest.raises(InvalidMapping, match="page"):
        parse_mapping(PAGES.replace("search:", "color:"), "t.yaml")
