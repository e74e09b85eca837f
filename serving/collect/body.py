"""From a request's bytes to the messages in it. The content decides, not the content type: SDKs label bodies wrongly."""

import json
import zlib
from typing import Any, NamedTuple

import msgspec

from cdp.errors import CdpError
from cdp.events import EMPTY_OBJECT

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31


class RefusedError(CdpError):
    """The whole request is refused, with an HTTP status; SDKs do not send it again."""

    def __init__(self, status: int, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.status = status
        self.code = code


class Outer(msgspec.Struct, rename="camel"):
    """The fields of a request that the collector reads before it looks at single messages; of any type, as yet."""

    batch: list[msgspec.Raw] | None = None
    write_key: Any = None
    sent_at: Any = None
    timestamp: Any = None
    context: msgspec.Raw = EMPTY_OBJECT


class Parsed(NamedTuple):
    """A request's content: its outer fields, and its messages as JSON texts."""

    outer: Outer
    messages: list[bytes]


_decode_outer = msgspec.json.Decoder(Outer).decode


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its gzip, if it has one. Raises RefusedError if it is broken or larger than `limit` bytes."""
    if not body.startswith(GZIP_MAGIC):
        if encoding not in ("", "identity", "gzip"):
            raise RefusedError(
                400, "unsupported_encoding", "The body's content encoding is not understood.", "Send JSON, plain or gzip."
            )
        return body
    unpacker = zlib.decompressobj(GZIP_WINDOW)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise RefusedError(400, "invalid_gzip", "The body is not valid gzip.", "Send JSON, plain or gzip.") from error
    if len(plain) > limit:
        raise too_large(limit)
    if not unpacker.eof:
        raise RefusedError(400, "invalid_gzip", "The gzip body is cut short.", "Send it again.")
    return plain


def too_large(limit: int) -> RefusedError:
    """The refusal of a body larger than `limit` bytes."""
    return RefusedError(413, "body_too_large", f"The body is larger than {limit} bytes.", "Send smaller batches.")


def parse(body: bytes, *, is_batch: bool) -> Parsed:
    """Find the messages. Raises RefusedError if the body is not JSON, or not of the expected shape.

    One message with NaN in it, as Python's own encoder writes it, must not take its whole batch with it: such a body
    is read again by the tolerant parser, and only the offending message is found unusable later.
    """
    try:
        outer = _decode_outer(body)
    except msgspec.ValidationError as error:
        raise RefusedError(400, "invalid_request", f"{error}.", "See Segment's HTTP API for the expected fields.") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _parse_tolerantly(body, is_batch=is_batch)
    if not is_batch:
        return Parsed(outer, [body])
    if outer.batch is None:
        raise _no_batch()
    return Parsed(outer, [bytes(raw) for raw in outer.batch])


def _parse_tolerantly(body: bytes, *, is_batch: bool) -> Parsed:
    try:
        content = json.loads(body)
        if not isinstance(content, dict):
            raise RefusedError(400, "invalid_request", "The body is not a JSON object.", "Send one message or a batch.")
        items = content.pop("batch", None) if is_batch else [content]
        if not isinstance(items, list):
            raise _no_batch()
        context = content.get("context") if is_batch else None
        outer = Outer(
            write_key=content.get("writeKey"), sent_at=content.get("sentAt"), timestamp=content.get("timestamp"),
            context=msgspec.Raw(json.dumps(context).encode()),
        )  # fmt: skip
        return Parsed(outer, [json.dumps(item).encode() for item in items])
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "invalid_json", "The body is not valid JSON.", "Send one JSON object, plain or gzip.") from error


def _no_batch() -> RefusedError:
    return RefusedError(400, "invalid_request", "The body has no list named batch.", 'Send {"batch": [...]}.')
