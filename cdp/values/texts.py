"""Texts: what stands around them and is no part of them, and what a spreadsheet writes instead of a value."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

SHOWN = 60
_INVISIBLE = "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\ufeff" + "".join(
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2060, 0x2070))
)
AROUND = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + _INVISIBLE
"""White space, and marks that nobody sees: zero-width spaces, byte order marks, signs of the direction of writing."""

MARKS = "'`\u2018\u2019\u00b4"
"""What is put before digits so that a spreadsheet leaves them alone."""

_FORMULA = re.compile(r'"?=(?:[tT]\()?(?:"+([^"]*)"+(?:&"+)?|([0-9]+))\)?')
_DIGITS = re.compile(r"[+\-]?[0-9][0-9 ().\-]*")
_ERROR = re.compile(
    r"#(?:N/[A-Z]|N/A N/A|NV|\u041d/\u0414|GETTING_DATA|[\u00a1\u00bf]?[^\W0-9_]+(?:/0)?[!?]|DIV/0)|#{3,}|Err:[0-9]{3}",
    re.IGNORECASE,
)
"""Of Excel in any language (``#REF!``, ``#WERT!``, ``#NV``), of Google Sheets (``#ERROR!``), of LibreOffice (``Err:502``)."""
_ERRORS = ("#", "Err:")
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3000: " ", 0xFFE0: "\u00a2", 0xFFE1: "\u00a3", 0xFFE5: "\u00a5", 0xFFE6: "\u20a9",
}  # fmt: skip


def trim(text: str) -> str:
    """A text without white space and invisible marks around it."""
    return text.strip(AROUND)


def open_formula(text: str) -> str:
    """What stands in ``="..."``, trimmed; any other text trimmed."""
    text = trim(text)
    if not text.startswith(("=", '"=')):
        return text
    found = _FORMULA.fullmatch(text)
    return trim(found[1] if found[1] is not None else found[2]) if found else text


def bare(text: str) -> str:
    """A number's or a time's text without guards. For what must be a number or a time: other texts may begin with a quote."""
    text = open_formula(text)
    return trim(text[1:]) if text[:1] and text[0] in MARKS else text


def half_width(text: str) -> str:
    """Full-width letters, digits and signs, as East Asian keyboards write them, as those of ASCII."""
    return text if text.isascii() else text.translate(_HALF_WIDTH)


def is_error(value: Any) -> bool:
    """Whether it is what a spreadsheet shows instead of a value: ``#N/A``, ``#REF!``, ``####`` ..."""
    return isinstance(value, str) and value.lstrip(AROUND).startswith(_ERRORS) and _ERROR.fullmatch(trim(value)) is not None


def read_text(value: Any) -> str:
    """A scalar as a text: trimmed, ``="..."`` opened, and a mark before digits taken off; 5.0 is ``5``.

    An apostrophe before anything else stays, since people write ``'til tomorrow``. Raises ValueError for lists and objects.
    """
    match value:
        case str():
            text = open_formula(value)
            guarded = text[:1] and text[0] in MARKS and _DIGITS.fullmatch(text, 1)
            return text[1:] if guarded else text
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() | Decimal():
            number = Decimal(repr(value)) if isinstance(value, float) else value
            if not number.is_finite():
                raise ValueError(f"{value} is not a text")
            return str(int(number)) if number == number.to_integral_value() else format(number.normalize(), "f")
        case datetime() | date():
            return value.isoformat()
    raise ValueError(f"a {kind_of(value)} is not a text")


def kind_of(value: Any) -> str:
    """The name of a value's kind, for messages."""
    names: dict[type, str] = {
        dict: "object",
        list: "list",
        tuple: "list",
        bool: "yes or no",
        type(None): "null",
        time: "time of day",
        timedelta: "duration",
    }
    return names.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """A value for a message: short, and in quotes if it is a text."""
    return repr(value)[:SHOWN]
