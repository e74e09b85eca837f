"""Bench the whole way behind the collector: a backlog on its topic, until every event is in profiles and in ClickHouse.

The clock starts before the first event of the backlog is produced and stops when ClickHouse holds the last one, so that the
producing (a few seconds, by a process of ours on the same cores) counts against the result. The events are drawn and
encoded beforehand, as SDKs and collector would have done.
"""

import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from confluent_kafka import Producer

from cdp.clickhouse import connect
from cdp.errors import CdpError
from cdp.events import encode
from cdp.kafka import producer
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from loadtest.measure import cpu_per_event, cpu_seconds
from loadtest.mix import Mix, as_contract
from loadtest.progress import Shown
from loadtest.stack import Access, read_ledger

_LENGTHS = struct.Struct(">II")
POLL_SECONDS = 0.25
STUCK_SECONDS = 120.0
PEOPLE_PER_EVENT = 0.08


@dataclass(frozen=True)
class Size:
    """How large a bench is: events in the backlog, seed, and the name that its identifiers begin with."""

    events: int
    seed: int
    run: str

    @property
    def people(self) -> int:
        """How many people the events are drawn from: 40,000 for half a million."""
        return max(100, int(self.events * PEOPLE_PER_EVENT))


def spool(size: Size, file: IO[bytes]) -> int:
    """Draw and encode the backlog into a file; the bytes of the values."""
    total = 0
    for drawn in Mix(size.seed, size.run, size.people).draw(size.events):
        key, value = as_contract(drawn, size.run, wall_clock(), encode)
        file.write(_LENGTHS.pack(len(key), len(value)) + key + value)
        total += len(value)
    return total


def unspool(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a backlog's file, from its beginning."""
    file.seek(0)
    while header := file.read(_LENGTHS.size):
        key, value = _LENGTHS.unpack(header)
        yield file.read(key), file.read(value)


def produce(records: Iterator[tuple[bytes, bytes]], client: Producer, topic: str) -> None:
    """Write all records. Raises CdpError unless the broker acknowledged every one."""
    failed = 0

    def report(error: object, _: object) -> None:
        nonlocal failed
        failed += error is not None

    for key, value in records:
        while True:
            try:
                client.produce(topic, value, key, on_delivery=report)
                break
            except BufferError:
                client.poll(0.05)
    left = client.flush(60)
    if failed or left:
        raise CdpError(f"Kafka did not take {failed + left} events of the backlog.", "See the broker's log.")


def wait_for_all(count: Callable[[], int], total: int, shown: Shown, *, stuck: float = STUCK_SECONDS) -> None:
    """Return when `count()` reaches `total`. Raises CdpError when it stops growing for `stuck` seconds."""
    last, moved = -1, time.monotonic()
    while (now := count()) < total:
        shown.update(now)
        if now > last:
            last, moved = now, time.monotonic()
        elif time.monotonic() - moved > stuck:
            raise CdpError(f"Only {now:,} of {total:,} events arrived, and nothing moves.", "`cdp status` shows the parts.")
        time.sleep(POLL_SECONDS)
    shown.update(total)


def counter(settings: Settings) -> Callable[[], int]:
    """Counts the events in ClickHouse from now on. The count is the table's own, so that watching costs nothing."""
    client = connect(settings)

    def total() -> int:
        return int(client.query("SELECT count() AS n FROM events").first_item["n"])

    before = total()
    return lambda: total() - before


def bench_pipeline(settings: Settings, access: Access, size: Size, *, quiet: bool) -> dict[str, Any]:
    """Run the bench on a running platform: events per second, and microseconds of CPU per event of each process."""
    before_ledger = read_ledger(access)
    if before_ledger.difference:
        raise CdpError(f"{before_ledger.difference:,} events are still under way.", "Wait until `cdp ledger` balances.")
    with tempfile.TemporaryFile() as file:
        size_bytes = spool(size, file)
        client = producer(settings.kafka_servers, client_id="cdp-bench", linger_ms=20, delivery_timeout_ms=60_000)
        count = counter(settings)
        before = cpu_seconds(settings)
        started = time.monotonic()
        produce(unspool(file), client, Names(settings.topic_prefix).events)
        produced = time.monotonic()
    with Shown("Events in ClickHouse", size.events, quiet=quiet) as shown:
        wait_for_all(count, size.events, shown)
    ended = time.monotonic()
    after = cpu_seconds(settings)
    ledger = read_ledger(access)
    return {
        "events": size.events,
        "people": size.people,
        "bytes_per_event": round(size_bytes / size.events),
        "events_per_second": round(size.events / (ended - started)),
        "seconds": round(ended - started, 2),
        "producing_seconds": round(produced - started, 2),
        "ledger_difference": ledger.difference,
        "cpu_us_per_event": cpu_per_event(before, after, size.events),
    }
