"""From a request's bytes to the messages in it. The content decides, not the content type: SDKs label bodies wrongly."""

import json
import re
import zlib
from typing import Any, NamedTuple

import msgspec

from cdp.errors import InvalidEvent
from serving.collect.draft import Broken, Object, RefusedError
from serving.collect.finish import too_deep

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31


class Content(NamedTuple):
    """A body's own fields, and the messages in it: decoded objects, or `Broken`."""

    outer: Object
    messages: list[Any]


_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_PATH = re.compile(r" - at `\$[^`]*`")


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its gzip or deflate. Raises RefusedError if it is broken or larger than `limit` bytes."""
    if body.startswith(GZIP_MAGIC):
        unpacker = zlib.decompressobj(GZIP_WINDOW)
    elif encoding == "deflate":
        unpacker = zlib.decompressobj()
    elif encoding in ("", "identity", "gzip"):  # what is labelled gzip and is not, was not packed at all
        return body
    else:
        raise RefusedError(
            400, "unsupported_encoding", "The body's content encoding is not understood.", "Send JSON, plain or gzip."
        )
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise RefusedError(400, "invalid_gzip", "The body is not packed as it says.", "Send JSON, plain or gzip.") from error
    if len(plain) > limit:
        raise too_large(limit)
    if not unpacker.eof:
        raise RefusedError(400, "invalid_gzip", "The packed body is cut short.", "Send it again.")
    return plain


def too_large(limit: int) -> RefusedError:
    """The refusal of a body larger than `limit` bytes."""
    return RefusedError(413, "body_too_large", f"The body is larger than {limit} bytes.", "Send smaller batches.")


def split(body: bytes, items_field: str) -> Content:
    """The messages of a JSON object: those of its list `items_field`, or, if that is "", the object itself.

    Raises RefusedError if the body is not of that shape. A single message that cannot be decoded, such as one with NaN in
    it as Python's own encoder writes it, does not take its whole batch with it: it is `Broken`.
    """
    try:
        outer = _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _split_carefully(body, items_field)
    if not isinstance(outer, dict):
        raise RefusedError(400, "invalid_request", "The body is not a JSON object.", "Send one message or a batch.")
    if not items_field:
        return Content(outer, [outer])
    items = outer.get(items_field)
    if not isinstance(items, list):
        raise _no_list(items_field)
    return Content(outer, items)


def decode_message(text: bytes) -> Any:
    """One message, or what is wrong with its text."""
    try:
        return _decode(text)
    except msgspec.ValidationError as error:
        detail = _PATH.sub("", str(error))
        return Broken(text, InvalidEvent("number_out_of_range", "", f"{detail}.", "Send large numbers as a text."))
    except (msgspec.DecodeError, UnicodeError) as error:
        return Broken(text, InvalidEvent("invalid_json", "", f"The event is not valid JSON: {error}."))
    except RecursionError:
        return Broken(text, too_deep())


def split_texts(body: bytes, items_field: str) -> list[bytes]:
    """The messages of a body that `split` could read, as they came."""
    return [bytes(item) for item in _decode_items(_decode_fields(body)[items_field])]


def _split_carefully(body: bytes, items_field: str) -> Content:
    """The same for a body of which something cannot be decoded."""
    try:
        fields = _decode_fields(body)
        texts = [body] if not items_field else [bytes(item) for item in _decode_items(fields.pop(items_field, b"null"))]
    except msgspec.ValidationError as error:
        raise (_no_list(items_field) if items_field else _not_an_object()) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _split_tolerantly(body, items_field)
    outer = {name: value for name, raw in fields.items() if not isinstance(value := decode_message(bytes(raw)), Broken)}
    return Content(outer, [decode_message(text) for text in texts])


def _split_tolerantly(body: bytes, items_field: str) -> Content:
    """The same for what is JSON only to Python's own decoder."""
    try:
        outer = json.loads(body)
        if not isinstance(outer, dict):
            raise _not_an_object()
        items = outer.pop(items_field, None) if items_field else [outer]
        if not isinstance(items, list):
            raise _no_list(items_field)
        return Content(outer, [decode_message(json.dumps(item).encode()) for item in items])
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "invalid_json", "The body is not valid JSON.", "Send one JSON object, plain or gzip.") from error


def _not_an_object() -> RefusedError:
    return RefusedError(400, "invalid_request", "The body is not a JSON object.", "Send one message or a batch.")


def _no_list(field: str) -> RefusedError:
    return RefusedError(400, "invalid_request", f"The body has no list named {field}.", f'Send {{"{field}": [...]}}.')
