"""A law, tried on random histories: once the log is at its end, every event counts, once, where it belongs, and nobody waits.

A history has merges, partings, decisions that undo them, repetitions, knowledge that comes late, dates far in the past and in the
future, and identity rules that are changed to and fro. Both jobs crash, and records reach the log in any order across partitions.
Everything random follows from a seed.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import yaml

from cdp.clock import DAY, HOUR, MINUTE
from cdp.events import EMPTY_OBJECT, Event, Identifier, Kind
from cdp.identity import REGROUP, Component, IdRecord, PublishedRules, decode_record, encode_rules, unpack_component
from loadtest.fact_table import Row
from loadtest.job_log import CALENDAR, EVENTS, JOBS, PARTITIONS, JobLog, Misfortune, shipped_rules
from profiles.canonical import fingerprints, spell
from profiles.inbox import fingerprint_of
from profiles.kernel import Kernel
from profiles.state import Person
from rules.identity.load import SHIPPED
from streams import records
from streams.records import ResolvedEvent, decode_resolved

TICKS = 12  # after which nobody may wait, once all facts of a tick arrive before the next one
_SECOND = 1_000_000
_FAR = (946_684_800 * _SECOND, 981_244_800 * _SECOND, 1_830_000_000 * _SECOND)  # 2000, 2001, 2027

USERS = ("user_id:u1", "user_id:u2", "member_id:c1", "member_id:c2")
PHONES = ("phone:+8613900000001", "phone:+8613900000002", "email:a@example.com")
DEVICES = ("device_id:a", "anonymous_id:x", "anonymous_id:y")
ORDERS = ("order_id:1", "order_id:2")
EVERYBODY = (*USERS, *PHONES, *DEVICES, *ORDERS)


@dataclass(frozen=True)
class Verdict:
    """How a history ended.

    Attributes:
        lost: how many records never reached the log.
        ticks: how many it took until nobody waited.
        rebuilt: how many parts were counted again from facts, with something to assign or to take out.
        fault: what is wrong; empty if nothing is.
    """

    seed: int
    events: int
    crashes: int
    lost: int
    ticks: int
    rebuilt: int
    fault: str


def try_history(redis_url: str, seed: int, *, loses: bool = False) -> Verdict:
    """Play the history of a seed, and look whether the law holds; `loses`: a record never reaches the log."""
    story = _Story(redis_url, seed, loses=loses)
    try:
        story.play()
        ticks = story.settle()
        fault = story.find_fault()
        log = story.log
        rebuilt = sum(b'"change":"assign"' in value for value in log.out[records.MERGES])
        rebuilt += sum(b'"retracts":true' in value for value in log.out[records.FACTS])
        return Verdict(seed, len(story.sent), log.crash_count, len(log.lost), ticks, rebuilt, fault)
    finally:
        story.log.forget()


class _Story:
    """One history."""

    def __init__(self, redis_url: str, seed: int, *, loses: bool) -> None:
        draw = self.draw = random.Random(seed)
        misfortune = Misfortune(
            crash=draw.choice([0.0, 0.05, 0.2]),
            delay=draw.choice([0.0, 0.5, 0.9]),
            commit=draw.choice([0.1, 0.4]),
            batch=draw.choice([1, 5, 20]),
            crashes=0 if loses else 20,
            losses=1 if loses else 0,
        )
        self.between = (61 if loses else 1) * _SECOND  # what was lost is asked for after a minute
        self.log = JobLog(redis_url, seed, misfortune, _compiled())
        self.sent: dict[str, Event] = {}
        self.version = 0

    def play(self) -> None:
        """Send events and change rules, while both jobs work."""
        some = self.draw.sample(EVERYBODY, self.draw.randint(3, len(EVERYBODY)))
        for _ in range(self.draw.randint(4, 50)):
            self.log.now += self.draw.choice([1, 1000, _SECOND, MINUTE])
            self._happen(some)
            for topic in JOBS:
                if self.draw.random() < 0.5:
                    self.log.step(topic)

    def settle(self) -> int:
        """Let everything happen. Returns how many ticks it took until nobody waited."""
        for ticks in range(TICKS + 1):
            self.log.drain()
            self.log.facts_table.arrive()
            if not any(profile.log.is_waiting or profile.log.pending for profile in self.log.every_profile().values()):
                return ticks
            self.log.now += self.between
            self.log.tick(self.log.now)
        return TICKS + 1

    def find_fault(self) -> str:
        """What of the law does not hold; empty if all of it does."""
        self.log.facts_table.arrive()
        profiles = self.log.every_profile()
        if waiting := [one for one in profiles.values() if one.log.is_waiting or one.log.pending]:
            return "somebody waits: " + "; ".join(_waits(one) for one in waiting)
        rows = self.log.facts_table.rows
        counts: dict[str, int] = defaultdict(int)
        for row in rows.values():
            counts[msgspec.json.decode(row.value)["message_id"]] += 1
        if counts != dict.fromkeys(self.sent, 1):
            wrong = {one: counts.get(one, 0) for one in {*counts, *self.sent} if counts.get(one, 0) != 1}
            return f"messages do not count once: {wrong}"
        if missing := self._origins() - self._answered():
            return f"events without a verdict: {sorted(missing)}"
        return self._compare(rows.values(), profiles)

    # -- what happens ------------------------------------------------------------------------------------------------

    def _happen(self, some: list[str]) -> None:
        match self.draw.choices(range(7), (50, 10, 8, 10, 8, 8, 6))[0]:
            case 0:
                self._send(self.draw.sample(some, self.draw.randint(1, min(3, len(some)))), *self._said())
            case 1 if self.sent:
                self._post(self.draw.choice(list(self.sent.values())))
            case 2:
                self._send(self.draw.sample(some, 2), "unbind")
            case 3:
                pair = self.draw.sample(some, 2)
                self._send(pair, "decision", self.draw.choice(["apart", "together"]), properties={"pairs": [pair]})
            case 4:
                self._publish(self.draw.choice(_rule_books()))
                for key in some:
                    if self.draw.random() < 0.5:
                        self._send([key], "decision", REGROUP, properties={"pairs": []})
            case 5:
                self.log.tick(self.log.now)
            case _:
                self.log.now += 2 * MINUTE  # what is awaited is asked for again, though it is on its way
                self.log.tick(self.log.now)

    def _said(self) -> tuple[Kind, str, dict[str, Any], dict[str, Any]]:
        """Kind, event, properties and traits."""
        number = len(self.sent)
        order = {"order_id": f"o{number}", "total": 10 + number, "products": [{"sku": "a", "price": 10 + number, "quantity": 1}]}
        options: list[tuple[Kind, str, dict[str, Any], dict[str, Any]]] = [
            ("identify", "", {}, {"name": f"N{number}"}),
            ("track", "Product Viewed", {}, {}),
            ("track", "Order Completed", order, {}),
            ("track", "Order Refunded", {"order_id": f"o{self.draw.randrange(number + 1)}", "total": 1}, {}),
            ("profile", "increment", {}, {"points": number}),
            ("group", "", {}, {}),
        ]
        return self.draw.choice(options)

    def _send(
        self,
        keys: Iterable[str],
        kind: Kind,
        event: str = "",
        properties: dict[str, Any] | None = None,
        traits: dict[str, Any] | None = None,
    ) -> None:
        message = Event(
            message_id=f"m{len(self.sent)}", kind=kind, event=event, time=self._time(), received_at=self.log.now,
            ids=[Identifier(*key.split(":", 1)) for key in keys], properties=_raw(properties), traits=_raw(traits),
            bot=kind == "track" and self.draw.random() < 0.1,
        )  # fmt: skip
        self.sent[message.message_id] = message
        self._post(message)

    def _time(self) -> int:
        """Mostly now; sometimes long ago, and now and then what a fuzzer, or a broken clock, makes of it."""
        if self.draw.random() < 0.08:
            return self.draw.choice(_FAR) + self.draw.randrange(100) * MINUTE
        return self.log.now - self.draw.choice([0, 0, 0, MINUTE, HOUR, DAY, 40 * DAY, 500 * DAY])

    def _post(self, event: Event) -> None:
        self.log.send(event, self.draw.randrange(PARTITIONS))

    def _publish(self, text: str) -> None:
        self.version += 1
        self.log.redis.set(self.log.names.identity_rules_key, encode_rules(PublishedRules(self.version, text)))
        self.log.redis.set(self.log.names.identity_rules_version_key, self.version)

    # -- what must hold ----------------------------------------------------------------------------------------------

    def _origins(self) -> set[tuple[int, int]]:
        return {(p, o) for p, entries in enumerate(self.log.log[EVENTS]) for o in range(len(entries))}

    def _answered(self) -> set[tuple[int, int]]:
        """The origins of events that were applied, or refused as duplicates."""
        return {tuple(msgspec.json.decode(value)["origin"]) for value in self.log.out[records.FACTS]}

    def _compare(self, rows: Iterable[Row], profiles: dict[int, Person]) -> str:
        graph = _Graph(self.log)
        theirs: dict[int, list[bytes]] = defaultdict(list)
        for row in rows:
            fact = msgspec.json.decode(row.value)
            part, person = graph.place(row.part, fact["time"])
            if part != row.part:
                return f"{fact['message_id']} counts in part {row.part} among the facts, and should in {part}"
            theirs[person].append(row.value)
        for person in {*theirs, *(one.number for one in profiles.values() if fingerprints(one))}:
            wanted, found = fold(map(decode_resolved, theirs.get(person, []))), profiles.get(person, Person(person))
            if _spell(wanted) != _spell(found):
                return f"the profile of {person} says {_spell(found)}, and should say {_spell(wanted)}"
        return ""


class _Graph:
    """Who is who, as RESOLVE has it."""

    def __init__(self, log: JobLog) -> None:
        prefix = log.names.identifier_prefix
        self.spans: dict[int, IdRecord] = {}
        self.people: dict[int, int] = {}
        for key in log.redis.scan_iter(log.names.component_key_pattern, count=1000):
            self._take(unpack_component(log.redis.get(key) or b"")[0], log)
        for key in log.redis.scan_iter(f"{prefix}*", count=1000):
            record = decode_record(log.redis.get(key) or b"")
            if not record.component and not record.reported_by:
                self.spans[record.spans[0].part] = record
                self.people[record.spans[0].part] = record.spans[0].person

    def _take(self, component: Component, log: JobLog) -> None:
        self.people |= component.people
        for key, node in component.nodes.items():
            record = decode_record(log.redis.get(log.names.identifier_prefix + key) or b"")
            for number in (*node.numbers, node.shared):
                self.spans[number] = record

    def place(self, part: int, time: int) -> tuple[int, int]:
        """In which part of whom an event of an identifier counts that is written down in one of its parts."""
        here = self.spans[part].at(time).part or part  # 0: nothing was ever counted in this epoch under its own number
        return here, self.people[here]


def fold(events: Iterable[ResolvedEvent]) -> Person:
    """The profile of a person with these events, counted one after the other."""
    person, kernel = Person(1), _kernel()
    for record in events:
        kernel.count(person.whole, record, kernel.read(record), fingerprint_of(record), today=0)
    return person


def _spell(person: Person) -> str:
    """The figures of a profile, without those that no window reaches: profiles forget these at different times."""
    _kernel().prune(person, CALENDAR.day(_FAR[-1]) + 1000)
    return msgspec.json.encode(spell(person, without=("occasions", "tags")), order="sorted").decode()


def _waits(person: Person) -> str:
    log = person.log
    return (
        f"{person.number} awaits {log.awaiting}, expects {log.expected}, counts again {log.rebuild}, holds back "
        f"{len(log.pending)}"
    )


def _raw(values: dict[str, Any] | None) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(values)) if values else EMPTY_OBJECT


_compiled = cache(shipped_rules)


@cache
def _kernel() -> Kernel:
    return Kernel(_compiled(), CALENDAR)


@cache
def _rule_books() -> tuple[str, ...]:
    """The shipped identity rules, and others in which some identifiers stand for less, or for more."""
    shipped = SHIPPED.read_text(encoding="utf-8")
    changes: tuple[dict[str, dict[str, Any]], ...] = (
        {"user_id": {"exclusive": False, "limits": {"ever": 2}}},
        {"user_id": {"exclusive": False}, "member_id": {"exclusive": False}},
        {"phone": {"limits": {"ever": 1}}, "anonymous_id": {"lifetime_days": 1}},
        {"device_id": {"exclusive": True}},
        {"email": {"exclusive": True}},
    )
    return (shipped, *(_changed(yaml.safe_load(shipped), change) for change in changes))


def _changed(book: dict[str, Any], change: dict[str, dict[str, Any]]) -> str:
    identifiers = [identifier | change.get(identifier["name"], {}) for identifier in book["identifiers"]]
    for identifier in identifiers:
        if identifier.get("exclusive"):
            identifier.pop("limits", None)
    return yaml.safe_dump(book | {"identifiers": identifiers}, allow_unicode=True)
