"""Take the SETTINGS clause out of a statement, so that its settings are judged like those of the URL.

The engine would refuse them all: a reader's connection is read-only. Only the clause of the whole statement is taken out;
one within a subquery stays, and only its names are judged, since the engine
would take whatever stands there.
"""

from collections.abc import Iterator
from typing import NamedTuple

from infra.clickhouse.split import Token, tokens, unquote


class Lifted(NamedTuple):
    """A statement without its SETTINGS clause, and what stood in it."""

    sql: str
    settings: dict[str, str]


def lift_settings(sql: str) -> Lifted:
    """Take the clause out, if every value in it is a plain number, text or boolean; else the statement stays as it is.

    Args:
        sql: in the engine's canonical form.
    """
    raw = sql.encode()
    words = [token for token in tokens(raw) if token.depth == 0]
    for at in range(len(words) - 1, -1, -1):
        if words[at].upper == b"SETTINGS" and (found := read_assignments(words[at + 1 :])) is not None:
            settings, rest = found
            if rest and rest[0].upper != b"FORMAT":
                return Lifted(sql, {})
            tail = raw[rest[0].start :] if rest else b""
            return Lifted((raw[: words[at].start] + tail).decode().rstrip(), settings)
    return Lifted(sql, {})


def settings_within(sql: str, known: frozenset[str]) -> Iterator[str]:
    """The names of the settings that any clause of the statement names, however deep, and whatever their values are.

    Args:
        known: the names of all of the engine's settings; a clause may name one without a value.
    """
    words = list(tokens(sql.encode()))
    for at, word in enumerate(words):
        if word.upper != b"SETTINGS":
            continue
        ahead = [token for token in words[at + 1 :] if token.depth <= word.depth]
        while ahead and ahead[0].kind in ("word", "name"):
            end = 1
            while len(ahead) > end + 1 and ahead[end].text == b".":  # a name of several parts
                end += 2
            name = b"".join(token.text for token in ahead[:end]).decode()
            if name not in known and ahead[0].kind == "word" and (len(ahead) <= end or ahead[end].text != b"="):
                break  # no clause, but something that is called settings
            yield name
            comma = next((number for number, token in enumerate(ahead) if token.text == b","), len(ahead))
            ahead = ahead[comma + 1 :] if all(token.depth == word.depth for token in ahead[:comma]) else []


def read_assignments(words: list[Token]) -> tuple[dict[str, str], list[Token]] | None:
    """The assignments ``a = 1, b = 'x'`` at the beginning, and what follows them; None if it does not begin so."""
    settings: dict[str, str] = {}
    while len(words) > 2 and words[0].kind == "word" and words[1].text == b"=":
        read = _value(words[2:])
        if read is None:
            return None
        settings[words[0].text.decode()], words = read
        if not words or words[0].text != b",":
            return settings, words
        words = words[1:]
    return None


def _value(words: list[Token]) -> tuple[str, list[Token]] | None:
    """One value as text. A negative number or a decimal one is several tokens."""
    if words[0].kind == "string":
        return unquote(words[0].text.decode()), words[1:]
    text, end = "", words[0].start
    for used, token in enumerate(words):
        if token.start != end or token.text == b",":
            return (text, words[used:]) if _is_plain(text) else None
        text, end = text + token.text.decode(), token.end
    return (text, []) if _is_plain(text) else None


def _is_plain(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return text.lower().lstrip("+-")[:1].isdigit()
