"""Hand records to Kafka, and say whether it has them. Everything runs in the event loop's thread.

Records go in groups: while one group is under way, those that come are gathered for the next. A group is as large as the time
to the broker and back makes it, so that a busy collector sends few, large requests; and the end of a group needs no count of
reports. librdkafka keeps a record in its queue until its fate is known and its report was served; reports of failures call
back, those of successes need not. Once the queue is empty, the broker has every record that did not fail.

A thread of its own for reports would fight the loop for Python's lock; here the loop polls, while a group is under way.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from cdp.errors import Unavailable

log = logging.getLogger(__name__)

POLL_SECONDS = 0.002  # the most that polling adds to the time until an answer
ANY_PARTITION = -1  # as the partitioner has it
GROUP = 10_000  # records, or those of one request: far from what librdkafka's queue holds
ERRORS_OF_AN_ABSENT_BROKER = frozenset({KafkaError._ALL_BROKERS_DOWN})


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record for the broker. `corrected`: the time of what it holds could not be used, and is that of its arrival."""

    topic: str
    key: str
    value: bytes
    corrected: bool = False


Done = Callable[[str], None]
"""Told of records' fate: "" if the broker has them all, else why some may be missing."""


class Publisher(Protocol):
    """What the collector needs: a safe place for records."""

    def hand_over(self, records: Sequence[Record], done: Done) -> bool:
        """Call `done` when the fate of the records is known; False, and nothing is done, if `publish` has to be awaited."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all records are safe. Raises Unavailable if they may not be."""


class _Request:
    """The records of one call; `error`: why one of them may be missing."""

    __slots__ = ("done", "error", "records")

    def __init__(self, records: Sequence[Record], done: Done) -> None:
        self.records = records
        self.done = done
        self.error = ""

    def report(self, error: KafkaError | None, _: object) -> None:
        """Called by `poll` for a record that failed; for others too, unless the producer reports errors only."""
        if error is not None:
            self.error = error.name()


class KafkaPublisher:
    """Delivers records from an event loop.

    Args:
        make_producer: makes the producer, given the function that it must call with its errors (`error_cb`). Nobody else may
            produce with it.
    """

    def __init__(
        self, make_producer: Callable[[Callable[[KafkaError], None]], Producer], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._producer = make_producer(self._on_error)
        self._loop = loop
        self._waiting: deque[_Request] = deque()
        self._group: list[_Request] = []
        self._busy = False
        self._stopping = False
        self.seems_away = False

    def hand_over(self, records: Sequence[Record], done: Done) -> bool:
        """Send records with the next group, and call `done` at its end; False at the end of all groups."""
        if self._stopping:
            return False
        self._waiting.append(_Request(records, done))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._send)  # after all requests that came together
        return True

    async def deliver(self, records: Sequence[Record]) -> str:
        """Return when the fate of all records is known: "" if the broker has them all, else why some may be missing."""
        future: asyncio.Future[str] = self._loop.create_future()
        if not self.hand_over(records, lambda error: None if future.done() else future.set_result(error)):
            return "the collector is stopping"
        return await future

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when the broker has all records. Raises Unavailable if it may not have them."""
        error = await self.deliver(records)
        if error:
            raise Unavailable(f"Kafka did not take the records: {error}.", "Try again.")

    def _send(self) -> None:
        """Hand over the next group."""
        waiting, group, count = self._waiting, self._group, 0
        while waiting and count < GROUP:
            request = waiting.popleft()
            group.append(request)
            count += len(request.records)
            self._produce(request)
        self._loop.call_later(POLL_SECONDS, self._poll)

    def _produce(self, request: _Request) -> None:
        produce, report = self._producer.produce, request.report
        try:
            for record in request.records:
                produce(record.topic, record.value, record.key, ANY_PARTITION, report)  # by position: names cost as much again
        except BufferError:
            request.error = "the queue to Kafka is full"
        except KafkaException as error:
            request.error = error.args[0].name()

    def _poll(self) -> None:
        self._producer.poll(0)
        if len(self._producer):
            self._loop.call_later(POLL_SECONDS, self._poll)
            return
        group, self._group = self._group, []
        failed = next((request.error for request in group if request.error), "")
        self.seems_away = bool(failed)
        if failed:  # those that wait would only wait as long again
            group += self._waiting
            for request in self._waiting:
                request.error = failed
            self._waiting.clear()
        for request in group:
            request.done(request.error)
        if self._waiting:
            self._send()
        else:
            self._busy = False

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in ERRORS_OF_AN_ABSENT_BROKER and not self.seems_away:
            log.warning("Kafka is away: %s", error.str())
            self.seems_away = True

    def reach(self, timeout: float) -> None:
        """Ask the broker for its metadata; blocks at most `timeout` seconds. Raises Unavailable."""
        try:
            self._producer.list_topics(timeout=timeout)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not answer: {error.args[0].name()}.", "Start it with `cdp up`.") from error

    async def close(self, timeout: float = 10.0) -> None:
        """Refuse new records and wait for those under way, at most `timeout` seconds."""
        self._stopping = True
        deadline = self._loop.time() + timeout
        while self._busy and self._loop.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        left = self._producer.flush(0)
        if left:
            log.warning("%d records were not acknowledged before the end; their senders were not told that they arrived", left)
