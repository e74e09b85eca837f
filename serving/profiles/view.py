"""From the stored profile to what the API says. Pure."""

from collections import Counter
from typing import Any

import msgspec

from cdp.clock import Calendar, to_iso
from cdp.money import MONEY
from cdp.people import one_id
from cdp.reveal import Reveal
from profiles.components.activity.state import ACTIVITY
from profiles.components.attributes.state import ATTRIBUTES
from profiles.components.identifiers.state import IDENTIFIERS
from profiles.components.orders.figures import order_time, orders
from profiles.components.orders.state import ORDERS
from profiles.components.tags.state import TAGS, Tag
from profiles.context import Context
from profiles.state import Person
from rules.definitions.model import RuleBook
from serving.profiles.find import Found
from serving.profiles.models import AttributeView, EventView, IdentifierView, OrdersView, ProfileView, TagValue, TagView


def view(
    found: Found, book: RuleBook, calendar: Calendar, reveal: Reveal, recent: list[tuple[Any, ...]] | None, note: str | None
) -> ProfileView:  # fmt: skip
    """Say a profile.

    Args:
        book: the rules in force.
        reveal: what the asker may see of what is sealed.
        recent: rows of `recent.COLUMNS`, newest first.
    """
    times = {rule.name for rule in book.tags if rule.type == "time"}
    profile, whole = found.profile, found.profile.whole
    one = one_id(profile.number)
    activity, known = whole.get(ACTIVITY), whole.get(IDENTIFIERS)
    return ProfileView(
        one_id=one,
        asked=one_id(found.asked) if found.asked != profile.number else None,
        merged_from=[one_id(number) for number in profile.fragment_numbers if number != profile.number],
        first_seen=_iso(activity.first_seen),
        last_seen=_iso(activity.last_seen),
        events=activity.events,
        identifiers=[_identifier(key, seen, known.sealed.get(key, ""), reveal) for key, seen in sorted(known.seen.items())],
        attributes={
            name: AttributeView(value=reveal.value(a.value), since=to_iso(a.time))
            for name, a in sorted(whole.get(ATTRIBUTES).values.items())
            if not a.gone
        },
        tags={
            name: TagView(value=reveal.value(_value(tag, is_time=name in times)), since=to_iso(tag.since))
            for name, tag in sorted(whole.get(TAGS).by_name.items())
        },
        orders=_orders(profile, calendar),
        recent_events=None if recent is None else [_event(row, reveal) for row in recent],
        note=note,
        as_of=_iso(profile.as_of),
    )


def _iso(micros: int) -> str | None:
    return to_iso(micros) if micros else None


def _identifier(key: str, seen: int, sealed: str, reveal: Reveal) -> IdentifierView:
    type_, _, value = key.partition(":")
    return IdentifierView(type=type_, value=reveal.identifier(type_, value, sealed), first_seen=to_iso(seen))


def _value(tag: Tag, *, is_time: bool) -> TagValue:
    """A tag's value; times are kept as microseconds and said as ISO 8601."""
    return to_iso(tag.value) if is_time and isinstance(tag.value, int) else tag.value


def _orders(profile: Person, calendar: Calendar) -> OrdersView:
    context = Context(profile, profile.as_of, calendar)
    figures = orders(context, None)
    first, last = order_time(context, last=False), order_time(context, last=True)
    return OrdersView(
        count=figures.count, net_amount=figures.amount / MONEY, first=_iso(first or 0), last=_iso(last or 0),
        other_currencies={currency: amount / MONEY for currency, amount in sorted(_other_currencies(profile).items())},
    )  # fmt: skip


def _other_currencies(profile: Person) -> dict[str, int]:
    found: Counter[str] = Counter()
    for order in profile.whole.get(ORDERS).by_id.values():
        if order.stands and order.placed is not None:
            found.update(order.other_currencies)
    return found


def _event(row: tuple[Any, ...], reveal: Reveal) -> EventView:
    time, kind, event, channel, store, message_id, properties = row
    try:
        content = reveal.value(msgspec.json.decode(properties))
    except (msgspec.DecodeError, UnicodeError):
        content = properties
    return EventView(
        time=to_iso(time), kind=kind, event=event, channel=channel, store=store, message_id=message_id, properties=content
    )
