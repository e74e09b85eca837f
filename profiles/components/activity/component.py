"""Activity: when a person was seen. A fold: sums, the earliest, the latest."""

from typing import ClassVar

from profiles.component import NOTHING, At, Component, Touched
from profiles.components.activity.state import ACTIVITY, Activity
from profiles.context import Context
from profiles.event import ProfileEvent
from profiles.slots import Slot
from profiles.state import Person


class Activities(Component[Activity, bool]):
    """Counts events; what is read of one is whether it changes somebody."""

    slot: ClassVar[Slot[Activity]] = ACTIVITY

    def read(self, event: ProfileEvent) -> bool:
        """It was active."""
        return True

    def read_silent(self, event: ProfileEvent) -> bool:
        """It is kept only."""
        return False

    def apply(self, state: Activity, delta: bool, at: At) -> Touched:
        """Count one event or message."""
        if not delta:
            state.silent += 1
            return NOTHING
        state.events += 1
        if not state.first_seen or at.time < state.first_seen:
            state.first_seen = at.time
        state.last_seen = max(state.last_seen, at.time)
        return NOTHING

    def merge(self, into: Activity, other: Activity) -> None:
        """Both were active."""
        into.events += other.events
        into.silent += other.silent
        into.first_seen = min(filter(None, (into.first_seen, other.first_seen)), default=0)
        into.last_seen = max(into.last_seen, other.last_seen)

    def next_timer(self, person: Person, context: Context, touched: Touched | None) -> int:
        """Tomorrow, if rules ask for what any day may change."""
        if not self.book.daily or not person.whole.get(ACTIVITY).events:
            return 0
        return self.calendar.start(context.today + 1)
