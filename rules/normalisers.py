"""The steps that bring an identifier into its normal form, by the names that identity.yaml uses."""

import re
import unicodedata
from collections.abc import Callable

_NOT_DIGITS = re.compile(r"[^0-9]")


def _fold_width(value: str) -> str:
    return unicodedata.normalize("NFKC", value)


def _phone(value: str) -> str:
    """Digits with a leading +: separators dropped, 00 read as +; a bare Chinese mobile number gets its country code."""
    international = value.startswith(("+", "00"))
    digits = _NOT_DIGITS.sub("", value)
    if value.startswith("00"):
        digits = digits[2:]
    if not international and len(digits) == 11 and digits.startswith("1"):
        digits = f"86{digits}"
    return f"+{digits}" if len(digits) >= 7 else ""


NORMALISERS: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "lower": str.lower,
    "width": _fold_width,
    "phone": _phone,
}
