"""Facts count in other parts from now on, or are known to be repetitions: what is written is changed, or taken out.

A mutation looks at every part of a table, however few rows it is about, so changes are made together, and only where there is
something to change.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, wait

from clickhouse_connect.driver.client import Client

from cdp.events import Assignment
from sinks.owner import OF_PARTS, reload
from sinks.tables import OVERRIDES

Position = tuple[int, int]

_OVERRIDE = ", ".join(name for name, _ in OVERRIDES.columns)


def assign(client: Client, database: str, assignments: Sequence[Assignment], pool: Executor) -> None:
    """Let facts count in other parts. Of several assignments of a fact the highest version stands, in whatever order they come.

    Raises what the client raises; nothing is left that a repetition does not complete.
    """
    _look_up_owners(client, database, {assignment.part for assignment in assignments})
    together = sorted(assignments, key=lambda assignment: assignment.version)
    _everywhere(pool, lambda table: _assign(client, f"{database}.{table}", together))


def retract(client: Client, database: str, positions: set[Position], pool: Executor) -> None:
    """Take facts out that were repetitions of others; `duplicates` must hold them already. May be repeated."""
    where = _among(positions)
    _everywhere(pool, lambda table: _change(client, f"{database}.{table}", where, f"DELETE WHERE {where}"))


def _everywhere(pool: Executor, change: Callable[[str], None]) -> None:
    changing = [pool.submit(change, table) for table in OF_PARTS]
    wait(changing)
    for changed in changing:
        changed.result()


def _look_up_owners(client: Client, database: str, parts: set[int]) -> None:
    """The facts' `owner` is the former part's: whose the other part is must be looked up, even if that was squashed."""
    client.command(
        f"INSERT INTO {database}.overrides ({_OVERRIDE}) SELECT {_OVERRIDE} FROM {database}.merges "  # noqa: S608 - constants
        "WHERE loser_person IN {parts:Array(UInt32)} "
        "ORDER BY loser_person, version DESC, event_time DESC LIMIT 1 BY loser_person",
        parameters={"parts": sorted(parts)},
    )
    reload(client, database)


def _assign(client: Client, table: str, assignments: Sequence[Assignment]) -> None:
    """One mutation for all; the commands of a mutation are carried out in their order."""
    wheres = [(one, f"{_among(one.facts)} AND assigned < {one.version:d}") for one in assignments]
    updates = [f"UPDATE part = {one.part:d}, assigned = {one.version:d} WHERE {where}" for one, where in wheres]
    _change(client, table, " OR ".join(f"({where})" for _, where in wheres), ", ".join(updates))


def _change(client: Client, table: str, where: str, commands: str) -> None:
    if client.query(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1").result_rows:  # noqa: S608 - numbers
        client.command(f"ALTER TABLE {table} {commands}", settings={"mutations_sync": 1})


def _among(positions: Iterable[Position]) -> str:
    by_partition: dict[int, list[int]] = defaultdict(list)
    for partition, offset in positions:
        by_partition[partition].append(offset)
    some = [
        f"(source_partition = {partition:d} AND source_offset IN ({', '.join(f'{offset:d}' for offset in sorted(offsets))}))"
        for partition, offsets in sorted(by_partition.items())
    ]
    return f"({' OR '.join(some) or 'false'})"
