"""Amounts, prices and other numbers. ``docs/values.md#amounts`` has the table."""

import re
from decimal import Decimal
from typing import Any, Literal

from cdp.values.currencies import CURRENCIES, OTHER_NAMES
from cdp.values.texts import bare, half_width, is_error, kind_of, shown, trim

DecimalSign = Literal["point", "comma"]

PLACES = 4  # of amounts, prices and quantities as they are kept
LARGEST = 20  # a number of more digits before the point than are ever summed is not looked at behind it
LONGEST = 200
LARGEST_EXPONENT = 30  # no amount, count or time is longer; a text such as 1e999999 must not fill the memory

_SPACES = " \u00a0\u2009\u202f"
_QUOTES = "'\u2019"
_WORDS = frozenset({"RMB", "US$", "HK$", "NT$", "A$", "C$", "S$", "\u5143", "\u5706", "\u5186", "\u5713"})
_WORD = r"[A-Za-z]{3}|[A-Za-z]{1,2}\$|[$\u00a2-\u00a5\u0e3f\u20a0-\u20c0]|[\u5143\u5706\u5186\u5713]"
_PARTS = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<before>{_WORD})?\s*(?P<inner>[+-]?)\s*(?P<number>[0-9.,][0-9.,{_SPACES}{_QUOTES}]*?(?:[eE][+-]?[0-9]{{1,4}})?)"
    rf"\s*(?P<after>{_WORD})?\s*(?P<behind>-?)"
)
_EXPONENT = re.compile(r"[0-9]*[.,]?[0-9]*[eE](?P<sign>[+-]?)[0-9]{1,4}")


def _whole(comma: str) -> str:
    """The whole part of a number, with or without a sign between thousands: one sign, groups of three, no 0 before them.

    With 0 before it, as in 0,125, a sign is a decimal sign for sure. Indian groups are of two, but for the last.
    """
    indian = rf"|[1-9][0-9]?(?:{comma}[0-9]{{2}})+{comma}[0-9]{{3}}" if comma == "," else ""
    separators = [re.escape(comma), *_SPACES, *_QUOTES]
    groups = "|".join(rf"[1-9][0-9]{{0,2}}(?:{one}[0-9]{{3}})+" for one in separators)
    return rf"(?:[0-9]+|{groups}{indian})"


_NUMBER: dict[DecimalSign, re.Pattern[str]] = {
    "point": re.compile(rf"(?P<whole>{_whole(',')})(?:\.(?P<part>[0-9]*))?|\.(?P<only>[0-9]+)"),
    "comma": re.compile(rf"(?P<whole>{_whole('.')})(?:,(?P<part>[0-9]*))?|,(?P<only>[0-9]+)"),
}


def read_amount(value: Any, *, decimal: DecimalSign = "point") -> Decimal:
    """An exact number. Numbers are what they are; `decimal` is the decimal sign of texts.

    Raises ValueError with the reason.
    """
    match value:
        case bool() | None:
            raise ValueError(f"a {kind_of(value)} is not a number")
        case int():
            number = Decimal(value)
        case float():
            number = Decimal(repr(value))
        case Decimal():
            number = value
        case str():
            number = _read(value, decimal)
        case _:
            raise ValueError(f"a {kind_of(value)} is not a number")
    if not number.is_finite():
        raise ValueError(f"{shown(value)} is not a number")
    if number and abs(number.adjusted()) > LARGEST_EXPONENT:
        if number.adjusted() < 0:
            return Decimal(0)
        raise ValueError(f"{shown(value)} is not a number of an amount: it is too large")
    return number


def round_places(number: Decimal) -> Decimal:
    """A number with the places that are kept; halves go to the even neighbour."""
    return round(number, PLACES) if number.adjusted() < LARGEST else number


def _read(value: str, decimal: DecimalSign) -> Decimal:
    text = half_width(bare(value)).replace("\u2212", "-")
    if len(text) > LONGEST:
        raise ValueError(f"{shown(value)} is not a number: it is too long")
    in_brackets = text.startswith("(") and text.endswith(")")
    found = _PARTS.fullmatch(trim(text[1:-1]) if in_brackets else text)
    if found is None or not _is_currency(found):
        raise ValueError(_reason(value, text))
    signs = found["sign"] + found["inner"] + found["behind"]
    if len(signs) > 1 or (in_brackets and signs):
        raise ValueError(f"{shown(value)} has two signs")
    if found["behind"] and found["number"][-1] in ".,":
        raise ValueError(f"{shown(value)} is not a number: the dash may be a minus, or stand for no cents")
    number = _plain(found["number"], value, decimal)
    return -number if in_brackets or signs == "-" else number


def _is_currency(found: re.Match[str]) -> bool:
    """Whether the words around a number are a currency's: its sign, its code, or both (``EUR 12 \u20ac``)."""
    words = [word for word in (found["before"], found["after"]) if word]
    codes = {code for word in words if (code := OTHER_NAMES.get(word.upper(), word.upper())) in CURRENCIES}
    return len(codes) < 2 and all(len(word) == 1 or word.upper() in CURRENCIES or word.upper() in _WORDS for word in words)


def _plain(text: str, value: str, decimal: DecimalSign) -> Decimal:
    exponent = _EXPONENT.fullmatch(text) if decimal == "point" or "." not in text else None
    if exponent is not None:
        return _tiny(text, exponent, value)
    found = _NUMBER[decimal].fullmatch(text)
    if found is None:
        raise ValueError(_reason(value, text, decimal))
    whole = re.sub(r"[^0-9]", "", found["whole"] or "0")
    return Decimal(f"{whole}.{found['part'] or found['only'] or '0'}")


def _tiny(text: str, exponent: re.Match[str], value: str) -> Decimal:
    """A small number as programs write it, 1.42e-14. With another exponent a spreadsheet rounded it to what it shows."""
    if exponent["sign"] != "-" or "," in text or not text[0].isdigit():
        raise ValueError(
            f"{shown(value)} is in scientific notation, as a spreadsheet writes what it has rounded: the digits are lost"
        )
    return Decimal(text)


def _reason(value: str, text: str, decimal: DecimalSign = "point") -> str:
    if is_error(value):
        return f"{shown(value)} is a spreadsheet's error, not a number"
    if decimal == "point" and "," in text and re.search("[0-9]", text):
        return (
            f"{shown(value)} is not a number: the comma does not stand between thousands "
            "(a mapping may say `decimal: comma` if it is the decimal sign)"
        )
    if decimal == "comma" and "." in text and re.search("[0-9]", text):
        return (
            f"{shown(value)} is not a number: the point does not stand between thousands, and the mapping says `decimal: comma`"
        )
    return f"{shown(value)} is not a number"
