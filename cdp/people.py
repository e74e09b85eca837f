"""OneIDs: every person has a dense number, given once and never reused; the OneID is that number, written down.

A smaller number is an older person. Facts and bitmaps use the number; people and APIs use the OneID.
"""

ONE_ID_LENGTH = 11
ONE_ID_PATTERN = "^P[0-9]{10}$"
MAX_PERSON = 2**32 - 1


def one_id(person: int) -> str:
    """The OneID of a person's number, e.g. ``P0000000042``."""
    return f"P{person:010d}"


def person_number(text: str) -> int:
    """The number of a OneID. Raises ValueError if the text is not one."""
    if len(text) != ONE_ID_LENGTH or text[0] != "P" or not text[1:].isascii() or not text[1:].isdigit():
        raise ValueError(f"{text!r} is not a OneID: expected P and ten digits, such as P0000000042")
    return int(text[1:])
