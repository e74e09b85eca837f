"""Tables of every shape that exports have: what is read, what is refused, and with which line."""

import io
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import CdpError
from serving.imports.columns import Columns
from serving.imports.formulas import unreckoned
from serving.imports.mapping import Mapping, parse_mapping
from serving.imports.readers import SHORT, examine, read

ORDERS = """
name: orders
events:
  - event: Order Completed
    message_id: "o:{Order No}"
    time: {path: [Paid at, paid_at]}
    ids: [{type: user_id, path: Member}]
    properties: {order_id: Order No, total: {path: "Amount\\n(CNY)", as: number}, memo: {path: Memo, optional: true}}
"""
HEADER = 'Order No,Member,"Amount\n(CNY)",Paid at\n'
LINE = "{},m,10.50,2026-06-01"


def written(tmp_path: Path, text: str | bytes, name: str = "orders.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(path: Path, mapping: str = ORDERS, **options: Any) -> list[Any]:
    """What is read with a mapping: records, or line and problem."""
    found = read(examine(path, **options), Columns(parse_mapping(mapping, "orders.yaml")))
    return [row.record if row.record is not None else (row.line, row.problem) for row in found]


def numbers(path: Path, **options: Any) -> list[str]:
    return [row["Order No"] for row in rows(path, **options)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_names_with_line_breaks(tmp_path: Path, end: str) -> None:
    text = (HEADER + "1,m,10.50,2026-06-01\n2,m,1,2026-06-01\n").replace("\n", end)
    assert rows(written(tmp_path, text)) == [
        {"Order No": "1", "Member": "m", "Amount\n(CNY)": "10.50", "Paid at": "2026-06-01"},
        {"Order No": "2", "Member": "m", "Amount\n(CNY)": "1", "Paid at": "2026-06-01"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ['"Amount (CNY)"', "Amount\u00a0(CNY)", "\u200bAmount\u2060  (CNY)\u00a0", '"\ufeffAmount\r\n (CNY)"']
)
def test_names_may_differ_in_what_nobody_sees(tmp_path: Path, name: str) -> None:
    assert numbers(written(tmp_path, f"\ufeffOrder No,Member,{name},Paid at\n{LINE.format(1)}\n")) == ["1"]


@pytest.mark.parametrize("marks", ["\ufeff", "\ufeff\ufeff", "\ufeff\n\ufeff"])
def test_marks_in_front_of_anything(tmp_path: Path, marks: str) -> None:
    text = marks + HEADER.replace("Order No", '"Order No"') + "\ufeff" + LINE.format('"1"') + "\n"
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "gb18030"):
        assert numbers(written(tmp_path, text.encode(encoding), f"{encoding}.csv")) == ["1"], encoding
    records = written(tmp_path, '\ufeff\ufeff{"Order No": 1}\n\ufeff{"Order No": 2}\n', "a.jsonl")
    assert [row["Order No"] for row in rows(records)] == [1, 2]


def test_delimiters_behind_the_last_cell(tmp_path: Path) -> None:
    head = HEADER.rstrip("\n")
    text = f"{head},,\n{LINE.format(1)},\n{LINE.format(2)},,, \n{LINE.format(3)}\n{LINE.format(4)},,x\n"
    found = rows(written(tmp_path, text))
    assert [one["Order No"] for one in found[:3]] == ["1", "2", "3"]
    assert found[3] == (6, "it has 6 cells, and the header names 4 columns: 'x' is in none of them")
    assert set(found[0]) == {"Order No", "Member", "Amount\n(CNY)", "Paid at"}


def test_rows_whose_last_cells_are_missing(tmp_path: Path) -> None:
    path = written(
        tmp_path, HEADER.replace("Paid at", "Paid at,Memo,Shop") + f"{LINE.format(1)}\n{LINE.format(2)},a\n{LINE.format(3)},a,b\n"
    )
    assert [(row["Memo"], row["Shop"]) for row in rows(path)] == [("", ""), ("a", ""), ("a", "b")]
    assert [row.note for row in read(examine(path))] == [SHORT, SHORT, ""]


@pytest.mark.parametrize("line", ["sep=;", "\ufeffsep=;", '"sep=;"', "SEP=;", "sep=;;;;"])
def test_a_line_that_says_the_delimiter(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"{line}\r\n" + (HEADER + LINE.format(1) + "\n").replace(",", ";").replace("\n", "\r\n"))
    assert numbers(path) == ["1"]
    assert [row.line for row in read(examine(path))] == [4]


@pytest.mark.parametrize(
    "titles",
    ["Orders of June\n", 'Orders, of 24" things;;;\n\n', "Shop;North\nBy;Li\n,,,\n", "a\tb\tc\td\te\tf\n", '"Two\nlines"\n'],
)
def test_titles_above_the_header(tmp_path: Path, titles: str) -> None:
    path = written(tmp_path, titles + HEADER + f"{LINE.format(1)}\n{LINE.format(2)},,,oops\n")
    found, before = rows(path), titles.count("\n")
    assert found[0]["Order No"] == "1"
    assert found[1][0] == before + 4
    assert numbers(written(tmp_path, titles + HEADER + LINE.format(1)), header_row=before + 1) == ["1"]


def test_a_header_that_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "Order No,Member,Amount (CNY),Paid at\nNo,Who,What,When\n1,m,2,2026-06-01\n")
    assert len(rows(path)) == 2
    with pytest.raises(CdpError, match="line 2"):
        rows(path, header_row=2)
    with pytest.raises(CdpError, match="no header"):
        rows(path, header_row=9)


def test_columns_that_are_not_there_are_one_sentence(tmp_path: Path) -> None:
    path = written(tmp_path, "Title\nOrder no,Member,Sum,paid_at\n" + "1,m,2,2026-06-01\n" * 3000)
    with pytest.raises(CdpError) as error:
        rows(path)
    assert error.value.message == (
        "The header of orders.csv (line 2) has no column 'Order No' (did you mean 'Order no'?), 'Amount\\n(CNY)'; "
        "its columns are 'Order no', 'Member', 'Sum', 'paid_at'."
    )
    assert "--header-row" in error.value.remedy
    assert "optional: true" in error.value.remedy


@pytest.mark.parametrize(
    ("missing", "event"),
    [
        ("'x'", "when: {x: {present: true}}"),
        ("'x'", "when: [{x: 1}, {x: 2}]"),
        ("", "when: [{x: 1}, {a: 2}]"),
        ("", "when: {x: {present: false, optional: true}}"),
        ("'y'", "when: {x: {present: false, optional: true}}\n    properties: {y: y}"),
        ("", "when: {a: 1}\n    properties: {y: {path: y, optional: true}, n: {path: '@line'}, all: .}"),
        ("'y' or 'z'", "properties: {y: {path: [y, z]}}"),
        ("", "properties: {y: {path: [y, a]}}"),
        ("'y'", "properties: {y: {template: '{a}-{y}'}}"),
        ("'y'", "message_id: '{y}:{@line}'"),
        ("'y'", "time: y"),
        ("'y'", "properties: {y: {sum: y}}"),
        ("'y'", "channel: y"),
        ("'y'", "products: {each: y, fields: {sku: sku, o: ^.a}}"),
        ("'o'", "products: {each: a, fields: {sku: sku, o: ^.o}}"),
    ],
)  # fmt: skip
def test_which_columns_a_mapping_needs(tmp_path: Path, missing: str, event: str) -> None:
    mapping = f"name: t\nevents:\n  - event: E\n    ids: [{{type: user_id, path: a}}]\n    {event}"
    path = written(tmp_path, "a,b\n1,2\n")
    if not missing:
        assert len(rows(path, mapping)) == 1
        return
    with pytest.raises(CdpError) as error:
        rows(path, mapping)
    assert f"has no column {missing}; its columns are 'a', 'b'" in error.value.message


def test_an_event_whose_optional_condition_has_no_column_is_not_asked_for(tmp_path: Path) -> None:
    event = "  - event: E\n    when: {{{0}: {{present: true, optional: true}}}}\n    time: {0}\n"
    event += "    ids: [{{type: user_id, path: a}}]\n"
    path = written(tmp_path, "a,b\n1,2\n")
    assert len(rows(path, "name: t\nevents:\n" + event.format("b") + event.format("x"))) == 1
    with pytest.raises(CdpError, match="'x'"):  # nothing could ever come of it
        rows(path, "name: t\nevents:\n" + event.format("x"))


def test_an_unclosed_quote_costs_its_line_only(tmp_path: Path) -> None:
    path = written(
        tmp_path, HEADER + LINE.format(1) + '\n2,"m,1,2026-06-01\n' + "".join(LINE.format(n) + "\n" for n in range(3, 900))
    )
    found = rows(path)
    assert found[1] == (4, "the quote that opens in line 4 is not closed: double the quotes within a cell")
    assert [one["Order No"] for one in (found[0], *found[2:])] == ["1", *map(str, range(3, 900))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('1,"x,y\n2,"a",b\n3,a,b\n', [2, "2", "3"]),  # the next quote only seems to close it
        ('1,"x,y\n2,"",b\n3,"a",b\n', [2, "2", "3"]),
        ('"1","x",y"\n"2","a","b"\n', [{"a": "1", "b": "x", "c": 'y"'}, "2"]),
        ('"1","x","y\n"2","a","b"\n"3","a","b"\n', [2, "2", "3"]),
        ('1,"x,y\n2,a,24"\n3,a,b\n', [2, "2", "3"]),  # two quotes that are not closed look like one that is
        ('1,"x,y\n2,",a",b\n3,a,b\n', [2, {"a": "2", "b": ",a", "c": "b"}, "3"]),
        ('1,"x\ny",z\n2,"x\n', ["1", 4]),
        ('1,"x\n\ny","u\nv"\n2,a,b\n', ["1", "2"]),
        ('1,"x\ny","u\n2,a,b\n', [3, "2"]),
        ('1,"a" quoted" word",z\n2,a,b\n', [2, "2"]),
        ('1,"a" ,"b" \n2, "x, y",  b\n', [{"a": "1", "b": "a", "c": "b"}, {"a": "2", "b": "x, y", "c": "b"}]),
        ('1,24" wide,b\n', [{"a": "1", "b": '24" wide', "c": "b"}]),
        ('1,"",""\n', [{"a": "1", "b": "", "c": ""}]),
        ('1,"a""b",c\n', [{"a": "1", "b": 'a"b', "c": "c"}]),
    ],
)  # fmt: skip
def test_quotes(tmp_path: Path, text: str, expected: list[Any]) -> None:
    found = [row.line if row.record is None else row.record for row in read(examine(written(tmp_path, "a,b,c\n" + text)))]
    for one, wanted in zip(found, expected, strict=True):
        assert (one if isinstance(wanted, int | dict) else one["a"]) == wanted, found


