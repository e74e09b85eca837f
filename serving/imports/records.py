"""The records of a file as a mapping takes them: columns checked, rows brought together, and what was noticed on the way."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from serving.imports.columns import Columns, Unseen
from serving.imports.group import grouped
from serving.imports.mapping import Mapping
from serving.imports.paths import parse_path
from serving.imports.readers import Row, Source, read

SHORT_ROWS = "short_rows"


class Records:
    """May be read once. What was noticed is known when it was read to its end."""

    def __init__(self, source: Source, mapping: Mapping) -> None:
        """Of a mapping whose paths can be read. An option goes before what the mapping says of the header."""
        self._source = replace(source, header_row=source.header_row or mapping.header)
        self._mapping, self._columns = mapping, Columns(mapping)
        self._unseen: Unseen | None = self._columns.unseen() if source.format == "jsonl" else None
        self.corrected: dict[str, int] = {}

    @property
    def unseen(self) -> list[str]:
        """Fields of the mapping that no record had; a table's columns were checked before the first record."""
        return self._unseen.fields if self._unseen else []

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows():
            if row.note:
                self.corrected[SHORT_ROWS] = self.corrected.get(SHORT_ROWS, 0) + 1
            if self._unseen is not None and row.record is not None:
                self._unseen.look(row.record)
            yield row

    def _rows(self) -> Iterator[Row]:
        read_ = partial(read, self._source, self._columns)
        if not self._mapping.group_by:
            return read_()
        by = [self._mapping.group_by] if isinstance(self._mapping.group_by, str) else self._mapping.group_by
        return grouped(read_, [parse_path(one) for one in by], self._columns.of_order - set(by), self._source.path.name)
