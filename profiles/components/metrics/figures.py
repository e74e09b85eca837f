"""What rules ask of metrics."""

from typing import Any

from profiles.components.metrics.state import METRICS, TOTAL
from profiles.context import Context


def total(context: Context, metric: int, days: int | None) -> int:
    """Sum of a metric's buckets in a window, or of all time."""
    buckets = context.person.whole.get(METRICS).days.get(metric)
    if not buckets:
        return 0
    if days is None:
        return buckets.get(TOTAL, 0)
    oldest, today = context.today - days, context.today
    return sum(value for day, value in buckets.items() if oldest < day <= today)


def active_days(context: Context, metric: int, days: int | None) -> int:
    """In how many days of a window a metric has a bucket."""
    oldest, today = -1 if days is None else max(-1, context.today - days), context.today
    return sum(1 for day in context.person.whole.get(METRICS).days.get(metric, ()) if oldest < day <= today)


def first(context: Context, metric: int) -> Any:
    """The value at the first time."""
    moment = context.person.whole.get(METRICS).moments.get(metric)
    return None if moment is None else moment.first_value


def last(context: Context, metric: int) -> Any:
    """The value at the last time."""
    moment = context.person.whole.get(METRICS).moments.get(metric)
    return None if moment is None else moment.last_value
