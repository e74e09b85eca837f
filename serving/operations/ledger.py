"""The ledger: everything that was received is applied, a duplicate, a dead letter or rejected; nothing is anywhere else."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from clickhouse_connect.driver.client import Client
from redis.exceptions import RedisError

from cdp import kafka, redis
from cdp.clock import SECOND
from cdp.errors import Unavailable
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from serving.collect.spool import waiting_in
from serving.waiters import WAITS_TOO_LONG, Waiter, Waiters, as_json, read_waiters, say

POLL_SECONDS = 0.5

# An event that came twice can be written as applied and as duplicate (a replay): it counts as applied.
COUNTS = """
SELECT
    (SELECT count() FROM events),
    (SELECT count() FROM items),
    (SELECT uniqExact(origin_partition, origin_offset) FROM duplicates)
        - (SELECT uniqExact(origin_partition, origin_offset) FROM events
           WHERE (origin_partition, origin_offset) IN (SELECT origin_partition, origin_offset FROM duplicates)),
    (SELECT count() FROM dead_letters WHERE stage != 'facts'),
    (SELECT uniqExact(if(letter_id != '', letter_id, concat(toString(source_partition), ':', toString(source_offset))))
     FROM dead_letters WHERE stage = 'collect'),
    (SELECT uniqExact(origin_partition, origin_offset) FROM dead_letters
     WHERE stage NOT IN ('collect', 'facts') AND origin_offset >= 0),
    (SELECT uniqExact(origin_partition, origin_offset) FROM duplicates
     WHERE conflict AND (origin_partition, origin_offset) NOT IN (SELECT origin_partition, origin_offset FROM events)),
    (SELECT uniqExact(replay_of) FROM events WHERE replay_of != '')
