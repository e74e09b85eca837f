"""The steps that bring an identifier into its normal form, by the names that identity.yaml uses.

A step takes the value and the rules' region, and gives the value's next form; "" if the value cannot be what it should be.
"""

import re
import string
import unicodedata
from collections.abc import Callable

from cdp.values.emails import read_email
from cdp.values.phones import read_phone

Step = Callable[[str, str], str]

_NOT_DIGITS = re.compile(r"[^0-9]")
_SPACE_AND_MARKS = string.whitespace + "\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(sign) for first, last in ((0x2000, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069)) for sign in range(first, last + 1)
) + "\xad\ufeff"  # fmt: skip
_UUID = re.compile(r"(?:urn:uuid:)?\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?")
_ID_CARD = re.compile(r"[1-9][0-9]{16}[0-9X]")
_ID_CARD_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _trim(value: str, _region: str) -> str:
    """Without space, and marks that nobody sees, at both ends."""
    return value.strip() if value.isascii() else value.strip(_SPACE_AND_MARKS)


def _lower(value: str, _region: str) -> str:
    return value.lower()


def _upper(value: str, _region: str) -> str:
    return value.upper()


def _fold(value: str, _region: str) -> str:
    return value.casefold()


def _fold_width(value: str, _region: str) -> str:
    return unicodedata.normalize("NFKC", value)


def _digits(value: str, _region: str) -> str:
    """Without anything that is not a digit 0 to 9."""
    return _NOT_DIGITS.sub("", value)


def _phone(value: str, region: str) -> str:
    """E.164."""
    try:
        return read_phone(value, region)
    except ValueError:
        return ""


def _email(value: str, _region: str) -> str:
    """Small letters, the domain in ASCII and without a closing dot."""
    try:
        return read_email(value)
    except ValueError:
        return ""


def _uuid(value: str, _region: str) -> str:
    """Small letters with hyphens: iOS writes advertising ids in capitals, Android in small letters."""
    found = _UUID.fullmatch(value.strip().lower())
    return "-".join(found.groups()) if found else ""


def _id_card(value: str, _region: str) -> str:
    """A Chinese resident's number of 18 signs, GB 11643; the 15 digits of before 1999 are extended to it."""
    value = re.sub(r"[\s\-]", "", value).upper()
    if len(value) == 15 and value.isascii() and value.isdigit():
        value = f"{value[:6]}19{value[6:]}"
        value += _check_sign(value)
    if not _ID_CARD.fullmatch(value) or not _is_date(value[6:14]):
        return ""
    return value if _check_sign(value) == value[17] else ""


def _check_sign(value: str) -> str:
    """ISO 7064 MOD 11-2 over 17 digits."""
    total = sum(weight * int(digit) for weight, digit in zip(_ID_CARD_WEIGHTS, value, strict=False))
    return "10X98765432"[total % 11]


def _is_date(digits: str) -> bool:
    month, day = int(digits[4:6]), int(digits[6:8])
    leap = int(digits[:4]) % 4 == 0  # 1900 was none, but nobody born then has such a card
    return 1 <= month <= 12 and 1 <= day <= (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def _luhn(value: str, _region: str) -> str:
    """Digits whose last is Luhn's check digit, ISO/IEC 7812: cards, IMEI numbers."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in value[-2::-2]) if _all_digits(value) else -1
    plain = sum(int(digit) for digit in value[-1::-2]) if doubled >= 0 else 0
    return value if doubled >= 0 and (doubled + plain) % 10 == 0 else ""


def _ean(value: str, _region: str) -> str:
    """A GTIN of 8, 12, 13 or 14 digits whose last is its check digit, as on loyalty cards with a bar code."""
    if not _all_digits(value) or len(value) not in (8, 12, 13, 14):
        return ""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(value)))
    return value if total % 10 == 0 else ""


def _all_digits(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) > 1


NORMALISERS: dict[str, Step] = {
    "trim": _trim,
    "lower": _lower,
    "upper": _upper,
    "fold": _fold,
    "width": _fold_width,
    "digits": _digits,
    "phone": _phone,
    "email": _email,
    "uuid": _uuid,
    "id_card": _id_card,
    "luhn": _luhn,
    "ean": _ean,
}
