"""Find the header of a table among its first rows. Pure.

Without a mapping it is the first row. With one it is the first that has all columns which the mapping needs: what stands
above are titles. If no row has them all, that is an error about the row that comes nearest.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cdp.errors import CdpError
from serving.imports.columns import INVISIBLE, Columns, in_header, refusal
from serving.imports.separated import DELIMITERS, Fault, Lines, parse

LOOKED_AT = 20
LONGEST_HEADER = 20  # lines: a name may have line breaks
_SEPARATOR = re.compile(r'"?sep=(.)"?\1*\s*', re.IGNORECASE)
_EDGES = re.compile(rf"^[\s{INVISIBLE}]+|[\s{INVISIBLE}]+$")
_BREAK = re.compile(r"\r\n?")


class Header(NamedTuple):
    """A row that may name the columns: its line, the last line of it, its names, and what they are separated by.

    No names: a quote in it is not closed.
    """

    line: int
    end: int
    names: list[str]
    delimiter: str = ""


def choose(candidates: Iterable[Header], columns: Columns | None, file: str) -> Header:
    """The header. Raises CdpError if there is none, if it lacks columns, or if two have one name."""
    nearest: tuple[int, Header] | None = None
    unclosed = 0
    for one in candidates:
        if not one.names:
            unclosed = unclosed or one.line
            continue
        lacking = len(columns.missing(in_header(one.names))) if columns else 0
        if nearest is None or lacking < nearest[0]:
            nearest = lacking, one
        if not lacking:
            break
    if nearest is None:
        if unclosed:
            raise _unclosed(file, unclosed)
        raise CdpError(f"{file} has no header.", "The first line must name the columns.")
    lacking, found = nearest
    if unclosed and unclosed < found.line and (lacking or not columns):
        raise _unclosed(file, unclosed)
    named = [name for name in found.names if name]
    if columns:
        check(columns, named, file, line=found.line)
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise CdpError(f"{file} has two columns named {twice!r}.", "Give each column a name of its own.")
    return found._replace(names=[name or f"column {index}" for index, name in enumerate(found.names, start=1)])


def _unclosed(file: str, line: int) -> CdpError:
    return CdpError(f"The quote that opens in line {line} of {file} is not closed.", "Mend the row that names the columns.")


def check(columns: Columns, names: list[str], file: str, *, line: int = 0, nested: bool = False) -> None:
    """Raises CdpError if a mapping needs columns that are not there."""
    missing = columns.missing(in_header(names, nested=nested))
    if missing:
        where = f"The header of {file} (line {line})" if line else file
        remedy = "Correct the mapping's paths, mark what a file may lack with `optional: true`, "
        raise refusal(missing, names, where, remedy + "or say where the header is with --header-row." if line else "")


def in_text(lines: Lines, delimiter: str, row: int, columns: Columns | None) -> Iterator[Header]:
    """What may be the header of a text: with `row` what begins in that line, else each of the first lines that is not blank.

    A line ``sep=;``, as Excel reads it, says the delimiter. The caller gives the lines back behind the header.
    """
    taken: list[str] = []
    for number in range(row or 1, (row or LOOKED_AT) + 1):
        _take(lines, taken, number)
        if number > len(taken):
            return
        if number == 1 and not row and (said := _SEPARATOR.fullmatch(taken[0])):
            delimiter = delimiter or said[1]
            continue
        text, end = taken[number - 1], number
        while text.count('"') % 2 and end < number + LONGEST_HEADER:
            _take(lines, taken, end + 1)
            if end == len(taken):
                break
            text, end = text + taken[end], end + 1
        for one in [delimiter] if delimiter else _delimiters(text):
            names = parse(text, one)
            cleaned = [] if isinstance(names, Fault) else clean(names, columns)
            if cleaned or isinstance(names, Fault):
                yield Header(number, end, cleaned, one)


def in_rows(rows: list[tuple[Any, ...]], row: int, columns: Columns | None) -> Iterator[Header]:
    """What may be the header of a sheet, whose first rows these are."""
    for number, cells in enumerate(rows, start=1):
        if row in (0, number) and (names := clean(cells, columns)):
            yield Header(number, number, names)


def clean(cells: Iterable[Any], columns: Columns | None) -> list[str]:
    """The names of columns as they are used: without what nobody sees around them; unnamed last columns are none."""
    names = ["" if cell is None else _EDGES.sub("", _BREAK.sub("\n", str(cell))) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return [columns.spell(name) for name in names] if columns else names


def sniff(header: str) -> str:
    """The delimiter of a header line: the one that is there most often, outside of quotes."""
    return _delimiters(header)[0]


def _delimiters(text: str) -> list[str]:
    """Delimiters by how often they are there outside of quotes; of those that are not, only the first."""
    outside = "".join(text.split('"')[::2])
    found = sorted(DELIMITERS, key=outside.count, reverse=True)
    return [one for one in found if one == found[0] or one in outside]


def _take(lines: Lines, taken: list[str], count: int) -> None:
    while len(taken) < count and (line := next(lines, "")):
        taken.append(line)
