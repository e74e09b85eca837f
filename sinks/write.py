"""Fact rows into ClickHouse, each exactly once, without FINAL.

Every row carries its position in the log. Above the highest position that a table holds of a partition a row is new;
at or below it may be there already (a restart, a replay, an event that waited for a merge), and the table is asked.
"""

import io
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from cdp.errors import InvalidEvent
from cdp.events import Assignment
from cdp.topics import Names
from sinks.owner import OF_PARTS, reload
from sinks.reassign import assign, retract
from sinks.rows import (
    Adder,
    Rows,
    add_action,
    add_change,
    add_dead_letter,
    add_delivery,
    add_fact,
    add_item,
    add_override,
    add_unreadable,
    is_obsolete,
    new_rows,
    read_assignment,
    read_retraction,
)
from sinks.tables import ARRIVED, OVERRIDES, TABLES, ColumnKind, Table

log = logging.getLogger(__name__)

Record = tuple[bytes | None, str, int, int]
Row = tuple[Any, ...]

_TYPES: dict[ColumnKind, Callable[[], pa.DataType]] = {
    "time": lambda: pa.timestamp("us", tz="UTC"),
    "u8": pa.uint8,
    "u16": pa.uint16,
    "u32": pa.uint32,
    "u64": pa.uint64,
    "i32": pa.int32,
    "i64": pa.int64,
}
_SETTINGS = {
    "async_insert": 0,
    "input_format_arrow_allow_missing_columns": 0,
    "max_partitions_per_insert_block": 0,  # event times are the clients'; a refused block would come again for ever
}


@dataclass
class _Changes:
    """What a batch changes of facts that are written already."""

    assignments: list[Assignment] = field(default_factory=list)
    retracted: set[tuple[int, int]] = field(default_factory=set)

    def take_merge(self, value: bytes) -> bool:
        """A record of `merges`. Returns whether it is about facts, not about people."""
        assignment = read_assignment(value)
        if assignment is not None:
            self.assignments.append(assignment)
        return assignment is not None or is_obsolete(value)


