"""From a dialect's draft to a record for the broker: the checks, the time and the encoding that all dialects share.

Pure but for the id that is drawn for a message without one. What is wrong with a draft is InvalidEvent, and nothing else is
ever raised.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import msgspec

from cdp.clock import DAY, SECOND
from cdp.errors import InvalidEvent
from cdp.events import ORDER_ID, ORDER_PLACED, Event, Identifier, Item, Kind, Source, encode, is_order
from cdp.identity import TRAITS
from cdp.secrets import hide
from cdp.values.identifiers import read_identifier, reads_as_itself
from cdp.values.texts import is_error, trim
from rules.identity import load_identity_rules
from rules.identity.model import IdentityRules
from rules.identity.nobody import is_no_number
from rules.seal import Sealer
from serving.collect.draft import Draft, ItemDraft, Object
from serving.collect.publish import Record
from serving.collect.times import Stamp, clock_of, event_time, skew_of

DEFAULT_CHANNEL: dict[Kind, str] = {"page": "web", "screen": "app"}

MAX_IDENTIFIER = 512
MAX_NAME = 512
MAX_MESSAGE_ID = 256
MAX_DEPTH = 64
STRENGTH = {"user_id": 0, "phone": 1, "email": 2, "anonymous_id": 8, "order_id": 9}
OTHERS = 5
CONTACTS = frozenset({"phone", "email"})  # their normal form is found by the rules of identity
UNVERIFIED = 30 * DAY  # older stamps of senders who do not say what their clock shows may be a broken clock

TIME_CORRECTED = "time_corrected"  # in the context of an event whose time could not be used
OF_DEVICES = frozenset({"device", "network", "screen", "userAgent"})  # fields of the context that only devices send
BROWSERS = "Mozilla/"  # how the User-Agent of every browser begins
UNREADABLE = "unreadable"  # type of an identifier of which a dialect cannot tell the type

_NO_NOTE: Object = {}
_TYPE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class Arrival(NamedTuple):
    """What all messages of a request have in common.

    Attributes:
        source: the write key's name.
        received_at: when the request came, in microseconds.
        skew: by how much the sender's clock is behind, in microseconds; None: the sender did not say.
        timestamp: of the request, for messages that lack one.
        ip, agent: the client's address and User-Agent.
        replay_of: position of the dead letter that is being repaired.
        secrets: what the request said to be let in, which is kept nowhere: the name `source` stands in its place.
    """

    source: str
    received_at: int
    skew: int | None = None
    timestamp: Stamp = None
    ip: str = ""
    agent: str = ""
    replay_of: str = ""
    secrets: tuple[str, ...] = ()


class Enrich(Protocol):
    """Adds to a draft's context what can be known from it; returns (bot, traffic channel). Never raises."""

    def __call__(self, draft: Draft, client_ip: str, client_agent: str) -> tuple[bool, str]:
        """Enrich a draft."""


class Police(Protocol):
    """Holds a draft against the tracking plan: may drop properties. Raises InvalidEvent if the event is blocked."""

    def concerns(self, kind: Kind, event: str) -> bool:
        """Whether it has to be called for such an event at all."""

    def __call__(self, draft: Draft, source: str) -> None:
        """Check a draft."""


