"""Metrics: daily sums, first and last of what rules ask of events. A fold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from cdp.clock import Calendar
from cdp.money import MONEY
from cdp.orders import MAX_AMOUNT
from profiles.component import NOTHING, At, Component, Touched
from profiles.components.metrics.figures import active_days, first, last, total
from profiles.components.metrics.state import METRICS, TOTAL, Metrics, Moment
from profiles.context import Context
from profiles.event import ProfileEvent
from profiles.reading import read_object, storable
from profiles.slots import Slot
from profiles.state import Person
from profiles.windows import next_edge
from rules.definitions.book import CompiledRules
from rules.language.dependencies import LATEST, Timer
from rules.language.parse import MAX_WINDOW_DAYS

TOUCHED: Touched = frozenset({"calendar"})
"""A new day's first event of a figure."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A metric, with what is asked of it for each event at hand. `horizon`: its longest window in days."""

    id: int
    is_moment: bool
    field: str
    where: tuple[tuple[str, Any], ...]
    horizon: int | None


class Counted(NamedTuple):
    """What one event adds: the day, amounts and values by metric."""

    day: int
    amounts: list[tuple[int, int, int | None]]
    moments: list[tuple[int, Any]]


class MetricComponent(Component[Metrics, Counted]):
    """Counts events into the metrics of a rule book."""

    slot: ClassVar[Slot[Metrics]] = METRICS
    vocabulary: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "total": total, "active_days": active_days, "first": first, "last": last,
    }  # fmt: skip

    def __init__(self, book: CompiledRules, calendar: Calendar) -> None:
        super().__init__(book, calendar)
        self._horizon = {metric: windows[-1] for metric, windows in book.bucket_windows.items()}
        prepared = {
            m: _Prepared(m.id, m.function in ("first", "last"), m.field, m.where, self._horizon.get(m.id)) for m in book.metrics
        }
        self._any = [ready for metric, ready in prepared.items() if metric.source == "any"]
        self._by_event = {
            name: [ready for metric, ready in prepared.items() if metric.source in ("any", name)]
            for name in {metric.source for metric in book.metrics}
        }
        self._reads_properties = {
            name for name, metrics in self._by_event.items() if any(m.where or m.field not in ("", "time") for m in metrics)
        }
        self._waits_any = tuple(timer for timer in book.timers if timer.source == "any")
        self._waits_all = tuple(timer for timer in book.timers if timer.source != "orders")
        self._waits: dict[Touched, tuple[Timer, ...]] = {}

    def read(self, event: ProfileEvent) -> Counted | None:
        """Raises InvalidEvent or msgspec.DecodeError, if rules ask for properties that are no object."""
        name = event.name
        metrics = self._by_event.get(name, self._any)
        if not metrics:
            return None
        properties = read_object(event.properties, "properties") if name in self._reads_properties else {}
        counted = Counted(self.calendar.day(event.time), [], [])
        for metric in metrics:
            if metric.where and any(properties.get(field) != value for field, value in metric.where):
                continue
            if metric.is_moment:
                value = event.time if metric.field == "time" else storable(properties.get(metric.field))
                counted.moments.append((metric.id, value))
            else:
                amount = _number(properties.get(metric.field)) if metric.field else 1
                counted.amounts.append((metric.id, amount, metric.horizon))
        return counted

    def apply(self, state: Metrics, delta: Counted, at: At) -> Touched:
        """Touches ``calendar`` if it is a day's first; buckets that no window reaches from today are not opened."""
        touched, day = NOTHING, delta.day
        for metric, amount, horizon in delta.amounts:
            buckets = state.days.get(metric)
            if buckets is None:
                buckets = state.days[metric] = {}
            if horizon is not None and day > at.today - horizon:
                if day in buckets:
                    buckets[day] += amount
                else:
                    buckets[day] = amount
                    touched = TOUCHED
            buckets[TOTAL] = buckets.get(TOTAL, 0) + amount
        for metric, value in delta.moments:
            _note(state.moments, metric, (at.time, at.digest, value))
        return touched

    def merge(self, into: Metrics, other: Metrics) -> None:
        """Sums add up; first and last are those of both."""
        for metric, buckets in other.days.items():
            ours = into.days.setdefault(metric, {})
            for day, amount in buckets.items():
                ours[day] = ours.get(day, 0) + amount
        for metric, moment in other.moments.items():
            _note(into.moments, metric, (moment.first, moment.first_digest, moment.first_value))
            _note(into.moments, metric, (moment.last, moment.last_digest, moment.last_value))

    def is_timed_by(self, touched: Touched) -> bool:
        """Whether a rule waits for some time after such an event."""
        return bool(self._waits_for(touched))

    def next_timer(self, person: Person, context: Context, touched: Touched | None) -> int:
        """The next day on which a bucket comes into a window or falls out, or the moment for which rules wait after the last."""
        moments = self._run_out(person, context, self._waits_all if touched is None else self._waits_for(touched))
        if touched is None and (days := self._edges(person, context.today)):
            moments.append(self.calendar.start(min(days)))
        return min(moments, default=0)

    def prune(self, state: Metrics, today: int) -> bool:
        """Forget buckets that no window can reach any more; of metrics that no rule asks for now, none that any could."""
        pruned = False
        for metric, buckets in state.days.items():
            oldest = today - self._horizon.get(metric, MAX_WINDOW_DAYS)
            for day in [day for day in buckets if TOTAL < day <= oldest]:
                del buckets[day]
                pruned = True
        return pruned

    def _waits_for(self, touched: Touched) -> tuple[Timer, ...]:
        """The timers that an event sets anew."""
        waits = self._waits.get(touched)
        if waits is None:
            waits = self._waits[touched] = tuple(timer for timer in self._waits_all if timer.source in touched)
        return waits

    @staticmethod
    def _run_out(person: Person, context: Context, timers: tuple[Timer, ...]) -> list[int]:
        """When timers run out, of those that have not."""
        moments = []
        for timer in timers:
            since = last(context, timer.metric)
            if isinstance(since, int) and context.now < since + timer.delay <= LATEST:
                moments.append(since + timer.delay)
        return moments

    def _edges(self, person: Person, today: int) -> list[int]:
        found = []
        for metric, windows in self.book.bucket_windows.items():
            buckets = person.whole.get(METRICS).days.get(metric)
            if buckets and (edge := next_edge([day for day in buckets if day != TOTAL], windows, today)):
                found.append(edge)
        return found


def _note(moments: dict[int, Moment], metric: int, what: tuple[int, int, Any]) -> None:
    """Keep first and last by time; ties go by digest."""
    moment = moments.get(metric)
    if moment is None:
        moments[metric] = Moment(*what, *what)
        return
    if what[:2] < (moment.first, moment.first_digest):
        moment.first, moment.first_digest, moment.first_value = what
    if what[:2] > (moment.last, moment.last_digest):
        moment.last, moment.last_digest, moment.last_value = what


def _number(value: Any) -> int:
    """A property as 1/10,000; what is not a number, or larger than any amount, counts nothing."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) * MONEY < MAX_AMOUNT:
        return 0
    return round(value * MONEY)
