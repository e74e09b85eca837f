"""The common case of Segment's format, without looking into what only passes through.

Most events that a shop sends are plain: somebody known by a user id or a device did something, with properties that the
collector does not need. Such a message goes to the broker with its properties and traits as the text that came; what its
context says, and what enriching makes of it, is remembered, because devices send the same context again and again.
Everything else is left to the general way (dialect, draft, finish), which gives the same event for the plain ones.
"""

from typing import Any, NamedTuple

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import EMPTY_OBJECT, Event, Identifier, Kind, Source, encode
from serving.collect.dialects.segment import Message, Segment
from serving.collect.draft import Opened
from serving.collect.enrich import reads_properties
from serving.collect.finish import (
    DEFAULT_CHANNEL,
    MAX_IDENTIFIER,
    MAX_MESSAGE_ID,
    MAX_NAME,
    UNVERIFIED,
    Arrival,
    Finish,
    may_be_deep,
    text,
)
from serving.collect.publish import Record
from serving.collect.times import event_time, skew_of

REMEMBERED, MAX_REMEMBERED = 8192, 4096  # contexts, and bytes of each
KINDS: dict[Any, Kind] = {"track": "track", "page": "page", "screen": "screen", "identify": "identify"}
NAMES: dict[Kind, str] = {"track": "event", "page": "name", "screen": "name"}
_LOOKED_AT = (b'"channel"', b'"store_id"', b'"$ip"')  # properties that the general way reads
_ALONE = Opened("", [])


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

    def record(self, message: Message, said: str, opened: Opened, arrival: Arrival) -> Record | None:
        """The record of a plain message; None if it is not plain, or wrong."""
        kind = KINDS.get(said or message.type) if type(said or message.type) is str else None
        if kind is None or opened.context or arrival.replay_of:
            return None
        name = message.event if kind == "track" else "" if kind == "identify" else message.name or ""
        message_id = message.message_id
        if type(name) is not str or len(name) > MAX_NAME or (not name and kind == "track"):
            return None
        if type(message_id) is not str or not 0 < len(message_id) <= MAX_MESSAGE_ID:
            return None
        police = self._finish.police()
        if police is not None and police.concerns(kind, name):
            return None
        ids = _ids(message, kind)
        time = _time(message, arrival)
        if not ids or time is None or not _passes(message.properties, _LOOKED_AT):
            return None
        if message.traits is not EMPTY_OBJECT and not _passes(message.traits, ()):
            return None
        known = self._known(message, kind, name, arrival)
        if known is None:
            return None
        event = Event(
            message_id=message_id,
            kind=kind,
            event=name,
            time=time,
            received_at=arrival.received_at,
            ids=ids,
            channel=known.channel or DEFAULT_CHANNEL.get(kind, ""),
            store=known.store,
            properties=message.properties,
            traits=message.traits,
            context=known.written,
            source=known.source,
            bot=known.bot,
            traffic=known.traffic,
        )
        value = encode(event)
        if len(value) > self._finish.max_bytes:
            return None
        return Record(self._finish.events, f"{ids[0].type}:{ids[0].value}", value)

    def _known(self, message: Message, kind: Kind, name: str, arrival: Arrival) -> _Known | None:
        context = bytes(message.context)
        if reads_properties(kind, name) and b'"page"' not in context:
            return None
        key = (context, kind, arrival.source, arrival.ip, arrival.agent)
        try:
            return self._contexts[key]
        except KeyError:
            known = self._look(message, kind, name, arrival)
        if len(context) <= MAX_REMEMBERED:
            if len(self._contexts) >= REMEMBERED:
                self._contexts.clear()  # cheaper than keeping an order
            self._contexts[key] = known
        return known

    def _look(self, message: Message, kind: Kind, name: str, arrival: Arrival) -> _Known | None:
        """What a context says; None if it is wrong, or names the person."""
        try:
            draft = self._general.read(Message(type=kind, event=name, name=name, context=message.context), _ALONE)
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


def _ids(message: Message, kind: Kind) -> list[Identifier] | None:
    """The identifiers, the strongest first; None if there are none, or something is unusual about them."""
    ids: list[Identifier] = []
    user_id, anonymous_id = message.user_id, message.anonymous_id
    if user_id is not None:
        if not _is_plain(user_id):
            return None
        ids.append(Identifier("user_id", user_id))
    if kind == "identify":
        identity = _identity(message.traits)
        if identity is None:
            return None
        ids += identity
    if anonymous_id is not None:
        if not _is_plain(anonymous_id):
            return None
        ids.append(Identifier("anonymous_id", anonymous_id))
    return ids


def _is_plain(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_IDENTIFIER and "\x00" not in value


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


def _time(message: Message, arrival: Arrival) -> int | None:
    """The event time; None if there is something to note about it."""
    stamp, received_at = message.timestamp, arrival.received_at
    if stamp is None or message.original_timestamp is not None:
        return None
    skew = arrival.skew if message.sent_at is None else skew_of(message.sent_at, received_at)
    if skew:
        return None
    time, replaced = event_time(stamp, False, 0, received_at)
    return None if replaced or (skew is None and received_at - time > UNVERIFIED) else time


def _passes(raw: msgspec.Raw, looked_at: tuple[bytes, ...]) -> bool:
    """Whether a part is an object that nobody has to look into."""
    text_ = bytes(raw)
    return text_[:1] == b"{" and not may_be_deep(text_) and not any(sign in text_ for sign in looked_at)


class _Identity(msgspec.Struct, gc=False):
    email: Any = None
    phone: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode
