"""Timers on random rule books and histories: before the next timer no evaluation has an effect, at it the effect is there.

PROFILE's own step follows its timers, as ticks do. The oracle has none: it evaluates every rule after each event and at every
moment at which any rule could change its answer, which it works out from the rules' texts and the history alone.
"""

import random
import re
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.clock import DAY, MINUTE
from cdp.events import Event
from profiles.component import TIME, Cause
from profiles.components.tags.component import TagComponent, TagsChanged
from profiles.components.triggers.component import Fired as FiredEffect
from profiles.components.triggers.component import TriggerComponent
from profiles.context import Context
from profiles.inbox import fingerprint_of
from profiles.kernel import Kernel
from profiles.state import Person
from rules.definitions.book import CompiledRules
from rules.definitions.model import TagRule, TriggerRule
from tests.properties.test_profile_order import histories as shipped_histories
from tests.properties.test_profile_order import to_events as to_shipped_events
from tests.shop import CALENDAR, NOW, as_resolved, copy_of, make_event, make_person
from tests.shop import rules as shipped_rules
from tests.timers import Change, Driver, Fired, late, rule_book, tag, trigger

END = NOW + 60 * DAY  # beyond New Year, when triggers that fire once a year may fire again

# -- rules --------------------------------------------------------------------------------------------------------------

minutes = st.sampled_from(["0", "1", "2.01", "30", "45.5", "600", "1440", "4000"])
operators = st.sampled_from([">=", ">", "<", "<=", "=", "!="])
counts, windows = st.integers(0, 3), st.integers(1, 5)
sources = st.sampled_from(["any", "orders", '"Added"', '"Viewed"'])
conditions = st.sampled_from(["", " where k = 1", " where k = 2", " where k = 1 and n = 1"])


def where(source: str, condition: str) -> str:
    return source if source == "orders" else source + condition


def last(source: str, condition: str) -> str:
    return "last(orders.time)" if source == "orders" else f"last({source}.time{condition})"


lasts = st.builds(last, sources, conditions)
waits = st.builds(lambda moment, o, n: f"minutes_since({moment}) {o} {n}", lasts, operators, minutes)
figures = st.one_of(
    st.builds(lambda s, c, o, n: f"count({where(s, c)}) {o} {n}", sources, conditions, operators, counts),
    st.builds(
        lambda s, c, w, o, n: f"count({where(s, c)}, last {w} days) {o} {n}", sources, conditions, windows, operators, counts
    ),
    st.builds(lambda c, w, o, n: f'days("Added"{c}, last {w} days) {o} {n}', conditions, windows, operators, counts),
    st.builds(lambda w, n: f"sum(orders.amount, last {w} days) > {n}", windows, counts),
)
days = st.builds(lambda moment, o, n: f"days_since({moment}) {o} {n}", lasts, operators, windows)
others = st.sampled_from([
    "is_anniversary(attribute.birthday)", "is_anniversary(coalesce(attribute.day, attribute.birthday))",
    'not last(orders.time) >= last("Added".time)', "attribute.birthday = '1990-11-20'",
])  # fmt: skip
references = st.sampled_from(["tag.t0", "tag.t1"])  # tags may use tags above them


