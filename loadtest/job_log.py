"""RESOLVE and PROFILE on a real Redis, over a log that loses and repeats what a crash loses and repeats.

Topics are lists. A job's outputs reach the log late, those of each source partition in their order: so what two workers write
mixes in every way. A crash comes after Redis was written, and loses outputs that were not committed; after it, new workers start
from the last commit. A commit waits for the outputs, as a checkpoint does.
"""

import random
import uuid
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from cdp.clock import Calendar
from cdp.events import Event, encode
from cdp.redis import connect
from cdp.topics import Names
from loadtest.fact_table import FactTable
from profiles.book import compile_book
from profiles.kernel import Kernel
from profiles.state import Person, unpack
from rules.definitions.book import CompiledRules
from rules.definitions.load import load_rules
from rules.identity import load_identity_rules
from streams import records
from streams.graph import IdentityGraph
from streams.profile.books import fixed
from streams.profile.refetch import Fact, Wanted
from streams.profile.step import ProfileStep
from streams.profile.store import ProfileStore
from streams.records import Output, Tick
from streams.resolve import ResolveStep

PARTITIONS = 3
EVENTS, RESOLVED = "events", "resolved"
JOBS = {EVENTS: "resolve", RESOLVED: "profile"}
LOSS = 0.05
_MARK_OF_TIME = 1_795_000_000_000_000  # 2026-11-18, in microseconds


@dataclass
class Misfortune:
    """How likely what is, at each step.

    Attributes:
        crash: of a job, in the middle of a batch.
        delay: of outputs, for each source partition: they stay on their way until the next step at least.
        commit: of offsets.
        batch: how many records of a partition a job takes at once, at most.
        crashes: how many there are at most.
        losses: how many commands are lost on their way to the log, at most, each with a probability of one in twenty. Of
            ``range`` only answers are watched, not what is passed on: it is never lost here.
    """

    crash: float = 0.0
    delay: float = 0.0
    commit: float = 0.3
    batch: int = 6
    crashes: int = 1_000_000
    losses: int = 0


