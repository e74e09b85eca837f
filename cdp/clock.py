"""Time as the platform counts it: integer microseconds since the epoch, UTC.

Steps never read the wall clock (`cdp.wall_clock`): they take a `Clock`, so that tests and replays decide what time it is.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

Clock = Callable[[], int]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def to_datetime(micros: int) -> datetime:
    """An aware UTC datetime. Raises OverflowError outside the years 1 to 9999."""
    return datetime.fromtimestamp(micros // SECOND, UTC).replace(microsecond=micros % SECOND)


def to_iso(micros: int) -> str:
    """ISO 8601 in UTC with microseconds and a Z, e.g. ``2026-01-31T08:00:00.000001Z``."""
    return to_datetime(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch; a naive datetime is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def date_of(day: int) -> date:
    """The calendar date of a day number (days since 1970-01-01)."""
    return date.fromordinal(_EPOCH_ORDINAL + day)


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


class Calendar:
    """Calendar days of one time zone, by number (days since 1970-01-01, local)."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self._hour_offset = lru_cache(maxsize=65_536)(self._offset_of_hour)
        self.start = lru_cache(maxsize=4096)(self._start)

    def _offset_of_hour(self, quarter: int) -> int:
        """UTC offset, in microseconds, of a quarter of an hour: zones only ever change at quarters."""
        offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(self.zone).utcoffset()
        return int(offset.total_seconds()) * SECOND if offset else 0

    def day(self, micros: int) -> int:
        """The local day number of an instant."""
        return (micros + self._hour_offset(micros // (900 * SECOND))) // DAY

    def _start(self, day: int) -> int:
        """The instant, in microseconds, at which a local day begins."""
        local = datetime.combine(date_of(day), datetime.min.time(), tzinfo=self.zone)
        return from_datetime(local.astimezone(UTC))
