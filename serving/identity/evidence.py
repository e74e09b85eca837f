"""How many events named both ends of a link, from ClickHouse."""

from collections.abc import Iterable, Mapping

import msgspec
from clickhouse_connect.driver.client import Client

from serving.identity.people import Pair

MAX_GROUPS = 20_000
QUERY = """
SELECT ids, count()
FROM events
WHERE part IN {parts:Array(UInt32)} AND kind NOT IN ('decision', 'unbind')
GROUP BY ids
LIMIT {limit:UInt32}
"""

_decode = msgspec.json.Decoder(list[str]).decode


def count_messages(client: Client, parts: Iterable[int], links: Iterable[Pair]) -> Mapping[Pair, int] | None:
    """For each link, how many events named both identifiers; None if they named too many different ones to say.

    Args:
        parts: in which the events of the identifiers count.
    """
    rows = client.query(QUERY, parameters={"parts": sorted(parts), "limit": MAX_GROUPS}).result_rows
    if len(rows) == MAX_GROUPS:
        return None
    counts = dict.fromkeys(links, 0)
    by_end: dict[str, list[Pair]] = {}
    for pair in counts:
        by_end.setdefault(pair[0], []).append(pair)
    for ids, number in rows:
        named = set(_decode(ids)) if ids else set()
        for key in named & by_end.keys():
            for pair in by_end[key]:
                if pair[1] in named:
                    counts[pair] += number
    return counts
