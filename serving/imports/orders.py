"""Orders and members of servers as messages in Segment's form. Pure; what cannot be used is InvalidEvent, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from cdp.clock import from_datetime, to_iso
from cdp.errors import InvalidEvent
from cdp.events import ORDER_CANCELLED, ORDER_COMPLETED, ORDER_REFUNDED
from cdp.seal import HASHED
from cdp.values.times import BIRTHDAY, read_birthday
from rules.identity.model import IdentityRules
from rules.identity.nobody import is_no_number
from serving.imports import convert
from serving.imports.apply import WARNINGS, without_masked
from serving.imports.contacts import Warnings, nobodys, readable_contact, unidentifying
from serving.imports.models import Customer, Line, Member, Order, Refund

Message = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

ORDER_PLACED = "Order Placed"
SIGNED_UP = "Signed Up"
NOT_YET = frozenset({"placed", "unpaid"})
GONE = "cancelled"
EVERYTHING_BACK = "refunded"
CUSTOMER = "customer"
CONTACTS = ("phone", "email", "wechat_openid", "wechat_unionid", "ids")  # of a member
LIBRARY = {"name": "cdp-server", "version": "1"}


def order_messages(item: Any, rules: IdentityRules | None = None) -> list[Message]:
    """The messages of an order: what it is now, and each of its refunds.

    Args:
        rules: the identity rules in force, by which a number is none, and which warn of contacts that identify nobody; None:
            without that.
    """
    item, warnings = _with_contact(item)
    order = _validated(Order, item)
    if rules and is_no_number(order.order_id, rules):
        raise InvalidEvent("missing_order_id", "order_id", "order_id: it is what programs write where there is none.")
    kind, event, time = _kind(order)
    properties = _properties(order)
    message = _message(f"order:{order.order_id}:{order.version}:{kind}", event, time, properties)
    messages = [message, *(_refund(order, refund) for refund in order.refunds)]
    if order.status == EVERYTHING_BACK and not order.refunds:
        messages.append(_whole_refund(order))
    for one in messages:
        _address(one, order)
    _warned(messages, warnings + unidentifying(order.customer, CUSTOMER) + _other_currencies(order))
    return _told(messages, nobodys(order.customer, CUSTOMER, rules) if rules else [])


def member_messages(
    item: Any, rules: IdentityRules | None = None, *, zone: tzinfo = UTC, today: date | None = None
) -> list[Message]:
    """The messages of a member: who it is and, if it has just signed up, that.

    Args:
        rules: as in `order_messages`.
        zone: of birthdays that are written as times.
        today: the day after which nobody is born.
    """
    item, warnings = _with_own_contact(item)
    member = _validated(Member, item)
    traits = without_masked({"phone": member.phone, "email": member.email} | member.traits | _birthday(member, zone, today))
    if member.registered_at is not None:
        traits.setdefault("registered_at", _iso(member.registered_at))
    ids = list(_ids(member))
    changed = member.updated_at or member.registered_at
    message_id = f"member:{member.member_id}:{member.version if member.version is not None else _digest(traits, ids, changed)}"
    message: Message = {"type": "identify", "messageId": message_id, "traits": traits}
    messages = [message | _stamps(changed)]
    if member.registered and member.registered_at is not None:
        messages.append(_message(f"signup:{member.member_id}", SIGNED_UP, member.registered_at, {}))
    for one in messages:
        one["userId"] = member.member_id
        one["context"] = _context(member.channel, member.store, ids)
    _warned(messages, warnings + unidentifying(member, ""))
    return _told(messages, nobodys(member, "", rules) if rules else [])


def _with_contact(order: Any) -> tuple[Any, Warnings]:
    """An order with what can be read of its customer."""
    if not isinstance(order, dict) or CUSTOMER not in order:
        return order, []
    customer, warnings = readable_contact(order[CUSTOMER], CUSTOMER)
    return order | {CUSTOMER: customer}, warnings


def _with_own_contact(member: Any) -> tuple[Any, Warnings]:
    """A member with what can be read of its contacts."""
    if not isinstance(member, dict):
        return member, []
    contact, warnings = readable_contact({name: member[name] for name in CONTACTS if name in member}, "")
    return {name: value for name, value in member.items() if name not in CONTACTS} | contact, warnings


def _told(messages: list[Message], warnings: Warnings) -> list[Message]:
    """The messages, the first with further warnings."""
    if warnings:
        messages[0].setdefault(WARNINGS, []).extend(warnings)
    return messages


def _warned(messages: list[Message], warnings: Warnings) -> list[Message]:
    """The messages: what was left out is said with the first, and its fields are kept with all."""
    _told(messages, warnings)
    if warnings:
        fields = [warning["field"] for warning in warnings if "refunds." not in warning["field"]]
        for message in messages if fields else ():
            message["context"]["ids_left_out"] = fields
    return messages


def _birthday(member: Member, zone: tzinfo, today: date | None) -> dict[str, Any]:
    """The member's birthday as a day; nothing if it has none."""
    given = member.traits.get(BIRTHDAY)
    if convert.says_nothing(given):
        return {}
    try:
        return {BIRTHDAY: read_birthday(given, zone=zone, today=today).isoformat()}
    except ValueError as error:
        field = f"traits.{BIRTHDAY}"
        raise InvalidEvent("invalid_value", field, f"{field}: {error}.") from error


