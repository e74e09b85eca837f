"""The event contract: what travels on `cdp.events` and `cdp.resolved`, as JSON.

Times are integer microseconds since the epoch, UTC. Amounts inside `properties` are as the source sent them.
"""

import re
from typing import Literal

import msgspec

CONTRACT_VERSION = 1

Kind = Literal[
    "track", "identify", "page", "screen", "alias", "order", "profile", "group", "unbind", "decision", "tick", "command"
]

ORDER_PLACED = "Order Placed"
ORDER_COMPLETED = "Order Completed"
ORDER_REFUNDED = "Order Refunded"
ORDER_CANCELLED = "Order Cancelled"
ORDER_ID = "order_id"  # the type of the identifier that an order is known by
ORDER_EVENTS = frozenset({ORDER_PLACED, ORDER_COMPLETED, ORDER_REFUNDED, ORDER_CANCELLED})

NAMED_KINDS = frozenset({"track", "order"})  # their `event` says what was done
UNNAMED_KINDS = {"page": "Page Viewed", "screen": "Screen Viewed"}  # theirs is a title; rules know them by these names


def is_order(kind: str, event: str) -> bool:
    """Whether an event is an order event: a page may be titled "Order Completed" without being one."""
    return event in ORDER_EVENTS and kind in NAMED_KINDS


PROFILE_OPERATIONS = frozenset({"set_once", "increment", "append", "union", "unset", "delete"})
"""What the `event` of kind ``profile`` may name; `traits` hold the values. To set a value is kind ``identify``."""

EMPTY_OBJECT = msgspec.Raw(b"{}")


class Identifier(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One typed identifier, e.g. ``{"type": "user_id", "value": "u-1"}``.

    Of a personal one `value` is its look-up token, and `sealed` its normal form, sealed: see `cdp.seal`.
    """

    type: str
    value: str
    sealed: str = ""


class Source(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where an event came from: the write key's name, and the SDK with its version.

    `replay_of`: ``partition:offset`` on `cdp.dead-letters` of the letter whose repair this event is; else "".
    """

    name: str = ""
    library: str = ""
    version: str = ""
    replay_of: str = ""


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event, as the collector writes it.

    Attributes:
        message_id: the source's own id of the message: the same id twice is the same event.
        kind: what sort of message it is. ``group``, ``unbind`` and ``decision`` are kept as facts and change no profile;
            the latter two change who is who, and only the platform itself writes ``decision``.
        event: the event's name (Segment's e-commerce names); empty for identify, page name for page and screen;
            for ``profile`` one of PROFILE_OPERATIONS; for ``decision`` ``apart``, ``together``, or
            ``regroup``, which decides nothing.
        time: event time, corrected for the client's clock, in microseconds.
        received_at: when the collector took it, in microseconds.
        ids: the person's identifiers, as sent.
        properties, traits, context: JSON objects, kept as they came.
        bot: whether a machine made it: a fact that counts for nobody.
        traffic: the channel of traffic that brought the visitor (``search``, ``paid``, ``direct`` ...); "" if not known.
    """

    message_id: str
    kind: Kind
    time: int
    received_at: int
    v: int = CONTRACT_VERSION
    event: str = ""
    ids: list[Identifier] = []
    channel: str = ""
    store: str = ""
    properties: msgspec.Raw = EMPTY_OBJECT
    traits: msgspec.Raw = EMPTY_OBJECT
    context: msgspec.Raw = EMPTY_OBJECT
    source: Source = Source()
    bot: bool = False
    traffic: str = ""


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An event that could not be used, kept with the reason, on `cdp.dead-letters`.

    Attributes:
        stage: ``collect``, ``resolve`` or ``profile``.
        reason: a stable code; `field` and `detail` say more to a person.
        payload: what came, as text (undecodable bytes replaced).
        p, o: partition and offset on `cdp.events`; -1 when it never got there (stage ``collect``).
        time: when it was refused, in microseconds.
        letter_id: drawn by the collector (stage ``collect``), so that a letter written twice counts once; "" otherwise.
        dialect, request: the wire format of the payload, and what its request said for all of its messages (stage ``collect``).
    """

    stage: str
    reason: str
    time: int
    payload: str
    field: str = ""
    detail: str = ""
    message_id: str = ""
    source: str = ""
    p: int = -1
    o: int = -1
    letter_id: str = ""
    dialect: str = ""
    request: msgspec.Raw = EMPTY_OBJECT


