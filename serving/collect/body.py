"""From a request's bytes to the messages in it. The content decides, not the content type: SDKs label bodies wrongly."""

import json
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from cdp.errors import InvalidEvent
from serving.collect.draft import Broken, Object, RefusedError
from serving.collect.finish import too_deep
from serving.collect.wellformed import UnknownEncoding, mend, without_marks

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31
PIECE = 1 << 14
MAX_MEMBERS = 10_000  # a body's; some programs write one for each line
PADDING = b"\0 \r\n\t"  # behind the last member: blocks of tapes are filled up with zeros, and editors add a line's end


class Content(NamedTuple):
    """A body's own fields, and the messages in it: decoded objects, or `Broken`."""

    outer: Object
    messages: list[Any]


_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FIELD = rb'"%b"\s*:\s*("(?:[^"\\]|\\.){0,1000}"|[0-9]{1,30}(?![0-9.eE]))'
_PATH = re.compile(r" - at `\$[^`]*`")


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its gzip or deflate, as UTF-8 without byte order marks.

    Raises RefusedError if it is broken or larger than `limit` bytes: all members of it together.
    """
    if body.startswith(GZIP_MAGIC):
        body = _unpacked(body, GZIP_WINDOW, limit)
    elif encoding == "deflate":
        body = _unpacked(body, zlib.MAX_WBITS if _is_zlib(body) else -zlib.MAX_WBITS, limit)
    elif encoding not in ("", "identity", "gzip", "x-gzip"):  # what is labelled gzip and is not, was not packed at all
        raise RefusedError(
            400, "unsupported_encoding", "The body's content encoding is not understood.", "Send JSON, plain or gzip."
        )
    plain = _readable(without_marks, body)
    if plain is not body and len(plain) > limit:  # UTF-16 may grow
        raise too_large(limit)
    return plain


def _unpacked(packed: bytes, window: int, limit: int) -> bytes:
    """What all members of a packed body hold, one after the other (RFC 1952, 2.2)."""
    parts: list[bytes] = []
    left, at = limit + 1, 0
    for _ in range(MAX_MEMBERS):
        unpacker = zlib.decompressobj(window)
        try:
            while not unpacker.eof:
                piece = unpacker.unconsumed_tail or packed[at : at + PIECE]
                at += 0 if unpacker.unconsumed_tail else len(piece)
                if not piece:
                    raise RefusedError(400, "invalid_gzip", "The packed body is cut short.", "Send it again.")
                parts.append(unpacker.decompress(piece, left))
                left -= len(parts[-1])
                if left <= 0:
                    raise too_large(limit)
        except zlib.error as error:
            raise RefusedError(400, "invalid_gzip", "The body is not packed as it says.", "Send JSON, plain or gzip.") from error
        at -= len(unpacker.unused_data)
        if window == GZIP_WINDOW and packed.startswith(GZIP_MAGIC, at):
            continue
        if packed[at:].strip(PADDING):
            raise RefusedError(400, "invalid_gzip", "Something else follows the packed body.", "Send it again.")
        return parts[0] if len(parts) == 1 else b"".join(parts)
    raise RefusedError(400, "invalid_gzip", f"The body has more than {MAX_MEMBERS} gzip members.", "Pack it as a whole.")


def _is_zlib(body: bytes) -> bool:
    """Whether it has the frame that deflate is meant to have; some programs leave it out."""
    return len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0


def _readable(read: Callable[[bytes], bytes], text: bytes) -> bytes:
    """A text, read by a function. Raises RefusedError for an encoding that is not taken."""
    try:
        return read(text)
    except UnicodeError:
        return text  # each message is looked at by itself
    except UnknownEncoding as error:
        raise RefusedError(400, "unsupported_encoding", str(error), "Send UTF-8.") from error


def too_large(limit: int) -> RefusedError:
    """The refusal of a body larger than `limit` bytes."""
    return RefusedError(413, "body_too_large", f"The body is larger than {limit} bytes.", "Send smaller batches.")


def split(body: bytes, items_field: str) -> Content:
    """The messages of a JSON object: those of its list `items_field`, or, if that is "", the object itself.

    Raises RefusedError if the body is not of that shape. A single message that cannot be decoded, such as one with NaN in
    it as Python's own encoder writes it, does not take its whole batch with it: it is `Broken`.
    """
    body = _readable(mend, body)
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
        return _decode(mend(text))
    except msgspec.ValidationError as error:
        detail = _PATH.sub("", str(error))
        return Broken(text, InvalidEvent("number_out_of_range", "", f"{detail}.", "Send large numbers as a text."))
    except (msgspec.DecodeError, UnicodeError, UnknownEncoding) as error:
        return Broken(text, InvalidEvent("invalid_json", "", f"The event is not valid JSON: {error}."))
    except RecursionError:
        return Broken(text, too_deep())


def decode_items(body: bytes, items_field: str = "") -> Any:
    """A JSON body, decoded; what cannot be decoded in it costs one item only, which is `Broken`.

    Items are those of the list that the body is, or has under `items_field`; else the body is one. Raises RefusedError if it
    is not JSON.
    """
    body = _readable(mend, body)
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        if body.lstrip().startswith(b"["):
            return [decode_message(bytes(item)) for item in _decode_items(body)]
        fields = _decode_fields(body)
        if not items_field or items_field not in fields:
            return decode_message(body)
        items = [decode_message(bytes(item)) for item in _decode_items(fields[items_field])]
    except msgspec.ValidationError:
        return decode_message(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_tolerantly(body, items_field)
    return {items_field: items}


def _decode_tolerantly(body: bytes, items_field: str) -> Any:
    """The same for what is JSON only to Python's own decoder."""
    found = _loads(body)
    if isinstance(found, list):
        return [_again(item) for item in found]
    if isinstance(found, dict) and isinstance(found.get(items_field), list):
        return {items_field: [_again(item) for item in found[items_field]]}
    return _again(found)


def field_in(text: bytes, *names: str) -> str | None:
    """The first text or whole number under one of these names in what may be no JSON; None if there is none."""
    for name in names:
        found = re.search(_FIELD % re.escape(name.encode()), text)
        if found is not None:
            value = decode_message(found[1])
            return None if isinstance(value, Broken) else str(value)
    return None


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
    outer = _loads(body)
    if not isinstance(outer, dict):
        raise _not_an_object()
    items = outer.pop(items_field, None) if items_field else [outer]
    if not isinstance(items, list):
        raise _no_list(items_field)
    return Content(outer, [_again(item) for item in items])


def _loads(body: bytes) -> Any:
    """What Python's own decoder makes of a body. Raises RefusedError."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "invalid_json", "The body is not valid JSON.", "Send one JSON object, plain or gzip.") from error


def _again(item: Any) -> Any:
    """An item of such a body, or what is wrong with it."""
    try:
        return decode_message(json.dumps(item).encode())
    except RecursionError:
        return Broken(b"", too_deep())
    except ValueError:  # an integer of thousands of digits
        return Broken(b"", InvalidEvent("number_out_of_range", "", "A number is out of range.", "Send large numbers as a text."))


def _not_an_object() -> RefusedError:
    return RefusedError(400, "invalid_request", "The body is not a JSON object.", "Send one message or a batch.")


def _no_list(field: str) -> RefusedError:
    return RefusedError(400, "invalid_request", f"The body has no list named {field}.", f'Send {{"{field}": [...]}}.')
