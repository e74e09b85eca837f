"""Formulas of a workbook's sheet that nobody has reckoned: programs that write workbooks often leave that to Excel. Pure.

They look like empty cells to whoever reads values, and are none.
"""

import re
from collections.abc import Iterator
from typing import IO, NamedTuple

CHUNK = 1 << 20
_CELL = re.compile(rb"<c ([^>]*)>\s*<f\b[^>]*?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")
_PLACE = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_TEXT = re.compile(rb'\bt="str"')
_END = b"</c>"


class Cell(NamedTuple):
    """Where a cell stands, both counted from 1."""

    row: int
    column: int
    name: str


def unreckoned(sheet: IO[bytes]) -> Iterator[Cell]:
    """The cells with a formula and no value, in their order. One whose value is an empty text has one."""
    rest = b""
    while chunk := sheet.read(CHUNK):
        whole, end, rest = (rest + chunk).rpartition(_END)
        for found in _CELL.finditer(whole + end) if b"<f" in whole else ():
            place = _PLACE.search(found[1])
            if place and not _TEXT.search(found[1]):
                yield Cell(int(place[2]), _number(place[1]), (place[1] + place[2]).decode())


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
