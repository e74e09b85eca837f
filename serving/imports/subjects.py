"""What each endpoint takes, and how its items become messages: for requests, and for repairs of items that could not be used."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

import msgspec

from cdp.clock import Calendar, Clock, date_of
from cdp.errors import CdpError, InvalidEvent
from cdp.seal import HASHED
from rules.identity.model import IdentityRules
from serving.collect.body import field_in
from serving.collect.draft import Broken
from serving.imports.apply import WARNINGS, Mapper, Message
from serving.imports.find import Mappers
from serving.imports.intake import Convert, Label, Subject, listed, one_or_many
from serving.imports.orders import member_messages, order_messages

ORDERS = "orders"
MEMBERS = "members"
MAPPING = "mapping:"

_encode = msgspec.json.Encoder(enc_hook=str, order="sorted").encode


def _label(name: str) -> Label:
    def label(_: int, item: Any) -> dict[str, Any]:
        return {name: _own(item, name)}

    return label


def _own(item: Any, name: str) -> str | None:
    given = item.get(name) if isinstance(item, dict) else field_in(item.text, name) if isinstance(item, Broken) else None
    return str(given)[:100] if isinstance(given, str | int) and not isinstance(given, bool) else None


def _id(kind: str, item: Any, name: str) -> str:
    own = _own(item, name)
    return f"{kind}:{own}" if own else _by_content(kind, item)


def _by_content(kind: str, item: Any) -> str:
    try:
        content = item.text if isinstance(item, Broken) else _encode(item)
    except (UnicodeError, RecursionError, msgspec.MsgspecError, OverflowError, TypeError):
        return ""
    return f"{kind}:{HASHED}{sha256(content).hexdigest()[:32]}"


def orders_of(rules: IdentityRules | None = None) -> Subject:
    """Orders; with the identity rules in force the answer says which contacts identify nobody."""
    convert = partial(order_messages, rules=rules)
    return Subject(listed(ORDERS), convert, _label("order_id"), ORDERS, lambda item: _id("order", item, "order_id"), ORDERS)


def members_of(calendar: Calendar, now: int, rules: IdentityRules | None = None) -> Subject:
    """Members whose birthdays are days of a calendar, and past; `rules` as for orders."""
    convert = partial(member_messages, rules=rules, zone=calendar.zone, today=date_of(calendar.day(now)))
    return Subject(listed(MEMBERS), convert, _label("member_id"), MEMBERS, lambda item: _id("member", item, "member_id"), MEMBERS)


def records_of(mapper: Mapper) -> Subject:
    """Records of a mapping."""
    name = mapper.mapping.name
    return Subject(
        one_or_many, mapper.map, lambda index, _: {"index": index}, f"{MAPPING}{name}", lambda item: _by_content(name, item)
    )


def converters(mappers: Mappers, calendar: Calendar, clock: Clock) -> Callable[[str], Convert | None]:
    """What makes messages of the items of a dead letter, by its dialect; None if its payload is a message."""

    def converter(dialect: str) -> Convert | None:
        if dialect == ORDERS:
            return _quiet(orders_of().convert)
        if dialect == MEMBERS:
            return _quiet(members_of(calendar, clock()).convert)
        return _quiet(_mapped(mappers, dialect.removeprefix(MAPPING))) if dialect.startswith(MAPPING) else None

    return converter


def _quiet(convert: Convert) -> Convert:
    """Without warnings: nobody who could hear them waits for the answer."""

    def messages(item: Any) -> list[Message]:
        made = convert(item)
        for message in made:
            message.pop(WARNINGS, None)
        return made

    return messages


def _mapped(mappers: Mappers, name: str) -> Convert:
    def convert(record: Any) -> list[Message]:
        try:
            return mappers.get(name).map(record)
        except CdpError as error:
            if isinstance(error, InvalidEvent):
                raise
            raise InvalidEvent("not_replayable", "dialect", f"{error.message} {error.remedy}") from error

    return convert
