"""Records of a text with separated values (RFC 4180), each with its line. Pure but for the text that is read.

A quote that is not closed properly costs its own line only: what was read behind it goes back, and reading goes on there.
"""

import csv
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import IO, Any, NamedTuple

DELIMITERS = ",;\t|"
LONGEST_LINE = 8 << 20
LONGEST_CELL = 1 << 20
SHOWN = 2000
MARK = "\ufeff"
_OPEN = re.compile(r' *"(?:[^"]++|"")*+')
END_OF_FILE = "\x1a"  # DOS programs write it behind the last line


class Record(NamedTuple):
    """The cells of a record, or the reason why there are none.

    Attributes:
        line: its last line; with a problem the line where that began.
        lines: how many lines it takes.
    """

    line: int
    cells: list[str]
    problem: str = ""
    text: str = ""
    lines: int = 1


class Lines:
    """The lines of a text one by one, with their number; some may be given back. Byte order marks in front are left out."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._back: list[str] = []
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        return line

    def begin(self) -> None:
        """A new record begins: what was taken before it cannot be given back any more."""
        self.taken = []

    def give_back(self, count: int) -> None:
        """Take the last lines back; they are read again."""
        if count:
            self._back += self.taken[: -count - 1 : -1]
            del self.taken[-count:]
            self.number -= count

    def _read(self) -> str:
        line = self._text.readline(LONGEST_LINE)
        if is_cut(line):
            while (rest := self._text.readline(LONGEST_LINE)) and rest[-1] not in "\r\n":
                pass
        if line == END_OF_FILE:
            return ""
        return line.lstrip(MARK) if line.startswith(MARK) else line


def records(lines: Lines, delimiter: str) -> Iterator[Record]:
    """The records from here on; blank lines are records without cells."""
    csv.field_size_limit(LONGEST_CELL)
    rows = _reader(lines, delimiter)
    while True:
        lines.begin()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield _mended(lines, delimiter)
            rows = _reader(lines, delimiter)
            continue
        if is_cut(lines.taken[-1]):
            yield Record(lines.number, [], f"it is longer than {LONGEST_LINE:,} characters", lines.taken[0][:SHOWN])
        elif len(lines.taken) == 1:
            yield Record(lines.number, cells)
        elif isinstance(read := parse("".join(lines.taken), delimiter), Fault):
            yield _refused(lines, read)
        else:
            yield Record(lines.number, cells, lines=len(lines.taken))


def is_cut(line: str) -> bool:
    """Whether a line goes on behind what was read of it."""
    return len(line) == LONGEST_LINE and line[-1] not in "\r\n"


def reread(lines: Lines, delimiter: str, width: int) -> Record | None:
    """The first line of a record over several lines as a fault, if each of them has all cells of a record by itself.

    Then the quote was not meant to go on: two quotes that are not closed look like one that is.
    """
    first, *others = lines.taken
    if first.count(delimiter) == width - 1 and all(_width(line, delimiter) == width for line in others):
        return _refused(lines, Fault(len(first) - 1))
    return None


def _width(line: str, delimiter: str) -> int:
    """How many cells a line has, whatever its quotes."""
    return len(next(csv.reader([line], delimiter=delimiter), []))


class Fault(NamedTuple):
    """A cell that is none: where in the text its quote opens, and whether it may be closed in a line behind the text."""

    opened: int
    open_end: bool = False


def parse(text: str, delimiter: str) -> list[str] | Fault:
    """The cells of one record; a cell in quotes must be closed, and nothing but spaces may stand behind it."""
    cell, position, opened = _cell(delimiter), 0, -1
    cells: list[str] = []
    while True:
        found = cell.match(text, position)
        if found is None:
            inside = _OPEN.match(text, position)
            return Fault(position if inside or opened < 0 else opened, inside is not None and inside.end() == len(text))
        if found[1] is not None and ("\n" in found[1] or "\r" in found[1]):
            opened = position
        cells.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        position = found.end()
        if position == len(text) or text[position] in "\r\n":
            return cells
        position += 1


@lru_cache
def _cell(delimiter: str) -> re.Pattern[str]:
    """One cell: in quotes, or without any."""
    end, pad = re.escape(delimiter), " *" if delimiter != " " else ""
    return re.compile(rf'{pad}(?:"((?:[^"]++|"")*+)"{pad}|([^"{end}\r\n]*))(?={end}|[\r\n]|\Z)')


def _reader(lines: Lines, delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")


def _mended(lines: Lines, delimiter: str) -> Record:
    """What a strict reader does not take: spaces behind a quote are none the worse, all else is a fault."""
    text = "".join(lines.taken)
    read = parse(text, delimiter)
    while isinstance(read, Fault) and read.open_end and len(text) < LONGEST_CELL and (line := next(lines, "")):
        text += line
        read = parse(text, delimiter) if '"' in line else read
    if isinstance(read, Fault):
        return _refused(lines, read)
    if any(len(cell) > LONGEST_CELL for cell in read):
        return Record(lines.number, [], f"a cell is longer than {LONGEST_CELL:,} characters", lines.taken[0][:SHOWN])
    return Record(lines.number, read, lines=len(lines.taken))


def _refused(lines: Lines, fault: Fault) -> Record:
    """A record whose quote is at fault. The lines behind the one where it opened are read again."""
    index = bisect_right(list(accumulate(map(len, lines.taken))), fault.opened)
    lines.give_back(len(lines.taken) - index - 1)
    problem = f"the quote that opens in line {lines.number} is not closed: double the quotes within a cell"
    return Record(lines.number, [], problem, "".join(lines.taken)[:SHOWN].rstrip("\r\n"), lines=len(lines.taken))
