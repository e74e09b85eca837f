"""One person under the real PROFILE step, woken exactly when a timer runs out: for tests of what time alone changes."""

from collections.abc import Iterable, Mapping

import msgspec

from cdp.events import Event, encode
from profiles.book import compile_book
from profiles.fragments import pack_fragment
from profiles.kernel import Kernel
from profiles.state import Person, pack, unpack
from rules.definitions.book import CompiledRules
from rules.definitions.model import RuleBook, TagRule, TriggerRule
from rules.language.parse import parse
from streams import records
from streams.commands import Bundle, FragmentState, encode_command
from streams.profile.books import NO_CHANGES, Changes, fixed
from streams.profile.outbox import Emitted
from streams.profile.step import ProfileStep
from streams.profile.store import Due, Entry, ProfileStore, Wanted
from streams.records import Tick
from tests.shop import CALENDAR, NOW, tags_of

PERSON, PARTITION = 1, 0
LONG_AGO = 10_000  # days: no event of these tests is too old for a trigger

Change = tuple[int, str, object]
Fired = tuple[int, str, str]


def tag(name: str, value: str) -> TagRule:
    return TagRule(name, name, "yes_no", value, parse(value))


def trigger(
    name: str, when: str = "", occasion: str = "ever", on: tuple[str, ...] = ("time",), days: int = LONG_AGO
) -> TriggerRule:
    condition = parse(when) if when else None
    return TriggerRule(name, name, on, condition, occasion, ("log",), (), when, days)  # type: ignore[arg-type]


def rule_book(*rules: TagRule | TriggerRule) -> CompiledRules:
    tags = tuple(rule for rule in rules if isinstance(rule, TagRule))
    return compile_book(RuleBook((), tags, tuple(rule for rule in rules if isinstance(rule, TriggerRule))))


class MemoryStore(ProfileStore):
    """Keeps profiles as the real store does, without Redis."""

    def __init__(self) -> None:
        self._heads: dict[int, bytes] = {}
        self._fields: dict[int, dict[str, bytes]] = {}
        self._due: dict[int, int] = {}

    def find_due(self, ticks: Iterable[Due]) -> dict[tuple[int, int], list[int]]:
        return {
            (tick.partition, tick.offset): [person for person, due in self._due.items() if due <= tick.time] for tick in ticks
        }

    def emitted_since(self, partition: int, offset: int) -> dict[int, Emitted]:
        return {}

    def load(self, people: Iterable[int], wanted: Wanted | None = None) -> dict[int, Entry]:
        return {number: Entry(self._read(number)) for number in people}

    def forget(self) -> None:
        pass

    def save(
        self,
        entries: Mapping[int, tuple[int, Entry]],
        emitted: Mapping[int, Mapping[int, Emitted]],
        committed: Mapping[int, int],
        healed: int = 0,
        changes: Changes = NO_CHANGES,
    ) -> None:
        for number, (_, entry) in entries.items():
            stored, fields = pack(entry.person), self._fields.setdefault(number, {})
            self._heads[number] = stored.head
            for name, value in stored.fields.items():
                if value is None:
                    fields.pop(name, None)
                else:
                    fields[name] = value
            self._due.pop(number, None)
            if entry.person.wake_at:
                self._due[number] = entry.person.wake_at

    def _read(self, number: int) -> Person:
        head = self._heads.get(number)
        return Person(number) if head is None else unpack(head, fetch=self._fields[number].get)


class Driver:
    """Gives records of one person to PROFILE, one by one.

    Attributes:
        changes: (clock, tag, new value), in the order in which they came.
        fired: (clock, trigger, occasion) of each action.
        wakes: the moments at which time woke the person.
    """

    def __init__(self, rules: CompiledRules, store: ProfileStore | None = None) -> None:
        self._store = store or MemoryStore()
        self._step = ProfileStep(self._store, fixed(Kernel(rules, CALENDAR)), {}, lambda wanted: {}, lambda: NOW)
        self._offset = 0
        self.changes: list[Change] = []
        self.fired: list[Fired] = []
        self.wakes: list[int] = []

    @property
    def profile(self) -> Person:
        return self._store.load([PERSON])[PERSON].person

    @property
    def tags(self) -> dict[str, object]:
        return tags_of(self.profile)

    def send(self, event: Event) -> None:
        """An event, after everything that was due before it."""
        self.wait_until(min(event.time, event.received_at))
        self.apply(event)

    def apply(self, event: Event) -> None:
        """An event, whatever is due."""
        head = {"one_id": f"P{PERSON:010d}", "person": PERSON, "origin": [0, 0], "part": PERSON}
        self._process(msgspec.json.encode({**head, **msgspec.json.decode(encode(event))}))

    def wait_until(self, time: int) -> None:
        """Wake the person whenever a timer runs out, up to a moment; timers in the past run out at once."""
        clock = self.profile.as_of
        while 0 < (due := self.profile.due) <= time:
            clock = max(clock, due)
            assert clock not in self.wakes[-3:], "woken again and again at one moment"
            self.wakes.append(clock)
            self._process(msgspec.json.encode(Tick(time=clock)))

    def receive(self, number: int, other: Person, time: int) -> None:
        """All of another person comes as a fragment."""
        bundle = Bundle(state=pack_fragment(other.whole), as_of=other.as_of)
        self._process(
            encode_command(FragmentState(person=PERSON, other=number, fragment=number, bundle=bundle, version=1, time=time))
        )

    def _process(self, value: bytes) -> None:
        (outputs,) = self._step.process([(value, PARTITION, self._offset)])
        self._offset += 1
        clock = self.profile.as_of
        for topic, _, said in outputs:
            record = msgspec.json.decode(said)
            if topic == records.CHANGES:
                self.changes += [(clock, name, new) for name, _, new in record["tags"]]
            elif topic == records.ACTIONS:
                self.fired.append((clock, record["rule"], record["occasion"]))


def late(event: Event, received_at: int) -> Event:
    return msgspec.structs.replace(event, received_at=received_at)
