"""Make values of records into the types that events have. What cannot be read raises ValueError with the reason."""

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from cdp.clock import SECOND, from_datetime, to_iso
from serving.collect.times import MILLIS_FROM

PER_UNIT = {"s": SECOND, "ms": 1_000, "us": 1}
TRUE = frozenset({"true", "yes", "y", "1", "t", "on", "是"})
FALSE = frozenset({"false", "no", "n", "0", "f", "off", "否"})
LARGEST_EXPONENT = 30  # no amount, count or time is longer; a text such as 1e999999 must not fill the memory
LONGEST = 200
EXACT = 2**53

_PHONE = re.compile(r"\+?[0-9][0-9 ().\-]{5,30}")
_EMAIL = re.compile(r"[^@\s*]+@[^@\s*]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


def identifies(type_: str, value: str) -> bool:
    """Whether a text can be an identifier: marketplaces mask or encrypt phones and addresses, and those belong to nobody."""
    if "*" in value:
        return False
    if type_ == "phone":
        return _PHONE.fullmatch(value) is not None
    return _EMAIL.fullmatch(value) is not None if type_ == "email" else True


def says_nothing(value: Any) -> bool:
    """None, NaN, an empty or a blank text."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, float) and math.isnan(value)


def text(value: Any) -> str:
    """A scalar as a text: 5.0 is ``5``, as tables write whole numbers that way."""
    match value:
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() | Decimal():
            number = decimal(value)
            return str(int(number)) if number == number.to_integral_value() else format(number.normalize(), "f")
        case datetime() | date():
            return value.isoformat()
    raise ValueError(f"a {_kind(value)} is not a text")


def decimal(value: Any) -> Decimal:
    """An exact number; thousands separators and currency signs around it are taken off texts."""
    try:
        match value:
            case bool() | None:
                raise ValueError
            case int() | Decimal():
                number = Decimal(value)
            case float():
                number = Decimal(repr(value))
            case str():
                written = value.strip().lstrip("¥￥$€£").strip().replace(",", "").replace("_", "x")
                if len(written) > LONGEST or not _NUMBER.fullmatch(written):
                    raise ValueError
                number = Decimal(written)
            case _:
                raise ValueError
        if not number.is_finite() or (number and abs(number.adjusted()) > LARGEST_EXPONENT):
            raise ValueError
    except (ValueError, InvalidOperation):
        raise ValueError(f"{_shown(value)} is not a number") from None
    return number


def number(value: Any) -> int | float | str:
    """A number for JSON with the digits it has: whole ones as integers, and as text what a float cannot hold."""
    exact = decimal(value)
    if exact == exact.to_integral_value():
        return int(exact)
    near = float(exact)
    return near if Decimal(repr(near)) == exact else format(exact, "f")


def integer(value: Any) -> int:
    """A whole number."""
    exact = decimal(value)
    if exact != exact.to_integral_value():
        raise ValueError(f"{_shown(value)} is not a whole number")
    return int(exact)


def cents(value: Any) -> int | float | str:
    """A hundredth of a number: amounts that are sent in fen or cents."""
    return number(decimal(value) / 100)


def boolean(value: Any) -> bool:
    """Yes or no."""
    written = text(value).lower()
    if written not in TRUE | FALSE:
        raise ValueError(f"{_shown(value)} is neither yes nor no")
    return written in TRUE


def micros(value: Any, formats: list[str], unit: str, zone: ZoneInfo) -> int:
    """A time in microseconds since the epoch. Texts without a zone are of `zone`; large numbers without a unit count ms."""
    try:
        if isinstance(value, datetime):
            return _of(value, zone)
        if isinstance(value, date):
            return _of(datetime(value.year, value.month, value.day), zone)
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, str) and (formats or not _NUMBER.fullmatch(value.strip())):
            return _of(_read(value.strip(), formats), zone)
        exact = decimal(value)
        return int(exact * (PER_UNIT[unit] if unit else _per(exact)))
    except (ValueError, OverflowError):
        expected = " or ".join(formats) if formats else "an ISO 8601 time, or a number of seconds or milliseconds"
        raise ValueError(f"{_shown(value)} is not {expected}") from None


def iso(instant: int) -> str:
    """Microseconds as ISO 8601. Raises ValueError outside the years 1 to 9999."""
    try:
        return to_iso(instant)
    except (OverflowError, ValueError, OSError):
        raise ValueError(f"{instant} microseconds is no time") from None


def day(value: Any, formats: list[str], unit: str, zone: ZoneInfo) -> str:
    """A calendar date: a time's date in `zone`; a date stays what it is."""
    if isinstance(value, datetime):
        return (value.astimezone(zone) if value.tzinfo else value).date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    instant = micros(value, formats, unit, zone)
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)).astimezone(zone).date().isoformat()
    except OverflowError:
        raise ValueError(f"{_shown(value)} is not a date") from None


def plain(value: Any) -> Any:
    """A value as JSON can hold it; what tables have besides (times, decimals, bytes) becomes text or a number."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return value.strip()
        case float():
            if not math.isfinite(value):
                return None
            return int(value) if value.is_integer() and abs(value) < EXACT else value
        case Decimal():
            return number(value) if value.is_finite() else None
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "replace")
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
    return str(value)


def _of(moment: datetime, zone: ZoneInfo) -> int:
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _read(written: str, formats: list[str]) -> datetime:
    for one in formats:
        try:
            return datetime.strptime(written, one)
        except ValueError:
            continue
    if formats:
        raise ValueError
    return datetime.fromisoformat(written.replace("/", "-"))


def _per(value: Decimal) -> int:
    return PER_UNIT["ms" if abs(value) >= MILLIS_FROM else "s"]


def _kind(value: Any) -> str:
    names: dict[type, str] = {dict: "object", list: "list", tuple: "list"}
    return names.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    return repr(value)[:60]
