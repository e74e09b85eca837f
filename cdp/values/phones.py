"""Phone numbers as people, forms and spreadsheets write them. `docs/identity.md#phone-numbers` has the table.

What is written is first brought down to digits, which needs no region; then Google's libphonenumber says whose plan they fit.
"""

import re
import unicodedata
from typing import TYPE_CHECKING

from cdp.values.contacts import plain

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

_CHINESE_MOBILE = re.compile(r"(\+86|0086|86)?(1[3-9][0-9]{9})")
_LABEL = re.compile(
    r"(?:(?:tel|callto|sms|whatsapp):(?://)?"
    r"|(?:tel|telephone|telefon|phone|mobile|mob|cell|handy|\u7535\u8bdd|\u624b\u673a|\u624b\u673a\u53f7|\u96fb\u8a71)\s*[.:]+)\s*",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r";phone-context=(\+[0-9]{1,3})$", re.IGNORECASE)
_EXTENSION = re.compile(
    r"(?:;\s*ext\s*=|\b(?:extension|extn?|durchwahl|ramal|anexo|poste|int)\b\.?|(?<=[0-9 ])x|#"
    r"|\u8f6c|\u8f49|\u5206\u673a|\u5206\u6a5f|\u5185\u7dda|\u0434\u043e\u0431\.?)[\s.:=]*[0-9]{1,7}",
    re.IGNORECASE,
)
_MASKED = re.compile(r"[*\u2022\u25cf\u2217]|[xX]{3,}|[0-9][xX]{2,}[0-9]")
_FLOAT = re.compile(r"(\+?[0-9]{6,15})\.0+")
_FRACTION = re.compile(r"[0-9]{6,}\.[0-9]{1,2}")
_SCIENTIFIC = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0x30FC, 0x2043, 0xFE58], "-")
_BETWEEN = re.compile(r"[\s().\-\[\]]+")
_BEHIND = ",;. "
_SEVERAL = re.compile(r"[,;|&\u3001\n/]")
_WRITTEN = re.compile(r"\+?[0-9]+(?:[ /]+[0-9]+)*")
_LEAST, _MOST = 5, 17  # digits; E.164 allows 15, and 00 before them
_LONGEST = 1 + 15  # as E.164 writes it
_A_NUMBER = 7  # digits that may be a number by themselves
_TWO = "it is more than one number, and which one is meant is not said"


def read_phone(text: str, region: str) -> str:
    """A phone number as E.164 has it: ``+8613900019001``. Raises ValueError with the reason.

    Args:
        text: as it was written.
        region: whose numbers are written without a country code, as in ISO 3166: ``CN``.
    """
    mobile = _CHINESE_MOBILE.fullmatch(text)  # the bulk of all
    if mobile is None:
        written = spell_phone(text)
        mobile = _CHINESE_MOBILE.fullmatch(_digits(written))
        if mobile is None or not (mobile[1] or region == "CN"):
            return _any(written, region)
    return f"+86{mobile[2]}" if mobile[1] or region == "CN" else _any(text, region)


def spell_phone(text: str) -> str:
    """The digits of a phone number in their groups, with a plus if it is written with one; whose it is depends on the region.

    Between groups is a space, or a slash if there was one. Raises ValueError with the reason.
    """
    written = plain(text).translate(_DASHES)
    if not written.isascii():
        written = "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in written)
    if _MASKED.search(written):
        raise ValueError("it is masked: it is as many people's as there are digits missing")
    written = _without_label(written).rstrip(_BEHIND)
    if _SCIENTIFIC.fullmatch(written):
        raise ValueError("it is in scientific notation, as a spreadsheet writes it: the digits are lost")
    if _EXTENSION.search(written):
        raise ValueError("it has an extension: the number is a switchboard's, not a person's")
    if found := _FLOAT.fullmatch(written):
        written = found[1]
    if _FRACTION.fullmatch(written):
        raise ValueError("it is a number with a fraction")
    groups = re.sub(r"\s*/\s*", "/", _BETWEEN.sub(" ", re.sub(r"^[\s(\[]*\+[\s()\[\]]*", "+", written)).strip())
    if not _WRITTEN.fullmatch(groups):
        raise ValueError(_reason(written))
    count = _count(groups)
    if count > _MOST and len([part for part in _SEVERAL.split(written) if _count(part) >= _A_NUMBER]) > 1:
        raise ValueError(_TWO)
    if not _LEAST <= count <= _MOST:
        raise ValueError("it has too few digits" if count < _LEAST else "it has too many digits")
    return groups


def _without_label(written: str) -> str:
    """A number without ``tel:`` (RFC 3966) or a label before it; the country code behind it comes first."""
    label = _LABEL.match(written)
    if label is None:
        return written
    number = written[label.end() :]
    context = _CONTEXT.search(number)
    return f"{context[1]}{number[: context.start()]}" if context else number


def _reason(written: str) -> str:
    if len([part for part in _SEVERAL.split(written) if _count(part) >= _LEAST]) > 1:
        return _TWO
    if any(sign.isalpha() for sign in written):
        return "there are letters in it"
    return "it is not written as a phone number"


def _count(text: str) -> int:
    """How many digits there are."""
    return sum(sign.isdigit() for sign in text)


def _digits(written: str) -> str:
    return written.replace(" ", "").replace("/", "")


def _any(written: str, region: str) -> str:
    import phonenumbers  # an eighth of a second and 30 MB: only where it is needed

    if _is_two(written, region):
        raise ValueError(_TWO)
    number = _parse(written, region)
    normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if number is not None else ""
    if number is None or len(normal) > _LONGEST or _parsed(normal, region) != number:  # the last: one zero too many
        raise ValueError("it is no number of its country: digits are missing or too many, or the area code is")
    return normal


def _parse(written: str, region: str) -> "PhoneNumber | None":
    """The number that digits are; None if they are none.

    Those of the own region must be valid. Of those of other countries, whose plans change, the length must be possible.
    """
    import phonenumbers

    digits = _digits(written)
    own = str(phonenumbers.country_code_for_region(region))
    if digits.startswith(("00", "+00")):
        digits = f"+{digits.removeprefix('+')[2:]}"
    elif digits.startswith(own) and _has_trunk_zero(region) and phonenumbers.is_valid_number(_parsed(f"+{digits}", region)):
        digits = f"+{digits}"  # where a number begins with 0 at home, this one is from abroad
    if digits.startswith("+0"):
        return None  # no country's code does, but libphonenumber would read 00 once more
    number = _parsed(digits, region)
    abroad = digits.startswith("+") and str(number.country_code) != own
    possible = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE
    return number if possible and (abroad or phonenumbers.is_valid_number(number)) else None


def _parsed(digits: str, region: str) -> "PhoneNumber":
    import phonenumbers

    try:
        return phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return phonenumbers.PhoneNumber()


def _has_trunk_zero(region: str) -> bool:
    import phonenumbers

    return phonenumbers.ndd_prefix_for_region(region, True) == "0"


def _is_two(written: str, region: str) -> bool:
    """Whether a number by itself stands before another, or before a slash."""
    groups = re.split("([ /])", written)
    for place in range(1, len(groups), 2):
        before, after = "".join(groups[:place]), "".join(groups[place + 1 :])
        if len(_digits(before)) < _A_NUMBER or _parse(before, region) is None:
            continue
        alike = after.startswith("0") or len(_digits(after)) == len(_digits(before))
        if groups[place] == "/" or (alike and len(_digits(after)) >= _A_NUMBER and _parse(after, region) is not None):
            return True
    return False
