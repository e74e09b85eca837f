"""Import from an existing Kafka topic: offsets are committed only after the collector has acknowledged what came of them.

A record may so be read twice, never be lost; its message ids are the same each time, so it counts once. Records that cannot be
mapped are written to a file, with their reason and position, before their offset is committed.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdp.errors import CdpError, InvalidEvent, Unavailable
from serving.collect.wellformed import UnknownEncoding, mend
from serving.imports.apply import Mapper, encode
from serving.imports.deliver import Batch, Link
from serving.imports.protect import Protect, without_input
from serving.imports.run import Limits

POLL_SECONDS = 0.5
TIMEOUT = 10.0
SHOWN = 2000
_decode = msgspec.json.Decoder().decode


@dataclass
class Counts:
    """What became of the records of this run."""

    records: int = 0
    events: int = 0
    skipped: int = 0
    rejected: int = 0
    dead_lettered: int = 0
    retries: int = 0

    def as_json(self) -> dict[str, int]:
        """For machines."""
        return asdict(self)


class TopicImport:
    """Reads, maps, sends and commits, batch by batch.

    Args:
        consumer: subscribed to nothing yet; commits only what it is told to.
        rejected: the file for records that cannot be used.
        protect: makes of such a record what may be kept.
    """

    def __init__(
        self, consumer: Consumer, topic: str, mapper: Mapper, link: Link, limits: Limits, rejected: Path,
        protect: Protect = without_input,
    ) -> None:  # fmt: skip
        self._protect = protect
        self._consumer, self._topic, self._mapper, self._link, self._limits = consumer, topic, mapper, link, limits
        self._rejected_path = rejected
        self._ended: set[int] = set()
        self.counts = Counts()

    def run(self, stop: threading.Event, *, until_end: bool, tell: Callable[[Counts], None] = lambda _: None) -> Counts:
        """Work until `stop`, or until every partition was read to its end. Raises CdpError if a part stays away."""
        try:
            partitions = self._partitions()
            self._consumer.subscribe([self._topic])
            while not stop.is_set() and not (until_end and self._ended >= partitions):
                self._step(self._consumer.consume(self._limits.messages, POLL_SECONDS))
                tell(self.counts)
        finally:
            self._consumer.close()
        return self.counts

    def _partitions(self) -> set[int]:
        try:
            found = self._consumer.list_topics(self._topic, timeout=TIMEOUT).topics[self._topic]
        except KafkaException as error:
            raise Unavailable(f"Kafka does not answer: {error.args[0].str()}.", "Check --servers.") from error
        if found.error is not None:
            raise CdpError(f"There is no topic {self._topic}.", "Check its name and --servers.")
        return set(found.partitions)

    def _step(self, messages: list[Message]) -> None:
        records = [message for message in messages if self._is_record(message)]
        if not records:
            return
        batch = Batch(self._limits.messages, self._limits.batch_bytes)
        owners: list[Message] = []
        rejected: list[dict[str, Any]] = []
        for record in records:
            made = self._map(record, rejected)
            if not batch.fits(made):
                self._send(batch, owners, rejected)
            batch.add(made)
            owners += [record] * len(made)
        self._send(batch, owners, rejected)
        self._keep(rejected)
        self._commit(records)
        self.counts.records += len(records)
        self.counts.retries = self._link.retries

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            self._ended.discard(message.partition())
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(message.partition())
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise CdpError(f"There is no topic {self._topic}.", "Check its name and --servers.")
        elif not error.retriable():
            raise CdpError(f"The topic {self._topic} cannot be read: {error.str()}.", "Check --servers and --config.")
        return False

    def _map(self, record: Message, rejected: list[dict[str, Any]]) -> list[bytes]:
        value = record.value()
        if value is None:  # a tombstone says that something is gone, not what happened
            self.counts.skipped += 1
            return []
        try:
            made = [encode(message) for message in self._mapper.map(_json(value), _place(record))]
            if any(len(message) > self._limits.event_bytes for message in made):
                raise InvalidEvent("too_large", "", f"An event of it is larger than {self._limits.event_bytes:,} bytes.")
        except InvalidEvent as error:
            self.counts.rejected += 1
            rejected.append(_rejection(record, error))
            return []
        self.counts.skipped += not made
        return made

    def _send(self, batch: Batch, owners: list[Message], rejected: list[dict[str, Any]]) -> None:
        if batch.messages:
            taken = self._link.send(batch.messages)
            for letter in taken.dead_lettered:
                if 0 <= letter.index < len(owners):
                    rejected.append(_rejection(owners[letter.index], InvalidEvent(letter.reason, letter.field, letter.message)))
            self.counts.events += len(batch.messages)
            self.counts.dead_lettered += taken.rejected
        batch.clear()
        owners.clear()

    def _keep(self, rejected: list[dict[str, Any]]) -> None:
        if not rejected:
            return
        self._rejected_path.parent.mkdir(parents=True, exist_ok=True)
        with self._rejected_path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(self._protect(entry)) + b"\n" for entry in rejected))
            file.flush()
            os.fsync(file.fileno())

    def _commit(self, records: list[Message]) -> None:
        ends: dict[int, int] = {}
        for record in records:
            ends[record.partition()] = max(ends.get(record.partition(), 0), record.offset() + 1)
        try:
            self._consumer.commit(offsets=[TopicPartition(self._topic, p, end) for p, end in ends.items()], asynchronous=False)
        except (
            KafkaException
        ) as error:  # e.g. a rebalance: whoever has the partition now reads these again, which changes nothing
            if error.args[0].fatal():
                raise CdpError(f"Offsets cannot be committed: {error.args[0].str()}.", "Check --group and its rights.") from error


def _json(value: bytes) -> Any:
    try:
        return _decode(mend(value))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, UnknownEncoding) as error:
        raise InvalidEvent("unreadable", "", f"The record is not JSON: {error}.") from error


def _place(record: Message) -> dict[str, Any]:
    key = record.key()
    return {
        "@partition": record.partition(), "@offset": record.offset(), "@line": record.offset(),
        "@key": key.decode("utf-8", "replace") if isinstance(key, bytes) else None,
    }  # fmt: skip


def _rejection(record: Message, error: InvalidEvent) -> dict[str, Any]:
    value = record.value() or b""
    return {
        "partition": record.partition(), "offset": record.offset(), "reason": error.reason, "field": error.field,
        "message": str(error), "input": value[:SHOWN].decode("utf-8", "replace"),
    }  # fmt: skip
