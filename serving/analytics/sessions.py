"""Sessions by day and channel, out of the view that makes them. Pure; the rows come from outside."""

from typing import Any

from serving.analytics.models import SessionsRow
from serving.analytics.query import Query
from serving.analytics.span import Span

BOUNCE_SECONDS = 10

SQL = f"""
SELECT toDate(toTimeZone(started_at, {{zone:String}})) AS day, traffic, count(), uniqExact(person),
       countIf(pages <= 1 AND seconds < {BOUNCE_SECONDS} AND orders = 0) / count(), avg(seconds), avg(pages),
       countIf(orders > 0), sum(orders), toFloat64(sum(amount))
FROM
(
    SELECT started_at, traffic, person, pages, orders, amount, dateDiff('microsecond', started_at, ended_at) / 1e6 AS seconds
    FROM sessions_between
    (
        since = fromUnixTimestamp64Micro({{start:Int64}}, 'UTC'), until = fromUnixTimestamp64Micro({{end:Int64}}, 'UTC')
    )
)
GROUP BY day, traffic ORDER BY day, traffic"""  # noqa: S608 - only a fixed number is put in; values are bound


def build(span: Span, zone: str) -> Query:
    """The statement: sessions that begin in the span, by calendar day of the zone and channel."""
    return Query(SQL, {"zone": zone, "start": span.start, "end": span.end})


def summarise(rows: list[tuple[Any, ...]]) -> list[SessionsRow]:
    """One row for each day and channel with sessions."""
    return [
        SessionsRow(
            day=str(day), traffic=traffic, sessions=count, people=people, bounce_rate=round(bounced, 6),
            average_seconds=round(seconds, 3), pages=round(pages, 3), conversions=conversions, orders=orders, amount=amount,
        )
        for day, traffic, count, people, bounced, seconds, pages, conversions, orders, amount in rows
    ]  # fmt: skip
