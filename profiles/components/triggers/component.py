"""Triggers: what fires, once for each occasion. Once: whatever is repeated, replayed or merged, nobody gets a thing twice.

The occasion is kept with the fragment whose event it was, or, if it was time, with all of them: wherever a fragment goes, it
takes its occasions along, and the person keeps them.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, NamedTuple

from cdp.clock import DAY, Calendar
from profiles.component import TIME, Cause, Component, Kind, Touched
from profiles.components.triggers.occasion import is_over, next_occasion, occasion
from profiles.components.triggers.state import OCCASIONS, Occasions
from profiles.context import Context
from profiles.slots import Slot
from profiles.state import AT_NEXT_TICK, Person, Slices
from rules.definitions.book import CompiledRules, CompiledTrigger
from rules.definitions.model import TriggerRule

_TIME = Cause(TIME, 0, 0)


class Fired(NamedTuple):
    """An effect: a trigger has fired on an occasion, with its texts filled in."""

    trigger: CompiledTrigger
    occasion: str
    content: dict[str, str]
    cause: Cause


class TriggerComponent(Component[Occasions, None]):
    """Fires the triggers of a rule book."""

    slot: ClassVar[Slot[Occasions]] = OCCASIONS
    kind: ClassVar[Kind] = "once"

    def __init__(self, book: CompiledRules, calendar: Calendar) -> None:
        super().__init__(book, calendar)
        self._watched = book.watched()
        self._on_time = book.triggers_for(TIME)
        self._recurring = tuple(t.rule for t in self._on_time if t.rule.occasion in ("day", "year"))
        self._max_age_days = max((t.rule.max_age_days for t in book.triggers), default=0)
        self._triggers_for = lru_cache(maxsize=4096)(book.triggers_for)
        self._asks_time = lru_cache(maxsize=4096)(self._can_be_made_true)

    def is_concerned(self, event: str, touched: Touched) -> bool:
        """Whether a trigger looks at the event, or can be made true by it."""
        return event in self._watched or self._asks_time(touched)

    def is_timed_by(self, touched: Touched) -> bool:
        """Whether such an event can make a trigger on ``time`` hold, for which it is too old itself."""
        return self._asks_time(touched)

    def evaluate(self, person: Person, context: Context, touched: Touched | None, cause: Cause) -> list[Fired]:
        """What fires on an event by its name, and on ``time`` where that, or the event, may have made a trigger true."""
        fired = []
        if cause.name in self._watched and cause.name != TIME:
            fired += self._fire(person, context, cause)
        if touched is None or self._asks_time(touched):
            fired += self._fire(person, context, _as_time(cause))
        return fired

    def next_timer(self, person: Person, context: Context, touched: Touched | None) -> int:
        """At the next tick, if a trigger on ``time`` holds that has not fired; else when one that has may fire again."""
        if not person.log.awaiting and self._has_unfired(person, context):
            return AT_NEXT_TICK
        if touched is not None:
            return 0
        spent = [next_occasion(rule, context.today) for rule in self._recurring if self._is_spent(person, rule, context)]
        return self.calendar.start(min(spent)) if spent else 0

    def merge(self, into: Occasions, other: Occasions) -> None:
        """Two merged people are one person for every once."""
        for key, time in other.fired.items():
            into.fired[key] = max(time, into.fired.get(key, time))

    def beside_facts(self, state: Occasions) -> Occasions:
        """Facts do not say what has fired."""
        return Occasions(dict(state.fired))

    def restore(self, state: Occasions, kept: Occasions) -> None:
        """All of it."""
        self.merge(state, kept)

    def prune(self, state: Occasions, today: int) -> bool:
        """Forget occasions that are over: see `occasion.KEPT_DAYS`."""
        over = [key for key, time in state.fired.items() if is_over(key, time, today, self._max_age_days)]
        for key in over:
            del state.fired[key]
        return bool(over)

    def _can_be_made_true(self, touched: Touched) -> bool:
        """Whether what was touched can make a trigger on ``time`` hold."""
        return any(trigger.touched_by & touched for trigger in self._on_time)

    def _has_unfired(self, person: Person, context: Context) -> bool:
        """Its event was too old, or what it asks for came with a fragment."""
        return any(not self._is_spent(person, t.rule, context) and t.condition(context) for t in self._on_time)

    @staticmethod
    def _is_spent(person: Person, rule: TriggerRule, context: Context) -> bool:
        """Whether a trigger on ``time`` has fired on the occasion that today is."""
        return f"{rule.name}|{occasion(rule, context.today, _TIME)}" in person.whole.get(OCCASIONS).fired

    def _fire(self, person: Person, context: Context, cause: Cause) -> list[Fired]:
        """An event that was older than a trigger allows when it came does not fire it: history is not news."""
        fired = []
        for trigger in self._triggers_for(cause.name):
            rule = trigger.rule
            if cause.received_at - cause.time > rule.max_age_days * DAY:
                continue
            name = occasion(rule, context.today, cause)
            key = f"{rule.name}|{name}"
            if key in person.whole.get(OCCASIONS).fired or not trigger.condition(context):
                continue
            for slices in (person.whole, *_fragments(person, cause)):
                slices.change(OCCASIONS).fired[key] = context.now
            fired.append(Fired(trigger, name, trigger.render(context), cause))
        return fired


def _fragments(person: Person, cause: Cause) -> Iterable[Slices]:
    if cause.name == TIME:
        return person.fragments.values()
    return (person.fragments[cause.fragment],) if cause.fragment in person.fragments else ()


def _as_time(cause: Cause) -> Cause:
    return cause if cause.name == TIME else Cause(TIME, cause.time, cause.received_at, cause.message_id, cause.order_id)
