"""Recorded events out of ClickHouse, page by page in the order of time, with who they are live. Only reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cdp.clickhouse import failure
from rules.identity.simulate import Assignment, Event
from sinks.owner import dictionary, owner

PAGE = 50_000

_COUNT = """
SELECT count() AS events FROM {database}.events
WHERE event_time >= fromUnixTimestamp64Micro({since:Int64}) AND event_time < fromUnixTimestamp64Micro({until:Int64})
"""
_READ = """
SELECT
    toUnixTimestamp64Micro(event_time) AS time,
    message_id, kind, event, source, ids, traits,
    if(kind = 'decision', properties, '') AS properties,
    {owner} AS live
FROM {database}.events
WHERE event_time < fromUnixTimestamp64Micro({until:Int64})
  AND (event_time, message_id) > (fromUnixTimestamp64Micro({since:Int64}), {after:String})
ORDER BY event_time, message_id
LIMIT {limit:UInt32}
"""


@dataclass
class Recorded:
    """Events of a stretch of time, and whose they are live."""

    events: list[Event] = field(default_factory=list)
    live: dict[str, int] = field(default_factory=dict)
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def assignment(self) -> Assignment:
        """Who is who live."""
        return Assignment(self.live, self.keys)


_decode_ids = msgspec.json.Decoder(list[str]).decode
_decode_traits = msgspec.json.Decoder(dict[str, Any]).decode


def read_recorded(
    client: Any, database: str, since: int, until: int, tell: Callable[[str, int, int], None], page: int = PAGE
) -> Recorded:
    """Read the events from `since` to before `until`, both in microseconds. Raises CdpError with what ClickHouse said.

    Args:
        client: of clickhouse-connect; one that may only read is enough.
    """
    whose = owner("part", f"'{dictionary(database)}'")
    count, read = (statement.replace("{database}", database).replace("{owner}", whose) for statement in (_COUNT, _READ))
    window = {"since": since, "until": until}
    found = Recorded()
    try:
        total = int(client.query(count, parameters=window).first_row[0])
        time, after = since, ""  # no message has the id "": those of `since` itself are read as well
        while True:
            rows = client.query(read, parameters=window | {"since": time, "after": after, "limit": page}).result_rows
            for row in rows:
                _add(found, row)
            tell("events read", len(found.events), total)
            if len(rows) < page:
                return found
            time, after = rows[-1][0], rows[-1][1]
    except Exception as error:
        raise failure(error) from error


def _add(found: Recorded, row: Sequence[Any]) -> None:
    time, message_id, kind, event, source, ids, traits, properties, live = row
    keys = tuple(_decode_ids(ids)) if ids else ()
    pairs = tuple((type_, value) for type_, _, value in (key.partition(":") for key in keys))
    told = _decode_traits(traits or "{}")
    found.events.append(Event(message_id, time, kind, event, pairs, told, properties.encode(), source))
    found.live[message_id] = live
    found.keys[message_id] = keys
