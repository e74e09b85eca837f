"""Bench what an event costs of a person with a great many events, beside one of an ordinary person.

A tablet on the counter, a test account, a crawler that is no bot: one person gets 100,000 events within a day, views, carts and
logins. (Orders are all kept, and a person with thousands of them costs more with each further order.) The person's profile is
made by PROFILE's own step on a real Redis. Then it is copied under other numbers, so that a batch can hold an event of each of
many such people, as batches hold events of many people; and the same batches are timed for ordinary people.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import redis

from cdp.clock import DAY, Calendar
from cdp.events import ORDER_EVENTS, encode
from cdp.people import one_id
from cdp.redis import connect
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from loadtest.mix import Mix, as_contract
from profiles.book import compile_book
from profiles.kernel import Kernel
from profiles.state import HEAD_BYTES, Envelope
from rules.definitions.load import load_rules
from streams.profile.books import fixed
from streams.profile.step import ProfileStep, Row
from streams.profile.store import ProfileStore

BATCH = 200  # events of as many people
ROUNDS = 15
ORDINARY_EVENTS = 20
FIRST, COPIES = 1_000_000, 2_000_000  # numbers of people: those who are made, those who are copied
PARTITION = 0


@dataclass(frozen=True)
class Cost:
    """Of one event, on average: CPU in microseconds of the step and of Redis, bytes that Redis was sent and answered."""

    step_us: float
    redis_us: float
    bytes_to_redis: int
    bytes_from_redis: int

    @property
    def total_us(self) -> float:
        """Of both processes."""
        return self.step_us + self.redis_us

    def as_json(self) -> dict[str, float | int]:
        """Rounded."""
        return {
            "step_us": round(self.step_us, 1), "redis_us": round(self.redis_us, 1), "us_per_event": round(self.total_us, 1),
            "bytes_to_redis": self.bytes_to_redis, "bytes_from_redis": self.bytes_from_redis,
        }  # fmt: skip


def bench_hot_person(redis_url: str, events: int, seed: int, update: Callable[[int], None]) -> dict[str, Any]:
    """Measure both. ``ratio``: how much more an event of the hot person costs, in CPU of the step and Redis together."""
    bench = _Bench(redis_url, seed, events)
    bench.make(FIRST, events, update)
    for number in range(FIRST + 1, FIRST + 1 + BATCH):
        bench.make(number, ORDINARY_EVENTS, lambda _: None)
    copies = [COPIES + number for number in range(BATCH)]
    for number in copies:
        bench.copy(FIRST, number)
    ordinary_people = list(range(FIRST + 1, FIRST + 1 + BATCH))
    bench.measure(ordinary_people, 2)  # what is done once
    rounds = [(bench.measure(ordinary_people, ROUNDS), bench.measure(copies, ROUNDS)) for _ in range(3)]
    ordinary, hot = min((o for o, _ in rounds), key=_total), min((h for _, h in rounds), key=_total)
    return {
        "events": events, "batch": BATCH, "ordinary": ordinary.as_json(), "hot": hot.as_json(),
        "ratio": round(hot.total_us / ordinary.total_us, 2), "profile_bytes": bench.profile_bytes(copies[0]),
        "ordinary_profile_bytes": bench.profile_bytes(ordinary_people[0]), "rounds": len(rounds),
        "ratios": [round(h.total_us / o.total_us, 2) for o, h in rounds],
    }  # fmt: skip


def _total(cost: Cost) -> float:
    return cost.total_us


class _Bench:
    def __init__(self, redis_url: str, seed: int, events: int) -> None:
        self._client: redis.Redis[bytes] = connect(redis_url)
        self._names = Names("bench")
        self._committed: dict[int, int] = {}
        kernel = Kernel(compile_book(load_rules()), Calendar("Asia/Shanghai"))
        self._step = ProfileStep(
            ProfileStore(self._client, self._names), fixed(kernel), self._committed, lambda _: {}, wall_clock
        )
        self._offset = itertools.count()
        self._day = wall_clock() - DAY
        self._spread = DAY // (2 * events)
        self._events = self._mixed(seed)

    def make(self, person: int, events: int, update: Callable[[int], None]) -> None:
        """Let a person have some events, within a day."""
        for done in range(0, events, BATCH):
            count = min(BATCH, events - done)
            self._process([self._row(person) for _ in range(count)])
            update(done + count)

    def copy(self, person: int, number: int) -> None:
        """Let another person have the same profile."""
        head = self._client.get(self._names.profile_key(person)) or b""
        envelope = msgspec.msgpack.decode(memoryview(head)[HEAD_BYTES:], type=Envelope)
        envelope.person = number
        self._client.set(self._names.profile_key(number), head[:HEAD_BYTES] + msgspec.msgpack.encode(envelope))
        self._client.copy(self._names.slices_key(person), self._names.slices_key(number), replace=True)

    def measure(self, people: list[int], rounds: int) -> Cost:
        """Batches of one event of each person."""
        batches = [[self._row(person) for person in people] for _ in range(rounds)]
        before, started = self._client.info(), time.process_time()
        for rows in batches:
            self._process(rows)
        step, after = time.process_time() - started, self._client.info()
        count = rounds * len(people)
        used = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
        sent, answered = (after[name] - before[name] for name in ("total_net_input_bytes", "total_net_output_bytes"))
        return Cost(step / count * 1e6, used / count * 1e6, round(sent / count), round(answered / count))

    def profile_bytes(self, person: int) -> int:
        """What a profile takes, without what Redis adds to it."""
        outside = self._client.hvals(self._names.slices_key(person))
        return len(self._client.get(self._names.profile_key(person)) or b"") + sum(map(len, outside))

    def _process(self, rows: list[Row]) -> None:
        self._committed[PARTITION] = rows[0][2]
        self._step.process(rows)

    @staticmethod
    def _fragment(person: int) -> int:
        """A copy has the fragment of whom it was copied from."""
        return FIRST if person >= COPIES else person

    def _row(self, person: int) -> Row:
        offset = next(self._offset)
        head = f'{{"one_id":"{one_id(person)}","person":{person},"part":{self._fragment(person)},"origin":[0,{offset}],'
        return head.encode() + next(self._events)[1:], PARTITION, offset

    def _mixed(self, seed: int) -> Iterator[bytes]:
        """Events of the mix but orders, each with an id of its own, a little later than the one before."""
        for number in itertools.count():
            for drawn in Mix(seed + number, "hot", 1).draw(10_000):
                if drawn.event not in ORDER_EVENTS:
                    self._day += self._spread
                    yield as_contract(drawn, f"hot{number}", self._day, encode)[1]