@dataclass(frozen=True)
class Finish:
    """Finishes drafts.

    Args:
        events, items: the topics.
        max_bytes: largest event, encoded.
        sealer: seals what is personal, as it is now.
        police: the tracking plan, as it is now.
        matches: whether people are found by their traits as well, as it is now: then an event needs no identifier.
        rules: the identity rules in force.
    """

    events: str
    items: str
    max_bytes: int
    sealer: Callable[[], Sealer]
    enrich: Enrich | None = None
    police: Callable[[], Police | None] = lambda: None
    matches: Callable[[], bool] = lambda: False
    rules: Callable[[], IdentityRules] = load_identity_rules

    def __call__(self, draft: Draft | ItemDraft, arrival: Arrival) -> Record:
        """The record of a draft. Raises InvalidEvent."""
        try:
            return self._event(draft, arrival) if isinstance(draft, Draft) else self._item(draft, arrival)
        except RecursionError as error:
            raise too_deep() from error
        except msgspec.ValidationError as error:
            raise InvalidEvent("number_out_of_range", "", f"{error}.", "Send large numbers as a text.") from error
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidEvent("invalid_json", "", f"The event is not valid JSON: {error}.") from error

    def _record(self, topic: str, key: str, value: bytes, arrival: Arrival, *, corrected: bool) -> Record:
        """The record without secrets, if it is not too large or too deep."""
        value = hide(value, arrival.secrets, arrival.source)
        key = hide(key.encode(), arrival.secrets, arrival.source).decode()
        if len(value) > self.max_bytes:
            raise too_large(self.max_bytes)
        if may_be_deep(value) and _depth(msgspec.json.decode(value)) > MAX_DEPTH:
            raise too_deep()
        return Record(topic, key, value, corrected)

    def _event(self, draft: Draft, arrival: Arrival) -> Record:
        name = _name(draft)
        ids, left_out = _identifiers(draft)
        if is_order(draft.kind, name):
            ids = with_order_id(ids, draft.properties)
            if name != ORDER_PLACED:
                _check_order_id(ids, self.rules())
        if left_out and not (is_order(draft.kind, name) and any(one.type == ORDER_ID for one in ids)):
            raise left_out[0]
        if ids or not (draft.traits and self.matches()):
            _check_ids(ids, draft.kind)
        stamp = draft.timestamp if draft.timestamp is not None else arrival.timestamp
        time, note = time_of(stamp, draft.corrected, draft.sent_at, arrival, partial(_is_of_server, draft, arrival))
        bot, traffic = False, ""
        if self.enrich is not None:
            bot, traffic = self.enrich(draft, arrival.ip, arrival.agent)
        police = self.police()
        if police is not None:
            police(draft, arrival.source)
        sealer = self.sealer()
        ids = sealed_ids(ids, sealer) if ids else []
        context = draft.context | note if note else draft.context
        if left_out:
            context = context | {"ids_left_out": [error.field for error in left_out]}
        event = Event(
            message_id=sealer.message_id(_message_id(draft.message_id)),
            kind=draft.kind,
            event=sealer.label(name),
            time=time,
            received_at=arrival.received_at,
            ids=ids,
            channel=sealer.label(text(draft.channel)) or DEFAULT_CHANNEL.get(draft.kind, ""),
            store=sealer.label(text(draft.store)),
            properties=msgspec.Raw(sealer.properties(encode(draft.properties))),
            traits=msgspec.Raw(sealer.traits(encode(draft.traits))),
            context=msgspec.Raw(sealer.context(encode(context))),
            source=Source(arrival.source, sealer.label(draft.library), draft.version, arrival.replay_of),
            bot=bot,
            traffic=traffic,
        )
        key = _key(ids) if ids else f"{TRAITS}:{event.message_id}"
        return self._record(self.events, key, encode(event), arrival, corrected=TIME_CORRECTED in note)

    def _item(self, draft: ItemDraft, arrival: Arrival) -> Record:
        time, replaced = event_time(draft.timestamp, False, arrival.skew or 0, arrival.received_at, lambda: True)
        for name, value in (("item_type", draft.item_type), ("item_id", draft.item_id)):
            if not value or len(value) > MAX_IDENTIFIER or "\x00" in value:
                raise InvalidEvent("invalid_item", name, f"{name} must have 1 to {MAX_IDENTIFIER} characters, and no NUL.")
        sealer = self.sealer()
        item = Item(
            item_type=sealer.label(draft.item_type), item_id=sealer.label(draft.item_id), time=time,
            received_at=arrival.received_at, message_id=sealer.message_id(_message_id(draft.message_id)),
            operation=draft.operation, properties=msgspec.Raw(sealer.properties(encode(draft.properties))),
            source=Source(arrival.source, sealer.label(draft.library), draft.version, arrival.replay_of),
        )  # fmt: skip
        return self._record(self.items, f"{item.item_type}:{item.item_id}", encode(item), arrival, corrected=replaced)


def too_large(limit: int) -> InvalidEvent:
    """The event is larger than `limit` bytes."""
    return InvalidEvent("too_large", "", f"The event is larger than {limit} bytes.", "Send less in one event.")


def too_deep() -> InvalidEvent:
    """The event is nested too deeply."""
    return InvalidEvent("too_deep", "", f"The event is nested deeper than {MAX_DEPTH} levels.", "Send flatter properties.")


def text(value: Any) -> str:
    """A scalar as text; "" for anything that is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _name(draft: Draft) -> str:
    name = draft.event
    if not name and draft.kind in ("track", "order"):
        raise InvalidEvent("missing_event", "event", "A track message needs the event's name.", 'Send "event".')
    if len(name) > MAX_NAME:
        raise InvalidEvent("name_too_long", "event", f"The event's name is longer than {MAX_NAME} characters.")
    return name


def _message_id(given: str) -> str:
    """The source's id, or a random one: such a message cannot be recognised when it comes again."""
    if not given:
        return str(uuid4())
    if len(given) > MAX_MESSAGE_ID:
        raise InvalidEvent("message_id_too_long", "messageId", f"A message id is longer than {MAX_MESSAGE_ID} characters.")
    return given


def _identifiers(draft: Draft) -> tuple[list[Identifier], list[InvalidEvent]]:
    """The identifiers, and what is wrong with those that cannot be read."""
    ids: list[Identifier] = []
    wrong: list[InvalidEvent] = []
    for type_, given, field_ in draft.ids:
        if given is None or given == "":
            continue
        try:
            identifier = _identifier(type_, given, field_)
        except InvalidEvent as error:
            wrong.append(error)
            continue
        if identifier is not None and identifier not in ids:
            ids.append(identifier)
    return ids, wrong


