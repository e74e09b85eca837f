"""A repaired message becomes a record for the broker, on the way that a fresh message takes. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import Event, Identifier, Item, Source, decode_event, encode, is_order
from cdp.operations import check_operation
from cdp.orders import read_order
from serving.collect.draft import Dialect, Draft, ItemDraft, Opened
from serving.collect.finish import OTHERS, STRENGTH, Arrival, Finish, sealed_ids, with_order_id
from serving.collect.publish import Record
from serving.collect.times import skew_of
from serving.dead_letters.letters import Stored

INNER_STAGES = ("resolve", "profile")  # their payloads are events in the platform's own terms
OWN_KINDS = ("tick", "command")
LATEST = 4_102_444_800_000_000  # the year 2100, in microseconds

_decode_item = msgspec.json.Decoder(Item).decode


class _Request(msgspec.Struct):
    """What a letter's request said for all of its messages."""

    sent_at: Any = None
    timestamp: Any = None
    context: dict[str, Any] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode


@dataclass(frozen=True)
class Intake:
    """Reads repaired messages.

    Args:
        finish: the collector's own.
        dialects: by name; where one has several paths, the one that finds everything in the message.
        converter: what makes messages in Segment's form of an item that is no message (an order, a member, a mapping's record),
            by the letter's dialect; None if there is none such.
    """

    finish: Finish
    dialects: Mapping[str, Dialect]
    converter: Callable[[str], Callable[[Any], list[dict[str, Any]]] | None] = lambda _: None

    def read(self, letter: Stored, message: Any) -> list[Record]:
        """The records of a letter's repaired message, one but for orders and the like. Raises InvalidEvent.

        The event keeps its own time; its message id is the letter's own or, if that has none, one made of the letter's
        position: whoever replays it again, it is the same event. `received_at` is still that of the letter, so that the same
        repair is the same record, byte for byte: see `arrived`.
        """
        replay_of = f"{letter.partition}:{letter.offset}"
        if letter.stage in INNER_STAGES:
            return [self._event(letter, message, replay_of)]
        convert = self.converter(letter.dialect) if letter.stage == "collect" else None
        if convert is not None:
            return self._item(letter, convert(message), replay_of)
        return [self._message(letter, message, replay_of)]

    def _item(self, letter: Stored, messages: list[dict[str, Any]], replay_of: str) -> list[Record]:
        """What an item becomes; its messages have ids of their own."""
        if not messages:
            raise InvalidEvent("no_event", "", "No event of the mapping is meant for the record.")
        arrival, opened = Arrival(letter.source, letter.time, replay_of=replay_of), Opened("", [])
        segment = self.dialects["segment"]
        return [self._checked(segment.read(message, opened), arrival) for message in messages]

    def _message(self, letter: Stored, message: Any, replay_of: str) -> Record:
        dialect = self.dialects.get(letter.dialect or "segment")
        if letter.stage != "collect" or dialect is None:
            raise InvalidEvent("not_replayable", "stage", f"Letters of stage {letter.stage} cannot be replayed.")
        try:
            said = _decode_request(letter.request or "{}")
        except msgspec.MsgspecError:
            said = _Request()
        opened = Opened("", [message], sent_at=said.sent_at, timestamp=said.timestamp, context=said.context or {})
        arrival = Arrival(
            letter.source, letter.time, skew_of(said.sent_at, letter.time), said.timestamp, replay_of=replay_of
        )  # fmt: skip
        draft = dialect.read(message, opened)
        message_id = letter.message_id or draft.message_id or _message_id(letter)
        if isinstance(draft, ItemDraft):
            return self.finish(draft._replace(message_id=message_id), arrival)
        draft.message_id = message_id
        return self._checked(draft, arrival)

    def _checked(self, draft: Draft | ItemDraft, arrival: Arrival) -> Record:
        record = self.finish(draft, arrival)
        _check(decode_event(record.value))
        return record

    def _event(self, letter: Stored, message: Any, replay_of: str) -> Record:
        """An event that RESOLVE or PROFILE could not use. An order's number is among its identifiers, as it is of a new one."""
        try:
            event = decode_event(encode(message))
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise InvalidEvent("malformed", "", f"not an event of the contract: {error}") from None
        event.message_id = event.message_id or letter.message_id or _message_id(letter)
        event.source = Source(event.source.name, event.source.library, event.source.version, replay_of)
        event.received_at = letter.time
        event.ids = _identifiers(event)
        _check(event)
        self._seal(event)
        strongest = min(event.ids, key=lambda one: STRENGTH.get(one.type, OTHERS))
        value = encode(event)
        if len(value) > self.finish.max_bytes:
            raise InvalidEvent("too_large", "", f"The event is larger than {self.finish.max_bytes} bytes.")
        return Record(self.finish.events, f"{strongest.type}:{strongest.value}", value)

    def _seal(self, event: Event) -> None:
        """Whatever a person wrote into it, and whatever was opened for that."""
        sealer = self.finish.sealer()
        known = {(one.type, one.value): one for one in event.ids if one.sealed}
        event.ids = [known.get((one.type, one.value), one) for one in sealed_ids(event.ids, sealer)]
        event.message_id = sealer.message_id(event.message_id)
        event.event, event.channel, event.store = map(sealer.label, (event.event, event.channel, event.store))
        event.properties = msgspec.Raw(sealer.properties(bytes(event.properties)))
        event.traits = msgspec.Raw(sealer.traits(bytes(event.traits)))
        event.context = msgspec.Raw(sealer.context(bytes(event.context)))


def arrived(record: Record, now: int, items: str) -> Record:
    """The record as received now: the marks of what was applied are kept by the day of receipt.

    Args:
        items: the topic of items.
    """
    value: Event | Item = _decode_item(record.value) if record.topic == items else decode_event(record.value)
    value.received_at = now
    return Record(record.topic, record.key, encode(value))


def _identifiers(event: Event) -> list[Identifier]:
    """An event's identifiers, as the collector would have them today."""
    properties = msgspec.json.decode(event.properties) if is_order(event.kind, event.event) else None
    return with_order_id(event.ids, properties) if isinstance(properties, dict) else event.ids


def _message_id(letter: Stored) -> str:
    return f"letter:{letter.id}"


def _check(event: Event) -> None:
    """What RESOLVE and PROFILE would refuse."""
    if event.kind in OWN_KINDS:
        raise InvalidEvent("unsupported_type", "kind", f"Nobody but the platform makes events of kind {event.kind}.")
    if not event.ids or not all(one.type and ":" not in one.type and one.value.strip() for one in event.ids):
        raise InvalidEvent("missing_identifier", "ids", "The event says nobody.")
    if not 0 <= event.time <= LATEST:
        raise InvalidEvent("invalid_time", "time", "time is not in microseconds between 1970 and 2100.")
    parts = {}
    for name in ("properties", "traits", "context"):
        parts[name] = msgspec.json.decode(getattr(event, name))
        if not isinstance(parts[name], dict) and not (name == "traits" and parts[name] is None):
            raise InvalidEvent(f"invalid_{name}", name, f"{name} must be an object.")
    read_order(event.kind, event.event, event.properties)
    if event.kind == "profile":
        check_operation(event.event, parts["traits"] or {})
