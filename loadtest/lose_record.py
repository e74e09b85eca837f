"""Take a record out of the middle of PROFILE's log, so that PROFILE never sees it.

That PROFILE goes on from its group's committed offsets makes it possible: while the job stands still, the offset is set just
behind the record. What stood before the record and was not handled yet is written again behind the end of the partition: events
and commands may come in any order.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from cdp import kafka
from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.topics import Names
from streams.commands import Command
from streams.records import ResolvedEvent, decode_record

TIMEOUT = 15.0
READ = 500


@dataclass(frozen=True)
class Logged:
    """A record on the log, with its place."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    record: ResolvedEvent | Command

    @property
    def is_command(self) -> bool:
        """Whether it says that something changes hands; otherwise it is an event."""
        return isinstance(self.record, Command)


@dataclass(frozen=True)
class Loss:
    """A record to be lost, and the records that stand before it and must not be lost with it."""

    lost: Logged
    before: tuple[Logged, ...]


def choose(logged: Iterable[Logged], kind: type[Command], random: Random) -> Loss | None:
    """Any of the commands of a kind; None if there is none. Pure."""
    found: list[Loss] = []
    before: dict[int, list[Logged]] = {}
    for one in sorted(logged, key=lambda one: (one.partition, one.offset)):
        if isinstance(one.record, kind):
            found.append(Loss(one, tuple(before.get(one.partition, ()))))
        before.setdefault(one.partition, []).append(one)
    return random.choice(found) if found else None


class Log:
    """PROFILE's log, and how far PROFILE has committed it."""

    def __init__(self, settings: Settings) -> None:
        names = Names(settings.topic_prefix)
        self._servers, self._topic, self._group = settings.kafka_servers, names.resolved, names.group("profile")
        self._admin = AdminClient({"bootstrap.servers": settings.kafka_servers, "log_level": 0})

    def committed(self) -> dict[int, int]:
        """Partition to the offset from which PROFILE goes on."""
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self._group)], request_timeout=TIMEOUT)
        found = asked[self._group].result().topic_partitions
        return {place.partition: place.offset for place in found if place.topic == self._topic and place.offset >= 0}

    def ends(self) -> dict[int, int]:
        """Partition to the offset that the next record will have."""
        return kafka.end_offsets(self._servers, self._topic)

    def read(self, since: Mapping[int, int]) -> list[Logged]:
        """What stands between some offsets and the present end, without ticks, by partition and offset. Raises CdpError."""
        ends = {partition: end for partition, end in self.ends().items() if end > since.get(partition, 0)}
        if not ends:
            return []
        client = kafka.consumer(self._servers, group="cdp-drill-stuck", client_id="cdp-drill")
        client.assign([TopicPartition(self._topic, partition, since.get(partition, 0)) for partition in ends])
        found, deadline = [], time.monotonic() + TIMEOUT
        try:
            while ends and time.monotonic() < deadline:
                for message in client.consume(READ, 0.2):
                    if message.error() is not None:
                        continue
                    record, place = decode_record(message.value()), (message.partition(), message.offset())
                    if record is not None and isinstance(record, ResolvedEvent | Command) and place[1] < ends.get(place[0], 0):
                        found.append(Logged(*place, message.key(), message.value(), record))
                    if place[1] + 1 >= ends.get(place[0], 0):
                        ends.pop(place[0], None)
        finally:
            client.close()
        if ends:
            raise CdpError(f"{len(ends)} partitions of {self._topic} could not be read to their end.", "Is the broker up?")
        return sorted(found, key=lambda one: (one.partition, one.offset))

    def lose(self, loss: Loss, was_handled: Callable[[Logged], bool]) -> int:
        """Lose a record; PROFILE must stand still. Returns how many records were written again. Raises CdpError."""
        again = [one for one in loss.before if not was_handled(one)]
        client = kafka.producer(self._servers, client_id="cdp-drill")
        for one in again:
            client.produce(self._topic, one.value, one.key, partition=one.partition)
        if client.flush(TIMEOUT):
            raise CdpError(f"{self._topic} takes no records.", "Is the broker up?")
        self.commit({loss.lost.partition: loss.lost.offset + 1})
        return len(again)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Let PROFILE, which must stand still, go on from some offsets. Raises CdpError."""
        places = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        moved = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self._group, places)])
        for answer in moved[self._group].result(TIMEOUT).topic_partitions:
            if answer.error is not None:
                raise CdpError(f"The offsets of {self._group} could not be moved: {answer.error}.", "Does PROFILE still run?")
