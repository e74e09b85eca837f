"""Turn one message in Segment's wire format into an event. Pure: no clock, no network.

What is wrong with a message's content is `InvalidEvent`, and nothing else is ever raised.
"""

import re
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import EMPTY_OBJECT, ORDER_EVENTS, Event, Identifier, Kind, Source, encode
from serving.collect.times import Stamp, event_time, skew_of

KINDS: dict[str, Kind] = {
    "track": "track", "identify": "identify", "page": "page", "screen": "screen", "alias": "alias",
}  # fmt: skip
DEFAULT_CHANNEL = {"page": "web", "screen": "app"}

MAX_IDENTIFIER = 512
MAX_NAME = 512
MAX_MESSAGE_ID = 256
MAX_DEPTH = 64
STRONGEST_FIRST = {"user_id": 0, "phone": 1, "email": 2}
WEAKEST = {"anonymous_id": 9, "order_id": 8}
OTHERS = 5

_TYPE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_PATH = re.compile(r" - at `\$\.?([^`]*)`")

Scalar = str | int | float | None


class Message(msgspec.Struct, rename="camel"):
    """One message, as far as the collector reads it."""

    type: str | None = None
    event: str | None = None
    name: str | None = None
    message_id: str | int | None = None
    user_id: Scalar = None
    anonymous_id: Scalar = None
    previous_id: Scalar = None
    timestamp: Stamp = None
    original_timestamp: Stamp = None
    sent_at: Stamp = None
    properties: msgspec.Raw = EMPTY_OBJECT
    traits: msgspec.Raw = EMPTY_OBJECT
    context: msgspec.Raw = EMPTY_OBJECT


class ExternalId(msgspec.Struct):
    """An identifier of a source's own kind."""

    id: str | int
    type: str


class Traits(msgspec.Struct):
    """The traits that identify a person; of any type, as sources send anything."""

    email: Any = None
    phone: Any = None


class Library(msgspec.Struct):
    """The SDK that sent the message."""

    name: str = ""
    version: str | int | float = ""


class Context(msgspec.Struct):
    """What the collector reads of a message's context."""

    traits: Traits | None = None
    external_ids: list[ExternalId] | None = msgspec.field(name="externalIds", default=None)
    library: Library | None = None
    channel: str | None = None
    store: Any = None


class Properties(msgspec.Struct):
    """What the collector reads of a message's properties."""

    channel: Any = None
    store_id: Any = None
    order_id: Any = None


class Envelope(NamedTuple):
    """What all messages of a request have in common.

    Attributes:
        source: the write key's name.
        received_at: when the request came, in microseconds.
        max_bytes: largest event taken.
        kind: the type that the path says, "" for batch.
        skew: by how much the sender's clock is behind, in microseconds, for messages without a sentAt of their own.
        timestamp, context: the outer fields, for messages that lack them.
    """

    source: str
    received_at: int
    max_bytes: int
    kind: str = ""
    skew: int = 0
    timestamp: Stamp = None
    context: msgspec.Raw = EMPTY_OBJECT


class Mapped(NamedTuple):
    """An event, ready for the broker."""

    event: Event
    key: str
    value: bytes


_decode_message = msgspec.json.Decoder(Message).decode
_decode_context = msgspec.json.Decoder(Context).decode
_decode_properties = msgspec.json.Decoder(Properties).decode
_decode_traits = msgspec.json.Decoder(Traits).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode

_NULL = msgspec.Raw(b"null")


