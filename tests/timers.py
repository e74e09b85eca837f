"""One person under the real PROFILE step, woken exactly when a timer runs out: for tests of what time alone changes."""

import base64
from collections.abc import Iterable, Mapping

import msgspec

from cdp.events import Event, encode
from cdp.profile import Profile, pack_state, unpack_state
from rules.definitions.book import CompiledRules, compile_rules
from rules.definitions.model import RuleBook, TagRule, TriggerRule
from rules.language.parse import parse
from streams import records
from streams.profile import ProfileStep
from streams.records import Cause, Fragment, Tick
from streams.store import Due, Entry, ProfileStore, Said
from tests.shop import CALENDAR, NOW, new_profile

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
    return compile_rules(RuleBook((), tags, tuple(rule for rule in rules if isinstance(rule, TriggerRule))))


class MemoryStore(ProfileStore):
    """Keeps profiles as the real store does, without Redis."""

    def __init__(self) -> None:
        self._profiles: dict[int, bytes] = {}
        self._due: dict[int, int] = {}

    def find_due(self, ticks: Iterable[Due]) -> dict[tuple[int, int], list[int]]:
        return {
            (tick.partition, tick.offset): [person for person, due in self._due.items() if due <= tick.time] for tick in ticks
        }

    def said_since(self, partition: int, offset: int) -> dict[int, Said]:
        return {}

    def load(self, people: Iterable[int]) -> dict[int, Entry]:
        packed = {person: self._profiles.get(person) for person in people}
        return {p: Entry(str(p), unpack_state(value) if value else new_profile(p), 0) for p, value in packed.items()}

    def save(
        self,
        entries: dict[int, tuple[int, Entry]],
        said: Mapping[int, Mapping[int, Said]],
        committed: Mapping[int, int],
        healed: int = 0,
    ) -> None:
        for person, (_, entry) in entries.items():
            entry.close()
            self._profiles[person] = pack_state(entry.profile)
            self._due.pop(person, None)
            if entry.profile.wake_at:
                self._due[person] = entry.profile.wake_at


class Person:
    """Gives records of one person to PROFILE, one by one.

    Attributes:
        changes: (clock, tag, new value), in the order in which they came.
        fired: (clock, trigger, occasion) of each action.
        wakes: the moments at which time woke the person.
    """

    def __init__(self, rules: CompiledRules, store: ProfileStore | None = None) -> None:
        self._store = store or MemoryStore()
        self._step = ProfileStep(self._store, rules, CALENDAR, {}, lambda wanted: {}, lambda: NOW)
        self._offset = 0
        self.changes: list[Change] = []
        self.fired: list[Fired] = []
        self.wakes: list[int] = []

    @property
    def profile(self) -> Profile:
        return self._store.load([PERSON])[PERSON].profile

    @property
    def tags(self) -> dict[str, object]:
        return {name: found.value for name, found in self.profile.tags.items()}

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

    def receive(self, number: int, state: Profile, time: int) -> None:
        """A part comes from another person."""
        fragment = Fragment(state=base64.b64encode(pack_state(state)).decode())
        self._process(records.answer("state", PERSON, number, number, Cause(1, time), fragment)[2])

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
