"""Recent events out of ClickHouse, to learn a plan from, or to try one on."""

from collections.abc import Iterator
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client

from cdp.clock import DAY
from cdp.reveal import Reveal
from cdp.seal import MARK

MAX_SECONDS = 60

# LIMIT BY without an order reads in a stream, whatever the table's size; pages and screens go by the names that rules know.
QUERY = """
SELECT multiIf(kind = 'page', 'Page Viewed', kind = 'screen', 'Screen Viewed', event) AS name, kind, properties
FROM events
WHERE kind IN ('track', 'order', 'page', 'screen') AND received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
LIMIT {each:UInt32} BY name
LIMIT {limit:UInt32}
"""


def recent(
    client: Client, reveal: Reveal, now: int, *, days: int, each: int, limit: int
) -> Iterator[tuple[str, str, str]]:  # fmt: skip
    """Name, kind and properties (JSON text) of events received in the last days: up to `each` of a name, `limit` in all.

    Properties are as they came, before anything in them was sealed: that is what a plan is held against.
    """
    parameters: dict[str, Any] = {"since": now - days * DAY, "each": each, "limit": limit}
    with client.query_rows_stream(QUERY, parameters=parameters, settings={"max_execution_time": MAX_SECONDS}) as rows:
        for name, kind, properties in rows:
            yield str(name), str(kind), _opened(str(properties), reveal)


def _opened(properties: str, reveal: Reveal) -> str:
    if MARK not in properties:
        return properties
    try:
        return msgspec.json.encode(reveal.value(msgspec.json.decode(properties))).decode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return properties
