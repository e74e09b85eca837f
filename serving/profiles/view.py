"""From the stored profile to what the API says. Pure."""

from collections import Counter
from typing import Any

import msgspec

from cdp.clock import Calendar, to_iso
from cdp.money import MONEY
from cdp.people import one_id
from cdp.profile import Profile, Tag
from cdp.reveal import Reveal
from rules.definitions.load import load_rules
from rules.language.evaluate import Context
from serving.profiles.find import Found
from serving.profiles.models import AttributeView, EventView, IdentifierView, OrdersView, ProfileView, TagValue, TagView


def view(
    found: Found, calendar: Calendar, reveal: Reveal, recent: list[tuple[Any, ...]] | None, note: str | None
) -> ProfileView:  # fmt: skip
    """Say a profile. `reveal`: what the asker may see of what is sealed. `recent`: rows of `recent.COLUMNS`, newest first."""
    profile = found.profile
    one = one_id(profile.person)
    return ProfileView(
        one_id=one,
        asked=one_id(found.asked) if found.asked != profile.person else None,
        merged_from=[one_id(number) for number in profile.part_numbers if number != profile.person],
        first_seen=_iso(profile.first_seen),
        last_seen=_iso(profile.last_seen),
        events=profile.events,
        identifiers=[
            _identifier(key, seen, profile.sealed.get(key, ""), reveal) for key, seen in sorted(profile.identifiers.items())
        ],
        attributes={
            name: AttributeView(value=reveal.value(a.value), since=to_iso(a.time))
            for name, a in sorted(profile.attributes.items())
            if not a.gone
        },
        tags={
            name: TagView(value=reveal.value(_value(name, tag)), since=to_iso(tag.since))
            for name, tag in sorted(profile.tags.items())
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


def _value(name: str, tag: Tag) -> TagValue:
    """A tag's value; times are kept as microseconds and said as ISO 8601."""
    is_time = name in {rule.name for rule in load_rules().tags if rule.type == "time"}
    return to_iso(tag.value) if is_time and isinstance(tag.value, int) else tag.value


def _orders(profile: Profile, calendar: Calendar) -> OrdersView:
    context = Context(profile, profile.as_of, calendar, (None,))
    figures = context.orders(None)
    first, last = context.order_time(last=False), context.order_time(last=True)
    return OrdersView(
        count=figures.count, net_amount=figures.amount / MONEY, first=_iso(first or 0), last=_iso(last or 0),
        other_currencies={currency: amount / MONEY for currency, amount in sorted(_other_currencies(profile).items())},
    )  # fmt: skip


def _other_currencies(profile: Profile) -> dict[str, int]:
    found: Counter[str] = Counter()
    for order in profile.orders.values():
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