def test_a_quote_in_the_header_that_is_not_closed(tmp_path: Path) -> None:
    for columns in (None, Columns(parse_mapping(ORDERS, "orders.yaml"))):
        with pytest.raises(CdpError, match=r"quote that opens in line 1 of orders\.csv is not closed"):
            list(read(examine(written(tmp_path, '"Order No,Member\n1,m\n2,m\n')), columns))


def test_a_line_that_is_not_to_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.imports.separated.LONGEST_LINE", 40)
    path = written(tmp_path, "a,b\n" + "x," * 60 + "\n1,2\n\x1a")
    assert [row.record or row.problem for row in read(examine(path))] == ["it is longer than 40 characters", {"a": "1", "b": "2"}]


def test_wide_texts_without_a_mark(tmp_path: Path) -> None:
    text = "订单编号,一\n1,一一\n"
    for encoding in ("utf-16-le", "utf-16-be"):
        path = written(tmp_path, text.encode(encoding))
        assert examine(path).encoding == encoding
        assert next(iter(read(examine(path)))).record == {"订单编号": "1", "一": "一一"}
    assert examine(written(tmp_path, b"a,b\n1,\x00\x00\x00\n")).encoding == "utf-8"


def test_sheets(tmp_path: Path) -> None:
    import openpyxl

    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    for row in (["Orders of June"], [], ["Order No ", "Member", "Amount\r\n(CNY)", "\u200bPaid at", None]):
        book.active.append(row)
    book.active.append([1, "m", 2.5, "2026-06-01", None, ""])
    book.active.append([2, "m", 2.5, "2026-06-01", None, "x"])
    book.active.append([3, "m", 2.5])
    book.save(path)
    found = rows(path)
    assert found[0] == {"Order No": 1, "Member": "m", "Amount\n(CNY)": 2.5, "Paid at": "2026-06-01"}
    assert found[1] == (5, "it has 6 cells, and the header names 4 columns: 'x' is in none of them")
    assert found[2]["Paid at"] is None
    assert rows(path, header_row=3) == found
    with pytest.raises(CdpError, match=r"\(row 1\)|\(line 1\)"):
        rows(path, header_row=1)


