"""A person's newest events, from ClickHouse."""

from typing import Any

from clickhouse_connect.driver.client import Client

from profiles.state import Person

QUERY = """
SELECT toUnixTimestamp64Micro(event_time), kind, event, channel, store, message_id, properties
FROM events
WHERE part IN {parts:Array(UInt32)}
ORDER BY event_time DESC, source_partition DESC, source_offset DESC
LIMIT {limit:UInt32}
"""


def recent_events(client: Client, profile: Person, limit: int) -> list[tuple[Any, ...]]:
    """The newest events of a person."""
    result = client.query(QUERY, parameters={"parts": profile.fragment_numbers, "limit": limit})
    return [tuple(row) for row in result.result_rows]
