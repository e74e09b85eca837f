"""Random tables in every shape that is documented come out equal, and a broken row costs only itself."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.imports.columns import Columns
from serving.imports.mapping import parse_mapping
from serving.imports.readers import examine, read

NAMES = ["id", "sum\n(CNY)", "Name, full", "备注"]
MAPPING = """
name: t
events:
  - event: E
    ids: [{type: user_id, path: id}]
    properties: {sum: "sum\\n(CNY)", name: "Name, full", memo: 备注}
"""
COLUMNS = Columns(parse_mapping(MAPPING, "t.yaml"))

texts = st.text(alphabet="ab ,;|\t\"'\n0.备=", max_size=8).map(str.strip).filter(lambda text: len(text) < 6 or "\n" not in text)
cells = st.sampled_from(["", "12,50", 'say "hi"', "two\nlines", '24"', '"', "=1"]) | texts
rows = st.lists(st.tuples(st.integers(1, 9).map(str), cells, cells, cells).map(list), min_size=1, max_size=8)


@dataclass(frozen=True)
class Shape:
    """How a table is written."""

    delimiter: str
    end: str
    encoding: str
    mark: bool
    quote_all: bool
    spaces: bool
    trailing: int
    short: bool
    separator: bool
    titles: tuple[str, ...]
    last_end: bool


shapes = st.builds(
    Shape, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"]), st.booleans(), st.booleans(),
    st.booleans(), st.integers(0, 2), st.booleans(), st.booleans(),
    st.lists(st.sampled_from(["", "Report", "North; 2026", '24" screens', "a,b,c,d,e"]), max_size=3).map(tuple), st.booleans(),
)  # fmt: skip


def cell(shape: Shape, text: str) -> str:
    must = any(one in text for one in (shape.delimiter, '"', "\n", "\r"))
    quoted = '"' + text.replace('"', '""') + '"' if must or shape.quote_all else text
    return f" {quoted} " if shape.spaces and quoted.startswith('"') else quoted


def line(shape: Shape, row: list[str], *, header: bool = False) -> str:
    kept = list(row)
    while shape.short and not header and len(kept) > 1 and not kept[-1]:
        kept.pop()
    return shape.delimiter.join([cell(shape, one) for one in kept] + [""] * shape.trailing)


def written(shape: Shape, table: list[list[str]]) -> list[str]:
    """The lines of a table, breaks within cells as they are."""
    head = ["sep=" + shape.delimiter] if shape.separator else []
    return [*head, *shape.titles, line(shape, NAMES, header=True), *(line(shape, row) for row in table)]


def read_back(shape: Shape, lines: list[str]) -> tuple[list[list[str]], list[tuple[int, str]]]:
    text = ("\ufeff" if shape.mark else "") + shape.end.join(lines) + (shape.end if shape.last_end else "")
    encoding = shape.encoding
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(text.encode(encoding))
        found = list(read(examine(path), COLUMNS))
    good = [[str(row.record[name]).strip(" ") for name in NAMES] for row in found if row.record is not None]
    return good, [(row.line, row.problem) for row in found if row.record is None]


@settings(max_examples=400, deadline=None)
@given(shape=shapes, table=rows)
def test_every_shape_of_a_table_says_the_same(shape: Shape, table: list[list[str]]) -> None:
    assert read_back(shape, written(shape, table)) == (table, [])


BROKEN = ['9{d}"open', '9{d}"open{d}x{d}y', '9{d}"a"b{d}x{d}y', "9{d}a{d}b{d}c{d}{d}d{d}e", '"9{d}a{d}b{d}c']


@settings(max_examples=400, deadline=None)
@given(shape=shapes, table=rows, broken=st.sampled_from(BROKEN), data=st.data())
def test_a_broken_row_costs_only_itself(shape: Shape, table: list[list[str]], broken: str, data: st.DataObject) -> None:
    """Rows behind it have nothing in quotes, or everything: what is in between is taken for the end of an open quote."""
    plain = [[one.translate({ord(c): "_" for c in '\n"' + shape.delimiter}) for one in row] for row in table]
    at = data.draw(st.integers(0, len(table)))
    whole = written(shape, plain)
    first = len(whole) - len(plain)
    lines = [*whole[: first + at], broken.format(d=shape.delimiter), *whole[first + at :]]
    good, bad = read_back(shape, lines)
    assert good == plain
    breaks = sum(one.count("\n") for one in whole[:first])
    assert [number for number, _ in bad] == [first + at + 1 + breaks]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_row_of_many(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    header = line(Shape(",", "\n", "utf-8", False, False, False, 0, False, False, (), True), NAMES, header=True)
    path.write_text("\n".join([header, *["1,2,3,4"] * 5000, broken.format(d=","), *["1,2,3,4"] * 5000]))
    found = list(read(examine(path), COLUMNS))
    assert [row.line for row in found if row.record is None] == [5003]
    assert len(found) == 10_001
