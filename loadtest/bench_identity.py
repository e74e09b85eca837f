"""Bench the identity graph: look-ups and new links for each second of RESOLVE's own CPU time, and what Redis keeps of them.

The step runs in this process, on a Redis of its own, fed with batches of encoded events as its job is. Redis has another core
in production; what it costs is told beside.
"""

import gc
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from cdp import keyring
from cdp.clock import DAY
from cdp.errors import CdpError
from cdp.events import Identifier, decode_event, encode
from cdp.redis import connect
from cdp.seal import context_of_id
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from loadtest.bench_collect import speed_reference
from loadtest.mix import Mix, as_contract
from loadtest.stack import down, free_port_base, up
from rules.identity import normalise
from rules.identity.combine import COMBINATION
from rules.identity.load import load_identity_rules
from streams import records
from streams.graph import IdentityGraph
from streams.resolve import ResolveStep, Row

BATCH = 500
SIZES = (1, 2, 4, 8)
KEPT = ("anonymous_id", "user_id", "phone", "email", "openid", "device_id", "idfa", "loyalty_card")
FORECAST_PEOPLE, FORECAST_SIZE = 100_000_000, 4
RING = keyring.generate()


@dataclass(frozen=True)
class Population:
    """How many people there are, and how many events look them up; what is random follows from the seed."""

    people: int
    lookups: int
    seed: int


def bench_graph(url: str, population: Population, report: Callable[[str], None]) -> dict[str, Any]:
    """Look-ups, links and bytes on the Redis at `url`, which must be empty, and is emptied again. Times are of this process.

    Raises CdpError if the graph did not become what was sent.
    """
    client = connect(url)
    if client.dbsize():
        raise CdpError("The Redis to measure is not empty.", "Let the bench start one of its own.")
    _collect_garbage_seldom()
    writer = Writer(population.seed)
    report("New links ...")
    links = _links(client, population, writer)
    report("Known look-ups ...")
    known = _known(client, population, writer)
    client.flushdb()
    report("Links that merge two people ...")
    merging = _merging(client, population, writer)
    report("Bytes ...")
    sizes = {size: _bytes(client, population, writer, size) for size in SIZES}
    return {
        "known_lookups_per_second": known["process"]["identifiers_per_second"],
        "graph_lookups_per_second": known["graph"]["identifiers_per_second"],
        "forgotten_lookups_per_second": known["forgotten"]["identifiers_per_second"],
        "new_links_per_second": links["events_per_second"],
        "merging_links_per_second": merging["events_per_second"],
        "bytes_per_identifier": {str(size): figure for size, figure in sizes.items()},
        "redis_gib_for_100_million_people": round(FORECAST_PEOPLE * FORECAST_SIZE * sizes[FORECAST_SIZE] / 2**30, 1),
        "known": known,
        "links": links,
        "merging": merging,
        "people": population.people,
        "batch": BATCH,
        "machine": speed_reference(),
    }


@contextmanager
def own_redis() -> Iterator[str]:
    """The URL of a Redis in a temporary folder on a free port; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="cdp-bench-", ignore_cleanup_errors=True) as folder:
        settings = Settings(data_dir=Path(folder) / "data", port_base=free_port_base(), redis="")
        try:
            up(settings, only="redis")
            yield settings.redis_url
        finally:
            down(settings)


class Writer:
    """Writes encoded events of mixed sorts about given identifiers: their positions are on one partition, ascending."""

    def __init__(self, seed: int) -> None:
        drawn = Mix(seed, "bench", 1000).draw(2000)
        encoded = [as_contract(one, "bench", wall_clock(), encode)[1] for one in drawn if one.kind != "identify"]
        self._events = itertools.cycle([decode_event(value) for value in encoded])
        self._number = itertools.count(1)
        self._day = wall_clock() // DAY * DAY  # evidence is kept by days: all of it is of one

    def write(self, ids: Sequence[Identifier]) -> Row:
        """A row as RESOLVE gets it; every event is a new one, a millisecond after the one before."""
        number = next(self._number)
        moment = self._day + 1000 * number
        event = msgspec.structs.replace(
            next(self._events), message_id=f"bench-m{number}", time=moment, received_at=moment, ids=list(ids)
        )
        return encode(event), 0, number


def _links(client: Any, population: Population, writer: Writer) -> dict[str, Any]:
    """Devices that are known, and nobody's, log in as somebody new: a new component each."""
    step = make_step(client)
    people = range(population.people)
    run(client, step, (writer.write([device(n)]) for n in people))
    measured = run(client, step, (writer.write([user(n), device(n)]) for n in people))
    _expect(client, components=population.people, identifiers=2 * population.people)
    return measured


def _known(client: Any, population: Population, writer: Writer) -> dict[str, Any]:
    """Events of known people, by a worker that has just begun (forgotten), and by one that has seen their links."""
    source = Random(population.seed)
    rows = [writer.write([user(n), device(n)]) for n in (source.randrange(population.people) for _ in range(population.lookups))]
    step = make_step(client)
    every = (writer.write([user(n), device(n)]) for n in range(population.people))
    found = {"forgotten": run(client, step, every), "process": run(client, step, rows)}
    found["graph"] = _graph_alone(client, step, rows)
    return {name: figures | _identifiers(figures, 2) for name, figures in found.items()}


def _graph_alone(client: Any, step: ResolveStep, rows: Sequence[Row]) -> dict[str, Any]:
    """What `ResolveStep.process` does between reading and writing JSON: the look-up, and whose each event is."""
    batches = [(batch, dict(enumerate(map(step._accept, (row[0] for row in batch))))) for batch in _batches(rows)]
    graph = step._graph

    def act() -> int:
        for batch, accepted in batches:
            known = graph.look_up(list({key for event in accepted.values() for key in event.sighting.keys}))
            step._place(batch, accepted, known)
        return len(rows)

    return measure(client, act)


