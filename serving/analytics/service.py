"""Run analytics: build the statement, ask ClickHouse, say the answer with its freshness."""

from typing import Any

from clickhouse_connect.driver.client import Client

from cdp.clock import DAY, Calendar, date_of, to_iso
from cdp.errors import Unavailable
from serving.analytics import funnel, retention, sessions
from serving.analytics.models import Freshness, FunnelRequest, FunnelResult, RetentionRequest, RetentionResult, SessionsResult
from serving.analytics.query import Query, run
from serving.analytics.span import Span, instant, window
from serving.parts import Parts
from sinks.owner import dictionary

DEFAULT_DAYS = 30
FRESHNESS = Query("SELECT toUnixTimestamp64Micro(max(received_at)), count() FROM events", {})


async def answer_funnel(parts: Parts, request: FunnelRequest) -> FunnelResult:
    """Raises Unavailable without ClickHouse."""
    now = parts.clock()
    span = _span(parts, request.from_, request.to, now, now - DEFAULT_DAYS * DAY)
    query = funnel.build(request, window(request.window), span.start, span.end, dictionary(parts.settings.clickhouse_database))
    rows, freshness = await _ask(parts, query, now)
    steps = funnel.summarise(request, rows)
    return FunnelResult(**{"steps": steps, "from": to_iso(span.start), "to": to_iso(span.end), "freshness": freshness})


async def answer_retention(parts: Parts, request: RetentionRequest) -> RetentionResult:
    """Raises Unavailable without ClickHouse."""
    now, zone = parts.clock(), parts.settings.timezone
    calendar = Calendar(zone)
    today = date_of(calendar.day(now))
    oldest = retention.step(_period_start(today, request.unit), request.unit, -request.periods)
    span = _span(parts, request.from_, request.to, now, instant(oldest.isoformat(), "from", zone))
    query = retention.build(request, span, zone, dictionary(parts.settings.clickhouse_database))
    rows, freshness = await _ask(parts, query, now)
    cohorts = retention.summarise(request, rows, today)
    return RetentionResult(
        **{
            "unit": request.unit,
            "timezone": zone,
            "cohorts": cohorts,
            "from": to_iso(span.start),
            "to": to_iso(span.end),
            "freshness": freshness,
        }
    )


async def answer_sessions(parts: Parts, begins: str | None, ends: str | None) -> SessionsResult:
    """Raises Unavailable without ClickHouse."""
    now, zone = parts.clock(), parts.settings.timezone
    span = _span(parts, begins, ends, now, now - DEFAULT_DAYS * DAY)
    rows, freshness = await _ask(parts, sessions.build(span, zone), now)
    answer = {"timezone": zone, "rows": sessions.summarise(rows), "from": to_iso(span.start), "to": to_iso(span.end)}
    return SessionsResult(**answer, freshness=freshness)


def _period_start(today: Any, unit: str) -> Any:
    if unit == "month":
        return today.replace(day=1)
    return retention.step(today, "day", -today.weekday()) if unit == "week" else today


def _span(parts: Parts, begins: str | None, ends: str | None, now: int, default_start: int) -> Span:
    """What was asked for; nothing is in a span that ends before it begins."""
    zone = parts.settings.timezone
    end = instant(ends, "to", zone) if ends else now
    start = instant(begins, "from", zone) if begins else min(default_start, end)
    return Span(start, end, now)


async def _ask(parts: Parts, query: Query, now: int) -> tuple[list[tuple[Any, ...]], Freshness]:
    """The rows, and how fresh the facts were just before: an answer is never staler than it says."""

    def ask(client: Client) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        fresh = run(client, FRESHNESS)
        return run(client, query), fresh

    rows, fresh = await parts.clickhouse(ask)
    if not fresh:
        raise Unavailable("ClickHouse gave no answer.", "Try again later; see /readyz.")
    newest, count = fresh[0]
    return rows, Freshness(newest_event_received_at=to_iso(newest) if count else None, asked_at=to_iso(now))
