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
from cdp.events import EMPTY_OBJECT, ORDER_EVENTS, Identifier, Kind, Source, encode
from cdp.secrets import may_hold_secret
from cdp.values.identifiers import reads_as_itself
from rules.seal import Sealer, has_signs, may_hold_personal
from serving.collect.dialects.segment import Message, Segment
from serving.collect.draft import Object, Opened, decode_object
from serving.collect.enrich import OPENINGS
from serving.collect.finish import (
    DEFAULT_CHANNEL,
    MAX_IDENTIFIER,
    MAX_MESSAGE_ID,
    MAX_NAME,
    TIME_CORRECTED,
    UNVERIFIED,
    Arrival,
    Finish,
    may_be_deep,
    text,
    time_of,
)
from serving.collect.publish import Record
from serving.collect.times import EARLIEST, LATEST_AHEAD, parse
from serving.collect.wellformed import says_twice

REMEMBERED, MAX_REMEMBERED = 8192, 4096  # senders and their contexts, and bytes of each context
EMPTY = b"{}"
OPENING_BRACKET, OPENING_BRACE = b"[{"  # a single byte is found much faster than two
LOOKED_AT = frozenset({"channel", "store_id", "$ip"})  # what the general way reads of properties
KINDS: dict[Any, Kind] = {"track": "track", "page": "page", "screen": "screen", "identify": "identify"}


class _Written(msgspec.Struct, omit_defaults=True, gc=False):
    """An Event as it is written here: `context` brings the fields that follow from it along, as text."""

    message_id: str
    kind: Kind
    time: int
    received_at: int
    ids: list[Identifier]
    context: msgspec.Raw
    event: str = ""
    properties: msgspec.Raw = EMPTY_OBJECT
    traits: msgspec.Raw = EMPTY_OBJECT


