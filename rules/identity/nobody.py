"""Values that identify nobody, as a type's rules block them: what programs print where there is no identifier.

Programs print nothing with signs around it, and pass it on escaped. So a value is compared as it came, in normal form, and
without what is around it: ``"null"``, ``(null)``, ``%3Cnull%3E`` and ``&lt;null&gt;`` are ``null``, and ``{{user_id}}``,
``__USER_ID__`` and ``%user_id%`` are ``user_id``.
"""

import string
import unicodedata
from collections.abc import Iterator
from html import unescape
from urllib.parse import unquote

from cdp.events import ORDER_ID
from rules.identity.model import IdentifierType, IdentityRules

_QUOTES = "\"'`´<>()[]{}\\«»“”„‘’‚‹›「」『』【】《》〈〉 \t\r\n"  # noqa: RUF001
_SIGNS = string.punctuation + string.whitespace + _QUOTES + "…·、。¡¿"
_FORMAT = "Cf"  # zero-width and directional marks, byte order marks, soft hyphens


def is_nobody(value: str, normal: str, declared: IdentifierType) -> bool:
    """Whether a value of a type, which is `normal` in normal form, identifies nobody."""
    plain = fold(value)
    if declared.allowed and not declared.allowed.isdisjoint((plain.lower(), normal.lower())):
        return False
    if plain == normal and plain[:1].isalnum() and plain[-1:].isalnum() and "%" not in plain and "&" not in plain:
        return _is_blocked(plain, declared)  # nothing is around it
    return any(_is_blocked(one, declared) for one in {normal, *_readings(plain)})


def is_no_number(order_id: str, rules: IdentityRules) -> bool:
    """Whether it is what programs print where an order has no number: all such orders of a customer would be one.

    What has a digit in it is a number, 0 as well.
    """
    declared = rules.identifiers.get(ORDER_ID, rules.others)
    return not any(sign.isdigit() for sign in order_id) and is_nobody(order_id, order_id, declared)


def fold(value: str) -> str:
    """A value as it is compared: full-width characters are plain ones, and marks that nobody sees and space around it are off."""
    if not value.isascii():
        value = "".join(sign for sign in unicodedata.normalize("NFKC", value) if unicodedata.category(sign) != _FORMAT)
    return value.strip()


def _readings(plain: str) -> Iterator[str]:
    """The value, what it is escaped for, and both without the signs around them."""
    for one in (plain, fold(unescape(unquote(unquote(plain))))) if "%" in plain or "&" in plain else (plain,):
        yield one
        yield one.strip(_QUOTES)
        yield one.strip(_SIGNS)


def _is_blocked(value: str, declared: IdentifierType) -> bool:
    return value.lower() in declared.blocked or any(pattern.fullmatch(value) for pattern in declared.joined_patterns)
