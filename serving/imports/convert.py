"""Make values of records into the types that events have. What cannot be read raises ValueError with the reason."""

import math
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Any

from cdp.clock import to_iso
from cdp.values.amounts import DecimalSign, read_amount
from cdp.values.emails import read_email
from cdp.values.identifiers import EXACT, read_identifier, read_part
from cdp.values.phones import read_phone, spell_phone
from cdp.values.texts import AROUND, bare, is_error, read_text, shown, trim
from cdp.values.times import Unit, read_day, read_instant

TRUE = frozenset({"true", "yes", "y", "1", "t", "on", "是"})
FALSE = frozenset({"false", "no", "n", "0", "f", "off", "否"})

text = read_text
identifier = read_identifier
part = read_part
decimal = read_amount


def identifies(type_: str, value: str) -> bool:
    """Whether a text can be an identifier: marketplaces mask or encrypt phones and addresses, and those belong to nobody."""
    return not unreadable(type_, value)


def unreadable(type_: str, value: str, region: str = "") -> str:
    """Why a text cannot be an identifier; "" if it can. Whether a phone is somebody's can be said only with a region."""
    try:
        if type_ == "phone":
            read_phone(value, region) if region else spell_phone(value)
        elif type_ == "email":
            read_email(value)
    except ValueError as error:
        return str(error)
    return "it is masked" if "*" in value else ""


def says_nothing(value: Any) -> bool:
    """None, NaN, an empty or a blank text."""
    if isinstance(value, str):
        return not value.strip(AROUND)
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_silent(value: Any) -> bool:
    """Nothing, or what a spreadsheet shows where it has no text: an id or a name that is ``#N/A`` is none."""
    return says_nothing(value) or is_error(value)


def number(value: Any, sign: DecimalSign = "point") -> int | float | str:
    """A number for JSON with the digits it has: whole ones as integers, and as text what a float cannot hold."""
    exact = read_amount(value, decimal=sign)
    if exact == exact.to_integral_value():
        return int(exact)
    near = float(exact)
    return near if Decimal(repr(near)) == exact else format(exact, "f")


def integer(value: Any, sign: DecimalSign = "point") -> int:
    """A whole number."""
    exact = read_amount(value, decimal=sign)
    if exact != exact.to_integral_value():
        raise ValueError(f"{shown(value)} is not a whole number")
    return int(exact)


def cents(value: Any, sign: DecimalSign = "point") -> int | float | str:
    """A hundredth of a number: amounts that are sent in fen or cents."""
    return number(read_amount(value, decimal=sign) / 100)


def boolean(value: Any) -> bool:
    """Yes or no."""
    written = bare(read_text(value)).lower()
    if written not in TRUE | FALSE:
        raise ValueError(f"{shown(value)} is neither yes nor no")
    return written in TRUE


def micros(value: Any, formats: list[str], unit: Unit, zone: tzinfo) -> int:
    """A time in microseconds since the epoch. What names no zone is of `zone`."""
    return read_instant(value, zone=zone, unit=unit, formats=formats)


def iso(instant: int) -> str:
    """Microseconds as ISO 8601."""
    return to_iso(instant)


def day(value: Any, formats: list[str], unit: Unit, zone: tzinfo) -> str:
    """A calendar day, as ISO 8601."""
    return read_day(value, zone=zone, unit=unit, formats=formats).isoformat()


def contact(value: Any) -> str:
    """A phone or an address: one that cannot be read stays as it is, identifies nobody, and costs nothing else."""
    try:
        return read_identifier(value)
    except ValueError:
        return read_text(value)


def plain_id(value: Any) -> Any:
    """An id that stays what it is, if it is a whole number or no scalar; else as a text."""
    return read_identifier(value) if isinstance(value, str | float | Decimal | date | bool) else plain(value)


def plain(value: Any) -> Any:
    """A value as JSON can hold it; what tables have besides (times, decimals, bytes) becomes text or a number."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return trim(value)
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