class _Follows(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of an Event that follow from its context, besides itself."""

    source: Source
    channel: str = ""
    store: str = ""
    bot: bool = False
    traffic: str = ""


class _Known(NamedTuple):
    """What a context says about its events, sealed.

    Attributes:
        written: the context, as text.
        follows: the other fields, as text, each with a comma before it.
        both: one after the other.
    """

    written: bytes
    follows: bytes
    both: msgspec.Raw
    has_page: bool


_Contexts = dict[tuple[Kind, bytes], _Known | None]


class Quick:
    """Makes records of plain messages."""

    def __init__(self, finish: Finish) -> None:
        self._finish = finish
        self._general = Segment("")
        self._contexts: dict[tuple[Any, ...], _Contexts] = {}
        self._remembered = 0
        self._properties: dict[bytes, bool] = {}
        self._harmless: set[str] = set()

    def forget(self) -> None:
        """Look at everything anew: what enriching or sealing goes by has changed."""
        self._contexts.clear()
        self._remembered = 0
        self._properties.clear()
        self._harmless.clear()

    def of(self, said: str, opened: Opened, arrival: Arrival) -> Callable[[Message], Record | None]:
        """For the messages of one request: the record of a plain message; None if it is not plain, or wrong.

        One function, called for each event of a batch: what it would look up again and again is bound here.
        """
        police = self._finish.police()
        concerns = police.concerns if police is not None else None
        topic, max_bytes, received_at = self._finish.events, self._finish.max_bytes, arrival.received_at
        earliest, latest = _as_it_stands(arrival)
        sealer, passes = self._finish.sealer(), self._passes
        sender = opened.context_text, arrival.source, arrival.ip, arrival.agent
        contexts = self._contexts.get(sender)
        if contexts is None:
            self._make_room()
            contexts = self._contexts[sender] = {}

        def record(message: Message) -> Record | None:  # noqa: PLR0912 - one function, called for each event
            kind = KINDS.get(type_) if type(type_ := said or message.type) is str else None
            if kind is None:
                return None
            name = message.event if kind == "track" else "" if kind == "identify" else message.name or ""
            message_id = message.message_id
            if type(name) is not str or len(name) > MAX_NAME or (not name and kind == "track") or name in ORDER_EVENTS:
                return None
            if type(message_id) is not str or not 0 < len(message_id) <= MAX_MESSAGE_ID:
                return None
            if concerns is not None and concerns(kind, name):
                return None
            ids = _ids(message, kind, sealer)
            properties, traits = message.properties, _sealed(message.traits, sealer)
            if not ids or traits is None or (properties is not EMPTY_OBJECT and not passes(properties, sealer)):
                return None
            names = f"{message_id} {message.user_id} {message.anonymous_id} {name}"
            if may_hold_personal(names) or may_hold_secret(names.encode()):
                return None
            context = bytes(message.context)
            try:
                known = contexts[kind, context]
            except KeyError:
                known = self._look(message, kind, opened, arrival)
                if len(context) <= MAX_REMEMBERED:
                    self._make_room()
                    contexts[kind, context] = known
            if known is None or (name in OPENINGS and not known.has_page):
                return None
            time, context_and_more = None, known.both
            if message.original_timestamp is None and message.sent_at is None:
                time = parse(message.timestamp)
            if time is None or not earliest <= time <= latest:
                try:
                    time, note = _time(message, arrival)
                except InvalidEvent:
                    return None
                if TIME_CORRECTED in note:  # it may be history, and has to be counted if it is not
                    return None
                if note:
                    context_and_more = msgspec.Raw(_with_note(known.written, note) + known.follows)
            value = encode(_Written(message_id, kind, time, received_at, ids, context_and_more, name, properties, traits))
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
        found = _sound(properties)
        if found is None:
            return False
        if not self._harmless.issuperset(found):
            if any(name in LOOKED_AT or sealer.is_personal_name(name) for name in found):
                return False
            if len(self._harmless) < REMEMBERED:
                self._harmless.update(found)
        is_flat = len(properties) - len(properties.translate(None, b"{[")) == 1
        if is_flat and b"=" not in properties:
            return not has_signs(properties)
        return not _has_depth(properties) and not sealer.is_personal(properties)

    def _make_room(self) -> None:
        """For one more sender or context."""
        if self._remembered >= REMEMBERED:
            self.forget()  # cheaper than keeping an order
        self._remembered += 1

    def _look(self, message: Message, kind: Kind, opened: Opened, arrival: Arrival) -> _Known | None:
        """What a context says; None if it is wrong, names the person, or lacks the page that an event of its kind was on."""
        try:
            draft = self._general.read(Message(type=kind, event="-", context=message.context), opened)
        except InvalidEvent:
            return None
        has_page = isinstance(draft.context.get("page"), dict)
        if any(value not in (None, "") for _, value, _ in draft.ids) or (kind in DEFAULT_CHANNEL and not has_page):
            return None
        sealer = self._finish.sealer()
        channel, store = sealer.label(text(draft.channel)), sealer.label(text(draft.store))
        bot, traffic = self._finish.enrich(draft, arrival.ip, arrival.agent) if self._finish.enrich is not None else (False, "")
        written = sealer.context(encode(draft.context))
        if may_be_deep(written) or may_hold_secret(written):
            return None
        source = Source(arrival.source, sealer.label(draft.library), draft.version)
        follows = _Follows(source, channel or DEFAULT_CHANNEL.get(kind, ""), store, bot, traffic)
        fields = encode(follows)[1:-1]
        more = b"," + fields if fields else b""
        return _Known(written, more, msgspec.Raw(written + more), has_page)


def _as_it_stands(arrival: Arrival) -> tuple[int, int]:
    """Between which times a message's own stamp is its event's time, with nothing to correct and nothing to note."""
    if arrival.skew:
        return 1, 0
    received_at = arrival.received_at
    earliest = EARLIEST if arrival.skew == 0 else max(EARLIEST, received_at - UNVERIFIED)
    return earliest, received_at + LATEST_AHEAD


def _ids(message: Message, kind: Kind, sealer: Sealer) -> list[Identifier] | None:
    """The identifiers, the strongest first; None if there are none, or something is unusual about them."""
    ids: list[Identifier | None] = []
    user_id, anonymous_id = message.user_id, message.anonymous_id
    if user_id is not None:
        if (
            type(user_id) is not str
            or not 0 < len(user_id) <= MAX_IDENTIFIER
            or "\x00" in user_id
            or not reads_as_itself(user_id)
        ):
            return None
        ids.append(Identifier("user_id", user_id))
    if kind == "identify":
        identity = _identity(message.traits)
        if identity is None:
            return None
        ids += [sealer.identifier(type_, value) for type_, value in identity]
    if anonymous_id is not None:
        if (
            type(anonymous_id) is not str
            or not 0 < len(anonymous_id) <= MAX_IDENTIFIER
            or "\x00" in anonymous_id
            or not reads_as_itself(anonymous_id)
        ):
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
    """Traits with what is personal in them sealed; None if the general way has to look."""
    if traits is EMPTY_OBJECT:
        return traits
    if not _is_flat(bytes(traits)) or _sound(bytes(traits)) is None:
        return None
    try:
        return msgspec.Raw(sealer.traits(bytes(traits)))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _sound(text_: bytes) -> Object | None:
    """The object of a text that everybody reads in the same way, with no secret in it; None if the general way has to look."""
    if may_hold_secret(text_):
        return None
    try:
        found = decode_object(text_)
        return None if says_twice(text_, found) else found
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _with_note(written: bytes, note: Object) -> bytes:
    """A context as `encode` wrote it, with more fields at its end."""
    return written[:-1] + (b"," if len(written) > len(EMPTY) else b"") + encode(note)[1:]


def _is_flat(text_: bytes) -> bool:
    """Whether a text is that of an object, and not too deep."""
    return text_[:1] == b"{" and not _has_depth(text_)


def _has_depth(text_: bytes) -> bool:
    """`may_be_deep` for the text of an object, most of which hold no other object and no list."""
    return (OPENING_BRACKET in text_ or OPENING_BRACE in text_[1:]) and may_be_deep(text_)


class _Identity(msgspec.Struct, gc=False):
    email: Any = None
    phone: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode
