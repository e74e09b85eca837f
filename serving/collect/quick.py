"""The common case of Segment's format, without looking into what only passes through.

Most events that a shop sends are plain: somebody known by a user id or a device did something, with properties that the
collector does not need. Such a message goes to the broker with its properties and traits as the text that came; what its
context says, and what enriching makes of it, is remembered, because devices send the same context again and again.
Everything else is left to the general way (dialect, draft, finish), which gives the same event for the plain ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import EMPTY_OBJECT, Event, Identifier, Kind, Source, encode
from serving.collect.dialects.segment import Message, Segment
from serving.collect.draft import Object, Opened
from serving.collect.enrich import OPENINGS
from serving.collect.finish import (
    DEFAULT_CHANNEL,
    MAX_IDENTIFIER,
    MAX_MESSAGE_ID,
    MAX_NAME,
    Arrival,
    Finish,
    may_be_deep,
    text,
    time_of,
)
from serving.collect.publish import Record

REMEMBERED, MAX_REMEMBERED = 8192, 4096  # contexts, and bytes of each
KINDS: dict[Any, Kind] = {"track": "track", "page": "page", "screen": "screen", "identify": "identify"}
NAMES: dict[Kind, str] = {"track": "event", "page": "name", "screen": "name"}


class _Known(NamedTuple):
    """A context as it is written, and what it says about its events."""

    written: msgspec.Raw
    bot: bool
    traffic: str
    channel: str
    store: str
    source: Source


class Quick:
    """Makes records of plain messages."""

    def __init__(self, finish: Finish) -> None:
        self._finish = finish
        self._general = Segment("")
        self._contexts: dict[tuple[Any, ...], _Known | None] = {}

    def forget(self) -> None:
        """Look at every context anew: what enriching goes by has changed."""
        self._contexts.clear()

    def of(self, said: str, opened: Opened, arrival: Arrival) -> Callable[[Message], Record | None]:
        """For the messages of one request: the record of a plain message; None if it is not plain, or wrong.

        One function, called for each event of a batch: what it would look up again and again is bound here.
        """
        police = self._finish.police()
        concerns = police.concerns if police is not None else _concerns_nothing
        topic, max_bytes, received_at = self._finish.events, self._finish.max_bytes, arrival.received_at

        def record(message: Message) -> Record | None:
            kind = _kind(said or message.type)
            if kind is None:
                return None
            name = message.event if kind == "track" else "" if kind == "identify" else message.name or ""
            message_id = message.message_id
            if type(name) is not str or len(name) > MAX_NAME or (not name and kind == "track") or concerns(kind, name):
                return None
            if type(message_id) is not str or not 0 < len(message_id) <= MAX_MESSAGE_ID:
                return None
            ids = _ids(message, kind)
            if not ids or _is_looked_at(message.properties):
                return None
            if message.traits is not EMPTY_OBJECT and not _is_flat(bytes(message.traits)):
                return None
            known = self._known(message, kind, name, opened, arrival)
            if known is None:
                return None
            written, bot, traffic, channel, store, source = known
            time, note = _time(message, arrival)
            event = Event(
                message_id=message_id,
                kind=kind,
                event=name,
                time=time,
                received_at=received_at,
                ids=ids,
                channel=channel or DEFAULT_CHANNEL.get(kind, ""),
                store=store,
                properties=message.properties,
                traits=message.traits,
                context=_with_note(written, note) if note else written,
                source=source,
                bot=bot,
                traffic=traffic,
            )
            value = encode(event)
            if len(value) > max_bytes:
                return None
            strongest = ids[0]
            return Record(topic, f"{strongest.type}:{strongest.value}", value)

        return record

    def _known(self, message: Message, kind: Kind, name: str, opened: Opened, arrival: Arrival) -> _Known | None:
        context = bytes(message.context)
        if (kind in DEFAULT_CHANNEL or name in OPENINGS) and b'"page"' not in context:
            return None
        key = (context, kind, opened.context_text, arrival.source, arrival.ip, arrival.agent)
        try:
            return self._contexts[key]
        except KeyError:
            known = self._look(message, kind, name, opened, arrival)
        if len(context) <= MAX_REMEMBERED:
            if len(self._contexts) >= REMEMBERED:
                self._contexts.clear()  # cheaper than keeping an order
            self._contexts[key] = known
        return known

    def _look(self, message: Message, kind: Kind, name: str, opened: Opened, arrival: Arrival) -> _Known | None:
        """What a context says; None if it is wrong, or names the person."""
        try:
            draft = self._general.read(Message(type=kind, event=name, name=name, context=message.context), opened)
        except InvalidEvent:
            return None
        if any(value not in (None, "") for _, value, _ in draft.ids):
            return None
        channel, store = text(draft.channel), text(draft.store)
        bot, traffic = self._finish.enrich(draft, arrival.ip, arrival.agent) if self._finish.enrich is not None else (False, "")
        written = encode(draft.context)
        if may_be_deep(written):
            return None
        source = Source(arrival.source, draft.library, draft.version)
        return _Known(msgspec.Raw(written), bot, traffic, channel, store, source)


def _concerns_nothing(kind: Kind, event: str) -> bool:
    return False


def _kind(said: Any) -> Kind | None:
    return KINDS.get(said) if type(said) is str else None


def _ids(message: Message, kind: Kind) -> list[Identifier] | None:
    """The identifiers, the strongest first; None if there are none, or something is unusual about them."""
    ids: list[Identifier] = []
    user_id, anonymous_id = message.user_id, message.anonymous_id
    if user_id is not None:
        if type(user_id) is not str or not 0 < len(user_id) <= MAX_IDENTIFIER or "\x00" in user_id:
            return None
        ids.append(Identifier("user_id", user_id))
    if kind == "identify":
        identity = _identity(message.traits)
        if identity is None:
            return None
        ids += identity
    if anonymous_id is not None:
        if type(anonymous_id) is not str or not 0 < len(anonymous_id) <= MAX_IDENTIFIER or "\x00" in anonymous_id:
            return None
        ids.append(Identifier("anonymous_id", anonymous_id))
    return ids


def _is_plain(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_IDENTIFIER and "\x00" not in value


def _time(message: Message, arrival: Arrival) -> tuple[int, Object]:
    stamp, original = message.timestamp, message.original_timestamp
    if original is not None:
        return time_of(original if stamp is None else stamp, stamp is not None, message.sent_at, arrival)
    return time_of(arrival.timestamp if stamp is None else stamp, False, message.sent_at, arrival)


def _identity(traits: msgspec.Raw) -> list[Identifier] | None:
    """Phone and email among traits; None if the general way has to look, also for traits that stand elsewhere."""
    try:
        found = _decode_identity(traits)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    given = [(type_, value) for type_, value in (("phone", found.phone), ("email", found.email)) if value is not None]
    if (not given and len(bytes(traits)) <= 2) or not all(_is_plain(value) for _, value in given):
        return None
    return [Identifier(type_, value) for type_, value in given]


def _with_note(context: msgspec.Raw, note: Object) -> msgspec.Raw:
    """A context as `encode` wrote it, with more fields at its end."""
    written = bytes(context)
    return msgspec.Raw(written[:-1] + (b"," if len(written) > len(EMPTY_OBJECT) else b"") + encode(note)[1:])


def _is_flat(text_: bytes) -> bool:
    """Whether a text is that of an object, and not too deep."""
    return text_[:1] == b"{" and not may_be_deep(text_)


def _is_looked_at(properties: msgspec.Raw) -> bool:
    """Whether somebody has to look into properties: they hold the channel, the store or an address, or are deep."""
    try:
        found = _decode_properties(properties)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return True
    return found != _NOTHING_FOUND or may_be_deep(bytes(properties))


class _Properties(msgspec.Struct, gc=False):
    """What the general way reads of properties."""

    channel: Any = None
    store_id: Any = None
    ip: Any = msgspec.field(name="$ip", default=None)


class _Identity(msgspec.Struct, gc=False):
    email: Any = None
    phone: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode
_decode_properties = msgspec.json.Decoder(_Properties).decode
_NOTHING_FOUND = _Properties()
