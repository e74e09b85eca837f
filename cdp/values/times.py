"""Times, days and birthdays. ``docs/values.md#times`` has the tables.

A number of eight digits is a date, of 9 or 10 counts seconds, of 12 or 13 milliseconds, of 14 is a date with its time; what
may be two of these, or a year, or a spreadsheet's serial, is refused unless somebody says what it counts.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Literal, TypeVar

from cdp.clock import SECOND, from_datetime
from cdp.values.texts import bare, half_width, is_error, kind_of, shown

Unit = Literal["", "s", "ms", "us", "serial"]
Day = TypeVar("Day", bound=date)

BIRTHDAY = "birthday"  # the trait that is a day
EARLIEST, LATEST = 1900, 2099  # years
PER_UNIT = {"s": SECOND, "ms": 1_000, "us": 1}
SERIAL_EPOCH = datetime(1899, 12, 30)  # so that 61 is 1900-03-01; spreadsheets know a 29th of February before it
SERIALS = range(61, 73_051)
LONGEST = 100
WESTMOST, EASTMOST = timedelta(hours=-12), timedelta(hours=14)  # offsets that some place has

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = (
    r"(?P<year>[0-9]{4})(?:(?P<sign>[-/.])(?P<month>[0-9]{1,2})(?P=sign)(?P<day>[0-9]{1,2})"
    r"|年(?P<month_>[0-9]{1,2})月(?P<day_>[0-9]{1,2})日)"
)
_BASIC_DATE = r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
_FRACTION = r"(?:[.,](?P<fraction>[0-9]{1,9}))?"
_TIME = rf"(?P<hour>[0-9]{{1,2}})(?::(?P<minute>[0-9]{{2}})(?::(?P<second>[0-9]{{2}}){_FRACTION})?)?"
_BASIC_TIME = rf"(?P<hour>[0-9]{{2}})(?:(?P<minute>[0-9]{{2}})(?:(?P<second>[0-9]{{2}}){_FRACTION})?)?"
_ZONE = r"(?P<gap>\s?)(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_WRITINGS = tuple(
    re.compile(rf"{day}(?:(?P<before>[Tt]|\s+){time}{_ZONE})?")
    for day, time in ((_DATE, _TIME), (_BASIC_DATE, _BASIC_TIME), (_BASIC_DATE, _TIME), (_DATE, _BASIC_TIME))
)
_RUN_TOGETHER = re.compile(_BASIC_DATE + _BASIC_TIME.replace(_FRACTION, ""))
_YEARS, _WEEKDAYS = frozenset("Yy"), frozenset("aAwu")
_WHOLE_DAYS, _WHOLE_TIMES = frozenset("cx"), frozenset("cX")
_NUMBER = re.compile(r"(?P<sign>-?)(?P<digits>[0-9]+)(?:\.(?P<part>[0-9]+))?")


def read_instant(value: Any, *, zone: tzinfo = UTC, unit: Unit = "", formats: Sequence[str] = ()) -> int:
    """A time in microseconds since the epoch.

    Args:
        zone: of what names none.
        unit: what numbers count; "": to be seen by their digits.
        formats: of strptime, for texts; without any, ISO 8601 and the like.

    Raises ValueError with the reason.
    """
    found = _read(value, unit, formats)
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    return from_datetime(found if found.tzinfo else found.replace(tzinfo=zone))


def read_day(value: Any, *, zone: tzinfo = UTC, unit: Unit = "", formats: Sequence[str] = ()) -> date:
    """A calendar day. Arguments and errors as of `read_instant`.

    A time at midnight by the offset that it names is the day that it writes: programs write days so. Any other time that
    names an offset, or counts from the epoch, is a day of `zone`.
    """
    found = _read(value, unit, formats)
    if not isinstance(found, datetime):
        return found
    is_midnight = not (found.hour or found.minute or found.second or found.microsecond)
    if found.tzinfo is None or is_midnight:
        return found.date()
    return _bounded(found.astimezone(zone)).date()


def read_birthday(value: Any, *, zone: tzinfo = UTC, today: date | None = None) -> date:
    """The day on which somebody was born, as `read_day`; with `today`, not after it.

    A number is none, since nobody knows what it counts; but for a date of eight digits, in a text. Raises ValueError with
    the reason.
    """
    if isinstance(value, int | float | Decimal):
        raise ValueError(f"{shown(value)} is a number, not a date such as 1990-05-01")
    if isinstance(value, str):
        number = _NUMBER.fullmatch(bare(value))
        if number and (len(number["digits"]) != 8 or number["sign"] or number["part"]):
            raise ValueError(f"{shown(value)} is a number, not a date such as 1990-05-01")
    day = read_day(value, zone=zone)
    if today is not None and day > today:
        raise ValueError(f"{day.isoformat()} is not past")
    return day


def check_format(text: str) -> None:
    """Whether a format of strptime says a time: strptime makes 1900 of a year that is missing, and passes over some parts.

    Raises ValueError with the reason.
    """
    try:
        datetime.strptime("", text)
    except (ValueError, re.error) as error:
        if "does not match" not in str(error):
            raise ValueError(f"{text!r} is no format of strptime: {error}") from None
    said = set(re.findall(r"%(.)", text.replace("%%", "")))
    if "Z" in said:
        raise ValueError(
            f"{text!r}: strptime passes over the names of zones; write %z for offsets, or `timezone` and the name itself"
        )
    if ("I" in said) is not ("p" in said) and not said & _WHOLE_TIMES:
        raise ValueError(f"{text!r}: %I (hours to 12) and %p (AM, PM) go together; the hours to 23 are %H")
    is_day = said & _YEARS and said & {"m", "b", "B"} and "d" in said
    is_week = said & _WEEKDAYS and ({"G", "V"} <= said or (said & _YEARS and said & {"U", "W"}))
    if not (is_day or is_week or (said & _YEARS and "j" in said) or said & _WHOLE_DAYS):
        raise ValueError(f"{text!r} must say a year, a month and a day")


def _read(value: Any, unit: Unit, formats: Sequence[str]) -> date | datetime:
    """A day, a time of no zone, or a time."""
    match value:
        case datetime() | date():
            return _bounded(value)
        case bool() | None:
            raise ValueError(f"a {kind_of(value)} is not a time")
        case int():
            text = str(value) if abs(value) < 10**30 else ""
        case float() | Decimal():
            text = format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
        case str():
            text = half_width(bare(value))
        case _:
            raise ValueError(f"a {kind_of(value)} is not a time")
    if not 0 < len(text) <= LONGEST:
        raise ValueError(f"{shown(value)} is not a time")
    if is_error(text):
        raise ValueError(f"{shown(value)} is a spreadsheet's error, not a time")
    number = _NUMBER.fullmatch(text)
    if formats and (by_format := _by_format(text, number, formats)) is not None:
        return _bounded(by_format)
    if formats and isinstance(value, str) and not (number and unit):
        raise ValueError(f"{shown(value)} is not {' or '.join(formats)}")
    try:
        return _bounded(_of_number(number, unit) if number else _of_text(text))
    except OverflowError:
        raise ValueError(f"{shown(value)} is no time between {EARLIEST} and {LATEST}") from None
    except ValueError as error:
        raise ValueError(f"{shown(value)} is no time: {error}") from None


def _bounded(found: Day) -> Day:
    if not EARLIEST <= found.year <= LATEST:
        raise ValueError(f"the year {found.year} is not between {EARLIEST} and {LATEST}")
    return found


def _by_format(text: str, number: re.Match[str] | None, formats: Sequence[str]) -> datetime | None:
    """By the first format that fits. A whole number is tried with its digits: tables write 19900501 as 19900501.0."""
    whole = number["digits"] if number and not number["sign"] and not (number["part"] or "").strip("0") else text
    for one in formats:
        for written in dict.fromkeys((text, whole)):
            try:
                return datetime.strptime(written, one)
            except ValueError:
                continue
    return None


def _of_text(text: str) -> date | datetime:
    found = next((match for writing in _WRITINGS if (match := writing.fullmatch(text))), None)
    if found is None:
        raise ValueError("it is no date and time of ISO 8601, with the year first")
    return _made(found.groupdict())


def _made(part: dict[str, str | None]) -> date | datetime:
    year, month, day = (
        int(part["year"] or 0),
        int(part["month"] or part.get("month_") or 0),
        int(part["day"] or part.get("day_") or 0),
    )
    if part.get("hour") is None:
        return date(year, month, day)
    if (
        part.get("second") is None
        and (part.get("zone") or "")[:1] == "-"
        and not part["gap"]
        and (part["before"] or "").isspace()
    ):
        raise ValueError("it may be from one time to another, or have an offset: write the seconds, or a T before the time")
    micros = int((part.get("fraction") or "0").ljust(6, "0")[:6])
    clock = int(part["hour"] or 0), int(part["minute"] or 0), int(part["second"] or 0)
    return datetime(year, month, day, *clock, micros, tzinfo=_offset(part.get("zone")))


def _offset(zone: str | None) -> tzinfo | None:
    if zone is None:
        return None
    if zone[0] not in "+-":
        return UTC
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    offset = (-1 if zone[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or not WESTMOST <= offset <= EASTMOST:
        raise ValueError(f"there is no offset {zone}")
    return timezone(offset)


def _of_number(number: re.Match[str], unit: Unit) -> date | datetime:
    sign, digits, part = number["sign"], number["digits"], (number["part"] or "").rstrip("0")
    exact = Decimal(f"{sign}{digits}.{part or '0'}")
    if not exact:
        raise ValueError("0 is what programs write where there is no time")
    if unit == "serial":
        return _of_serial(exact, digits, part)
    if unit:
        return _EPOCH + timedelta(microseconds=int(exact * PER_UNIT[unit]))
    if not sign and not part and len(digits) in (8, 14):
        found = _RUN_TOGETHER.fullmatch(digits) if len(digits) == 14 else re.fullmatch(_BASIC_DATE, digits)
        return _made(found.groupdict()) if found else date.min
    if not sign and not part and len(digits) in (10, 12) and _is_clock(digits):
        raise ValueError(
            "it may count seconds or milliseconds, or be a date with its hour: a mapping may say so by `unit` or `format`"
        )
    per = {9: SECOND, 10: SECOND, 12: 1_000, 13: 1_000}.get(len(digits))
    if per is None or digits[0] == "0":
        raise ValueError("nobody knows what this number counts (`unit: serial` in a mapping: days, as spreadsheets count)")
    return _EPOCH + timedelta(microseconds=int(exact * per))


def _is_clock(digits: str) -> bool:
    """Whether ten or twelve digits may be a date with its hour (and minute) run together."""
    found = _RUN_TOGETHER.fullmatch(digits)
    try:
        return found is not None and EARLIEST <= _made(found.groupdict()).year <= LATEST
    except ValueError:
        return False


def _of_serial(exact: Decimal, digits: str, part: str) -> date | datetime:
    """Days as spreadsheets count them. A date of eight digits stays one; what may be a year is refused."""
    if len(digits) == 8 and exact > 0 and not part:
        found = re.fullmatch(_BASIC_DATE, digits)
        return _made(found.groupdict()) if found else date.min
    if int(exact) not in SERIALS:
        raise ValueError(f"no spreadsheet's serial between {EARLIEST} and {LATEST}")
    if not part and EARLIEST <= exact <= LATEST:
        raise ValueError("it may be a year or a spreadsheet's serial")
    moment = SERIAL_EPOCH + timedelta(days=int(exact), milliseconds=round(exact % 1 * 86_400_000))
    return moment if part else moment.date()