class Item(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something that is not a person (a product, a shop) was described, or deleted, on `cdp.items`.

    `time` and `received_at` as in Event; `properties` is a JSON object, empty when it is deleted. The latest by time counts.
    """

    item_type: str
    item_id: str
    time: int
    received_at: int
    message_id: str
    operation: Literal["set", "delete"] = "set"
    properties: msgspec.Raw = EMPTY_OBJECT
    source: Source = Source()


class Action(msgspec.Struct, kw_only=True):
    """A rule fired for a person: an order to a channel, on `cdp.actions`.

    `action_id` is a hash of rule, person and occasion, so that the same occasion can never make two.
    `p`, `o`, `seq` are the position on `cdp.resolved` of the event that caused it.
    """

    action_id: str
    rule: str
    rule_version: int
    one_id: str
    person: int
    occasion: str
    channel: str
    content: dict[str, str]
    time: int
    received_at: int
    message_id: str
    p: int
    o: int
    seq: int


class Delivery(msgspec.Struct, kw_only=True):
    """What became of an action on its channel, on `cdp.deliveries`. `p`, `o` are the action's position on `cdp.actions`."""

    action_id: str
    attempt: int
    status: Literal["delivered", "failed", "gave_up"]
    channel: str
    rule: str
    one_id: str
    person: int
    time: int
    p: int
    o: int
    detail: str = ""


class Outcome(msgspec.Struct, kw_only=True):
    """An event that was not applied because it had been already: written to `cdp.facts` for the ledger.

    `conflict`: the message that came first under this id said something else; the first one counts. `replay_of` as in Source.
    `retracts`: the event was applied at this position first, and is known to be a repetition only now: its fact is none.
    """

    outcome: Literal["duplicate"]
    message_id: str
    one_id: str
    person: int
    time: int
    origin: tuple[int, int]
    p: int
    o: int
    conflict: bool = False
    replay_of: str = ""
    retracts: bool = False


TagValue = str | int | float | bool


class TagChanges(msgspec.Struct, kw_only=True, tag_field="change", tag="tags"):
    """Tags of a person took other values, on `cdp.changes`.

    `tags` holds (tag, old, new); None means: has not got it. The first of them has number `seq`, the next `seq` + 1.
    """

    one_id: str
    person: int
    tags: list[tuple[str, TagValue | None, TagValue | None]]
    time: int
    message_id: str
    p: int
    o: int
    seq: int


class Merge(msgspec.Struct, kw_only=True, tag_field="change", tag="merge"):
    """A part, which was a person perhaps, belongs to another person now, on `cdp.merges` and, for the history, `cdp.changes`.

    `loser`, `loser_person`: the part's number, and the OneID of that number. The highest `version` stands.
    """

    one_id: str
    person: int
    loser: str
    loser_person: int
    version: int
    time: int
    message_id: str
    p: int
    o: int
    seq: int


class Assignment(msgspec.Struct, kw_only=True, tag_field="change", tag="assign"):
    """Facts count in a part, whichever they were written for, on `cdp.merges`.

    Of several assignments of a fact the one with the highest `version` stands.

    Attributes:
        facts: their positions on `cdp.resolved`: (partition, offset).
    """

    one_id: str
    person: int
    part: int
    facts: list[tuple[int, int]]
    version: int
    time: int


class RebuildCommand(msgspec.Struct, kw_only=True, tag_field="command", tag="rebuild_person"):
    """Count a person again from the facts, and ask again for what it waits for: a command on `cdp.resolved`."""

    one_id: str
    person: int
    time: int
    message_id: str


class _MessageId(msgspec.Struct):
    message_id: str = ""


_decode_message_id = msgspec.json.Decoder(_MessageId).decode
_MESSAGE_ID = re.compile(rb'"message_id"\s*:\s*("(?:[^"\\]|\\.){1,1000}")')


def message_id_in(value: bytes) -> str:
    """The message id in a record of the contract, as it stands there; also of one that is no JSON; "" if there is none."""
    try:
        return _decode_message_id(value).message_id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        found = _MESSAGE_ID.search(value)
    try:
        return msgspec.json.decode(found[1], type=str) if found is not None else ""
    except (msgspec.MsgspecError, UnicodeError):
        return ""


encode = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(Event).decode