def test_parquet_columns_are_checked_too(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"u": ["1"], "o": [{"id": 1}]}), path)
    mapping = "name: t\nevents:\n  - event: E\n    ids: [{type: user_id, path: u}]\n    properties: {id: o.id, x: X.id}"
    with pytest.raises(CdpError, match=r"a\.parquet has no column 'X.id'; its columns are 'u', 'o'"):
        rows(path, mapping)
    assert len(rows(path, mapping.replace(", x: X.id", ""))) == 1


def test_fields_that_no_record_had() -> None:
    mapping: Mapping = parse_mapping(
        "name: t\neach: items\nevents:\n  - event: E\n    ids: [{type: user_id, path: ^.buyer.id}]\n"
        "    properties: {a: ^.a, b: {path: [^.b, ^.c]}, d: {path: ^.d, optional: true}, e: e, f: '^.l[].f', g: '^.l[0].g'}",
        "t.yaml",
    )
    unseen = Columns(mapping).unseen()
    unseen.look({"a": None, "buyer": {}})
    unseen.look({"c": 1, "items": [], "l": [{"g": 1}]})
    assert unseen.fields == ["'buyer.id'", "'l[].f'"]
    unseen.look({"buyer": {"id": 1}, "l": [{}, {"f": 1}]})
    assert unseen.fields == []


