"""What happens to an event, once it is known whose it is and that it is new. Pure.

The stream, dry runs over history and the tests call this one kernel. In this order:

1. each component reads the event; what cannot be read changes nothing;
2. the inbox of the fragment in which the event counts notes its fingerprint;
3. the person's clock goes on; if that is a new day, or a timer has run out, time has passed as well;
4. each component takes the event in, for the person and for the fragment, and says what it touched;
5. what is derived from that is evaluated again: tags, then triggers;
6. the next timer is found.

Time without events is the same without 1, 2 and 4 (`wake`). A fragment that has come or gone is 5 and 6 (`reevaluate`).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from cdp.clock import Calendar
from cdp.orders import OrderEvent
from profiles import fragments, inbox
from profiles.component import NOTHING, TIME, At, Cause, Component, Touched
from profiles.components import COMPONENTS, Kinds
from profiles.context import Context
from profiles.event import ProfileEvent
from profiles.inbox import digest_of
from profiles.state import Person, Slices
from profiles.transfer_log import Remainder
from rules.definitions.book import CompiledRules

SILENT_KINDS = frozenset({"group", "unbind", "decision"})  # facts that change nobody

Components = tuple[Component[Any, Any], ...]
Delta = tuple[Component[Any, Any], Any]
Effects = list[Any]
"""What an evaluation found, in its order: `TagsChanged`, `Fired` and what further components have."""


class Reading(msgspec.Struct, frozen=True):
    """What an event will change.

    Attributes:
        deltas: what each component read of it.
        is_silent: it is kept and counted, and changes nobody: no clock, no tag, no trigger.
        order_id: of the order that it is about; empty: of none.
    """

    deltas: list[Delta]
    is_silent: bool = False
    order_id: str = ""


class _Plan(NamedTuple):
    """What is evaluated, and whose timers are looked at."""

    concerned: Components
    timed: Components


class Kernel:
    """Runs the components. Made once for each rule book; it holds nothing of a person."""

    def __init__(self, book: CompiledRules, calendar: Calendar, kinds: Kinds = COMPONENTS) -> None:
        self.book = book
        self.calendar = calendar
        self.components = tuple(kind(book, calendar) for kind in kinds)
        self._folds = tuple(c for c in self.components if c.kind == "fold")
        self._evaluated = tuple(c for c in self.components if c.kind != "fold")
        self._kept = tuple(c for c in self.components if c.kind != "derived")
        self._timed = tuple(c for c in self.components if type(c).next_timer is not Component.next_timer)
        self._everything = _Plan(self._evaluated, self._timed)
        self._plans: dict[Touched, _Plan] = {}
        self._names: dict[str, Touched] = {}

    def read(self, event: ProfileEvent) -> Reading:
        """What an event will change; nothing is changed yet. Raises InvalidEvent or msgspec.MsgspecError."""
        if event.bot or event.kind in SILENT_KINDS:
            return self.read_silent(event)
        deltas, order_id = [], ""
        for component in self._folds:
            delta = component.read(event)
            if delta is not None:
                deltas.append((component, delta))
                if delta.__class__ is OrderEvent:
                    order_id = delta.order_id
        return Reading(deltas, order_id=order_id)

    def read_silent(self, event: ProfileEvent) -> Reading:
        """The same of an event that is kept, whatever it says, and changes nobody. Raises nothing."""
        return Reading([(c, delta) for c in self._folds if (delta := c.read_silent(event)) is not None], is_silent=True)

    @staticmethod
    def find(person: Person, fingerprint: bytes) -> bytes | None:
        """The fingerprint of the message that was applied under the same id, if there is one."""
        if not person.fragments:
            return inbox.find(person.whole, fingerprint)
        for slices in person.fragments.values():
            if (earlier := inbox.find(slices, fingerprint)) is not None:
                return earlier
        return None

    def apply(self, person: Person, event: ProfileEvent, reading: Reading, fingerprint: bytes) -> Effects:
        """Take an event in that is new."""
        fragment = fragments.open_fragment(person, event.part, self._kept)
        inbox.add(person.whole if fragment is None else fragment, fingerprint, event)
        if reading.is_silent:
            self._take_in(person, fragment, reading, At(event.time, digest_of(fingerprint), 0))
            return []
        before = person.as_of
        person.as_of = max(before, min(event.time, event.received_at))
        today = self.calendar.day(person.as_of)
        has_time_passed = (
            not before or today != self.calendar.day(before) or 0 < person.due <= person.as_of or person.book != self.book.number
        )
        more = self._take_in(person, fragment, reading, At(event.time, digest_of(fingerprint), today))
        name, touched = event.name, None
        if has_time_passed:
            self.prune(person, today)
        else:
            touched = self._names_of(name) | more if more else self._names_of(name)
            plan = self._plan(name, touched)
            if not plan.concerned and not plan.timed:
                return []
        counts_in = None if fragment is None else event.part
        cause = Cause(name, event.time, event.received_at, event.message_id, reading.order_id, counts_in)
        return self._evaluate(person, touched, cause)

    def wake(self, person: Person, now: int) -> Effects:
        """Time has passed, up to a moment in microseconds."""
        if not person.fragment_numbers:
            person.due = 0
            return []
        person.as_of = max(person.as_of, now)
        self.prune(person, self.calendar.day(person.as_of))
        return self._evaluate(person, None, Cause(TIME, now, now))

    def reevaluate(self, person: Person) -> Effects:
        """Fragments have come or gone: what is derived follows. Triggers do not fire for it before time passes."""
        self.prune(person, self.calendar.day(person.as_of))
        derived = [c for c in self.components if c.kind == "derived"]
        if not person.fragment_numbers:
            for component in derived:
                person.whole.drop(component.slot)
            person.due = 0
            return []
        context = Context(person, person.as_of, self.calendar)
        effects = [effect for c in derived for effect in c.evaluate(person, context, None, Cause(TIME, 0, 0))]
        self.set_timer(person)
        return effects

    def set_timer(self, person: Person) -> None:
        """Find out when time alone will change something next."""
        person.due = self._next_timer(person, Context(person, person.as_of, self.calendar), self._timed, None)

    def prune(self, person: Person, today: int) -> None:
        """Forget what is beyond every horizon, of the person and of the fragments that were opened."""
        for component in self._kept:
            for slices in (person.whole, *person.fragments.values()):
                is_there = component.slot in slices if slices is person.whole else slices.is_opened(component.slot)
                if is_there and component.prune(slices.get(component.slot), today):
                    slices.change(component.slot)

    # -- fragments -------------------------------------------------------------------------------------------------

    def count(self, slices: Slices, event: ProfileEvent, reading: Reading, fingerprint: bytes, today: int) -> None:
        """Take an event into a fragment alone, which is being counted from its facts."""
        inbox.add(slices, fingerprint, event)
        at = At(event.time, digest_of(fingerprint), today)
        for component, delta in reading.deltas:
            component.apply(slices.change(component.slot), delta, at)

    def take_out(self, person: Person, numbers: Iterable[int]) -> dict[int, Slices]:
        """See `fragments.take_out`."""
        return fragments.take_out(person, numbers, self._kept)

    def put_in(self, person: Person, number: int, slices: Slices) -> None:
        """See `fragments.put_in`."""
        fragments.put_in(person, number, slices, self._kept)

    def replace(self, person: Person, number: int, slices: Slices) -> None:
        """Let a fragment be what its facts say, with what they do not say: see `Component.beside_facts`."""
        before = fragments.fragment_of(person, number)
        for component in self._kept:
            for kept in (before, person.whole) if component.kind == "fold" else (before,):
                if kept is not None and component.slot in kept:
                    beside = component.beside_facts(kept.get(component.slot))
                    if beside is not None:
                        component.restore(slices.change(component.slot), beside)
        if before is not None:
            slices.change(inbox.INBOX).fact_at = dict(before.get(inbox.INBOX).fact_at)
        fragments.replace(person, number, slices, self._kept)

    def remainder(self, slices: Slices) -> Remainder:
        """What of a fragment does not follow from its facts, and how far those must have arrived."""
        kept = {}
        for component in self._kept:
            if component.slot in slices and (beside := component.beside_facts(slices.get(component.slot))) is not None:
                kept[component.slot.name] = component.slot.encode(beside)
        return Remainder(kept, dict(slices.get(inbox.INBOX).fact_at))

    # -- what follows ----------------------------------------------------------------------------------------------

    @staticmethod
    def _take_in(person: Person, fragment: Slices | None, reading: Reading, at: At) -> Touched:
        touched = NOTHING
        for component, delta in reading.deltas:
            more = component.apply(person.whole.change(component.slot), delta, at)
            if more:
                touched |= more
            if fragment is not None:
                component.apply(fragment.change(component.slot), delta, at)
        return touched

    def _evaluate(self, person: Person, touched: Touched | None, cause: Cause) -> Effects:
        """Evaluate what can have changed, and find the next timer.

        An event that touched nothing but its name only brings timers forward: those that it put off are not looked for. Then
        nothing happens at the earlier moment, and the next one is found.
        """
        person.book = self.book.number
        plan = self._everything if touched is None else self._plan(cause.name, touched)
        context = Context(person, person.as_of, self.calendar)
        effects: Effects = []
        for component in plan.concerned:
            effects += component.evaluate(person, context, touched, cause)
        if plan.timed is self._timed or effects:
            person.due = self._next_timer(person, context, self._timed, None)
        elif plan.timed:
            moment = self._next_timer(person, context, plan.timed, touched)
            person.due = min(moment, person.due) if moment and person.due else moment or person.due
        return effects

    @staticmethod
    def _next_timer(person: Person, context: Context, timed: Components, touched: Touched | None) -> int:
        return min([moment for c in timed if (moment := c.next_timer(person, context, touched))], default=0)

    def _plan(self, event: str, touched: Touched) -> "_Plan":
        """What has to be done after an event of a name that touched this."""
        plan = self._plans.get(touched)
        if plan is None:
            concerned = tuple(c for c in self._evaluated if c.is_concerned(event, touched))
            is_name_only = touched == self._names_of(event)
            timed = tuple(c for c in self._timed if c.is_timed_by(touched)) if is_name_only else self._timed
            plan = self._plans[touched] = _Plan(concerned, timed)
        return plan

    def _names_of(self, event: str) -> Touched:
        names = self._names.get(event)
        if names is None:
            names = self._names[event] = frozenset({"any", event})
        return names