def to_event(raw: bytes, envelope: Envelope) -> Mapped:
    """Map one message. Raises InvalidEvent if its content cannot be used."""
    if len(raw) > envelope.max_bytes:
        raise InvalidEvent("too_large", "", f"The event is larger than {envelope.max_bytes} bytes.", "Send less in one event.")
    try:
        return _map(raw, envelope)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        raise InvalidEvent("wrong_type", path[1] if path else "", _PATH.sub("", str(error)) + ".") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidEvent("invalid_json", "", f"The event is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise InvalidEvent("too_deep", "", f"The event is nested deeper than {MAX_DEPTH} levels.") from error


def _map(raw: bytes, envelope: Envelope) -> Mapped:
    _check(raw)
    message = _decode_message(raw)
    kind = _kind(message, envelope)
    context_json = _merged(_present(message.context), _present(envelope.context))
    properties_json, traits_json = _present(message.properties), _present(message.traits)
    context: Context = _inside("context", _decode_context, context_json)
    properties: Properties = _inside("properties", _decode_properties, properties_json)
    traits: Traits = _inside("traits", _decode_traits, traits_json)
    ids = _identifiers(message, context, properties, traits if kind == "identify" else None, kind)
    time, replaced = event_time(
        message.timestamp if message.timestamp is not None else envelope.timestamp,
        message.original_timestamp,
        envelope.skew if message.sent_at is None else skew_of(message.sent_at, envelope.received_at),
        envelope.received_at,
    )
    library = context.library
    event = Event(
        message_id=_message_id(message.message_id),
        kind=kind,
        event=_name(message, kind),
        time=time,
        received_at=envelope.received_at,
        ids=ids,
        channel=context.channel or _text(properties.channel) or DEFAULT_CHANNEL.get(kind, ""),
        store=_text(properties.store_id) or _text(context.store),
        properties=properties_json,
        traits=traits_json,
        context=_flagged(context_json) if replaced else context_json,
        source=Source(envelope.source, library.name, str(library.version)) if library else Source(envelope.source),
    )
    strongest = min(ids, key=_strength) if len(ids) > 1 else ids[0]
    return Mapped(event, f"{strongest.type}:{strongest.value}", encode(event))


def _check(raw: bytes) -> None:
    """Decode all of it once: what travels on uninterpreted must be readable by everyone behind us."""
    try:
        value = msgspec.json.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidEvent("number_out_of_range", "", "A number is larger than anyone can read.", "Send it as a text.") from error
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise InvalidEvent("too_deep", "", f"The event is nested deeper than {MAX_DEPTH} levels.", "Send flatter properties.")


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        depth += 1
    return depth


def _inside(field: str, decode: Any, raw: msgspec.Raw) -> Any:
    """Decode a part of a message; errors name the path from the message on."""
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        where = f"{field}.{path[1]}" if path and path[1] else field
        raise InvalidEvent("wrong_type", where, _PATH.sub("", str(error)) + ".") from error


def _kind(message: Message, envelope: Envelope) -> Kind:
    said = envelope.kind or message.type
    if not said:
        raise InvalidEvent("missing_type", "type", "The message does not say its type.", f"Use one of {', '.join(KINDS)}.")
    kind = KINDS.get(said)
    if kind is None:
        raise InvalidEvent(
            "unsupported_type", "type", f"Messages of type {said[:40]!r} are not taken.", f"Use {', '.join(KINDS)}."
        )
    return kind


def _name(message: Message, kind: Kind) -> str:
    if kind == "track":
        name = message.event
        if not name:
            raise InvalidEvent("missing_event", "event", "A track message needs the event's name.", 'Send "event".')
    elif kind in ("page", "screen"):
        name = message.name or ""
    else:
        return ""
    if len(name) > MAX_NAME:
        raise InvalidEvent("name_too_long", "event", f"The event's name is longer than {MAX_NAME} characters.")
    return name


def _message_id(given: str | int | None) -> str:
    """The source's id, or a random one: such a message cannot be recognised when it comes again."""
    if given is None or given == "":
        return str(uuid4())
    text = str(given)
    if len(text) > MAX_MESSAGE_ID:
        raise InvalidEvent("message_id_too_long", "messageId", f"messageId is longer than {MAX_MESSAGE_ID} characters.")
    return text


def _identifiers(
    message: Message, context: Context, properties: Properties, traits: Traits | None, kind: Kind
) -> list[Identifier]:
    ids: list[Identifier] = []
    _add(ids, "user_id", message.user_id, "userId")
    if traits is not None:
        _add_traits(ids, traits, "traits")
    if context.traits is not None:
        _add_traits(ids, context.traits, "context.traits")
    for external in context.external_ids or ():
        if not _TYPE.fullmatch(external.type):
            raise InvalidEvent(
                "invalid_identifier", "context.externalIds", "An external id's type may hold letters, digits, _ . and -."
            )
        _add(ids, external.type, external.id, "context.externalIds")
    _add(ids, "anonymous_id", message.anonymous_id, "anonymousId")
    if kind == "alias":
        _add(ids, "anonymous_id", message.previous_id, "previousId")
        if len(ids) < 2:
            raise InvalidEvent("missing_identifier", "previousId", "An alias message needs both userId and previousId.")
    if not ids and message.event in ORDER_EVENTS:
        _add(ids, "order_id", _text(properties.order_id), "properties.order_id")  # a guest's order is known by its number
    if not ids:
        raise InvalidEvent("missing_identifier", "userId", "The message says nobody.", "Send userId or anonymousId.")
    return ids


def _add_traits(ids: list[Identifier], traits: Traits, field: str) -> None:
    for type_ in ("phone", "email"):
        _add(ids, type_, _text(getattr(traits, type_)), f"{field}.{type_}")


def _add(ids: list[Identifier], type_: str, given: Scalar, field: str) -> None:
    if given is None or given == "":
        return
    value = given if isinstance(given, str) else _text(given)
    if len(value) > MAX_IDENTIFIER or "\x00" in value:
        raise InvalidEvent("invalid_identifier", field, f"An identifier has at most {MAX_IDENTIFIER} characters, and no NUL.")
    identifier = Identifier(type_, value)
    if identifier not in ids:
        ids.append(identifier)


def _text(value: Any) -> str:
    """A scalar as text; "" for anything that is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _strength(identifier: Identifier) -> int:
    return STRONGEST_FIRST.get(identifier.type, WEAKEST.get(identifier.type, OTHERS))


def _present(raw: msgspec.Raw) -> msgspec.Raw:
    return EMPTY_OBJECT if raw == _NULL else raw


def _merged(inner: msgspec.Raw, outer: msgspec.Raw) -> msgspec.Raw:
    """A message's context over the batch's."""
    if outer == EMPTY_OBJECT:
        return inner
    if inner == EMPTY_OBJECT:
        return outer
    return msgspec.Raw(
        msgspec.json.encode({**_inside("context", _decode_object, outer), **_inside("context", _decode_object, inner)})
    )


def _flagged(context: msgspec.Raw) -> msgspec.Raw:
    """The context with a note that the event's time was unusable."""
    return msgspec.Raw(msgspec.json.encode({**_decode_object(context), "time_corrected": True}))
