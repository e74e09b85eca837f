"""The format Native as clients of ClickHouse's protocol want it: blocks and columns with the marks of a protocol version.

The engine writes the oldest form, without marks. ClickHouse's Go client, which is Grafana's, sends `client_protocol_version`
and reads the newer one only: a head in front of each block, and behind each column's type a byte that says that the column is
written in the plain way. To find the places, the columns have to be measured, which the type of a column tells how.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing

from infra.clickhouse.fail import NOT_IMPLEMENTED, ClickHouseError

MARKED_SINCE = 54454
"""The protocol version that brought the mark of columns. Older clients are content without any marks."""

# Field 1, overflows: no; field 2, bucket: -1; no more fields.
_BLOCK_HEAD = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_PLAIN = b"\x00"
_SIZES = {
    **dict.fromkeys(("UInt8", "Int8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("UInt16", "Int16", "Date", "Enum16", "BFloat16"), 2),
    **dict.fromkeys(("UInt32", "Int32", "Float32", "Date32", "DateTime", "Time", "IPv4", "Decimal32"), 4),
    **dict.fromkeys(("UInt64", "Int64", "Float64", "DateTime64", "Time64", "Decimal64"), 8),
    **dict.fromkeys(("UInt128", "Int128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("UInt256", "Int256", "Decimal256"), 32),
}
_DECIMALS = ((9, 4), (18, 8), (38, 16), (76, 32))  # digits at most, bytes
_TYPE = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_NAMED = re.compile(r"(?:`(?:[^`\\]|\\.|``)*`|\w+) (?=\w)", re.DOTALL)


class _ShortError(Exception):
    """The data ends within a block."""


def mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Mark the blocks of an answer. Raises ClickHouseError (48) for a column that cannot be measured."""
    rest = b""
    with closing(chunks):  # type: ignore[type-var]
        for chunk in chunks:
            rest += chunk
            marked, done = _marked(rest)
            rest = rest[done:]
            if marked:
                yield marked
    if rest:
        raise ClickHouseError(NOT_IMPLEMENTED, "The answer's last block is not whole.")


def _marked(data: bytes) -> tuple[bytes, int]:
    """As many whole blocks as there are, marked, and how far they go."""
    parts: list[bytes] = []
    done = 0
    while done < len(data):
        try:
            block, done = _mark_block(data, done)
        except _ShortError:
            break
        parts.append(block)
    return b"".join(parts), done


def _mark_block(data: bytes, start: int) -> tuple[bytes, int]:
    parts = [_BLOCK_HEAD]
    columns, at = _number(data, start)
    rows, at = _number(data, at)
    parts.append(data[start:at])
    for _ in range(columns):
        head = at
        _, at = _text(data, at)
        type_, at = _text(data, at)
        parts += [data[head:at], _PLAIN]
        if rows:
            body = at
            at = _Column(data, at).skip(type_, rows)
            parts.append(data[body:at])
    if at > len(data):
        raise _ShortError
    return b"".join(parts), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
    raise _ShortError


def _text(data: bytes, at: int) -> tuple[str, int]:
    size, at = _number(data, at)
    if at + size > len(data):
        raise _ShortError
    return data[at : at + size].decode(), at + size


class _Column:
    """Walks over a column's data."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def skip(self, type_: str, rows: int) -> int:
        """Where the column ends."""
        self._at += _prefix(type_)
        self._skip(type_, rows)
        if self._at > len(self._data):
            raise _ShortError
        return self._at

    def _skip(self, type_: str, rows: int) -> None:
        name, inside = parse_type(type_)
        size = _size(name, inside)
        if size is not None:
            self._at += size * rows
        elif (walk := self._walks().get(name)) is not None:
            walk(inside, rows)
        else:
            raise ClickHouseError(
                NOT_IMPLEMENTED, f"Native with client_protocol_version cannot hold a column of type {type_}: use toString()."
            )

    def _walks(self) -> dict[str, Callable[[list[str], int], None]]:
        return {
            "String": lambda _, rows: self._strings(rows),
            "Nullable": self._nullable,
            "Array": self._array,
            "Map": lambda inside, rows: self._array([f"Tuple({', '.join(inside)})"], rows),
            "Nested": lambda inside, rows: self._array([f"Tuple({', '.join(inside)})"], rows),
            "Tuple": self._tuple,
            "LowCardinality": self._low_cardinality,
            "SimpleAggregateFunction": lambda inside, rows: self._skip(inside[-1], rows),
            "Point": lambda _, rows: self._tuple(["Float64", "Float64"], rows),
            **{name: self._alias(of) for name, of in _GEOMETRY.items()},
        }

    def _alias(self, of: str) -> Callable[[list[str], int], None]:
        return lambda _, rows: self._skip(of, rows)

    def _strings(self, rows: int) -> None:
        data, at, end = self._data, self._at, len(self._data)
        for _ in range(rows):
            if at >= end:
                raise _ShortError
            size = data[at]
            if size < 128:  # nearly all of them, and this is where the time goes
                at += size + 1
            else:
                size, at = _number(data, at)
                at += size
        self._at = at

    def _nullable(self, inside: list[str], rows: int) -> None:
        self._at += rows
        self._skip(inside[0], rows)

    def _array(self, inside: list[str], rows: int) -> None:
        if not rows:
            return
        self._at += 8 * rows
        self._skip(inside[0], self._long(self._at - 8))

    def _tuple(self, inside: list[str], rows: int) -> None:
        if not inside:
            self._at += rows
        for type_ in inside:
            self._skip(_unnamed(type_), rows)

    def _low_cardinality(self, inside: list[str], rows: int) -> None:
        if not rows:
            return
        width = 1 << (self._long(self._at) & 255)
        keys = self._long(self._at + 8)
        self._at += 16
        name, of = parse_type(inside[0])
        self._skip(of[0] if name == "Nullable" else inside[0], keys)
        self._at += 8 + width * rows

    def _long(self, at: int) -> int:
        if at + 8 > len(self._data):
            raise _ShortError
        return int.from_bytes(self._data[at : at + 8], "little")


_GEOMETRY = {
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}


def _prefix(type_: str) -> int:
    """The bytes in front of a column: eight for each LowCardinality in its type, however deep."""
    name, inside = parse_type(type_)
    if name == "LowCardinality":
        return 8
    return sum(_prefix(_unnamed(part)) for part in inside) if name in ("Array", "Map", "Nested", "Nullable", "Tuple") else 0


def _size(name: str, inside: list[str]) -> int | None:
    if name == "FixedString":
        return int(inside[0])
    if name == "Decimal":
        return next(size for digits, size in _DECIMALS if int(inside[0]) <= digits)
    return 8 if name.startswith("Interval") else _SIZES.get(name)


def _unnamed(type_: str) -> str:
    """The type of a tuple's element, which may have a name in front."""
    return _NAMED.sub("", type_, count=1) if _NAMED.match(type_) else type_


def parse_type(type_: str) -> tuple[str, list[str]]:
    """A type's name, and what stands in its brackets: ``Map(String, Array(UInt8))`` is Map of String and Array(UInt8)."""
    match = _TYPE.fullmatch(type_)
    if match is None:
        return type_, []
    return match[1], _split(match[2]) if match[2] else []


def _split(text: str) -> list[str]:
    """Cut at the commas that stand in no brackets and no quotes."""
    parts, depth, start = [], 0, 0
    for found in re.finditer(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]", text, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if found[0] == "," and depth == 0:
            parts.append(text[start : found.start()].strip())
            start = found.end()
    return [*parts, text[start:].strip()]
