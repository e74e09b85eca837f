"""Records of the log to rows of the fact tables. Pure: no client, no clock."""

from collections.abc import Callable
from typing import Any

import msgspec

from cdp.events import (
    EMPTY_OBJECT,
    Action,
    Assignment,
    DeadLetter,
    Delivery,
    Identifier,
    Item,
    Merge,
    Source,
    TagChanges,
    message_id_in,
)
from cdp.hosts import host_of
from cdp.orders import Line, OrderEvent, read_order
from cdp.wall_clock import wall_clock
from sinks.tables import ARRIVED, OVERRIDES, TABLES

Rows = dict[str, list[tuple[Any, ...]]]


class FactEvent(msgspec.Struct, kw_only=True):
    """An applied event, or (with `outcome`) the verdict on one that was not, as they stand on `facts`."""

    p: int
    o: int
    e: int = -1
    one_id: str
    person: int
    part: int = 0
    origin: tuple[int, int]
    message_id: str
    time: int
    outcome: str = ""
    conflict: bool = False
    retracts: bool = False
    replay_of: str = ""
    kind: str = ""
    received_at: int = 0
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


class _Campaign(msgspec.Struct):
    name: str = ""
    source: str = ""
    medium: str = ""


class _Page(msgspec.Struct):
    path: str = ""
    referrer: str = ""


class _Client(msgspec.Struct):
    browser: str = ""
    os: str = ""
    device: str = ""


class _Geo(msgspec.Struct):
    country: str = ""


class _Click(msgspec.Struct):
    value: str = ""


class _Context(msgspec.Struct):
    campaign: _Campaign | None = None
    page: _Page | None = None
    client: _Client | None = None
    geo: _Geo | None = None
    click_id: _Click | None = None


_decode_fact = msgspec.json.Decoder(FactEvent).decode
_decode_change = msgspec.json.Decoder(TagChanges | Merge).decode
_decode_merge = msgspec.json.Decoder(Merge).decode
_decode_assignment = msgspec.json.Decoder(Assignment).decode
_decode_action = msgspec.json.Decoder(Action).decode
_decode_delivery = msgspec.json.Decoder(Delivery).decode
_decode_item = msgspec.json.Decoder(Item).decode
_decode_letter = msgspec.json.Decoder(DeadLetter).decode
_decode_context = msgspec.json.Decoder(_Context).decode
_encode = msgspec.json.Encoder().encode
_NO_CONTEXT = _Context()
_NO_CAMPAIGN = _Campaign()
_NO_PAGE = _Page()
_NO_CLIENT = _Client()
_NO_GEO = _Geo()
_NO_CLICK = _Click()
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_PARTS = (("campaign", _Campaign), ("page", _Page), ("client", _Client), ("geo", _Geo), ("click_id", _Click))


def new_rows() -> Rows:
    """An empty list for each table."""
    return {table: [] for table in (*TABLES, OVERRIDES.name, ARRIVED.name)}


def add_fact(rows: Rows, value: bytes, partition: int, offset: int) -> None:
    """A record of `facts`. Raises msgspec.MsgspecError if it is none."""
    fact = _decode_fact(value)
    position = (fact.p, fact.o)
    if not fact.retracts:
        rows[ARRIVED.name].append((fact.p, max(fact.o, fact.e)))
    if fact.outcome:
        rows["duplicates"].append(
            (
                fact.time, fact.message_id, fact.one_id, fact.person, *fact.origin, int(fact.conflict), fact.replay_of,
                *position, 0,
            )
        )  # fmt: skip
        return
    order = read_order(fact.kind, fact.event, fact.properties) if not fact.bot else None
    context = _context(fact.context)
    campaign = context.campaign or _NO_CAMPAIGN
    page = context.page or _NO_PAGE
    client = context.client or _NO_CLIENT
    ids = {identifier.type: identifier.value for identifier in fact.ids}
    keys = [f"{identifier.type}:{identifier.value}" for identifier in fact.ids]
    rows["events"].append(
        (
            fact.time, fact.received_at, fact.one_id, fact.person, fact.part, _encode(keys), fact.message_id, fact.kind,
            fact.event, fact.channel, fact.store, fact.source.name, fact.source.library, campaign.name, campaign.source,
            campaign.medium,
            page.path, ids.get("anonymous_id", ""), int(fact.bot), fact.traffic, client.browser, client.os, client.device,
            (context.geo or _NO_GEO).country, host_of(page.referrer) if page.referrer else "",
            (context.click_id or _NO_CLICK).value,
            bytes(fact.properties), bytes(fact.traits), bytes(fact.context), fact.source.replay_of, *fact.origin, *position, 0,
        )
    )  # fmt: skip
    if order is not None:
        _add_order(rows, fact, order, ids, position)


def _add_order(rows: Rows, fact: FactEvent, order: OrderEvent, ids: dict[str, str], position: tuple[int, int]) -> None:
    customer = order.customer_id or ids.get("user_id", "")
    who = (fact.time, fact.received_at, fact.one_id, fact.person, fact.part, customer, order.order_id)
    rows["orders"].append(
        (
            *who, order.status, order.quantity, order.amount or 0, order.currency, len(order.lines), order.version,
            order.refund_id, int(order.status == "refunded" and order.amount is None),
            fact.channel, fact.store, fact.message_id, *position, 0,
        )
    )  # fmt: skip
    for seq, line in enumerate(order.lines):
        rows["order_items"].append(_item(who, order, line, fact, (*position, seq)))


