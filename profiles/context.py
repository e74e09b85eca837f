"""What rules may ask of a person at a moment. The words come from the components; here are those that need none."""

from collections.abc import Callable, Mapping
from typing import Any

from cdp.clock import MINUTE, Calendar, date_of
from profiles.state import Person
from rules.language.values import anniversary, parse_date


class Context:
    """One person at one moment. Made for each evaluation.

    Attributes:
        now: the moment, in microseconds; `today`: its day number.
        known: figures that were worked out for this evaluation, for whoever asks again.
    """

    __slots__ = ("calendar", "known", "now", "person", "today")

    def __init__(self, person: Person, now: int, calendar: Calendar) -> None:
        self.person = person
        self.now = now
        self.calendar = calendar
        self.today = calendar.day(now)
        self.known: dict[str, Any] = {}


def minutes_since(context: Context, moment: Any) -> float | None:
    """Minutes between a time and the person's clock."""
    return (context.now - moment) / MINUTE if isinstance(moment, int) else None


def days_since(context: Context, moment: Any) -> int | None:
    """Calendar days between a time and the person's clock."""
    return context.today - context.calendar.day(moment) if isinstance(moment, int) else None


def is_anniversary(context: Context, birthday: Any) -> bool:
    """Whether today is the day; 29 February is kept on the 28th in common years."""
    born, today = parse_date(birthday, context.calendar.zone), date_of(context.today)
    return born is not None and born <= today and anniversary(born, today.year) == today


def month_of(context: Context, value: Any) -> int | None:
    """The month of a date."""
    day = parse_date(value, context.calendar.zone)
    return day.month if day else None


VOCABULARY: Mapping[str, Callable[..., Any]] = {
    function.__name__: function for function in (minutes_since, days_since, is_anniversary, month_of)
}