def _identifier(type_: str, given: Any, field_: str) -> Identifier | None:
    """An identifier; None if it says nothing. Raises InvalidEvent."""
    if type_ == UNREADABLE:
        raise InvalidEvent("wrong_type", field_, f"{field_} must hold objects with id and type.")
    value = given if type(given) is str and reads_as_itself(given) else _read_id(type_, given, field_)
    if not value:
        return None
    if len(value) > MAX_IDENTIFIER or "\x00" in value:
        raise InvalidEvent("invalid_identifier", field_, f"An identifier has at most {MAX_IDENTIFIER} characters, and no NUL.")
    if type_ not in STRENGTH and not _TYPE.fullmatch(type_):
        raise InvalidEvent("invalid_identifier", field_, "An identifier's type may hold letters, digits, _ . and -.")
    return Identifier(type_, value)


def with_order_id(ids: list[Identifier], properties: Object) -> list[Identifier]:
    """The identifiers of an order event, with the order's number behind them if that can be one.

    Whoever tells it, one number is one order; and an order whose contact turns out to be nobody's is known by its number.
    """
    try:
        order_id = read_identifier(properties.get("order_id"))
    except ValueError:
        return ids
    if not order_id or len(order_id) > MAX_IDENTIFIER or "\x00" in order_id:
        return ids
    identifier = Identifier(ORDER_ID, order_id)
    return ids if identifier in ids else [*ids, identifier]


def _check_order_id(ids: list[Identifier], rules: IdentityRules) -> None:
    """Refuse an order whose number is what programs print for none: all orders of one customer would be one."""
    if any(one.type == ORDER_ID and is_no_number(one.value, rules) for one in ids):
        raise InvalidEvent("missing_order_id", "properties.order_id", "The order_id is what programs write where there is none.")


def _check_ids(ids: list[Identifier], kind: Kind) -> None:
    if not ids:
        raise InvalidEvent("missing_identifier", "userId", "The message says nobody.", "Send userId or anonymousId.")
    if kind == "alias" and len(ids) < 2:
        raise InvalidEvent("missing_identifier", "previousId", "An alias message needs two identifiers.")


def sealed_ids(ids: list[Identifier], sealer: Sealer) -> list[Identifier]:
    """The identifiers as they are written down, each once. Raises InvalidEvent if none of them identifies anybody."""
    found = dict.fromkeys(sealer.identifier(one.type, one.value) for one in ids)
    found.pop(None, None)
    if not found:
        raise InvalidEvent("missing_identifier", "ids", "No identifier that identifies anybody.", "Send userId or anonymousId.")
    return [one for one in found if one is not None]


def _key(ids: list[Identifier]) -> str:
    """The strongest identifier."""
    strongest = min(ids, key=_strength) if len(ids) > 1 else ids[0]
    return f"{strongest.type}:{strongest.value}"


def _read_id(type_: str, value: Any, field: str) -> str:
    """An identifier that came as a number, or with something around it; "" if it says nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidEvent("wrong_type", field, f"{field} must be a text or a number.")
    if isinstance(value, str) and (type_ in CONTACTS or not trim(value) or is_error(value)):
        return value if type_ in CONTACTS else ""
    try:
        return read_identifier(value)
    except ValueError as error:
        raise InvalidEvent("invalid_identifier", field, f"{field} cannot be used: {error}.", "Send it as a text.") from None


def _strength(identifier: Identifier) -> int:
    return STRENGTH.get(identifier.type, OTHERS)


def time_of(
    stamp: Stamp, corrected: bool, sent_at: Stamp, arrival: Arrival, of_server: Callable[[], bool] = lambda: False
) -> tuple[int, Object]:
    """The event time, and a note for the context: what was done to it, or what it could not be checked against.

    Raises InvalidEvent for a time that is meant, and cannot be kept. `of_server`: see `event_time`.
    """
    received_at = arrival.received_at
    skew = arrival.skew if sent_at is None else skew_of(sent_at, received_at)
    time, replaced = event_time(stamp, corrected, skew or 0, received_at, of_server)
    if replaced:
        return time, {TIME_CORRECTED: True}
    if skew and not corrected and stamp is not None:
        return time, {"clock_skew_seconds": skew // SECOND}
    if skew is None and not corrected and received_at - time > UNVERIFIED:
        return time, {"time_unverified": True}
    return time, _NO_NOTE


def _is_of_server(draft: Draft, arrival: Arrival) -> bool:
    """Whether no device's clock says when something happened: by the SDK, else if nothing in the message is of a device."""
    clock = clock_of(draft.library)
    if clock:
        return clock == "server"
    skew = arrival.skew if draft.sent_at is None else skew_of(draft.sent_at, arrival.received_at)
    of_device = draft.kind in DEFAULT_CHANNEL or arrival.agent.startswith(BROWSERS) or not OF_DEVICES.isdisjoint(draft.context)
    return not skew and not of_device


def may_be_deep(value: bytes) -> bool:
    """Whether a text has brackets enough to be too deep within an event; most have not, and counting is quick."""
    return len(value) - len(value.translate(None, b"{[")) >= MAX_DEPTH - 1


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
