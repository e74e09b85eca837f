"""What was sent to people since they became one: no change of who is who takes it back. From ClickHouse."""

from collections.abc import Iterable

from clickhouse_connect.driver.client import Client

from cdp.clock import to_iso
from serving.identity.models import SentView

MAX_ROWS = 500
QUERY = """
SELECT a.one_id, a.rule, a.channel, a.occasion, toUnixTimestamp64Micro(a.received_at), if(d.status = '', 'on its way', d.status)
FROM actions AS a
LEFT JOIN
(
    SELECT action_id, argMax(status, (attempt, event_time)) AS status
    FROM deliveries
    WHERE event_time >= fromUnixTimestamp64Micro({since:Int64})
    GROUP BY action_id
) AS d ON d.action_id = a.action_id
WHERE a.person IN {people:Array(UInt32)} AND a.received_at >= fromUnixTimestamp64Micro({since:Int64})
ORDER BY a.received_at, a.action_id
LIMIT {limit:UInt32}
"""


def sent_since(client: Client, people: Iterable[int], since: int) -> list[SentView]:
    """Messages to people, under any number they had, for events received at or after a moment; the oldest first."""
    parameters = {"people": sorted(people), "since": since, "limit": MAX_ROWS}
    return [
        SentView(one_id=one_id, rule=rule, channel=channel, occasion=occasion, time=to_iso(time), status=status)
        for one_id, rule, channel, occasion, time, status in client.query(QUERY, parameters=parameters).result_rows
    ]