def expressions(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def join(parts: list[str], operator: str, turned: bool) -> str:
        return f"{'not ' if turned else ''}({f' {operator} '.join(parts)})"

    return st.builds(join, st.lists(leaves, min_size=1, max_size=3), st.sampled_from(["and", "or"]), st.booleans())


@st.composite
def books(draw: st.DrawFn) -> list[TagRule | TriggerRule]:
    """Of one or two kinds of conditions: if any of them has a day wake people, it hides timers that are missing."""
    kinds = draw(st.lists(st.sampled_from([waits, figures, days, others]), min_size=1, max_size=2))
    plain, any_leaf = expressions(st.one_of(kinds)), expressions(st.one_of(references, *kinds))
    texts = [draw(plain), draw(plain), *draw(st.lists(any_leaf, max_size=2))]
    conditions = st.one_of(st.just(""), references, any_leaf)
    occasions, names = st.sampled_from(["ever", "day", "year"]), st.sampled_from([("time",), ("time", "Added")])
    triggers = draw(st.lists(st.tuples(conditions, occasions, names), max_size=3))
    found: list[TagRule | TriggerRule] = [tag(f"t{number}", text) for number, text in enumerate(texts)]
    return found + [trigger(f"r{number}", *one) for number, one in enumerate(triggers)]


# -- histories ----------------------------------------------------------------------------------------------------------

moments = st.integers(0, 6 * 24 * 60).map(lambda minutes: NOW + minutes * MINUTE)
near = st.sampled_from([0, 1, 29, 30, 31, 45]).flatmap(lambda n: st.integers(0, 20).map(lambda m: NOW + (n + 30 * m) * MINUTE))
order_ids = st.sampled_from(["o1", "o2"])
bodies = st.one_of(
    st.builds(
        lambda name, k, n: (name, {"k": k, "n": n}, {}),
        st.sampled_from(["Added", "Viewed"]),
        st.integers(1, 2),
        st.integers(1, 2),
    ),
    st.builds(lambda i, v: ("order", {"order_id": i, "version": v}, {}), order_ids, st.integers(0, 2)),
    st.builds(
        lambda i, a: ("Order Refunded", {"order_id": i, **a}, {}), order_ids, st.sampled_from([{}, {"total": 5}, {"total": 10}])
    ),
    st.builds(lambda i, v: ("Order Cancelled", {"order_id": i, "version": v}, {}), order_ids, st.sampled_from([None, 1])),
    st.builds(lambda b: ("Signed Up", {}, {"birthday": b}), st.sampled_from(["1990-11-18", "1990-11-20", "1991-01-01"])),
)
delays = st.sampled_from([0, 0, 0, 10, 50, 700, 3000, -20, -900, -900]).map(lambda minutes: minutes * MINUTE)
histories = st.lists(st.tuples(bodies, moments | near, delays), max_size=12)


def to_events(history: list) -> list[Event]:
    """In the order of their receipt: an event comes later than it happened, or its device's clock is ahead."""
    events = []
    for number, ((name, properties, traits), received_at, delay) in enumerate(sorted(history, key=lambda one: one[1])):
        time = received_at - delay
        if name == "order":
            event = make_event(f"m{number}", "Order Completed", properties={"total": 10, **properties}, time=time)
        else:
            event = make_event(f"m{number}", name, properties=properties, traits=traits, time=time)
        events.append(late(event, received_at))
    return events


def edges(rules: list[TagRule | TriggerRule], events: list[Event]) -> list[int]:
    """Every moment at which a rule could change its answer by itself, and the microseconds beside it."""
    texts = [rule.value if isinstance(rule, TagRule) else rule.when for rule in rules]
    waits = {float(found) for text in texts for found in re.findall(r"minutes_since\(last\([^)]*\)\) \S+ ([\d.]+)", text)}
    found = {event.time + round(wait * MINUTE) + step for event in events for wait in waits for step in (-1, 0, 1)}
    today = CALENDAR.day(NOW) - 4
    return sorted(found | {CALENDAR.start(day) for day in range(today, CALENDAR.day(END) + 1)})


# -- the oracle ---------------------------------------------------------------------------------------------------------


class Oracle:
    """A person of whom everything is evaluated whenever anything could have changed."""

    def __init__(self, rules: CompiledRules) -> None:
        self._kernel = Kernel(rules, CALENDAR)
        self._tags, self._triggers = TagComponent(rules, CALENDAR), TriggerComponent(rules, CALENDAR)
        self.profile = make_person()
        self.changes: list[Change] = []
        self.fired: list[Fired] = []

    def play(self, events: list[Event], moments: list[int]) -> None:
        """Everything that happens, and every moment in between, in their order."""
        for event in events:
            clock = min(event.time, event.received_at)
            self._pass_time([moment for moment in moments if moment <= clock])
            self._apply(event)
        self._pass_time([moment for moment in moments if moment <= END])

    def _pass_time(self, moments: list[int]) -> None:
        for moment in moments:
            if self.profile.as_of and moment > self.profile.as_of:
                self.profile.as_of = moment
                self.evaluate(Cause(TIME, moment, moment))

    def _apply(self, event: Event) -> None:
        record = as_resolved(event)
        self.profile.as_of = max(self.profile.as_of, min(record.time, record.received_at))
        reading, today = self._kernel.read(record), CALENDAR.day(self.profile.as_of)
        self._kernel.count(self.profile.whole, record, reading, fingerprint_of(record), today)
        self.evaluate(Cause(record.name, record.time, record.received_at))

    def evaluate(self, cause: Cause) -> None:
        """All tags, and the triggers on a cause and on time, at the profile's clock."""
        person, clock = self.profile, self.profile.as_of
        context = Context(person, clock, CALENDAR)
        for component in (self._tags, self._triggers):
            for effect in component.evaluate(person, context, None, cause):
                match effect:
                    case TagsChanged(changes):
                        self.changes += [(clock, name, new) for name, _, new in changes]
                    case FiredEffect(found, occasion):
                        self.fired.append((clock, found.rule.name, occasion))


def has_effect(rules: CompiledRules, profile: Person, moment: int) -> bool:
    """Whether an evaluation at a moment changes a tag or fires a trigger. The profile stays as it is."""
    oracle = Oracle(rules)
    oracle.profile = copy_of(profile)
    oracle.profile.as_of = moment
    oracle.evaluate(Cause(TIME, moment, moment))
    return bool(oracle.changes or oracle.fired)


def stops(person: Driver, events: list[Event], end: int) -> Iterator[Person]:
    """A person's profile after each event and each wake."""
    for event in events:
        yield from wakes(person, min(event.time, event.received_at))
        person.apply(event)
        yield person.profile
    yield from wakes(person, end)


def wakes(person: Driver, end: int) -> Iterator[Person]:
    while 0 < (due := person.profile.due) <= end:
        person.wait_until(due)
        yield person.profile


# -- the laws -----------------------------------------------------------------------------------------------------------


@given(books(), histories)
@settings(max_examples=600, deadline=None)
def test_following_the_timers_is_evaluating_everything_at_every_moment(rules: list, history: list) -> None:
    book, events = rule_book(*rules), to_events(history)
    person, oracle = Driver(book), Oracle(book)
    for event in events:
        person.send(event)
    person.wait_until(END)
    oracle.play(events, edges(rules, events))
    assert person.changes == oracle.changes
    assert person.fired == oracle.fired


@given(books(), histories, st.integers(0, 2**32))
@settings(max_examples=500, deadline=None)
def test_before_the_next_timer_no_evaluation_has_an_effect(rules: list, history: list, seed: int) -> None:
    book, events, source = rule_book(*rules), to_events(history), random.Random(seed)
    moments = edges(rules, events)
    for profile in stops(Driver(book), events, NOW + 12 * DAY):
        first, end = profile.as_of, profile.due or END
        between = [moment for moment in moments if first < moment < end]
        tried = [*source.sample(between, min(3, len(between))), source.randrange(first, end), end - 1]
        assert not any(has_effect(book, profile, moment) for moment in tried)


@given(shipped_histories, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_shipped_rules_have_no_effect_before_the_next_timer(history: list, seed: int) -> None:
    book, source = shipped_rules(), random.Random(seed)
    for profile in stops(Driver(book), to_shipped_events(history), NOW + 2 * DAY):
        first, end = profile.as_of, profile.due or END
        assert not any(has_effect(book, profile, moment) for moment in (source.randrange(first, end), end - 1))


@given(st.lists(waits, min_size=1, max_size=5, unique=True), histories)
@settings(max_examples=500, deadline=None)
def test_a_timer_of_rules_that_only_wait_has_an_effect(texts: list[str], history: list) -> None:
    """That of an event may be earlier than need be: what it put off is not looked for. The one that is worked out is exact."""
    book = rule_book(*(tag(f"t{number}", text) for number, text in enumerate(texts)))
    kernel = Kernel(book, CALENDAR)
    for profile in stops(Driver(book), to_events(history), END):
        kernel.set_timer(exact := copy_of(profile))
        due = exact.due
        assert not due or has_effect(book, profile, due)
        assert profile.due <= due if profile.due else not due
