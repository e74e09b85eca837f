"""Take secrets out of what is written down: a write key or a token in a fact could be used by whoever may read facts. Pure.

A secret that the platform drew is known by its form. One that was brought along from elsewhere has any form: it is known where
it was just used.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

import msgspec

HIDDEN = "***"
# Not within a longer word, such as sealed text; but an escape of JSON or of an address may stand before it.
_BEFORE = r"(?:(?<![A-Za-z0-9_\-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[bfnrt]))"
_DRAWN = _BEFORE + r"(?:[wt]k_[A-Za-z0-9_\-]{32}(?![A-Za-z0-9_\-])|d[2G]tf[A-Za-z0-9+/]{44}(?![A-Za-z0-9+/=]))"
_IN_BYTES = re.compile(_DRAWN.encode())
_IN_TEXT = re.compile(_DRAWN + "|" + _BEFORE + r"[wt]k_[A-Za-z0-9_\-]{8,31}(?![A-Za-z0-9_\-])")  # explanations cut values short


def may_hold_secret(text: bytes) -> bool:
    """Whether there may be a secret that the platform drew in a text: quick, and true of every text that has one."""
    return b"wk_" in text or b"tk_" in text or b"d2tf" in text or b"dGtf" in text  # the last two: as in a header Authorization


def are_inside(text: bytes, used: Iterable[str]) -> bool:
    """Whether one of some secrets stands in a JSON text as it came: PHP escapes the slashes in it."""
    plain = text.replace(b"\\/", b"/") if b"\\/" in text else text
    return any(form in plain for secret in used for form in _forms(secret))


def hide(text: bytes, used: Iterable[str] = (), name: str = HIDDEN) -> bytes:
    """A JSON text without secrets.

    Args:
        used: secrets that are the write key `name`: this stands in their place, and HIDDEN in that of all others.
    """
    for secret in used:
        for form in _forms(secret):
            if form in text:
                text = text.replace(form, _inner(name))
    return _IN_BYTES.sub(HIDDEN.encode(), text) if may_hold_secret(text) else text


def hide_in_text(text: str) -> str:
    """A plain text, such as the explanation of an error, without secrets that the platform drew, or the beginning of one."""
    return _IN_TEXT.sub(HIDDEN, text) if may_hold_secret(text.encode("utf-8", "replace")) else text


@lru_cache(maxsize=4096)
def _forms(secret: str) -> tuple[bytes, ...]:
    """How a secret is written in JSON, in an address in it, and in a header Authorization."""
    basic = b64encode(f"{secret}:".encode())
    return tuple(dict.fromkeys((_inner(secret), quote(secret, safe="").encode(), basic)))


def _inner(value: str) -> bytes:
    return msgspec.json.encode(value)[1:-1]