def workbook(tmp_path: Path, *sheets: tuple[str, list[list[Any]]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for state, lines in sheets:
        sheet = book.create_sheet()
        sheet.sheet_state = state
        for line in lines:
            sheet.append(line)
    book.active = next(index for index, (state, _) in enumerate(sheets) if state == "visible")
    path = tmp_path / "orders.xlsx"
    book.save(path)
    return path


NAMES = ["Order No", "Member", "Amount (CNY)", "Paid at"]


def test_formulas_that_nobody_reckoned_are_no_empty_cells(tmp_path: Path) -> None:
    """An order without a total would count, and nobody would know that it lacks its amount."""
    lines = [NAMES, ["1", "m", "=10+2.5", "2026-06-01"], ["2", "m", 12.5, "2026-06-01", None, "=1+1"], ["3", "m", 1, "=NOW()"]]
    found = rows(workbook(tmp_path, ("visible", lines)))
    problem = "its cell {} has a formula, and no value: open the file in a spreadsheet and save it"
    assert found[0] == (2, problem.format("C2"))
    assert found[1]["Order No"] == "2"  # behind the last column with a name a formula is nobody's
    assert found[2] == (4, problem.format("D4"))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('<c r="C2"><f>A1</f><v></v></c>', ["C2"]),
        ('<c s="1" r="AB12" t="n"><f t="shared" si="0"/></c>', ["AB12"]),
        ('<c r="C2"><f ca="1">1+1</f><v/></c><c r="D2"><v>1</v></c>', ["C2"]),
        ('<c r="C2" t="str"><f>""</f><v></v></c>', []),
        ('<c r="C2"><f>1+1</f><v>2</v></c>', []),
        ('<c r="C2" t="e"><f>1/0</f><v>#DIV/0!</v></c>', []),
        ('<c r="C2"/>', []),
    ],
)
def test_formulas_in_every_form(cell: str, expected: list[str]) -> None:
    for padding in (0, 1 << 20, (1 << 20) - 30):
        sheet = io.BytesIO((" " * padding + f"<row>{cell}</row>").encode())
        assert [one.name for one in unreckoned(sheet)] == expected
    assert next(unreckoned(io.BytesIO(b'<c r="AB12"><f>1</f></c>'))) == (12, 28, "AB12")


def test_hidden_sheets_are_not_the_first(tmp_path: Path) -> None:
    old, new = ([NAMES, [number, "m", 1, "2026-06-01"]] for number in ("old", "new"))
    assert numbers(workbook(tmp_path, ("hidden", old), ("veryHidden", old), ("visible", new))) == ["new"]
    assert numbers(workbook(tmp_path, ("hidden", old), ("visible", new)), sheet="Sheet") == ["old"]


@pytest.mark.parametrize("name", ["Müller", "Größe und Länge", "Zoë", "Söderström"])
def test_what_is_neither_utf_8_nor_chinese_is_an_error(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, (HEADER + f"1,{name},10.50,2026-06-01\n").encode("cp1252"))
    with pytest.raises(CdpError, match="does not look like Chinese") as error:
        rows(path)
    assert "--encoding cp1252" in error.value.remedy
    assert rows(path, encoding="cp1252")[0]["Member"] == name


@pytest.mark.parametrize("name", ["李娜", "李", "T恤 李娜", "朱镕基", "李娜 A座"])
def test_chinese_is_no_error(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, (HEADER + f"1,{name},10.50,2026-06-01\n").encode("gb18030"))
    assert rows(path)[0]["Member"] == name