"""


@dataclass(frozen=True)
class Counts:
    """What was counted, part by part.

    Attributes:
        events_written: records ever written to the topics of events and of items.
        dead_letters_written: records ever written to the topic of dead letters.
        rejected: requests refused at the door.
        applied: events and items that became facts.
        duplicates: events, by their position on the topic of events.
        dead_letter_rows: rows of the table, repeats of replays included.
        dead_at_collect, dead_later: dead letters counted once each.
        conflicts: duplicates that said something else than what came first.
        replayed: dead letters whose repair was applied.
        spooled: acknowledged records that lie in the collector's spool, because the broker is away.
    """

    events_written: int
    dead_letters_written: int
    rejected: int
    applied: int
    duplicates: int
    dead_letter_rows: int
    dead_at_collect: int
    dead_later: int
    conflicts: int = 0
    replayed: int = 0
    spooled: int = 0


@dataclass(frozen=True)
class Ledger:
    """received = applied + duplicates + dead_lettered + rejected + difference.

    `difference` and `dead_letters_in_flight` are what is still on its way: both are 0 when everything has arrived.
    A negative difference means that something was counted twice. Of the duplicates, `conflicts` said something else than what
    came first; of the dead letters, `replayed` were repaired and applied (as events of their own); of the difference, `spooled`
    lie in the collector's spool.

    `waiting` people have waited for too long for something at `counted_at` (in microseconds); `waiting_for` holds the first of
    them. The events that are held back for them are part of the difference.
    """

    received: int
    applied: int
    duplicates: int
    dead_lettered: int
    rejected: int
    difference: int
    dead_letters_in_flight: int
    balanced: bool
    conflicts: int = 0
    replayed: int = 0
    spooled: int = 0
    waiting: int = 0
    waiting_for: tuple[Waiter, ...] = ()
    counted_at: int = 0

    @property
    def entries(self) -> dict[str, int]:
        """What was counted, by entry; `balanced` is 0 or 1."""
        return {name: int(value) for name, value in asdict(self).items() if name not in _NO_ENTRIES}

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        people = [as_json(person, self.counted_at) for person in self.waiting_for]
        return self.entries | {"balanced": self.balanced, "waiting": self.waiting, "waiting_for": people}


_NO_ENTRIES = {"waiting", "waiting_for", "counted_at"}


def balance(counts: Counts) -> Ledger:
    """The ledger of some counts. Pure."""
    received = counts.events_written + counts.spooled + counts.dead_at_collect + counts.rejected
    dead = counts.dead_at_collect + counts.dead_later
    difference = received - counts.applied - counts.duplicates - dead - counts.rejected
    in_flight = counts.dead_letters_written - counts.dead_letter_rows
    return Ledger(
        received=received,
        applied=counts.applied,
        duplicates=counts.duplicates,
        dead_lettered=dead,
        rejected=counts.rejected,
        difference=difference,
        dead_letters_in_flight=in_flight,
        balanced=difference == 0 and in_flight == 0,
        conflicts=counts.conflicts,
        replayed=counts.replayed,
        spooled=counts.spooled,
    )


def gather(settings: Settings, client: Client) -> Ledger:
    """Count everywhere. Facts are counted before what was received, so that what comes meanwhile shows as on its way.

    Raises Unavailable if a part does not answer.
    """
    names = Names(settings.topic_prefix)
    try:
        row: Any = client.query(COUNTS).result_rows[0]
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0][:200]
        raise Unavailable(f"ClickHouse cannot count the facts: {first_line}.", "Start everything with `cdp up`.") from error
    events, items, duplicates, rows, at_collect, later, conflicts, replayed = (int(value) for value in row)
    counted_at = wall_clock()
    rejected, waiters = _in_redis(settings, names, counted_at)
    found = balance(
        Counts(
            events_written=sum(
                sum(kafka.end_offsets(settings.kafka_servers, topic).values()) for topic in (names.events, names.items)
            ),
            dead_letters_written=sum(kafka.end_offsets(settings.kafka_servers, names.dead_letters).values()),
            rejected=rejected,
            applied=events + items,
            duplicates=duplicates,
            dead_letter_rows=rows,
            dead_at_collect=at_collect,
            dead_later=later,
            conflicts=conflicts,
            replayed=replayed,
            spooled=waiting_in(settings.data_dir),
        )
    )
    return replace(found, waiting=waiters.count, waiting_for=waiters.first, counted_at=counted_at)


def wait_until_balanced(count: Callable[[], Ledger], seconds: float, sleep: Callable[[float], None] = time.sleep) -> Ledger:
    """Count again until it balances, at most some seconds. Returns the last count."""
    deadline = time.monotonic() + seconds
    while not (ledger := count()).balanced and time.monotonic() < deadline:
        sleep(POLL_SECONDS)
    return ledger


def waiting_lines(ledger: Ledger) -> list[str]:
    """Who waits, in words, and what to do about it; nothing if nobody does. Pure."""
    if not ledger.waiting:
        return []
    people = "1 person waits" if ledger.waiting == 1 else f"{ledger.waiting:,} people wait"
    lines = [f"{people} for more than {WAITS_TOO_LONG // SECOND} s:"]
    lines += [f"  {say(person, ledger.counted_at)}" for person in ledger.waiting_for]
    if ledger.waiting_for and not ledger.balanced:
        lines.append(
            f"After a minute they are helped by themselves; `cdp rebuild {ledger.waiting_for[0].one_id}` does it at once."
        )
    return lines


def _in_redis(settings: Settings, names: Names, now: int) -> tuple[int, Waiters]:
    """How many requests were refused at the door, and who waits."""
    client = redis.connect(settings.redis_url)
    try:
        rejected = sum(int(value) for value in client.hvals(names.rejected_key))
        return rejected, read_waiters(client, names, settings.partitions, now)
    except RedisError as error:
        raise Unavailable("Redis does not answer.", "Start it with `cdp up`, or set CDP_REDIS.") from error
    finally:
        client.close()
