"""The laws of components, tried on random histories: see `profiles.component` for the kinds and what each promises.

Everything random follows from a seed. A history has events of all kinds in several fragments, late ones, repetitions, dates in
the past and the future, and moments at which fragments leave and come back.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from cdp.clock import DAY, HOUR, MINUTE, Calendar
from cdp.events import Identifier
from profiles.book import compile_book, functions
from profiles.canonical import spell
from profiles.components import COMPONENTS, Kinds
from profiles.event import ProfileEvent
from profiles.fragments import pack_fragment, unpack_fragment
from profiles.inbox import fingerprint_of
from profiles.kernel import Effects, Kernel
from profiles.state import Person, Slices, pack, unpack
from rules.definitions.load import load_rules
from rules.definitions.model import RuleBook, TagRule, TriggerRule
from rules.language.parse import parse

CALENDAR = Calendar("Asia/Shanghai")
NOW = 1_795_000_000_000_000  # 2026-11-18, in microseconds
FRAGMENTS = (11, 12, 13)
END = NOW + 400 * DAY  # when everything that is due has had its turn

TAGS = (
    'minutes_since(last("Added".time)) >= 30', 'minutes_since(last(any.time)) >= 45.5', "minutes_since(last(orders.time)) < 600",
    'count("Added" where k = 1, last 3 days) >= 1', 'days("Viewed", last 5 days) > 1', "sum(orders.amount, last 4 days) > 20",
    "days_since(last(orders.time)) > 2", "is_anniversary(attribute.birthday)", 'first("Added".k) = 2',
    'not last(orders.time) >= last("Added".time)', "attribute.points > 3", 'sum("Viewed".n) >= 4', "tag.t3 and not tag.t4",
    "month_of(attribute.birthday) = 11", "top(orders.category) = 'Hats'",
)  # fmt: skip
TRIGGERS = (
    ("time", "tag.t0", "ever"), ("time", "tag.t1", "day"), ("Added", "", "message"), ("Order Completed", "", "order"),
    ("time", "is_anniversary(attribute.birthday)", "year"), ("Viewed", "count(any) > 3", "day"),
)  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """A law that did not hold. `seed`: of the history; `says`: what was found instead."""

    seed: int
    law: str
    says: str


def try_laws(seed: int, kinds: Kinds = COMPONENTS) -> list[Broken]:
    """Try every law on the history of a seed."""
    story = _Story(seed, kinds)
    found = []
    for law in LAWS:
        if says := law(story):
            found.append(Broken(seed, law.__name__, says))
    return found


@cache
def kernel_of(kinds: Kinds) -> Kernel:
    """The shipped rules, and some that use all of the language."""
    shipped, known = load_rules(), functions(kinds)
    tags = [TagRule(f"t{i}", f"t{i}", "yes_no", text, parse(text, known)) for i, text in enumerate(TAGS)]
    triggers = [
        TriggerRule(f"r{i}", f"r{i}", (on,), parse(when, known) if when else None, occasion, ("log",), (), when, 10_000)  # type: ignore[arg-type]
        for i, (on, when, occasion) in enumerate(TRIGGERS)
    ]
    book = RuleBook(shipped.identifiers, (*shipped.tags, *tags), (*shipped.triggers, *triggers))
    return Kernel(compile_book(book, 1, kinds), CALENDAR, kinds)


class _Story:
    """One history, and what the laws need to try it."""

    def __init__(self, seed: int, kinds: Kinds) -> None:
        self.draw = random.Random(seed)
        self.kernel = kernel_of(kinds)
        self.kinds = kinds
        self.events = [self._event(number) for number in range(self.draw.randint(1, 14))]

    def play(self, events: Sequence[ProfileEvent], person: Person | None = None, *, one_fragment: bool = False) -> Person:
        """Take events in, one after the other, repetitions left out."""
        person = person or Person(1)
        for event in events:
            self.apply(person, msgspec.structs.replace(event, part=FRAGMENTS[0]) if one_fragment else event)
        return person

    def apply(self, person: Person, event: ProfileEvent) -> Effects:
        """Take one event in, if it is new."""
        fingerprint = fingerprint_of(event)
        if self.kernel.find(person, fingerprint) is not None:
            return []
        return self.kernel.apply(person, event, self.kernel.read(event), fingerprint)

    def say(self, person: Person, *, kinds: str = "fold", at: int = END) -> Any:
        """The figures of components of some kinds, at a moment when nobody differs by what was forgotten."""
        self.kernel.prune(person, CALENDAR.day(at))
        without = [kind.slot.name for kind in self.kinds if kind.kind not in kinds]
        return spell(person, without=without, kinds=self.kinds)

    def shuffled(self) -> list[ProfileEvent]:
        """The events in another order, some of them twice."""
        more = [*self.events, *self.draw.choices(self.events, k=len(self.events) // 2)]
        self.draw.shuffle(more)
        return more

    def _event(self, number: int) -> ProfileEvent:
        draw = self.draw
        received_at = NOW + draw.randrange(6 * 24 * 60) * MINUTE
        delay = draw.choice([0, 0, 0, MINUTE, 30 * MINUTE, 5 * HOUR, 3 * DAY, 40 * DAY, 500 * DAY, -15 * HOUR])
        kind, name, properties, traits = draw.choice(_CONTENTS)(draw)
        return ProfileEvent(
            kind=kind, event=name, time=received_at - delay, received_at=received_at, message_id=f"m{number}",
            ids=[Identifier("anonymous_id", draw.choice("de")), Identifier("phone", "t1", draw.choice(["", "k1:s", "k2:s"]))],
            properties=_raw(properties), traits=_raw(traits), bot=draw.random() < 0.08, part=draw.choice(FRAGMENTS),
        )  # fmt: skip


_Content = tuple[str, str, dict[str, Any], dict[str, Any]]
_CONTENTS: tuple[Callable[[random.Random], _Content], ...] = (
    lambda r: ("track", r.choice(["Added", "Viewed"]), {"k": r.randint(1, 2), "n": r.choice([1, 2.5, "x"])}, {}),
    lambda r: ("page", "Home", {}, {}),
    lambda r: ("identify", "", {}, {"birthday": r.choice(["1990-11-18", "1992-02-29"]), "name": r.choice("abc")}),
    lambda r: ("profile", r.choice(["increment", "append", "union"]), {}, {"points": r.randint(-2, 5)}),
    lambda r: ("profile", r.choice(["set_once", "unset"]), {}, {r.choice(["points", "name"]): 7}),
    lambda r: ("profile", "delete", {}, {}),
    lambda r: ("track", "Signed Up", {}, {"name": "n"}),
    lambda r: ("order", "Order Completed", _order(r), {}),
    lambda r: ("order", "Order Completed", _order(r), {}),
    lambda r: ("order", r.choice(["Order Refunded", "Order Cancelled", "Order Placed"]), _change(r), {}),
    lambda r: ("group", "", {}, {}),
)


def _order(draw: random.Random) -> dict[str, Any]:
    price = draw.randint(1, 40)
    line = {"sku": "a", "quantity": 1, "price": price, "category": draw.choice(["Hats", "Shoes", ""])}
    return {"order_id": draw.choice("op"), "total": price, "products": [line], "version": draw.choice([None, 1, 2])}


def _change(draw: random.Random) -> dict[str, Any]:
    return {"order_id": draw.choice("op"), **draw.choice([{}, {"total": 5}, {"refund_id": "r", "total": 3}, {"version": 2}])}


def _raw(values: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(values))


# -- the laws. Each says what is wrong; nothing if it holds ----------------------------------------------------------------


def reading_changes_nothing(story: _Story) -> str:
    """All: what an event will change is worked out before anything is changed."""
    person = story.play(story.events)
    before = pack(_copy(person))
    for event in story.events:
        story.kernel.read(event)
    return _differ(pack(_copy(person)), before)


def any_order_and_repetition(story: _Story) -> str:
    """Fold: a function of the set of events."""
    return _differ(story.say(story.play(story.shuffled())), story.say(story.play(story.events)))


def whole_is_the_fold_of_the_fragments(story: _Story) -> str:
    """Fold: a person of several fragments says what a person of one says."""
    return _differ(story.say(story.play(story.events)), story.say(story.play(story.events, one_fragment=True)))


def a_fragment_leaves_nothing_behind(story: _Story) -> str:
    """Fold: without one fragment a person is what the others make."""
    person, leaving = story.play(story.events), story.draw.choice(FRAGMENTS)
    story.kernel.take_out(person, [leaving])
    return _differ(story.say(person), story.say(story.play([event for event in story.events if event.part != leaving])))


def split_then_merge(story: _Story) -> str:
    """Fold and once: a fragment that leaves and comes back, on whatever way, changes nothing."""
    person, leaving = story.play(story.events), story.draw.sample(FRAGMENTS, story.draw.randint(1, 3))
    before = story.say(_copy(person), kinds="fold once")
    for number, slices in story.kernel.take_out(person, leaving).items():
        story.kernel.put_in(person, number, unpack_fragment(pack_fragment(slices)))
    return _differ(story.say(_copy(person), kinds="fold once"), before)


def counting_from_facts(story: _Story) -> str:
    """Fold and once: a fragment that is counted again from its facts is what it was, what facts do not say included."""
    person, number = story.play(story.events), story.draw.choice(FRAGMENTS)
    before, slices = story.say(_copy(person), kinds="fold once"), Slices()
    seen: set[str] = set()
    for event in story.events:
        if event.part == number and event.message_id not in seen:
            seen.add(event.message_id)
            story.kernel.count(slices, event, story.kernel.read(event), fingerprint_of(event), CALENDAR.day(NOW) - 10_000)
    if seen:
        story.kernel.replace(person, number, slices)
    return _differ(story.say(_copy(person), kinds="fold once"), before)


def writing_and_reading(story: _Story) -> str:
    """All: what is written and read again is the same, and writes the same."""
    person = story.play(story.events)
    again = _copy(person)
    everything = "fold derived once"
    return _differ(story.say(again, kinds=everything), story.say(_copy(person), kinds=everything))


def selective_evaluation_is_full_evaluation(story: _Story) -> str:
    """Derived: right after an event, evaluating everything changes nothing."""
    person = Person(1)
    for event in story.events:
        story.apply(person, event)
        effects = story.kernel.reevaluate(_copy(person))
        if effects and person.fragment_numbers and person.as_of:
            return f"after {event.message_id}: {effects}"
    return ""


def nothing_happens_before_the_next_timer(story: _Story) -> str:
    """All: a person who is not due can be left alone."""
    person = Person(1)
    for event in story.events:
        story.apply(person, event)
        if not person.as_of:
            continue
        end = person.due or END
        for moment in (story.draw.randrange(person.as_of, max(end, person.as_of + 1)), end - 1):
            if person.as_of < moment < end and (effects := story.kernel.wake(_copy(person), moment)):
                return f"{moment} of {person.as_of}..{end}: {effects}"
    return ""


def waking_comes_to_an_end(story: _Story) -> str:
    """All: a person who was woken is not due at the same moment again."""
    person = story.play(story.events)
    for _ in range(40):
        if not person.due:
            return ""
        moment = max(person.due, person.as_of)
        story.kernel.wake(person, moment)
        if 0 < person.due <= moment:
            return f"woken at {moment}, and due at {person.due}"
    return ""


def nothing_fires_twice(story: _Story) -> str:
    """Once: whatever is repeated, parted and put together again, an occasion comes once."""
    person, fired = Person(1), []
    for event in [*story.events, *story.shuffled()]:
        fired += story.apply(person, event)
        if story.draw.random() < 0.3:
            for number, slices in story.kernel.take_out(person, [story.draw.choice(FRAGMENTS)]).items():
                story.kernel.put_in(person, number, slices)
        if story.draw.random() < 0.3 and person.due:
            fired += story.kernel.wake(person, max(person.due, person.as_of))
    keys = [(f.trigger.rule.name, f.occasion) for f in fired if hasattr(f, "occasion")]
    return "" if len(keys) == len(set(keys)) else f"twice: {sorted(key for key in keys if keys.count(key) > 1)}"


def a_split_leaves_a_copy_on_both_sides(story: _Story) -> str:
    """Once: what a fragment takes along, the person keeps."""
    person = story.play(story.events)
    before = story.say(_copy(person), kinds="once", at=NOW)
    taken = story.kernel.take_out(person, FRAGMENTS)
    if _differ(after := story.say(_copy(person), kinds="once", at=NOW) | {"fingerprints": before["fingerprints"]}, before):
        return f"the person has lost something: {after}, {before}"
    other = Person(2)
    for number, slices in taken.items():
        story.kernel.put_in(other, number, slices)
    return _differ(story.say(_copy(other), kinds="once", at=NOW), before)


def forgetting_changes_no_answer(story: _Story) -> str:
    """All: what is beyond every horizon is asked by nobody."""
    person = story.play(story.events)
    if not person.as_of:
        return ""
    pruned = _copy(person)
    story.kernel.prune(pruned, CALENDAR.day(pruned.as_of))
    moment = person.as_of + story.draw.choice([0, HOUR, DAY, 30 * DAY])
    left, right = story.kernel.wake(_copy(person), moment), story.kernel.wake(pruned, moment)
    return _differ([str(one) for one in right], [str(one) for one in left])


LAWS: tuple[Callable[[_Story], str], ...] = (
    reading_changes_nothing,
    any_order_and_repetition,
    whole_is_the_fold_of_the_fragments,
    a_fragment_leaves_nothing_behind,
    split_then_merge,
    counting_from_facts,
    writing_and_reading,
    selective_evaluation_is_full_evaluation,
    nothing_happens_before_the_next_timer,
    waking_comes_to_an_end,
    nothing_fires_twice,
    a_split_leaves_a_copy_on_both_sides,
    forgetting_changes_no_answer,
)


def _copy(person: Person) -> Person:
    """As it is read after it was written; the person itself can go on."""
    copy = Person(person.number)
    for name in ("as_of", "offset", "due", "book", "fragment"):
        setattr(copy, name, getattr(person, name))
    copy.whole = person.whole.copy()
    copy.fragments = {number: slices.copy() for number, slices in person.fragments.items()}
    stored = pack(copy)
    return unpack(stored.head, {name: value for name, value in stored.fields.items() if value is not None})


def _differ(found: Any, wanted: Any) -> str:
    return "" if found == wanted else f"{found} instead of {wanted}"
