"""Turn an answer into HTTP: headers, compression, whole or in chunks, and errors in the middle of a stream."""

from collections.abc import Iterable, Iterator, Mapping

from infra.clickhouse.compress import choose, compress
from infra.clickhouse.fail import ClickHouseError
from infra.clickhouse.frames import pack
from infra.clickhouse.protocol import Query, Request, is_set

_CONTENT_TYPES = {
    "json": "application/json; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
}
_BINARY = frozenset(
    ["native", "rowbinary", "rowbinarywithnames", "rowbinarywithnamesandtypes", "parquet", "arrow", "arrowstream", "orc", "avro"]
)

Headers = list[tuple[bytes, bytes]]


def content_type(format_: str) -> str:
    """The Content-Type of an output format."""
    name = format_.lower()
    if name in _CONTENT_TYPES:
        return _CONTENT_TYPES[name]
    if name.startswith("json") or name == "ndjson":
        return "application/x-ndjson; charset=UTF-8" if "eachrow" in name else "application/json; charset=UTF-8"
    return "application/octet-stream" if name in _BINARY else "text/plain; charset=UTF-8"


def encoding_of(query: Query, request: Request) -> str:
    """How the answer is to be compressed; empty: not at all."""
    return choose(request.headers.get("accept-encoding", "")) if query.compressed else ""


def answer_headers(query: Query, summary: str, encoding: str) -> Headers:
    """The headers of an answer to a statement that went well (so far)."""
    headers = {"X-ClickHouse-Query-Id": query.query_id, "X-ClickHouse-Summary": summary}
    if query.answers:
        headers["X-ClickHouse-Format"] = query.format
        headers["Content-Type"] = content_type(query.format)
    if encoding:
        headers["Content-Encoding"] = encoding
        headers["Vary"] = "Accept-Encoding"
    return encode(headers)


def error_headers(error: ClickHouseError, query_id: str) -> Headers:
    """The headers of an answer that is an error."""
    headers = {"X-ClickHouse-Exception-Code": str(error.code), "Content-Type": "text/plain; charset=UTF-8"}
    if query_id:
        headers["X-ClickHouse-Query-Id"] = query_id
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return encode(headers)


def encode(headers: dict[str, str]) -> Headers:
    """Header names and values as bytes; what would break a line is replaced."""
    return [
        (name.encode(), value.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace"))
        for name, value in headers.items()
    ]


def packed(chunks: Iterable[bytes], query: Query, encoding: str) -> Iterator[bytes]:
    """The answer as the client wants it: framed, then compressed, or either, or neither."""
    return compress(pack(chunks) if query.framed else chunks, encoding)


def error_body(error: ClickHouseError, version: str, params: Mapping[str, str]) -> bytes:
    """The body of an answer that is an error: framed where the answer would have been.

    ClickHouse's Java client reads 401 and 403 unframed, and everything else framed; its Go client reads either.
    """
    text = error.text(version).encode()
    return b"".join(pack([text])) if is_set(params, "compress") and error.status not in (401, 403) else text


def body_of(chunks: Iterator[bytes], query: Query, encoding: str, tag: str, version: str) -> Iterator[bytes]:
    """The body of a stream; an error on the way becomes ClickHouse's marked block at its end, and is then raised again."""
    failed: ClickHouseError | None = None

    def guarded() -> Iterator[bytes]:
        nonlocal failed
        try:
            yield from chunks
        except ClickHouseError as error:
            failed = error
            yield exception_block(error, tag, version)

    yield from packed(guarded(), query, encoding)
    if failed is not None:
        raise failed


def exception_block(error: ClickHouseError, tag: str, version: str) -> bytes:
    """What ClickHouse writes behind a half-sent answer, so that nobody takes it for whole."""
    message = error.text(version)
    size = len(message.encode())
    return f"\r\n__exception__\r\n{tag}\r\n{message}{size} {tag}\r\n__exception__\r\n".encode()
