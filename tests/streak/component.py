"""The days on which a person was seen. A fold: a set of days."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from profiles.component import NOTHING, At, Component, Touched
from profiles.context import Context
from profiles.event import ProfileEvent
from profiles.slots import Slot
from rules.language.functions import Function

TOUCHED: Touched = frozenset({"streak"})


class Seen(msgspec.Struct, array_like=True):
    """Numbers of days."""

    days: set[int] = set()


STREAK = Slot("streak", Seen)


def streak(context: Context) -> int:
    """The length in days of the longest row."""
    days = context.person.whole.get(STREAK).days
    return max((_length(days, first) for first in days if first - 1 not in days), default=0)


def _length(days: set[int], first: int) -> int:
    last = first
    while last + 1 in days:
        last += 1
    return last - first + 1


class Streaks(Component[Seen, int]):
    """Lets rules ask for ``streak()``."""

    slot: ClassVar[Slot[Seen]] = STREAK
    functions: ClassVar[tuple[Function, ...]] = (Function("streak", 0, touched_by=TOUCHED),)
    vocabulary: ClassVar[Mapping[str, Callable[..., Any]]] = {"streak": streak}

    def read(self, event: ProfileEvent) -> int:
        """The day of the event."""
        return self.calendar.day(event.time)

    def apply(self, state: Seen, delta: int, at: At) -> Touched:
        """Touches ``streak`` on a new day."""
        if delta in state.days:
            return NOTHING
        state.days.add(delta)
        return TOUCHED

    def merge(self, into: Seen, other: Seen) -> None:
        """On any day on which either was seen."""
        into.days |= other.days
