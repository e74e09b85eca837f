"""From what a request says of time to microseconds."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from cdp.clock import DAY, HOUR, MINUTE, SECOND, from_datetime
from serving.errors import ApiError

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
MAX_WINDOW = 366 * DAY

_WINDOW = re.compile(r"([1-9][0-9]{0,8})([smhdw])")


@dataclass(frozen=True)
class Span:
    """A stretch of time in microseconds: from `start` up to, not including, `end`, as seen at `now`."""

    start: int
    end: int
    now: int


def window(text: str) -> int:
    """``30m`` in microseconds. Raises ApiError 422."""
    found = _WINDOW.fullmatch(text.strip())
    micros = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < micros <= MAX_WINDOW:
        raise ApiError(
            422, f"{text[:40]!r} is not a window.", "Use a number and s, m, h, d or w, up to 366d: 30m, 7d.", field="window"
        )
    return micros


def instant(text: str, field: str, zone: str) -> int:
    """A date (its first moment in the zone) or an ISO 8601 time (UTC if it names no zone). Raises ApiError 422."""
    try:
        if len(text) == len("2026-01-31"):
            moment = datetime.combine(date.fromisoformat(text), time(), tzinfo=ZoneInfo(zone))
        else:
            moment = datetime.fromisoformat(text)
        return from_datetime(moment.astimezone(UTC) if moment.tzinfo else moment)
    except (ValueError, OverflowError) as error:
        raise ApiError(
            422, f"{text[:40]!r} is not a date or time.", "Use 2026-01-31 or 2026-01-31T08:00:00Z.", field=field
        ) from error
