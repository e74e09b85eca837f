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
from rules.seal import Sealer, has_signs, may_hold_personal
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
LOOKED_AT = frozenset({"channel", "store_id", "$ip"})  # what the general way reads of properties
KINDS: dict[Any, Kind] = {"track": "track", "page": "page", "screen": "screen", "identify": "identify"}
NAMES: dict[Kind, str] = {"track": "event", "page": "name", "screen": "name"}


class _Known(NamedTuple):
    """A context as it is written, sealed, and what it says about its events."""

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
        self._properties: dict[bytes, bool] = {}
        self._harmless: set[str] = set()

    def forget(self) -> None:
        """Look at everything anew: what enriching or sealing goes by has changed."""
        self._contexts.clear()
        self._properties.clear()
        self._harmless.clear()

    def of(self, said: str, opened: Opened, arrival: Arrival) -> Callable[[Message], Record | None]:
        """For the messages of one request: the record of a plain message; None if it is not plain, or wrong.

        One function, called for each event of a batch: what it would look up again and again is bound here.
        """
        police = self._finish.police()
        concerns = police.concerns if police is not None else _concerns_nothing
        topic, max_bytes, received_at = self._finish.events, self._finish.max_bytes, arrival.received_at
        sealer = self._finish.sealer()

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
            ids = _ids(message, kind, sealer)
            if not ids or not self._passes(message.properties, sealer):
                return None
            if may_hold_personal(f"{message_id} {message.user_id} {message.anonymous_id} {name}"):
                return None
            if message.traits is not EMPTY_OBJECT and not _is_flat(bytes(message.traits)):
                return None
            traits = message.traits
            if traits is not EMPTY_OBJECT:
                sealed = _sealed(traits, sealer)
                if sealed is None:
                    return None
                traits = sealed
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
                traits=traits,
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

    def _passes(self, properties: msgspec.Raw, sealer: Sealer) -> bool:
        """Whether properties go on as they came: nobody has to look into them, and nothing in them is personal.

        Shops say the same of a product again and again, so that what was found is remembered.
        """
        text_ = bytes(properties)
        passes = self._properties.get(text_)
        if passes is None:
            passes = self._are_harmless(text_, sealer)
            if len(text_) <= MAX_REMEMBERED:
                if len(self._properties) >= REMEMBERED:
                    self._properties.clear()
                self._properties[text_] = passes
        return passes

    def _are_harmless(self, properties: bytes, sealer: Sealer) -> bool:
        try:
            found = _decode_names(properties)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        if not self._harmless.issuperset(found):
            if any(name in LOOKED_AT or sealer.is_personal_name(name) for name in found):
                return False
            if len(self._harmless) < REMEMBERED:
                self._harmless.update(found)
        is_flat = len(properties) - len(properties.translate(None, b"{[")) == 1
        if is_flat and b"=" not in properties:
            return not has_signs(properties)
        return not may_be_deep(properties) and not sealer.is_personal(properties)

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
        sealer = self._finish.sealer()
        channel, store = sealer.label(text(draft.channel)), sealer.label(text(draft.store))
        bot, traffic = self._finish.enrich(draft, arrival.ip, arrival.agent) if self._finish.enrich is not None else (False, "")
        written = sealer.context(encode(draft.context))
        if may_be_deep(written):
            return None
        source = Source(arrival.source, sealer.label(draft.library), draft.version)
        return _Known(msgspec.Raw(written), bot, traffic, channel, store, source)


def _concerns_nothing(kind: Kind, event: str) -> bool:
    return False


def _kind(said: Any) -> Kind | None:
    return KINDS.get(said) if type(said) is str else None


def _ids(message: Message, kind: Kind, sealer: Sealer) -> list[Identifier] | None:
    """The identifiers, the strongest first; None if there are none, or something is unusual about them."""
    ids: list[Identifier | None] = []
    user_id, anonymous_id = message.user_id, message.anonymous_id
    if user_id is not None:
        if type(user_id) is not str or not 0 < len(user_id) <= MAX_IDENTIFIER or "\x00" in user_id:
            return None
        ids.append(Identifier("user_id", user_id))
    if kind == "identify":
        identity = _identity(message.traits)
        if identity is None:
            return None
        ids += [sealer.identifier(type_, value) for type_, value in identity]
    if anonymous_id is not None:
        if type(anonymous_id) is not str or not 0 < len(anonymous_id) <= MAX_IDENTIFIER or "\x00" in anonymous_id:
            return None
        ids.append(Identifier("anonymous_id", anonymous_id))
    return [one for one in ids if one is not None] if None in ids else ids  # type: ignore[return-value]


def _is_plain(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_IDENTIFIER and "\x00" not in value


def _time(message: Message, arrival: Arrival) -> tuple[int, Object]:
    stamp, original = message.timestamp, message.original_timestamp
    if original is not None:
        return time_of(original if stamp is None else stamp, stamp is not None, message.sent_at, arrival)
    return time_of(arrival.timestamp if stamp is None else stamp, False, message.sent_at, arrival)


def _identity(traits: msgspec.Raw) -> list[tuple[str, str]] | None:
    """Phone and email among traits; None if the general way has to look, also for traits that stand elsewhere."""
    try:
        found = _decode_identity(traits)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    given = [(type_, value) for type_, value in (("phone", found.phone), ("email", found.email)) if value is not None]
    if (not given and len(bytes(traits)) <= 2) or not all(_is_plain(value) for _, value in given):
        return None
    return given


def _sealed(traits: msgspec.Raw, sealer: Sealer) -> msgspec.Raw | None:
    """Traits with what is personal in them sealed; None if they cannot be read."""
    try:
        return msgspec.Raw(sealer.traits(bytes(traits)))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _with_note(context: msgspec.Raw, note: Object) -> msgspec.Raw:
    """A context as `encode` wrote it, with more fields at its end."""
    written = bytes(context)
    return msgspec.Raw(written[:-1] + (b"," if len(written) > len(EMPTY_OBJECT) else b"") + encode(note)[1:])


def _is_flat(text_: bytes) -> bool:
    """Whether a text is that of an object, and not too deep."""
    return text_[:1] == b"{" and not may_be_deep(text_)


class _Identity(msgspec.Struct, gc=False):
    email: Any = None
    phone: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode
_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
