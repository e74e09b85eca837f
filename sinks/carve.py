"""Facts of a stretch of a part count in another part from now on: their column `part` is written anew.

A mutation looks at every part of a table, however few rows it is about, so carvings are done together, and only where there is
something to move.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, wait

from clickhouse_connect.driver.client import Client

from cdp.events import Carving
from sinks.owner import OF_PARTS, reload
from sinks.tables import OVERRIDES

TOGETHER = 64
_LATEST = 4_102_444_800_000_000  # the year 2100: RESOLVE lets nothing later pass
_OVERRIDE = ", ".join(name for name, _ in OVERRIDES.columns)


def carve(client: Client, database: str, carvings: Sequence[Carving], pool: Executor) -> None:
    """Move the facts of stretches, one carving after the other. What is said again changes nothing.

    Raises what the client raises; nothing is left that a repetition does not complete.
    """
    for first in range(0, len(carvings), TOGETHER):
        some = carvings[first : first + TOGETHER]
        _look_up_owners(client, database, {carving.into for carving in some})
        moving = [pool.submit(_move, client, database, table, some) for table in OF_PARTS]
        wait(moving)
        for moved in moving:
            moved.result()


def _look_up_owners(client: Client, database: str, parts: set[int]) -> None:
    """The facts' `owner` is the former part's: whose the other part is must be looked up, even if that was squashed."""
    client.command(
        f"INSERT INTO {database}.overrides ({_OVERRIDE}) SELECT {_OVERRIDE} FROM {database}.merges "  # noqa: S608 - constants
        "WHERE loser_person IN {parts:Array(UInt32)} "
        "ORDER BY loser_person, version DESC, event_time DESC LIMIT 1 BY loser_person",
        parameters={"parts": sorted(parts)},
    )
    reload(client, database)


def _move(client: Client, database: str, table: str, carvings: Sequence[Carving]) -> None:
    # Whatever a later carving moves on was in one of the parts before the first.
    anywhere = " OR ".join(f"({_stretch(carving)})" for carving in carvings)
    if client.query(f"SELECT 1 FROM {database}.{table} WHERE {anywhere} LIMIT 1").result_rows:  # noqa: S608 - numbers
        updates = ", ".join(f"UPDATE part = {carving.into:d} WHERE {_stretch(carving)}" for carving in carvings)
        client.command(f"ALTER TABLE {database}.{table} {updates}", settings={"mutations_sync": 1})


def _stretch(carving: Carving) -> str:
    start, end = (f"fromUnixTimestamp64Micro({time:d}, 'UTC')" for time in (carving.start, min(carving.end, _LATEST)))
    return f"part = {carving.part:d} AND event_time >= {start} AND event_time < {end}"