def _merging(client: Any, population: Population, writer: Writer) -> dict[str, Any]:
    """Members with a phone log in on a device whose owner has given an e-mail address: two known people become one."""
    step = make_step(client)
    people = range(population.people)
    run(client, step, (writer.write([user(n), other("phone", n)]) for n in people))
    run(client, step, (writer.write([other("email", n), device(n)]) for n in people))
    moves = 0

    def count(outputs: list[records.Output]) -> None:
        nonlocal moves
        moves += any(letter == records.MERGES for letter, _, _ in outputs)

    measured = run(client, step, (writer.write([user(n), device(n)]) for n in people), count)
    _expect(client, components=population.people, identifiers=4 * population.people)
    if moves != population.people:
        raise CdpError(f"{population.people:,} links should merge people, but {moves:,} did.", "Is the Redis the bench's own?")
    client.flushdb()
    return measured


def _bytes(client: Any, population: Population, writer: Writer, size: int) -> int:
    """Bytes of Redis for each identifier of people with so many, who became known one identifier after the other."""
    client.flushdb()
    step = make_step(client)
    before = int(client.info("memory")["used_memory"])
    for rank in range(max(1, size - 1)):
        kinds = KEPT[:1] if size == 1 else ("user_id", [kind for kind in KEPT if kind != "user_id"][rank])
        run(client, step, (writer.write([other(kind, n) for kind in kinds]) for n in range(population.people)))
    client.delete(Names("bench").moves_key(0))  # forgotten as soon as offsets are committed
    after = int(client.info("memory")["used_memory"])
    _expect(client, components=population.people if size > 1 else 0, identifiers=size * population.people)
    client.flushdb()
    return round((after - before) / (size * population.people))


def run(
    client: Any, step: ResolveStep, rows: Iterable[Row], see: Callable[[list[records.Output]], None] | None = None
) -> dict[str, Any]:
    """Put rows through the step, in batches. Raises CdpError for a dead letter."""
    batches = list(_batches(rows))
    outputs: list[list[records.Output]] = []

    def act() -> int:
        for batch in batches:
            outputs.extend(step.process(batch))
        return sum(map(len, batches))

    figures = measure(client, act)
    for row in outputs:
        if row[-1][0] != records.RESOLVED:
            raise CdpError(f"RESOLVE refused an event of the bench: {row[-1][2].decode()[:300]}.", "See the identity rules.")
        if see is not None:
            see(row)
    return figures


def measure(client: Any, act: Callable[[], int]) -> dict[str, Any]:
    """How many events a second of this process's CPU time, and of the clock, gets through what `act` does to so many."""
    gc.collect()
    redis_before = _redis_cpu(client)
    started, cpu = time.monotonic(), time.process_time()
    events = act()
    cpu, seconds = time.process_time() - cpu, time.monotonic() - started
    return {
        "events": events,
        "events_per_second": round(events / cpu),
        "events_per_second_by_the_clock": round(events / seconds),
        "cpu_seconds": round(cpu, 3),
        "redis_cpu_seconds": round(_redis_cpu(client) - redis_before, 3),
        "seconds": round(seconds, 3),
    }


def make_step(client: Any) -> ResolveStep:
    """A worker that has just begun."""
    normalise.cache_clear()
    rules = load_identity_rules()
    return ResolveStep(IdentityGraph(client, Names("bench"), rules), rules, {}, 1, wall_clock)


def user(number: int) -> Identifier:
    """A member."""
    return other("user_id", number)


def device(number: int) -> Identifier:
    """A member's browser."""
    return other("anonymous_id", number)


def other(kind: str, number: int) -> Identifier:
    """An identifier of a kind, as long as such ones are, and sealed by the collector if it is personal."""
    digits = Random(f"{kind}:{number}").getrandbits(128)
    if kind in ("phone", "email"):
        normal = f"+861{digits % 10**10:010d}" if kind == "phone" else f"{digits % 10**10}@example.com"
        return Identifier(kind, RING.token(kind, normal), RING.seal(context_of_id(kind), normal))
    if kind in ("user_id", "loyalty_card"):
        return Identifier(kind, f"{1_000_000_000 + digits % 1000 + 1000 * number}")
    text = f"{digits:032x}"
    return Identifier(kind, f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def _identifiers(figures: dict[str, Any], count: int) -> dict[str, Any]:
    """The same in identifiers, of which each event has so many."""
    rates = ("events_per_second", "events_per_second_by_the_clock")
    return {rate.replace("events", "identifiers"): count * figures[rate] for rate in rates}


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch


def _expect(client: Any, *, components: int, identifiers: int) -> None:
    names = Names("bench")
    patterns = (names.component_key_pattern, f"{names.identifier_prefix}*", f"{names.identifier_prefix}{COMBINATION}:*")
    counts = [sum(1 for _ in client.scan_iter(pattern, count=5000)) for pattern in patterns]
    found = (counts[0], counts[1] - counts[2])
    if found != (components, identifiers):
        raise CdpError(
            f"Redis has {found[0]:,} components of {found[1]:,} identifiers, not {components:,} of {identifiers:,}.",
            "Does something else write to it?",
        )


def _redis_cpu(client: Any) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _collect_garbage_seldom() -> None:
    """As the workers do, see `streams.batch`."""
    gc.collect()
    gc.set_threshold(100_000, 50, 1000)