class JobLog:
    """Both jobs and their topics.

    Attributes:
        log: by topic, the records of each partition.
        out: what was put out on other topics, in the order in which it was written.
        facts_table: what has arrived of the facts.
        now: the wall clock of RESOLVE and of ticks, in microseconds.
        lost: commands that never reached the log.
    """

    def __init__(self, redis_url: str, seed: int, misfortune: Misfortune, rules: CompiledRules | None = None) -> None:
        self.names = Names(f"t{uuid.uuid4().hex[:12]}")
        self.redis = connect(redis_url)
        self.random = random.Random(seed)
        self.misfortune = misfortune
        self.now = _MARK_OF_TIME
        self.crash_count = 0
        self.lost: list[bytes] = []
        self.log: dict[str, list[list[bytes]]] = {t: [[] for _ in range(PARTITIONS)] for t in JOBS}
        self.out: dict[str, list[bytes]] = defaultdict(list)
        self.facts_table = FactTable(PARTITIONS)
        self.read = {t: [0] * PARTITIONS for t in JOBS}
        self.committed: dict[str, dict[int, int]] = {t: {} for t in JOBS}
        self._late: dict[str, list[list[Output]]] = {t: [[] for _ in range(PARTITIONS)] for t in JOBS}
        self._rules = rules or shipped_rules()
        for topic in JOBS:
            self.start(topic)

    def start(self, topic: str) -> None:
        """New workers of the job that reads a topic: they read on from the last commit."""
        self.read[topic] = [self.committed[topic].get(p, 0) for p in range(PARTITIONS)]
        if topic == EVENTS:
            rules = load_identity_rules()
            graph = IdentityGraph(self.redis, self.names, rules)
            self.resolve = ResolveStep(graph, rules, self.committed[topic], PARTITIONS, lambda: self.now)
        else:
            store = ProfileStore(self.redis, self.names)
            step = ProfileStep(store, fixed(Kernel(self._rules, CALENDAR)), self.committed[topic], self.refetch, lambda: self.now)
            self.profile = step

    def refetch(self, wanted: Mapping[int, Wanted]) -> dict[int, list[Fact]]:
        """What ClickHouse would say: the facts that have arrived so far."""
        self.facts_table.arrive(self.random)
        return self.facts_table.refetch(wanted)

    def counted(self) -> Iterator[tuple[int, bytes]]:
        """The applied facts, each with the part in which it counts."""
        self.facts_table.arrive()
        for row in self.facts_table.rows.values():
            yield row.part, row.value

    def send(self, event: Event, partition: int | None = None) -> None:
        """An event was collected."""
        at = zlib.crc32(event.ids[0].value.encode()) % PARTITIONS if partition is None else partition
        self.log[EVENTS][at].append(encode(event))

    def tick(self, time: int) -> None:
        """The ticker wrote the time."""
        for partition in self.log[RESOLVED]:
            partition.append(msgspec.json.encode(Tick(time=time)))

    def emit(self, outputs: list[Output]) -> None:
        """Outputs reach their topics."""
        for topic, key, value in outputs:
            if topic == records.RESOLVED:
                if self._is_lost(value):
                    continue
                self.log[RESOLVED][zlib.crc32(key.encode()) % PARTITIONS].append(value)
            else:
                self.out[topic].append(value)
            if topic in (records.FACTS, records.MERGES):
                self.facts_table.write(topic, key, value)

    def step(self, topic: str) -> bool:
        """One batch of one job; perhaps it is the last of its workers. Returns whether anything is left to do."""
        rows = []
        for partition, entries in enumerate(self.log[topic]):
            start = self.read[topic][partition]
            stop = min(len(entries), start + self.random.randint(0, self.misfortune.batch))
            rows += [(entries[offset], partition, offset) for offset in range(start, stop)]
            self.read[topic][partition] = stop
        if not rows:
            self._arrive(topic)
            return any(self.read[topic][p] < len(entries) for p, entries in enumerate(self.log[topic])) or self._is_late(topic)
        outputs = (self.resolve if topic == EVENTS else self.profile).process(rows)
        if self.random.random() < self.misfortune.crash and self.crash_count < self.misfortune.crashes:
            self.crash_count += 1
            kept = self.random.randint(0, len(outputs))
            self._put_out(topic, rows[:kept], outputs[:kept])
            self._lose(topic)
            self.start(topic)
            return True
        self._put_out(topic, rows, outputs)
        self._arrive(topic)
        if self.random.random() < self.misfortune.commit:
            self._arrive(topic, everything=True)
            self.committed[topic].update(enumerate(self.read[topic]))
        return True

    def drain(self) -> None:
        """Until both jobs have read everything."""
        while True:
            busy = [self.step(topic) for topic in self.random.sample(list(JOBS), 2)]
            done = all(self.read[t][p] == len(e) for t in self.log for p, e in enumerate(self.log[t]))
            if done and not any(busy):
                return

    def every_profile(self) -> dict[int, Person]:
        """All profiles, those included whose parts have gone to others."""
        keys = list(self.redis.scan_iter(f"{self.names.prefix}:profile:*", count=1000))
        people = []
        for key in keys:
            hash_key = key.replace(b":profile:", b":slices:")
            fields = {name.decode(): value for name, value in self.redis.hgetall(hash_key).items()}
            people.append(unpack(self.redis.get(key) or b"", fields))
        return {person.number: person for person in people}

    def forget(self) -> None:
        """Remove what was kept in Redis."""
        keys = list(self.redis.scan_iter(f"{self.names.prefix}:*", count=1000))
        if keys:
            self.redis.delete(*keys)
        self.redis.close()

    def _is_lost(self, value: bytes) -> bool:
        """Whether a command never reaches the log: what should not happen, and is healed."""
        if len(self.lost) >= self.misfortune.losses or not value.startswith(b'{"command":') or self.random.random() >= LOSS:
            return False
        if value.startswith(b'{"command":"range_state"'):
            return False
        self.lost.append(value)
        return True

    # -- outputs on their way ----------------------------------------------------------------------------------------

    def _put_out(self, topic: str, rows: list[tuple[bytes, int, int]], outputs: list[list[Output]]) -> None:
        for (_, partition, _), some in zip(rows, outputs, strict=True):
            self._late[topic][partition] += some

    def _arrive(self, topic: str, *, everything: bool = False) -> None:
        """Let outputs reach their topics, partition by partition in any order."""
        waiting = self._late[topic]
        for partition in self.random.sample(range(PARTITIONS), PARTITIONS) if self.misfortune.delay else range(PARTITIONS):
            late = waiting[partition]
            if everything or not self.misfortune.delay or self.random.random() >= self.misfortune.delay:
                count = len(late)
            else:
                count = self.random.randint(0, len(late))
            self.emit(late[:count])
            del late[:count]

    def _is_late(self, topic: str) -> bool:
        return any(self._late[topic])

    def _lose(self, topic: str) -> None:
        """Of what is on its way at a crash some reaches the log, in its order."""
        for late in self._late[topic]:
            count = self.random.randint(0, len(late)) if self.misfortune.delay else len(late)
            self.emit(late[:count])
            late.clear()


CALENDAR = Calendar("Asia/Shanghai")


def shipped_rules() -> CompiledRules:
    """The shipped tags and triggers."""
    return compile_book(load_rules())