def _item(
    who: tuple[Any, ...], order: OrderEvent, line: Line, fact: FactEvent, position: tuple[int, int, int]
) -> tuple[Any, ...]:
    return (
        *who, line.line, order.status, line.sku, line.name, line.category, line.quantity, line.unit_price, line.amount,
        order.currency, fact.channel, fact.store, fact.message_id, *position,
    )  # fmt: skip


def _context(raw: msgspec.Raw) -> _Context:
    if len(bytes(raw)) <= len(EMPTY_OBJECT):
        return _NO_CONTEXT
    try:
        return _decode_context(raw)
    except msgspec.MsgspecError:
        return _readable(raw)


def _readable(raw: msgspec.Raw) -> _Context:
    """What can be read of a context in which something has another shape; all of it stays in the column `context`."""
    try:
        parts = _decode_any(raw)
    except msgspec.MsgspecError:
        return _NO_CONTEXT
    found = _Context()
    for name, kind in _PARTS:
        part = parts.get(name)
        if isinstance(part, dict):
            texts = {field: part[field] for field in kind.__struct_fields__ if isinstance(part.get(field), str)}
            setattr(found, name, kind(**texts))
    return found


def add_change(rows: Rows, value: bytes, partition: int, offset: int) -> None:
    """A record of `changes`: tag changes, or a merge."""
    change = _decode_change(value)
    if isinstance(change, Merge):
        rows["merges"].append(
            (
                change.time, change.one_id, change.person, change.loser, change.loser_person, change.version,
                change.message_id, change.p, change.o, change.seq,
            )
        )  # fmt: skip
        return
    rows["tag_changes"] += [
        (change.time, change.one_id, change.person, tag, _text(old), _text(new), change.message_id, change.p, change.o, seq)
        for seq, (tag, old, new) in enumerate(change.tags, start=change.seq)
    ]


def add_override(rows: Rows, value: bytes, partition: int, offset: int) -> None:
    """A merge on `merges`: whose facts are from now on. Assignments are no rows: see `read_assignment`."""
    merge = _decode_merge(value)
    rows[OVERRIDES.name].append((merge.loser_person, merge.person, merge.version, merge.time, merge.p, merge.o))


def read_assignment(value: bytes) -> Assignment | None:
    """A record of `merges`, if it says that facts count in another part."""
    return _decode_assignment(value) if b'"change":"assign"' in value else None


def is_obsolete(value: bytes) -> bool:
    """Whether a record of `merges` was written before facts were assigned one by one. Its parts are counted again."""
    return b'"change":"carve"' in value


def read_retraction(value: bytes) -> tuple[int, int] | None:
    """The position of a fact, if a record of `facts` says that it is none."""
    if b'"retracts":true' not in value:
        return None
    fact = _decode_fact(value)
    return (fact.p, fact.o) if fact.outcome and fact.retracts else None


def add_action(rows: Rows, value: bytes, partition: int, offset: int) -> None:
    """A record of `actions`."""
    action = _decode_action(value)
    rows["actions"].append(
        (
            action.time, action.received_at, action.action_id, action.rule, action.rule_version, action.one_id, action.person,
            action.occasion, action.channel, action.message_id, msgspec.json.encode(action.content),
            action.p, action.o, action.seq,
        )
    )  # fmt: skip


def add_delivery(rows: Rows, value: bytes, partition: int, offset: int) -> None:
    """A record of `deliveries`: its position is the action's, its number the attempt's."""
    delivery = _decode_delivery(value)
    rows["deliveries"].append(
        (
            delivery.time, delivery.action_id, delivery.attempt, delivery.status, delivery.channel, delivery.rule,
            delivery.one_id, delivery.person, delivery.detail, delivery.p, delivery.o, delivery.attempt,
        )
    )  # fmt: skip


def add_dead_letter(rows: Rows, value: bytes, partition: int, offset: int) -> None:
    """A record of `dead-letters`: its position is its own on that topic; repeats have the same origin."""
    letter = _decode_letter(value)
    rows["dead_letters"].append(
        (
            letter.time, letter.stage, letter.reason, letter.field, letter.detail, letter.message_id, letter.source,
            letter.payload, letter.p, letter.o, letter.letter_id, letter.dialect,
            bytes(letter.request), partition, offset, 0,
        )
    )  # fmt: skip


def add_item(rows: Rows, value: bytes, partition: int, offset: int) -> None:
    """A record of `items`: its position is its own on that topic."""
    item = _decode_item(value)
    rows["items"].append(
        (
            item.time, item.received_at, item.item_type, item.item_id, item.operation, bytes(item.properties), item.message_id,
            item.source.name, item.source.replay_of, partition, offset, 0,
        )
    )  # fmt: skip


def add_unreadable(rows: Rows, value: bytes, partition: int, offset: int, error: Exception) -> None:
    """A record that FACTS itself cannot read: nobody of ours writes such, so it is kept where somebody will see it."""
    rows["dead_letters"].append(
        (
            wall_clock(),
            "facts",
            "malformed",
            "",
            str(error)[:500],
            message_id_in(value),
            "",
            value.decode("utf-8", "replace"),
            -1,
            -1,
            "",
            "",
            b"{}",
            partition,
            offset,
            1,
        )
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


Adder = Callable[[Rows, bytes, int, int], None]
