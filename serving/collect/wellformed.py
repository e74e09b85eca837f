"""Make a JSON text one that every reader behind us can read, and understands in the same way. Pure.

Three things are mended, wherever a text comes in: byte order marks before it; halves of surrogate pairs, which browsers make
when they cut a text in the middle of an emoji, and which ClickHouse refuses with all that is around them; and keys that stand
twice in one object, of which Python takes the last and ClickHouse the first.
"""

import codecs
import re
from typing import Any

HALF = "\ufffd"
_MARK = codecs.BOM_UTF8
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)  # before UTF-16: one of them begins as that does
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_FIRST = b"\xef\xff\xfe\x00"  # with one of these a mark begins, and no JSON text
_SURROGATE = b"\\ud"
_BACKSLASH = ord("\\")  # a single byte is found much faster than two
_HIDDEN_COLON = b"\\u003"

_ESCAPE = re.compile(
    rb"\\u(?:(?P<high>d[89ab][0-9a-f]{2})\\u(?P<low>d[c-f][0-9a-f]{2})|(?P<half>d[89a-f][0-9a-f]{2}))", re.IGNORECASE
)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")


class UnknownEncoding(ValueError):
    """The text begins with the mark of an encoding that is not taken."""


def mend(text: bytes) -> bytes:
    """A JSON text as UTF-8 without marks before it, and without halves of surrogate pairs: U+FFFD stands for each.

    What else is wrong with it is left to whoever decodes it. Raises UnicodeError for what is not UTF-8, UnknownEncoding for
    UTF-32.
    """
    text = without_marks(text)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            text = _reencoded(text)
    if _BACKSLASH in text and b"\\u" in text:
        small = text.lower()
        if _SURROGATE in small:
            return _without_surrogates(text, small)
    return text


def without_marks(text: bytes) -> bytes:
    """A text without byte order marks before it: several are what a PHP page writes that includes such files.

    UTF-16 becomes UTF-8. Raises UnknownEncoding for UTF-32.
    """
    if not text or text[0] not in _FIRST:
        return text
    if text.startswith(_WIDE):
        raise UnknownEncoding("The text is UTF-32.")
    encoding = _UTF16.get(text[:2])
    if encoding is not None:
        try:
            text = text[2:].decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return text
    while text.startswith(_MARK):
        text = text[len(_MARK) :]
    return text


def mend_text(text: str) -> str:
    """A plain text without halves of surrogate pairs."""
    return text if text.isascii() or _HALF.search(text) is None else _HALF.sub(HALF, _PAIR.sub(_joined, text))


def says_twice(text: bytes, decoded: dict[str, Any]) -> bool:
    """Whether a key stands twice in one object of a JSON text, or may.

    In the text there is a colon for each key, and those within names and values, which are seen unless they are written as
    escapes. What was found in it has as many, if no key and its value were lost.
    """
    colons = text.count(b":")
    if colons == len(decoded):
        return False
    return _HIDDEN_COLON in text or colons != _colons(decoded)


def _colons(value: Any) -> int:
    """How many colons an object or a list needs in JSON."""
    count, inners = 0, value
    if type(value) is dict:
        count, inners = len(value), value.values()
        for name in value:
            if ":" in name:
                count += name.count(":")
    for inner in inners:
        kind = type(inner)
        if kind is str:
            if ":" in inner:
                count += inner.count(":")
        elif kind is dict or kind is list:
            count += _colons(inner)
    return count


def _reencoded(text: bytes) -> bytes:
    """What encoders make of surrogates that do not know of them: three bytes for each half, also of whole pairs."""
    return mend_text(text.decode("utf-8", "surrogatepass")).encode()


def _without_surrogates(text: bytes, small: bytes) -> bytes:
    """The text with characters in place of escapes of surrogates. `small`: the same in small letters."""
    pieces: list[bytes] = []
    done, at = 0, small.find(_SURROGATE)
    while at >= 0:
        found = _ESCAPE.match(text, at) if not _is_escaped(text, at) else None
        end = at + len(_SURROGATE)
        if found is not None:
            end = found.end()
            pieces += (text[done:at], _character(found))
            done = end
        at = small.find(_SURROGATE, end)
    return b"".join((*pieces, text[done:]))


def _is_escaped(text: bytes, at: int) -> bool:
    """Whether the backslash at a place is the second one of an escaped backslash: an odd number stands before it."""
    first = at
    while first > 0 and text[first - 1] == _BACKSLASH:
        first -= 1
    return (at - first) % 2 == 1


def _character(found: re.Match[bytes]) -> bytes:
    if found["half"]:
        return HALF.encode()
    return bytes.fromhex((found["high"] + found["low"]).decode()).decode("utf-16-be").encode()


def _joined(found: re.Match[str]) -> str:
    return found[0].encode("utf-16-be", "surrogatepass").decode("utf-16-be")
