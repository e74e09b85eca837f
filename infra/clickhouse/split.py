"""Cut ClickHouse SQL into tokens: enough to find the parts of a statement, never to understand it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Comments come first, then what hides other characters (strings, quoted names, heredocs), then words and single characters.
_TOKEN = re.compile(
    rb"""
    (?P<skip>\s+|--[^\n]*|\#[! ][^\n]*)
    |(?P<comment>/\*)
    |(?P<string>'(?:[^'\\]|\\.|'')*')
    |(?P<name>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    |(?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<word>[\w$]+)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_DATA_BEGINS = re.compile(rb"[ \t\r\f\v]*\n?")
_CLAUSES = (b"FORMAT", b"VALUES", b"SELECT", b"WITH", b"FROM", b"WATCH", b"EXPLAIN")


@dataclass(frozen=True)
class Token:
    """One token; `depth` counts the brackets around it. `upper` is the text in upper case for words, else the text itself."""

    kind: str
    text: bytes
    upper: bytes
    start: int
    end: int
    depth: int


@dataclass(frozen=True)
class Insert:
    """An INSERT that brings data: ``INSERT INTO t (a, b)``, its format, and the data that stood in the statement itself."""

    head: str
    format: str
    data: memoryview


def tokens(sql: bytes) -> Iterator[Token]:
    """The tokens of SQL text, without blanks and comments."""
    at, depth = 0, 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:
            return
        kind, text, start, at = match.lastgroup or "other", match.group(), at, match.end()
        if kind == "skip":
            continue
        if kind == "comment":
            at = _end_of_comment(sql, at)
            continue
        if kind == "tag":
            kind = "heredoc"
        if kind == "other" and text in b")]}":
            depth = max(depth - 1, 0)
        yield Token(kind, text, text.upper() if kind == "word" else text, start, at, depth)
        if kind == "other" and text in b"([{":
            depth += 1


def _end_of_comment(sql: bytes, at: int) -> int:
    """Where a comment ends whose opening was just read; ClickHouse nests them."""
    open_ = 1
    while open_:
        edge = _COMMENT_EDGE.search(sql, at)
        if edge is None:
            return len(sql)
        open_ += 1 if edge.group() == b"/*" else -1
        at = edge.end()
    return at


def first_word(sql: bytes) -> str:
    """The statement's kind, e.g. ``SELECT``; opening brackets are skipped."""
    for token in tokens(sql):
        if token.kind == "word":
            return token.upper.decode()
        if token.text != b"(":
            break
    return ""


def has_two_statements(sql: bytes) -> bool:
    """Whether something other than semicolons follows a semicolon."""
    if b";" not in sql:
        return False
    ended = False
    for token in tokens(sql):
        if token.text == b";":
            ended = True
        elif ended:
            return True
    return False


def output_format(sql: bytes) -> str:
    """The statement's own ``FORMAT name``, or an empty string."""
    if b"format" not in sql.lower():
        return ""
    found, before = "", None
    for token in tokens(sql):
        if token.depth == 0 and token.upper in (b"FROM", b"UNION", b"WHERE"):
            found = ""
        elif token.depth == 0 and token.kind == "word" and before is not None and before.upper == b"FORMAT":
            found = token.text.decode()
        before = token
    return found


def split_insert(statement: bytes, default_format: str) -> Insert | None:
    """The parts of an INSERT with data; None if it has no data of its own (INSERT ... SELECT, FROM INFILE, or no INSERT at all).

    The data may be binary: nothing after the FORMAT clause is looked at.
    """
    seen: list[Token] = []
    for token in tokens(statement):
        if not seen and token.upper != b"INSERT":
            return None
        if token.depth == 0 and token.upper in _CLAUSES and len(seen) > 1:
            break
        seen.append(token)
    else:
        return Insert(statement.decode().rstrip().rstrip(";"), default_format, memoryview(b"")) if seen else None
    head = statement[: token.start].decode()
    if token.upper == b"VALUES":
        return Insert(head, "Values", memoryview(statement)[token.end :])
    if token.upper != b"FORMAT":
        return None
    name = next(tokens(statement[token.end : token.end + 200]), None)
    if name is None or name.kind != "word":
        return None
    rest = token.end + name.end
    skipped = _DATA_BEGINS.match(statement, rest)
    return Insert(head, name.text.decode(), memoryview(statement)[skipped.end() if skipped else rest :])


def quote(text: str, mark: str = "'") -> str:
    """A ClickHouse string literal (or, with a backtick, a name)."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}


def unquote(literal: str) -> str:
    """The text of a string literal as the engine writes it."""
    return re.sub(r"\\(.)|''", lambda match: _ESCAPES.get(match[1] or "'", match[1] or "'"), literal[1:-1], flags=re.DOTALL)