def _other_currencies(order: Order) -> Warnings:
    """Refunds in another currency than the order's."""
    return [
        {
            "field": f"refunds.{index}.currency",
            "message": f"The refund is in {refund.currency}, the order in {order.currency}: it is kept, and not subtracted.",
        }
        for index, refund in enumerate(order.refunds)
        if refund.currency not in (None, order.currency)
    ]


def _kind(order: Order) -> tuple[str, str, datetime]:
    """What an order is now: a word for its message id, the event, and when it became that."""
    if order.status in NOT_YET:
        return "placed", ORDER_PLACED, order.placed_at
    if order.status == GONE:
        return "cancelled", ORDER_CANCELLED, order.cancelled_at or order.updated_at or order.placed_at
    return "completed", ORDER_COMPLETED, order.paid_at or order.placed_at


def _properties(order: Order) -> dict[str, Any]:
    amounts = {name: getattr(order, name) for name in ("total", "discount", "shipping", "tax")}
    return order.properties | _said(
        {
            "order_id": order.order_id, "version": order.version, "status": order.status, "currency": order.currency,
            **{name: convert.number(amount) for name, amount in amounts.items() if amount is not None},
            "coupon": order.coupon, "placed_at": _iso(order.placed_at), "products": [_product(line) for line in order.lines],
        }
    )  # fmt: skip


def _whole_refund(order: Order) -> Message:
    """Everything was given back. That is a state of this version: a higher version may be paid again."""
    message = _refund(
        order, Refund(refund_id=f"all:{order.version}", refunded_at=order.updated_at or order.paid_at or order.placed_at)
    )
    message["properties"] |= _said({"version": order.version or None})
    return message


def _refund(order: Order, refund: Refund) -> Message:
    properties = _said(
        {
            "order_id": order.order_id, "refund_id": refund.refund_id, "currency": refund.currency or order.currency,
            "reason": refund.reason,
            "total": convert.number(refund.amount) if refund.amount is not None else None,
            "products": [_product(line) for line in refund.lines] or None,
        }
    )  # fmt: skip
    return _message(f"refund:{order.order_id}:{refund.refund_id}", ORDER_REFUNDED, refund.refunded_at, properties)


def _product(line: Line) -> dict[str, Any]:
    return _said(
        {name: convert.number(value) if isinstance(value, Decimal) else value for name, value in line.model_dump().items()}
    )


def _message(message_id: str, event: str, time: datetime, properties: dict[str, Any]) -> Message:
    return {"type": "track", "event": event, "messageId": message_id, "properties": properties} | _stamps(time)


def _stamps(time: datetime | None) -> dict[str, str]:
    """Both stamps: a server's clock is not to be corrected. Without a time it is now."""
    return {"timestamp": _iso(time), "originalTimestamp": _iso(time)} if time is not None else {}


def _address(message: Message, order: Order) -> None:
    """Say whose order it is. A guest is known by the order's number."""
    customer = order.customer
    user_id = customer.user_id or customer.member_id
    ids = list(_ids(customer))
    if customer.user_id and customer.member_id and customer.user_id != customer.member_id:
        ids.append(("member_id", customer.member_id))
    if not user_id and not customer.anonymous_id and not ids:
        ids.append(("order_id", order.order_id))
    message |= _said({"userId": user_id, "anonymousId": customer.anonymous_id})
    message["context"] = _context(order.channel, order.store, ids)


def _ids(of: Customer | Member) -> Iterator[tuple[str, str]]:
    """Identifiers that are not masked, each once."""
    named = [(type_, value) for type_ in _NAMED if (value := getattr(of, type_))]
    seen = dict.fromkeys([*named, *((one.type, one.value) for one in of.ids)])
    return (one for one in seen if convert.identifies(*one))


_NAMED = ("phone", "email", "wechat_unionid", "wechat_openid")


def _context(channel: str | None, store: str | None, ids: list[tuple[str, str]]) -> dict[str, Any]:
    external = [{"type": type_, "id": value} for type_, value in ids]
    return _said({"library": LIBRARY, "channel": channel, "store": store, "externalIds": external or None})


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _iso(moment: datetime) -> str:
    return to_iso(from_datetime(moment))


def _digest(*content: Any) -> str:
    try:
        encoded = msgspec.json.encode(content, order="sorted")
    except (UnicodeError, OverflowError, RecursionError, TypeError) as error:
        raise InvalidEvent("invalid_json", "traits", f"The traits are not valid JSON: {error}.") from error
    return HASHED + sha256(encoded).hexdigest()[:32]


def _validated(model: type[Model], item: Any) -> Model:
    try:
        return model.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        kind = {"missing": "missing_field", "extra_forbidden": "unknown_field"}.get(first["type"], "invalid_value")
        text = first["msg"].removeprefix("Value error, ")
        raise InvalidEvent(kind, field, f"{field}: {text}." if field else f"{text[:1].upper()}{text[1:]}.") from error
    except RecursionError as error:
        raise InvalidEvent("too_deep", "", "It is nested too deep.") from error
