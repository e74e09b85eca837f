"""From what a request says of time to microseconds."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, WithJsonSchema

from cdp.clock import DAY, HOUR, MINUTE, SECOND, from_datetime
from serving.errors import ApiError

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
EARLIEST, LATEST = 0, 4_102_444_800_000_000  # 1970 and 2100: no event is outside

WINDOW_PATTERN = "^(?:[1-9][0-9]{0,7}[smh]|[1-9][0-9]{0,3}[dw]|unlimited|[Nn]o limit)$"
UNLIMITED = frozenset({"unlimited", "no limit", "No limit"})
_LEAP_SECOND = re.compile(r"(T[0-9]{2}:[0-9]{2}):60")
_YEAR_ZERO = "0000-"  # RFC 3339 has it, Python has not


def _readable(text: str) -> str:
    try:
        _moment(text, "UTC")
    except (ValueError, OverflowError):
        raise ValueError("not a date such as 2026-01-31 or a time such as 2026-01-31T08:00:00Z") from None
    return text


When = Annotated[
    str,
    AfterValidator(_readable),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date", "title": "Day in the workspace's time zone"},
                {"type": "string", "format": "date-time", "title": "Moment"},
            ],
            "examples": ["2026-01-01", "2026-01-31T08:00:00Z"],
        }
    ),
]
"""A date or a time of a request: checked, but still text, since dates need the workspace's time zone (see `instant`)."""

Window = Annotated[
    str,
    Field(
        pattern=WINDOW_PATTERN, examples=["7d", "30m", "unlimited"],
        description="A number and s, m, h, d or w; at most 99999999 s, m or h, 9999 d or w. Or `unlimited`, or `no limit`.",
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Span:
    """A stretch of time in microseconds: from `start` up to, not including, `end`, as seen at `now`."""

    start: int
    end: int
    now: int


def window(text: Window) -> int:
    """``30m`` in microseconds; without a limit all the time that there is."""
    if text in UNLIMITED:
        return LATEST - EARLIEST
    return int(text[:-1]) * UNITS[text[-1]]


def instant(text: str, field: str, zone: str) -> int:
    """A date (its first moment in the zone) or an ISO 8601 time (UTC if it names no zone), in microseconds.

    Times before 1970 and after 2100 count as these. Raises ApiError 422.
    """
    try:
        moment = _moment(text, zone)
    except (ValueError, OverflowError) as error:
        raise ApiError(
            422, f"{text[:40]!r} is not a date or time.", "Use 2026-01-31 or 2026-01-31T08:00:00Z.", field=field
        ) from error
    return min(max(from_datetime(moment), EARLIEST), LATEST)


def _moment(text: str, zone: str) -> datetime:
    if text.startswith(_YEAR_ZERO):
        text = "0001-" + text.removeprefix(_YEAR_ZERO)
    if len(text) == len("2026-01-31"):
        return datetime.combine(date.fromisoformat(text), time(), tzinfo=ZoneInfo(zone))
    moment = datetime.fromisoformat(_LEAP_SECOND.sub(r"\1:59", text.upper()))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
