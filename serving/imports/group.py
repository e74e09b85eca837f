"""Bring the rows of a table that tell one thing, such as the lines of an order, together into one record.

The rows of one must stand together: then one of them at a time is in memory. Whether they do is found out first, by hashes.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import xxhash

from cdp.errors import CdpError
from serving.imports import convert
from serving.imports.mapping import ROWS
from serving.imports.paths import Path, Scope
from serving.imports.readers import Row

MOST_ROWS = 10_000
SHOWN = 5
Key = tuple[str, ...]


def grouped(read: Callable[[], Iterable[Row]], by: list[Path], of_order: set[str], file: str) -> Iterator[Row]:
    """One row for each group: what its rows say, and under ``rows`` all of them. `read` reads the file from its start.

    Columns `of_order` must say the same in all rows of a group, or nothing. A row that cannot be read may belong to the group
    before or behind it, so that these are refused as well. Raises CdpError if the rows of a group do not stand together.
    """
    _check_together(read, by, file)
    number, group, suspect = 0, _Group(0), 0
    for row in read():
        key, problem = _key(row, by, file)
        if problem or key != group.key:
            if group.rows:
                number += 1
                yield group.row(number, of_order, suspect or (row.line if problem else 0))
                suspect = 0
            group = _Group(row.line, key)
        if problem:
            number, suspect = number + 1, row.line
            yield row._replace(number=number, record=None, problem=problem, text=row.text or str(row.record)[:2000])
        else:
            group.add(row)
    if group.rows:
        yield group.row(number + 1, of_order, suspect)


class _Group:
    """Rows of one key, so far."""

    def __init__(self, line: int, key: Key | None = None) -> None:
        self.key, self.line, self.rows, self.count = key, line, list[Row](), 0

    def add(self, row: Row) -> None:
        self.count += 1
        if self.count <= MOST_ROWS:
            self.rows.append(row)

    def row(self, number: int, of_order: set[str], suspect: int) -> Row:
        """The group as one row, or why it is none."""
        last = self.rows[-1]
        records = [row.record for row in self.rows if row.record is not None]
        merged = merge(records)
        problem = self._problem(records, of_order, suspect)
        note = next((row.note for row in self.rows if row.note), "")
        if problem:
            return Row(number, self.line, None, problem, str(merged)[:2000], last.position)
        return Row(number, self.line, merged, position=last.position, note=note)

    def _problem(self, records: list[dict[str, Any]], of_order: set[str], suspect: int) -> str:
        if suspect:
            return f"line {suspect} beside it cannot be read, and may be one of its rows"
        if self.count > MOST_ROWS:
            return f"its group has {self.count:,} rows, more than {MOST_ROWS:,}"
        for name in records[0]:
            said = _said(records, name) if name in of_order else []
            if len(said) > 1:
                shown = ", ".join(str(value) for value in said[:SHOWN])
                return f"its rows say different things for {name}: {shown}. Add them up with `sum: {ROWS}[].{name}`, or take one"
        return ""


def merge(records: list[dict[str, Any]]) -> dict[str, Any]:
    """One record of several: of each column what is said first, and all of them under ``rows``."""
    merged = dict(records[0])
    for record in records[1:]:
        merged |= {name: value for name, value in record.items() if convert.says_nothing(merged.get(name))}
    return merged | {ROWS: records}


def _said(records: list[dict[str, Any]], name: str) -> list[Any]:
    """The different things that rows say in a column."""
    said: list[Any] = []
    for record in records:
        value = record.get(name)
        value = value.strip() if isinstance(value, str) else value
        if not convert.says_nothing(value) and value not in said:
            said.append(value)
    return said


def _key(row: Row, by: list[Path], file: str) -> tuple[Key | None, str]:
    """What a row is grouped by, or why it cannot be."""
    if row.record is None:
        return None, row.problem
    if ROWS in row.record:
        raise CdpError(f"{file} has a column named {ROWS!r}, as the rows of a group are called.", "Give it another name.")
    scope, key = Scope(row.record), []
    for path in by:
        try:
            found = path.find(scope)
            key.append("" if convert.is_silent(found) else convert.part(found))
        except ValueError as error:
            return None, f"it cannot be grouped by {path.text}: {error}"
    lacking = next((path.text for path, value in zip(by, key, strict=True) if not value), "")
    return (None, f"it has no {lacking}, by which rows are grouped") if lacking else (tuple(key), "")


def _check_together(read: Callable[[], Iterable[Row]], by: list[Path], file: str) -> None:
    """Whether the rows of each group stand together. Raises CdpError with the first that do not."""
    import numpy

    starts = array("Q", (_digest(key) for key, _ in _starts(read(), by, file)))
    sorted_ = numpy.sort(numpy.frombuffer(starts, dtype=numpy.uint64)) if starts else numpy.empty(0)
    again = set(sorted_[1:][sorted_[1:] == sorted_[:-1]].tolist())
    if not again:
        return
    first: dict[Key, int] = {}
    for key, line in _starts(read(), by, file):
        if _digest(key) not in again:
            continue
        if first.setdefault(key, line) != line:
            names = ", ".join(path.text for path in by)
            raise CdpError(
                f"The rows of {len(again):,} groups of {file} do not stand together; the first is {', '.join(key)}, "
                f"in lines {first[key]} and {line}.",
                f"Sort the file by {names}.",
            )


def _starts(rows: Iterable[Row], by: list[Path], file: str) -> Iterator[tuple[Key, int]]:
    """The key and the line wherever rows of another group begin."""
    before: Key | None = None
    for row in rows:
        key, problem = _key(row, by, file)
        if not problem and key is not None and key != before:
            yield key, row.line
            before = key


def _digest(key: Key) -> int:
    return xxhash.xxh3_64_intdigest(repr(key).encode("utf-8", "replace"))