class FactWriter:
    """Writes batches of records, one after the other; a failure to write is raised, and the batch comes again.

    Tables are written side by side: an insert is waiting for the most part.
    """

    def __init__(self, client: Client, database: str, names: Names) -> None:
        self._client = client
        self._database = database
        self._merges = names.merges
        self._facts = names.facts
        self._highest: dict[tuple[str, int], int] = {}
        self._pool = ThreadPoolExecutor(len(TABLES), "tables")
        self._adders: dict[str, Adder] = {
            names.facts: add_fact,
            names.changes: add_change,
            names.merges: add_override,
            names.actions: add_action,
            names.deliveries: add_delivery,
            names.dead_letters: add_dead_letter,
            names.items: add_item,
        }

    def process(self, records: Iterable[Record]) -> dict[str, int]:
        """Write what is new of a batch; returns the number of rows written, by table."""
        rows, changes = self._read(records)
        if rows[OVERRIDES.name]:
            self._override(rows[OVERRIDES.name])
        writing = {name: self._pool.submit(self._write, TABLES[name], rows[name]) for name in TABLES if rows[name]}
        wait(writing.values())  # a batch that comes again must not meet one that is still being written
        written = {name: future.result() for name, future in writing.items()}
        self._note_arrived(rows[ARRIVED.name])
        if changes.assignments:
            assign(self._client, self._database, changes.assignments, self._pool)
        if changes.retracted:
            retract(self._client, self._database, changes.retracted, self._pool)
        return written

    def _read(self, records: Iterable[Record]) -> tuple[Rows, _Changes]:
        rows, changes = new_rows(), _Changes()
        for value, topic, partition, offset in records:
            try:
                if not (topic == self._merges and changes.take_merge(value or b"")):
                    self._adders[topic](rows, value or b"", partition, offset)
                if topic == self._facts and (position := read_retraction(value or b"")) is not None:
                    changes.retracted.add(position)
            except (msgspec.MsgspecError, InvalidEvent, UnicodeDecodeError) as error:
                add_unreadable(rows, value or b"", partition, offset, error)
        return rows, changes

    def _write(self, table: Table, rows: list[Row]) -> int:
        new = self._only_new(table, rows)
        if new:
            self._insert(table, new)
            for row in new:
                key = (table.name, row[-3])
                self._highest[key] = max(self._highest[key], row[-2])
        return len(new)

    def _override(self, rows: list[Row]) -> None:
        """Lead facts to other people until this is squashed. Written twice it says the same."""
        self._insert(OVERRIDES, rows)
        reload(self._client, self._database)

    def _note_arrived(self, positions: list[Row]) -> None:
        """Say how far facts can be read, now that the batch is complete."""
        newest: dict[int, int] = {}
        for partition, offset in positions:
            newest[partition] = max(offset, newest.get(partition, -1))
        if newest:
            self._insert(ARRIVED, sorted(newest.items()))

    def _insert(self, table: Table, rows: list[Row]) -> None:
        self._client.raw_insert(
            f"{self._database}.{table.name}",
            column_names=[name for name, _ in table.columns],
            insert_block=to_arrow(table, rows),
            settings=_SETTINGS,
            fmt="ArrowStream",
        )

    def _only_new(self, table: Table, rows: list[Row]) -> list[Row]:
        """Leave out what the table holds already, and what comes twice in the batch."""
        for partition in {row[-3] for row in rows}:
            if (table.name, partition) not in self._highest:
                self._highest[table.name, partition] = self._ask_highest(table, partition)
        in_doubt: dict[int, list[Row]] = {}
        for row in rows:
            if row[-2] <= self._highest[table.name, row[-3]]:
                in_doubt.setdefault(row[-3], []).append(row)
        seen: set[tuple[int, int, int]] = set()
        retracted: set[tuple[int, int]] = set()
        for partition, doubtful in in_doubt.items():
            offsets = [row[-2] for row in doubtful]
            written, *taken_out = (self._ask_positions(name, partition, min(offsets), max(offsets)) for name in _tables_of(table))
            seen |= written
            retracted |= {(p, o) for some in taken_out for p, o, _ in some}
        new = []
        for row in rows:
            position = row[-3:]
            if position not in seen and position[:2] not in retracted:
                seen.add(position)
                new.append(row)
        return new

    def _ask_highest(self, table: Table, partition: int) -> int:
        rows = " UNION ALL ".join(
            f"SELECT source_offset FROM {self._database}.{name} WHERE source_partition = {{p:UInt16}}"  # noqa: S608 - constants
            for name in _tables_of(table)
        )
        result = self._client.query(f"SELECT count(), max(source_offset) FROM ({rows})", parameters={"p": partition})  # noqa: S608
        count, highest = result.result_rows[0]
        return int(highest) if count else -1

    def _ask_positions(self, table: str, partition: int, low: int, high: int) -> set[tuple[int, int, int]]:
        result = self._client.query(
            f"SELECT source_partition, source_offset, source_seq FROM {self._database}.{table} "  # noqa: S608 - a constant
            "WHERE source_partition = {p:UInt16} AND source_offset BETWEEN {low:UInt64} AND {high:UInt64}",
            parameters={"p": partition, "low": low, "high": high},
        )
        return {(int(p), int(o), int(seq)) for p, o, seq in result.result_rows}


def _tables_of(table: Table) -> tuple[str, ...]:
    """Where positions of a table's rows are found: facts may have been taken out again, as repetitions."""
    return (table.name, TABLES["duplicates"].name) if table.name in OF_PARTS else (table.name,)


def to_arrow(table: Table, rows: list[Row]) -> bytes:
    """Rows as an Arrow stream."""
    columns = list(zip(*rows, strict=True))
    arrays = [_column(kind, values) for (_, kind), values in zip(table.columns, columns, strict=True)]
    batch = pa.record_batch(arrays, names=[name for name, _ in table.columns])
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, batch.schema) as stream:
        stream.write_batch(batch)
    return buffer.getvalue()


def _column(kind: ColumnKind, values: tuple[Any, ...]) -> pa.Array:
    if kind == "text":
        return pa.array(values, pa.binary() if isinstance(values[0], bytes) else pa.string())
    if kind in ("money", "quantity"):
        return _decimal(values, 4)
    return pa.array(values, _TYPES[kind]())


def _decimal(values: tuple[int, ...], scale: int) -> pa.Array:
    """Integers of 1/10**scale as decimals, without a Python object for each: the low and high half of 128 bits."""
    halves = np.empty((len(values), 2), dtype=np.int64)
    halves[:, 0] = values
    halves[:, 1] = halves[:, 0] >> 63
    return pa.Array.from_buffers(pa.decimal128(18, scale), len(values), [None, pa.py_buffer(halves.tobytes())])
