"""The text of an id: of a person, an order, a product. ``docs/values.md#ids`` has the table."""

import math
import re
from datetime import date, time
from decimal import Decimal
from string import ascii_letters, digits
from typing import Any

from cdp.values.texts import AROUND, MARKS, is_error, kind_of, open_formula, read_text

EXACT = 2**53
"""From here on a float does not know its last digits."""

SCIENTIFIC = re.compile(r"[+-]?[0-9]{1,3}(?:[.,][0-9]+ ?[eE][+-]?[0-9]{1,3}|[.,]? ?[eE]\+[0-9]{2,3})")
"""A number as a spreadsheet (``2.98877E+18``, ``298.877E+16``, ``1E+15``) or Java (``1.3912345678E10``) writes it.
``1e5`` may be an id."""

_ENDS = frozenset(ascii_letters + digits)
"""No guard, error or white space begins and ends so; ruined numbers may, but they have a point, a comma or a plus in them."""
_QUOTED = re.compile(r"""(["'])([^\s'"`]*[0-9][^\s'"`]*)\1|\u201c([^\s\u201c\u201d]*[0-9][^\s\u201c\u201d]*)\u201d""")
_FORMULA = re.compile(r"=(?=.*[0-9]).*[\"'(\u201c\u201d]", re.DOTALL)
_FLOAT = re.compile(r"(-?[0-9]+)\.0+")
_GUARDED = re.compile(r"[^\s'`\u2018\u2019\"]*[0-9][^\s'`\u2018\u2019\"]*")
_LOST = "a spreadsheet or a program ruined it, and the digits are lost (format the column as text, and export it again)"


def read_identifier(value: Any) -> str:
    """An id as a text, without what a spreadsheet put around it or behind it.

    Raises ValueError with the reason, which does not show the value: it may be a phone's.
    """
    match value:
        case str():
            return _of_text(value)
        case bool() | None:
            raise ValueError(f"a {kind_of(value)} is not an id")
        case int():
            return str(value)
        case float() | Decimal():
            return _of_number(value)
        case date() | time():
            raise ValueError("it is a date, not an id: a spreadsheet makes one of texts such as 3-4")
    raise ValueError(f"a {kind_of(value)} is not an id")


def reads_as_itself(value: str) -> bool:
    """Whether a text that is not empty is an id as it stands. Quick, since it is asked of every event."""
    if value[0] in _ENDS and value[-1] in _ENDS and "." not in value and "+" not in value and "," not in value:
        return True
    try:
        return _of_text(value) == value
    except ValueError:
        return False


def read_part(value: Any) -> str:
    """A part of an id that is put together of several: as an id, but it may be a date, or yes or no."""
    return read_text(value) if isinstance(value, bool | date) else read_identifier(value)


def _of_text(value: str) -> str:
    text = open_formula(value)
    if quoted := _QUOTED.fullmatch(text):
        text = quoted[2] or quoted[3]
    if text[:1] and text[0] in MARKS and _GUARDED.fullmatch(text, 1):
        text = text[1:].strip(AROUND)
    if not text:
        raise ValueError("it says nothing")
    if is_error(text):
        raise ValueError("it is a spreadsheet's error, not an id")
    if _FORMULA.match(text):
        raise ValueError("it is a spreadsheet's formula, not an id")
    if SCIENTIFIC.fullmatch(text):
        raise ValueError(f"it is a number in scientific notation: {_LOST}")
    number = _FLOAT.fullmatch(text)
    if number is None:
        return text
    if len(number[1]) > 20 or abs(int(number[1])) >= EXACT:
        raise ValueError(f"it was a floating-point number above 2^53: {_LOST}")
    return number[1]


def _of_number(value: float | Decimal) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not an id")
    if isinstance(value, float) and abs(value) >= EXACT:
        raise ValueError(f"it is a floating-point number above 2^53: {_LOST}")
    if isinstance(value, float) and "e" in repr(value):
        raise ValueError("a number in scientific notation is not an id")
    return read_text(value)
