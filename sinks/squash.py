"""Write into the facts whose they are today, so that the dictionary of what has moved does not grow for ever.

A part that moved leads its facts to whom it belongs now by an entry in the dictionary. Squashing writes that person into the
facts' column `owner`, by a mutation, and then drops the entry: every question has the same answer before, meanwhile and after.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from sinks.owner import OF_PARTS, OF_PERSONS, dictionary, owner, reload

log = logging.getLogger(__name__)

Unsettled = Callable[[int], str]
"""Says what of before a moment, in microseconds, is still on its way to the facts; empty: nothing."""

_WAIT = {"mutations_sync": 2}
_OLD = "written_at < fromUnixTimestamp64Micro({before:Int64}, 'UTC')"


@dataclass(frozen=True)
class Squashed:
    """What a run did.

    Attributes:
        parts: how many parts' facts tell now whose they are.
        left: parts that have an entry still: they moved too short a while ago.
        waits_for: why nothing was squashed; empty if it was, or if there was nothing to do.
    """

    parts: int
    left: int
    waits_for: str = ""


def squash(client: Client, database: str, after: int, unsettled: Unsettled) -> Squashed:
    """Squash what moved longer than `after` microseconds ago. May be repeated, and broken off, at any moment.

    A fact of before a move may arrive after it, and has no `owner` but the person it was written for; an earlier move of the part
    may arrive after a later one. So nothing is dropped before all that was on its way when the part moved has arrived; half of
    `after` is left for clocks that differ.
    """
    started = _now(client)
    before = started - after
    parts, left = _count(client, database, before)
    reload(client, database)  # a writer, or a run of this, that broke off may have left it behind
    if not parts:
        return Squashed(0, left)
    if waits_for := unsettled(before + after // 2):
        return Squashed(0, parts + left, waits_for)
    log.info("squashing %s parts", parts)
    for by, tables in (("part", OF_PARTS), ("person", OF_PERSONS)):
        whose = owner(by, f"'{dictionary(database)}'")
        for table in tables:
            _command(
                client,
                f"ALTER TABLE {database}.{table} UPDATE owner = {whose} "  # noqa: S608 - constants
                f"WHERE {by} IN (SELECT loser_person FROM {database}.overrides WHERE {_OLD})",
                before,
            )
    _command(client, f"ALTER TABLE {database}.overrides DELETE WHERE {_OLD}", before)
    reload(client, database)
    _note(client, database, started, before, parts)
    return Squashed(parts, left)


def _now(client: Client) -> int:
    """The clock by which `written_at` is set."""
    return int(client.query("SELECT toUnixTimestamp64Micro(now64(6))").first_row[0])


def _count(client: Client, database: str, before: int) -> tuple[int, int]:
    """How many parts have entries that are old enough, and how many others."""
    old, every = client.query(
        f"SELECT uniqExactIf(loser_person, {_OLD}), uniqExact(loser_person) FROM {database}.overrides",  # noqa: S608 - constants
        parameters={"before": before},
    ).first_row
    return int(old), int(every) - int(old)


def _command(client: Client, statement: str, before: int) -> None:
    client.command(statement, parameters={"before": before}, settings=_WAIT)


def _note(client: Client, database: str, started: int, before: int, parts: int) -> None:
    row: list[Any] = [started, _now(client), before, parts]
    client.command(
        f"INSERT INTO {database}.squashes SELECT fromUnixTimestamp64Micro({{started:Int64}}, 'UTC'), "
        "fromUnixTimestamp64Micro({ended:Int64}, 'UTC'), fromUnixTimestamp64Micro({before:Int64}, 'UTC'), {parts:UInt64}",
        parameters=dict(zip(("started", "ended", "before", "parts"), row, strict=True)),
    )
