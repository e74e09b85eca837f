"""A trait's value in the form in which it is compared: what typing habits add is gone, what says something stays."""

import re
import unicodedata
from typing import Any

from rules.identity.model import Comparator

MAX_LENGTH = 200

_YEAR_FIRST = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?(?:[T ].*)?")
_DAY_FIRST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})")


def canonical(value: Any, comparator: Comparator) -> str:
    """The letters and digits of a value, small and without accents; of a date YYYYMMDD. "" if the value says nothing.

    Spaces go: `Mary Ann` and `Maryann`, `High Street` and `Highstreet` are typed for each other. A masked value says nothing.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = unicodedata.normalize("NFKD", str(value)).strip()
    if not text or "*" in text or len(text) > MAX_LENGTH:
        return ""
    if comparator == "date":
        return _date(text)
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def _date(text: str) -> str:
    """An impossible date is kept: it is a mistyped one, and near the right one."""
    if found := _YEAR_FIRST.fullmatch(text):
        return f"{found[1]}{found[2]:0>2}{found[3]:0>2}"
    if found := _DAY_FIRST.fullmatch(text):
        return f"{found[3]}{found[2]:0>2}{found[1]:0>2}"
    return text if len(text) == 8 and text.isascii() and text.isdigit() else ""
