"""Find phones and e-mail addresses in text, and mask what is shown to people who need not see it. Pure.

An address is found wherever it stands, also percent-encoded. A phone is found where it is written as one: with a plus, or as
a Chinese mobile number, with or without country code, and not inside a longer number or word.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from cdp.secrets import hide_in_text

_AT = re.compile(r"@|%(?:25)*40")
_LOCAL = re.compile(r"[^\s\"\\<>()\[\],;:@/?&=#{}|~]{1,200}\Z")
_DOMAIN = re.compile(r"(?:[\w-]{1,63}\.){1,8}([^\W\d_]{2,24})(?![\w@])")
_FILES = frozenset(("png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "css", "js", "json", "html"))  # logo@2x.png
_LONGEST = 200

_MOBILE = r"(?:(?:\+|00|%(?:25)*2[Bb])?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}"
_ABROAD = r"(?:\+|%(?:25)*2[Bb])[1-9][0-9]{7,14}"
_PHONE = re.compile(rf"(?<![0-9A-Za-z])(?:{_MOBILE}|{_ABROAD})(?![0-9A-Za-z])")
_MAYBE_MOBILE = re.compile(
    r"1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?![0-9])"
)  # begins with one character, so that it is found fast

_NOT_DIGITS = re.compile(r"[^0-9]")


@lru_cache(maxsize=65_536)
def looks_personal(value: str) -> bool:
    """Whether an identifier's value is, or holds, an e-mail address or a phone, whatever its type says."""
    if not value.isascii():
        value = unicodedata.normalize("NFKC", value)
    return "@" in value or has_phone(value)


def has_phone(text: str) -> bool:
    """Whether there is a phone in a text."""
    likely = "+" in text or "%2" in text or _MAYBE_MOBILE.search(text) is not None
    return likely and _PHONE.search(text) is not None


def has_at(text: str) -> bool:
    """Whether there may be an e-mail address in a text: quick, and true of every text that has one."""
    return "@" in text or ("%" in text and "40" in text)


def replace_emails(text: str, by: Callable[[str], str]) -> str:
    """The text with `by(address)` in place of each e-mail address. What is the name of a file (``logo@2x.png``) is none."""
    made: list[str] = []
    done = 0
    for sign in _AT.finditer(text):
        domain = _DOMAIN.match(text, sign.end())
        if domain is None or domain[1].lower() in _FILES:
            continue
        name = _LOCAL.search(text, max(done, sign.start() - _LONGEST), sign.start())
        if name is not None:
            made += (text[done : name.start()], by(text[name.start() : domain.end()]))
            done = domain.end()
    return "".join((*made, text[done:])) if made else text


def replace_phones(text: str, by: Callable[[str], str]) -> str:
    """The text with `by(phone)` in place of each phone."""
    return _PHONE.sub(lambda found: by(found[0]), text) if has_phone(text) else text


def mask(value: str) -> str:
    """A value as it is shown to people who need not see it: ``138****1234``, ``a***@example.com``, ``L***``."""
    if not value:
        return value
    name, at, domain = value.rpartition("@")
    if at and name and domain:
        return f"{name[0]}***@{domain}"
    digits = _NOT_DIGITS.sub("", value)
    if len(digits) >= 7 and len(value) - len(digits) <= 6:  # the rest are signs between them
        national = digits[2:] if len(digits) == 13 and digits.startswith("86") else digits
        abroad = "+" if national is digits and value.lstrip().startswith("+") else ""
        return f"{abroad}{national[: 3 - len(abroad)]}****{national[-4:]}"
    return f"{value[0]}***" if len(value) > 1 else "***"


def mask_all(text: str) -> str:
    """A text in which phones and e-mail addresses are masked, and secrets hidden: for logs and explanations."""
    text = hide_in_text(text)
    return replace_phones(replace_emails(text, mask) if has_at(text) else text, mask)
