"""Fact rows into ClickHouse, each exactly once, without FINAL.

Every row carries its position in the log. Above the highest position that a table holds of a partition a row is new;
at or below it may be there already (a restart, a replay, an event that waited for a merge), and the table is asked.
"""

import io
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from cdp.errors import InvalidEvent
from cdp.events import Carving
from cdp.topics import Names
from sinks.carve import carve
from sinks.owner import reload
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
    new_rows,
    read_carving,
)
from sinks.tables import OVERRIDES, TABLES, ColumnKind, Table

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


class FactWriter:
    """Writes batches of records, one after the other; a failure to write is raised, and the batch comes again.

    Tables are written side by side: an insert is waiting for the most part.
    """

    def __init__(self, client: Client, database: str, names: Names) -> None:
        self._client = client
        self._database = database
        self._merges = names.merges
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
        rows, carvings = self._read(records)
        if rows[OVERRIDES.name]:
            self._override(rows[OVERRIDES.name])
        writing = {name: self._pool.submit(self._write, TABLES[name], rows[name]) for name in TABLES if rows[name]}
        wait(writing.values())  # a batch that comes again must not meet one that is still being written
        written = {name: future.result() for name, future in writing.items()}
        if carvings:
            carve(self._client, self._database, carvings, self._pool)
        return written

    def _read(self, records: Iterable[Record]) -> tuple[Rows, list[Carving]]:
        rows = new_rows()
        carvings: list[Carving] = []
        for value, topic, partition, offset in records:
            try:
                if topic == self._merges and (carving := read_carving(value or b"")) is not None:
                    carvings.append(carving)
                else:
                    self._adders[topic](rows, value or b"", partition, offset)
            except (msgspec.MsgspecError, InvalidEvent, UnicodeDecodeError) as error:
                add_unreadable(rows, value or b"", partition, offset, error)
        return rows, carvings

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
        for partition, doubtful in in_doubt.items():
            offsets = [row[-2] for row in doubtful]
            seen |= self._ask_positions(table, partition, min(offsets), max(offsets))
        new = []
        for row in rows:
            position = row[-3:]
            if position not in seen:
                seen.add(position)
                new.append(row)
        return new

    def _ask_highest(self, table: Table, partition: int) -> int:
        result = self._client.query(
            f"SELECT count(), max(source_offset) FROM {self._database}.{table.name} WHERE source_partition = {{p:UInt16}}",  # noqa: S608
            parameters={"p": partition},
        )
        count, highest = result.result_rows[0]
        return int(highest) if count else -1

    def _ask_positions(self, table: Table, partition: int, low: int, high: int) -> set[tuple[int, int, int]]:
        result = self._client.query(
            f"SELECT source_partition, source_offset, source_seq FROM {self._database}.{table.name} "  # noqa: S608
            "WHERE source_partition = {p:UInt16} AND source_offset BETWEEN {low:UInt64} AND {high:UInt64}",
            parameters={"p": partition, "low": low, "high": high},
        )
        return {(int(p), int(o), int(seq)) for p, o, seq in result.result_rows}


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
