"""Segment's HTTP tracking API, which RudderStack's SDKs speak as well.

Source of the format: Segment's documentation of its HTTP API and of its spec, and what the SDKs were seen to send.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import EMPTY_OBJECT, Kind
from serving.collect.body import decode_message, field_in, split, split_texts
from serving.collect.draft import (
    Answer,
    Broken,
    Draft,
    Incoming,
    Object,
    Opened,
    RefusedError,
    decode_object,
    object_of,
    with_corrected,
)
from serving.collect.finish import UNREADABLE, text, too_deep
from serving.collect.wellformed import UnknownEncoding, mend

KINDS: dict[str, Kind] = {
    "track": "track", "identify": "identify", "page": "page", "screen": "screen", "alias": "alias", "group": "group",
}  # fmt: skip
SHORT = {"track": "t", "identify": "i", "page": "p", "screen": "s", "alias": "a", "group": "g"}
BATCH = ("batch", "b", "import", "m")
MAX_REPORTED = 100
SUCCESS = Answer(b'{"success":true}')


class Message(msgspec.Struct, rename="camel", gc=False):
    """One message, as far as the collector reads it; fields are of any type, as sources send anything."""

    type: Any = None
    event: Any = None
    name: Any = None
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    previous_id: Any = None
    group_id: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    properties: msgspec.Raw = EMPTY_OBJECT
    traits: msgspec.Raw = EMPTY_OBJECT
    context: msgspec.Raw = EMPTY_OBJECT


class _Batch(msgspec.Struct, rename="camel", gc=False):
    batch: list[Message]
    write_key: Any = None
    sent_at: Any = None
    timestamp: Any = None
    context: Any = None


class _Single(Message, rename="camel", gc=False):
    write_key: Any = None


_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_single = msgspec.json.Decoder(_Single).decode
_decode_message = msgspec.json.Decoder(Message).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_NOTHING = (b"{}", b"null", b"[]")  # PHP writes an empty object as a list
OBJECTS = ("app", "campaign", "device", "library", "location", "network", "os", "page", "referrer", "screen", "traits")


class Segment:
    """One path of the API: `said` is the type that the path says, "" for a batch."""

    name = "segment"

    def __init__(self, said: str) -> None:
        self.said = said

    def open(self, incoming: Incoming) -> Opened:
        """One message, or the batch's. The common case is decoded at once; if anything is unusual in it, piece by piece."""
        body = incoming.body
        key = incoming.query.get("writeKey", "")
        try:
            body = mend(body)
            if self.said:
                single = _decode_single(body)
                return Opened(
                    _text_or(single.write_key, key),
                    [single],
                    sent_at=_stamp(single.sent_at),
                    texts=partial(_typed, body, self.said),
                )
            batch = _decode_batch(body)
            outer: Object = {"context": batch.context, "writeKey": batch.write_key}
            messages: list[Any] = batch.batch
            sent_at, timestamp = batch.sent_at, batch.timestamp
            texts = partial(split_texts, body, "batch")
        except (msgspec.MsgspecError, UnicodeError, RecursionError, UnknownEncoding):
            content = split(body, "" if self.said else "batch")
            outer, texts = content.outer, None
            messages = [message if isinstance(message, Broken) else decode(_encode(message)) for message in content.messages]
            sent_at, timestamp = outer.get("sentAt"), outer.get("timestamp")
        key = _text_or(outer.get("writeKey"), key)
        if self.said:
            return Opened(key, messages, sent_at=_stamp(sent_at))
        context, context_text = _outer_context(outer)
        return Opened(key, messages, _stamp(sent_at), _stamp(timestamp), context, context_text=context_text, texts=texts)

    def read(self, message: Any, opened: Opened) -> Draft:
        """One message: a `Message`, or an object in its form."""
        if not isinstance(message, Message):
            message = _as_message(message)
        kind = _kind(self.said or message.type)
        context = _without_lists({**opened.context, **_object(message.context, "context")})
        properties, traits = _object(message.properties, "properties"), _object(message.traits, "traits")
        if kind == "identify" and not traits and isinstance(context.get("traits"), dict):
            traits = context["traits"]
        if kind == "group" and message.group_id is not None:
            properties = {"group_id": message.group_id, **properties}
        library = context.get("library")
        name, version = (library.get("name"), library.get("version")) if isinstance(library, dict) else ("", "")
        timestamp, original = message.timestamp, message.original_timestamp
        return Draft(
            kind=kind,
            event=_name(message, kind),
            message_id=_message_id(message.message_id),
            ids=_ids(message, kind, traits, context),
            timestamp=timestamp if timestamp is not None else original,
            corrected=timestamp is not None and original is not None,
            sent_at=message.sent_at,
            properties=properties,
            traits=traits,
            context=context,
            channel=context.get("channel") or properties.get("channel"),
            store=properties.get("store_id") or context.get("store"),
            library=text(name),
            version=text(version),
        )

    def id_of(self, message: Any) -> str:
        """`messageId`."""
        if isinstance(message, Broken):
            return field_in(message.text, "messageId") or ""
        if isinstance(message, dict):
            given = message.get("messageId")
        else:
            given = message.message_id if isinstance(message, Message) else None
        return text(given)

    def answer(self, opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
        """A success in any case; the messages that were not usable are listed, and those with another time counted."""
        if not refused:
            return with_corrected({"success": True}, opened) if opened.corrected else SUCCESS
        return with_corrected(
            {
                "success": True,
                "accepted": len(opened.messages) - len(refused),
                "rejected": len(refused),
                "dead_lettered": [
                    {"index": index, "reason": error.reason, "field": error.field, "message": str(error)}
                    for index, error in refused[:MAX_REPORTED]
                ],
            },
            opened,
        )


ROUTES: dict[str, Segment] = {f"/v1/{kind}": Segment(kind) for kind in KINDS}
ROUTES |= {f"/v1/{short}": ROUTES[f"/v1/{kind}"] for kind, short in SHORT.items()}
ROUTES |= dict.fromkeys((f"/v1/{path}" for path in BATCH), Segment(""))


def decode(text: bytes) -> Message | Broken:
    """One message out of its text."""
    try:
        return _decode_message(text)
    except msgspec.ValidationError:
        return Broken(text, InvalidEvent("wrong_type", "", "A message must be an object."))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        broken = decode_message(text)
        return broken if isinstance(broken, Broken) else Broken(text, InvalidEvent("wrong_type", "", "Not a message."))


def _typed(body: bytes, said: str) -> list[bytes]:
    """The only message of a body, with the type that its path says: a dead letter has no path."""
    fields = _decode_fields(body)  # as they were written: a number that nobody can read among them
    return [_encode({"type": said} | {name: value for name, value in fields.items() if name not in ("type", "writeKey")})]


def _as_message(message: Any) -> Message:
    """The message that an object is. Raises InvalidEvent."""
    try:
        decoded = decode(_encode(message))
    except (UnicodeError, OverflowError, RecursionError, TypeError) as error:
        raise InvalidEvent("invalid_json", "", f"The message is not valid JSON: {error}.") from error
    if isinstance(decoded, Broken):
        raise decoded.error
    return decoded


def _text_or(value: Any, other: str) -> str:
    return value if isinstance(value, str) and value else other


def _outer_context(outer: Object) -> tuple[Object, bytes]:
    """The context of a whole batch, also as text."""
    context = outer.get("context")
    if context in (None, {}, []):  # PHP writes an empty object as a list
        return {}, b""
    if not isinstance(context, dict):
        raise RefusedError(
            400, "invalid_request", "context must be an object.", "See Segment's HTTP API for the expected fields."
        )
    try:
        return context, _encode(context)
    except (UnicodeError, OverflowError) as error:  # only Python's own decoder took it
        raise RefusedError(400, "invalid_json", f"The batch's context is not valid JSON: {error}.") from error


def _stamp(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else None


def _kind(said: Any) -> Kind:
    if not said:
        raise InvalidEvent("missing_type", "type", "The message does not say its type.", f"Use one of {', '.join(KINDS)}.")
    kind = KINDS.get(said) if isinstance(said, str) else None
    if kind is None:
        raise InvalidEvent(
            "unsupported_type", "type", f"Messages of type {str(said)[:40]!r} are not taken.", f"Use {', '.join(KINDS)}."
        )
    return kind


def _object(raw: msgspec.Raw, field: str) -> Object:
    """An object out of its text; null says as little as nothing does."""
    text_ = bytes(raw)
    if text_ in _NOTHING:
        return {}
    try:
        return decode_object(text_)
    except msgspec.ValidationError as error:
        if text_[:1] != b"{":
            if text_[:1] == b"[" and not text_[1:-1].strip():
                return {}
            raise InvalidEvent("wrong_type", field, f"{field} must be an object.") from error
        raise InvalidEvent("number_out_of_range", field, f"{error}.", "Send large numbers as a text.") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidEvent("invalid_json", field, f"{field} is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise too_deep() from error


def _without_lists(context: Object) -> Object:
    """A context without the empty lists that PHP writes for objects without fields."""
    if [] not in context.values():
        return context
    return {name: value for name, value in context.items() if value != [] or name not in OBJECTS}


def _name(message: Message, kind: Kind) -> str:
    if kind == "track":
        field, name = "event", message.event
    elif kind in ("page", "screen"):
        field, name = "name", message.name
    else:
        return ""
    if name is None:
        return ""
    if isinstance(name, str):
        return name
    raise InvalidEvent("wrong_type", field, f"{field} must be a text.")


def _message_id(given: Any) -> str:
    if given is None:
        return ""
    if isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    raise InvalidEvent("wrong_type", "messageId", "messageId must be a text.")


def _ids(message: Message, kind: Kind, traits: Object, context: Object) -> list[tuple[str, Any, str]]:
    ids = [("user_id", message.user_id, "userId")]
    if kind == "identify":
        ids += (("phone", text(traits.get("phone")), "traits.phone"), ("email", text(traits.get("email")), "traits.email"))
    ids += _context_traits(context.get("traits"))
    ids += _external_ids(context.get("externalIds"))
    ids.append(("anonymous_id", message.anonymous_id, "anonymousId"))
    if kind == "alias":
        ids.append(("anonymous_id", message.previous_id, "previousId"))
    return ids


def _context_traits(given: Any) -> list[tuple[str, Any, str]]:
    given = object_of(given, "context.traits")
    return [(type_, text(given.get(type_)), f"context.traits.{type_}") for type_ in ("phone", "email")]


def _external_ids(given: Any) -> list[tuple[str, Any, str]]:
    field = "context.externalIds"
    if given is None:
        return []
    found: list[tuple[str, Any, str]] = []
    for one in given if isinstance(given, list) else [given]:
        is_named = isinstance(one, dict) and isinstance(one.get("type"), str)
        found.append((one["type"], one.get("id"), field) if is_named else (UNREADABLE, one, field))
    return found
