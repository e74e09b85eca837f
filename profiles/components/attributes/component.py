"""Attributes: traits as they were set, and what else was done to them. A fold."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, ClassVar, NamedTuple

from cdp.clock import date_of
from cdp.events import TagValue
from cdp.operations import check_operation
from cdp.values.times import BIRTHDAY
from profiles.component import NOTHING, At, Component, Touched
from profiles.components.attributes.operations import change, combine
from profiles.components.attributes.state import ATTRIBUTES, Attributes
from profiles.context import Context
from profiles.event import ProfileEvent
from profiles.reading import read_object, storable
from profiles.slots import Slot
from profiles.state import Person
from rules.language.values import anniversary, next_anniversary, parse_date

TOUCHED: Touched = frozenset({"attributes"})


class Change(NamedTuple):
    """What an event does with traits: an operation of `cdp.events.PROFILE_OPERATIONS`, or ``set``."""

    operation: str
    values: dict[str, Any]


def attribute(context: Context, name: str) -> Any:
    """A trait's value; lists and objects count as nothing."""
    found = context.person.whole.get(ATTRIBUTES).values.get(name)
    return found.value if found is not None and isinstance(found.value, TagValue) else None


class AttributeComponent(Component[Attributes, Change]):
    """Keeps the traits of all kinds of events, and what events of kind ``profile`` do with them."""

    slot: ClassVar[Slot[Attributes]] = ATTRIBUTES
    vocabulary: ClassVar[Mapping[str, Callable[..., Any]]] = {"attribute": attribute}

    def read(self, event: ProfileEvent) -> Change | None:
        """Raises InvalidEvent: traits are no object, or do not go with the operation."""
        traits = read_object(event.traits, "traits")
        operation = "set"
        if event.kind == "profile":
            operation = event.event
            check_operation(operation, traits)
        if not traits and operation != "delete":
            return None
        kept = {name: storable(value) for name, value in traits.items()}
        if isinstance(written := kept.get(BIRTHDAY), str):
            kept[BIRTHDAY] = self._day(written)
        return Change(operation, kept)

    def apply(self, state: Attributes, delta: Change, at: At) -> Touched:
        """Touches ``attributes`` if one is another than before."""
        return TOUCHED if change(state, delta.operation, delta.values, at[:2]) else NOTHING

    def merge(self, into: Attributes, other: Attributes) -> None:
        """As if everything had been done to one person."""
        combine(into, other)

    def next_timer(self, person: Person, context: Context, touched: Touched | None) -> int:
        """The next day on which an anniversary that rules ask for comes, or is over."""
        days = [self._turn(born, context.today) for name in self.book.anniversaries if (born := self._date(person, name))]
        return self.calendar.start(min(days)) if days else 0

    def _date(self, person: Person, name: str) -> date | None:
        found = person.whole.get(ATTRIBUTES).values.get(name)
        return parse_date(found.value, self.calendar.zone) if found is not None and isinstance(found.value, str) else None

    @staticmethod
    def _turn(born: date, today: int) -> int:
        current = date_of(today)
        return today + 1 if anniversary(born, current.year) == current else next_anniversary(born, today)

    def _day(self, birthday: str) -> str:
        """A birthday as a day of the workspace's zone; what is none stays as it was sent, and no rule sees a date in it."""
        day = parse_date(birthday, self.calendar.zone)
        return birthday if day is None else day.isoformat()
