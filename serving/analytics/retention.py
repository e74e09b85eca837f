"""Retention: of the people who began in a period, how many came back in each later one. Pure; rows come from outside."""

from datetime import date, timedelta
from typing import Any

from serving.analytics.models import Cohort, RetentionRequest
from serving.analytics.query import SURVIVOR, Query
from serving.analytics.span import Span

PERIOD_OF = {"day": "toDate(local)", "week": "toMonday(local)", "month": "toStartOfMonth(local)"}
SIZE = -1  # in place of a period's number: the cohort's size


# The person's first start event ever, or the first one in each period.
FIRST_EVER = """SELECT who, min(event_time) AS started, {first} AS period FROM facts WHERE event = {{start_event:String}}
        GROUP BY who HAVING started >= fromUnixTimestamp64Micro({{start:Int64}})"""
FIRST_IN_PERIOD = (
    "SELECT who, min(event_time) AS started, period FROM facts WHERE event = {start_event:String} GROUP BY who, period"
)


def build(request: RetentionRequest, span: Span, zone: str, overrides: str) -> Query:
    """The statement: rows of cohort, number of the period (-1: size), people.

    A person comes back in period 0 with a return event in the same period, not before the start event.

    Args:
        span: starts are looked for from `start` to `end`, returns until `now`.
        zone: time zone of the calendar.
        overrides: name of the dictionary of merged people.
    """
    period = PERIOD_OF[request.unit]
    begun, oldest = FIRST_IN_PERIOD, "AND event_time >= fromUnixTimestamp64Micro({start:Int64})"
    if request.first_time:
        begun, oldest = FIRST_EVER.format(first=period.replace("local", "toTimeZone(started, {zone:String})")), ""
    sql = f"""
WITH facts AS
(
    SELECT {SURVIVOR} AS who, event, event_time, toTimeZone(event_time, {{zone:String}}) AS local, {period} AS period
    FROM events
    WHERE event IN ({{start_event:String}}, {{return_event:String}}) AND bot = 0
      AND event_time < fromUnixTimestamp64Micro({{now:Int64}}) {oldest}
),
begun AS
(
    SELECT * FROM ({begun}) WHERE started < fromUnixTimestamp64Micro({{end:Int64}})
),
returned AS
(
    SELECT who, period, max(event_time) AS latest FROM facts WHERE event = {{return_event:String}} GROUP BY who, period
)
SELECT period, {SIZE} AS number, count() FROM begun GROUP BY period
UNION ALL
SELECT begun.period AS cohort, dateDiff('{request.unit}', begun.period, returned.period) AS number, count()
FROM begun INNER JOIN returned ON begun.who = returned.who
WHERE returned.latest >= begun.started AND number BETWEEN 0 AND {{periods:Int32}}
GROUP BY cohort, number"""  # noqa: S608 - only fixed texts are put together; values are bound
    parameters = {
        "overrides": overrides, "zone": zone, "start": span.start, "end": span.end, "now": span.now,
        "periods": request.periods, "start_event": request.start_event, "return_event": request.return_event,
    }  # fmt: skip
    return Query(sql, parameters)


def summarise(request: RetentionRequest, rows: list[tuple[Any, ...]], today: date) -> list[Cohort]:
    """Cohorts by date. A period that has not begun yet is null, not 0."""
    table: dict[date, dict[int, int]] = {}
    for cohort, number, people in rows:
        table.setdefault(cohort, {})[int(number)] = int(people)
    return [
        Cohort(start=cohort.isoformat(), people=numbers.get(SIZE, 0), returned=_returned(request, cohort, numbers, today))
        for cohort, numbers in sorted(table.items())
    ]


def _returned(request: RetentionRequest, cohort: date, numbers: dict[int, int], today: date) -> list[int | None]:
    begun = [step(cohort, request.unit, k) <= today for k in range(request.periods + 1)]
    return [numbers.get(k, 0) if is_begun else None for k, is_begun in enumerate(begun)]


def step(start: date, unit: str, count: int) -> date:
    """The first day of the period `count` periods after (or before) the one that begins at `start`."""
    if unit == "month":
        months = start.year * 12 + start.month - 1 + count
        return date(months // 12, months % 12 + 1, 1)
    return start + timedelta(days=count * (7 if unit == "week" else 1))
