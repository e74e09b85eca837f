"""Read the facts of fragments back, when they have to be counted again."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from cdp.errors import CdpError
from cdp.events import Identifier, Source
from profiles.transfer_log import Position
from streams.records import ResolvedEvent


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        labels: the fragments in which the facts may be written down.
        needs: how far the facts of partitions must have arrived (`profiles.inbox.Inbox.fact_at`); before that there is no answer.
    """

    labels: frozenset[int]
    needs: frozenset[Position]


@dataclass(frozen=True, slots=True)
class Fact:
    """An applied event as it stands among the facts: the fragment in which it counts there, and since which version."""

    position: Position
    label: int
    assigned: int
    record: ResolvedEvent


Refetch = Callable[[Mapping[int, Wanted]], dict[int, list[Fact]]]
"""Takes what is wanted by fragment, and returns the facts of those of which all have arrived; the others are asked for later."""

log = logging.getLogger(__name__)

TOGETHER = 100  # fragments that are read in one question
PAUSE = 5.0  # seconds until ClickHouse is asked again after it did not answer

_ARRIVED = "SELECT source_partition, max(source_offset) FROM arrived GROUP BY source_partition"
_FACTS = """
SELECT source_partition, source_offset, part, assigned, kind, event, message_id, toUnixTimestamp64Micro(event_time),
       toUnixTimestamp64Micro(received_at), ids, properties, traits, bot, replay_of, origin_partition, origin_offset
FROM events
WHERE part IN {labels:Array(UInt32)}
"""
_keys = msgspec.json.Decoder(list[str]).decode
_Row = tuple[int, int, int, int, str, str, str, int, int, str, str, str, int, str, int, int]


class PatientReader:
    """Reads facts by `refetch`; while ClickHouse does not answer, nothing has arrived. Profiles and actions go on without it.

    Args:
        connect: makes a client; none is kept, since facts are read seldom.
        seconds: a monotonic clock.
    """

    def __init__(self, connect: Callable[[], Client], seconds: Callable[[], float]) -> None:
        self._connect = connect
        self._seconds = seconds
        self._not_before = float("-inf")

    def __call__(self, wanted: Mapping[int, Wanted]) -> dict[int, list[Fact]]:
        """See `Refetch`."""
        if self._seconds() < self._not_before:
            return {}
        try:
            with closing(self._connect()) as client:
                return refetch(client, wanted)
        except (ClickHouseError, CdpError, OSError) as error:
            self._not_before = self._seconds() + PAUSE
            log.warning("facts of %s fragments cannot be read, asking again in %.0f s: %s", len(wanted), PAUSE, error)
            return {}


def refetch(client: Client, wanted: Mapping[int, Wanted]) -> dict[int, list[Fact]]:
    """See `Refetch`."""
    ready = [number for number, arrived in _find_arrived(client, wanted).items() if arrived]
    found: dict[int, list[Fact]] = {}
    for some in _in_groups(ready):
        labels = sorted(frozenset().union(*(wanted[number].labels for number in some)))
        rows = [_fact(row) for row in client.query(_FACTS, parameters={"labels": labels}).result_rows]
        for number in some:
            found[number] = [fact for fact in rows if fact.label in wanted[number].labels]
    return found


def _find_arrived(client: Client, wanted: Mapping[int, Wanted]) -> dict[int, bool]:
    """For each fragment, whether all that it needs has arrived."""
    arrived = {int(p): int(o) for p, o in client.query(_ARRIVED).result_rows}
    return {number: all(arrived.get(p, -1) >= o for p, o in one.needs) for number, one in wanted.items()}


def _in_groups(numbers: list[int]) -> Iterator[list[int]]:
    for first in range(0, len(numbers), TOGETHER):
        yield numbers[first : first + TOGETHER]


def _fact(row: _Row) -> Fact:
    p, o, part, assigned, kind, event, message_id, time, received_at, ids, properties, traits, bot, replay_of, *origin = row
    record = ResolvedEvent(
        kind=kind, time=time, part=part, message_id=message_id, event=event, received_at=received_at,
        ids=[Identifier(*key.split(":", 1)) for key in _keys(ids)], properties=msgspec.Raw(properties.encode()),
        traits=msgspec.Raw(traits.encode()), bot=bool(bot), source=Source(replay_of=replay_of), origin=(origin[0], origin[1]),
    )  # fmt: skip
    return Fact((p, o), part, assigned, record)
