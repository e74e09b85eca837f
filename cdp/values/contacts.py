"""What a phone and an e-mail address have in common, however they were written."""

import re
import unicodedata

LONGEST = 400
_SHOWN = 60
_FORMAT = "Cf"  # zero-width and directional marks, byte order marks, soft hyphens
_FORMULA = re.compile(r'"*=\s*(?:"+([^"]*)"+|([0-9]+)"*)')
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00b4"


def plain(text: str) -> str:
    """A text in plain characters, without marks that nobody sees, and without guards and quotes around it.

    Raises ValueError if it says nothing or is too long.
    """
    if len(text) > LONGEST:
        raise ValueError("it is too long")
    if not text.isascii():
        text = "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != _FORMAT)
    text = text.strip()
    formula = _FORMULA.fullmatch(text)
    if formula:
        text = formula[1] if formula[1] is not None else formula[2]
    text = text.strip().strip(_QUOTES).strip()
    if not text:
        raise ValueError("it says nothing")
    return text


def shown(text: str) -> str:
    """A text for a message: short, and in quotes."""
    return repr(text[:_SHOWN])
