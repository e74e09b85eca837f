"""Eight workers link the same identifiers at once on one Redis: in the end people are those that one worker finds."""

import random
import threading
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from cdp.events import Event, encode
from cdp.identity import Component, IdRecord, decode_record, unpack_component
from cdp.redis import connect
from cdp.topics import Names
from loadtest.job_log import PARTITIONS
from rules.identity import load_identity_rules
from rules.identity.place import Carve, Move, spans_of
from streams import records
from streams.commands import Command, ExpectFragments, ExpectRange, ReassignRange, TransferFragments
from streams.graph import IdentityGraph
from streams.records import Output, Record, ResolvedEvent
from streams.resolve import ResolveStep
from tests.integration.test_exactly_once_steps import Platform
from tests.integration.test_identity_any_order import people, placed, settle
from tests.shop import NOW, make_event

WORKERS = 8
BATCH = 8  # rows; a worker is disturbed less often than it tries again: its seven neighbours make seven batches each


@dataclass
class Team:
    """Workers of one platform, each with a partition of `events` of its own.

    Attributes:
        said: what each put out, in its order.
    """

    platform: Platform
    url: str
    said: list[list[Output]] = field(default_factory=lambda: [[] for _ in range(WORKERS)])
    errors: list[BaseException] = field(default_factory=list)

    def link(self, tasks: Sequence[Sequence[Event]]) -> None:
        """All at once: they wait for each other before each batch."""
        barrier = threading.Barrier(WORKERS, timeout=60)
        threads = [threading.Thread(target=self._work, args=(number, task, barrier)) for number, task in enumerate(tasks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.errors == []

    def _work(self, number: int, task: Sequence[Event], barrier: threading.Barrier) -> None:
        try:
            rules = load_identity_rules()
            client = connect(self.url)
            step = ResolveStep(IdentityGraph(client, self.platform.names, rules), rules, {}, WORKERS, lambda: NOW)
            for start in range(0, len(task), BATCH):
                rows = [(encode(event), number, start + place) for place, event in enumerate(task[start : start + BATCH])]
                barrier.wait()
                self.said[number] += [output for outputs in step.process(rows) for output in outputs]
            client.close()
        except BaseException as error:
            self.errors.append(error)
            barrier.abort()

    def resolved(self) -> list[Record | None]:
        return [records.decode_record(value) for said in self.said for topic, _, value in said if topic == records.RESOLVED]

    def count(self, seed: int) -> None:
        """PROFILE takes what all of them said: of each in its order, otherwise mixed."""
        queues, source = [list(said) for said in self.said], random.Random(seed)
        while any(queues):
            topic, key, value = source.choice([queue for queue in queues if queue]).pop(0)
            if topic == records.RESOLVED:
                self.platform.log["resolved"][zlib.crc32(key.encode()) % PARTITIONS].append(value)
            else:
                self.platform.out[topic].append(value)
        settle(self.platform)


def same(draw: random.Random) -> list[str]:
    """Ten identifiers of one person, in a chain; nothing contradicts anything."""
    chain = ["user_id:u", "phone:+8613900000001", *(f"anonymous_id:d{n}" for n in range(7)), "email:u@example.com"]
    links = [f"{one} {two}" for one, two in pairwise(chain)] + [f"user_id:u {other}" for other in chain[2:]]
    return draw.sample(links, len(links))


def disjoint(draw: random.Random) -> list[str]:
    """Many people, of whom each worker sees another one first."""
    links = [f"user_id:u{n} anonymous_id:d{n}" for n in range(12)] + [f"user_id:u{n} phone:+861390000{n:04}" for n in range(12)]
    return draw.sample(links, len(links))


def conflicting(draw: random.Random) -> list[str]:
    """Members who share devices and a number, and two cards of which each is said to be of two people."""
    links = [f"user_id:u{n} device_id:d{(n + k) % 4}" for n in range(4) for k in range(2)]
    links += [f"user_id:u{n} phone:+8613900000001" for n in range(2)] + [f"member_id:m{n % 2} user_id:u{n}" for n in range(4)]
    links += [f"phone:+861390000010{n} user_id:u0" for n in range(6)] + ["device_id:d0 anonymous_id:a", "phone:+8613900000001"]
    return draw.sample(links, len(links))


def tasks(kind: object, seed: int) -> list[list[Event]]:
    """What each worker is told: the same, in an order of its own, at times that do not depend on it."""
    told: list[list[Event]] = []
    for number in range(WORKERS):
        links = kind(random.Random(seed * 100 + number))  # type: ignore[operator]
        told.append(
            [
                make_event(f"w{number}-{place}", "Product Viewed", ids=ids, time=NOW + zlib.crc32(ids.encode()) % 1000)
                for place, ids in enumerate(random.Random(seed + number).sample(links, len(links)))
            ]
        )
    return told


def eight_and_one(redis_url: str, told: list[list[Event]], seed: int) -> tuple[Team, Platform]:
    """The same events, linked by eight workers at once, and by one after the other."""
    team = Team(Platform(redis_url, seed, 0.0), redis_url)
    team.link(told)
    alone = Platform(redis_url, seed, 0.0)
    for task in told:
        for event in task:
            alone.send(event)
    settle(alone)
    return team, alone


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [same, disjoint, conflicting])
def test_eight_workers_at_once_find_the_people_that_one_finds(redis_url: str, kind: object, seed: int) -> None:
    told = tasks(kind, seed)
    team, alone = eight_and_one(redis_url, told, seed)

    assert placed(team.platform) == placed(alone)
    graph = read_graph(team.platform)
    check_graph(*graph)
    check_moves(team, *graph)
    assert limits_exceeded(graph[1]) == []

    if kind is conflicting:
        return  # see the next test
    check_counts(team, alone, told, seed)


@pytest.mark.parametrize("seed", range(3))
def test_profiles_are_exact_though_fragments_move_to_and_fro(redis_url: str, seed: int) -> None:
    told = tasks(conflicting, seed)
    team, alone = eight_and_one(redis_url, told, seed)
    check_counts(team, alone, told, seed)


def check_counts(team: Team, alone: Platform, told: list[list[Event]], seed: int) -> None:
    """PROFILE counts each message once, and says of each person what it says after one worker."""
    team.count(seed)
    counts, _ = team.platform.facts()
    assert counts == {event.message_id: 1 for task in told for event in task}
    assert people(team.platform) == people(alone)


def read_graph(platform: Platform) -> tuple[dict[str, IdRecord], dict[int, Component]]:
    names: Names = platform.names
    ids = [key.decode() for key in platform.redis.scan_iter(f"{names.identifier_prefix}*", count=1000)]
    found = {key.removeprefix(names.identifier_prefix): decode_record(platform.redis.get(key)) for key in ids}
    keys = list(platform.redis.scan_iter(names.component_key_pattern, count=1000))
    components = [unpack_component(platform.redis.get(key))[0] for key in keys]
    return found, {component.id: component for component in components}


def check_graph(ids: dict[str, IdRecord], components: dict[int, Component]) -> None:
    """Each identifier is in one component, which says of it what its record says; each number is given once."""
    owner = {key: component.id for component in components.values() for key in component.nodes}
    assert sum(len(component.nodes) for component in components.values()) == len(owner)
    assert owner == {key: record.component for key, record in ids.items() if record.component}
    for key, record in ids.items():
        if record.component:
            component = components[record.component]
            assert record.spans == spans_of(component, component.nodes[key])
    nodes = [node for component in components.values() for node in component.nodes.values()]
    numbers = [number for node in nodes for number in (*node.numbers, node.shared) if number]
    numbers += [record.spans[0].part for record in ids.values() if not record.component]
    assert len(numbers) == len({*numbers})


def check_moves(team: Team, ids: dict[str, IdRecord], components: dict[int, Component]) -> None:
    """From its first person on, each fragment was said to go where it is now, and the graph's memory of it is what was said."""
    owner = {part: person for component in components.values() for part, person in component.people.items()}
    owner |= {record.spans[0].part: record.spans[0].person for record in ids.values() if not record.component}
    said = team.resolved()
    events = [record for record in said if isinstance(record, ResolvedEvent)]
    assert {record.part for record in events} <= owner.keys()
    way: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
    for record in said:
        if isinstance(record, TransferFragments):
            for number in record.fragments:
                way[number][record.version] = (record.person, record.other)
    for number, steps in way.items():
        stations = [steps[version] for version in sorted(steps)]
        assert all(came == went for (_, came), (went, _) in pairwise(stations))
        assert stations[-1][1] == owner[number]
    for record in events:
        if record.part not in way:
            assert record.person == owner[record.part]
    graph = IdentityGraph(team.platform.redis, team.platform.names, load_identity_rules())
    kept: list[Move | Carve] = [change for number in range(WORKERS) for change in graph.changes_since(number, 0)]
    assert {change.version for change in kept} == versions(said, TransferFragments) | versions(said, ReassignRange)
    assert versions(said, TransferFragments) == versions(said, ExpectFragments)
    assert versions(said, ReassignRange) == versions(said, ExpectRange)


def versions(said: list[Record | None], kind: type[Command]) -> set[int]:
    return {record.version for record in said if isinstance(record, kind)}


def limits_exceeded(components: dict[int, Component]) -> list[str]:
    """Who has more of a type than anybody may ever have."""
    rules, found = load_identity_rules(), []
    for component in components.values():
        owned: dict[tuple[int, str], set[str]] = defaultdict(set)
        for key in component.identifiers:
            for span in spans_of(component, component.nodes[key]):
                if span.person:
                    owned[span.person, key.partition(":")[0]].add(key)
        for (person, type_), keys in owned.items():
            ever = [limit.count for limit in rules.identifiers[type_].limits if limit.window == "ever"]
            if ever and len(keys) > min(ever):
                found.append(f"person {person}: {sorted(keys)}")
    return found


def test_the_workers_disturb_each_other(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests rest on: writes are refused, because somebody else was faster, and are done again."""
    refused = []
    write = IdentityGraph._write

    def counted(*args: object) -> bool:
        done = write(*args)  # type: ignore[arg-type]
        if not done:
            refused.append(1)
        return done

    monkeypatch.setattr(IdentityGraph, "_write", counted)
    for seed in range(5):
        Team(Platform(redis_url, seed, 0.0), redis_url).link(tasks(same, seed))
    assert refused
