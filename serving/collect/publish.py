"""Hand records to Kafka, and say whether it has them. Everything runs in the event loop's thread.

A thread of its own for delivery reports would fight the loop for Python's lock at every report; polling from the loop, while
anything is under way, serves hundreds of them in one call.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from cdp.errors import Unavailable

log = logging.getLogger(__name__)

POLL_SECONDS = 0.004  # the most that polling adds to the time until an answer
ERRORS_OF_AN_ABSENT_BROKER = frozenset({KafkaError._ALL_BROKERS_DOWN})


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record for the broker."""

    topic: str
    key: str
    value: bytes


class Publisher(Protocol):
    """What the collector needs: a safe place for records."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all records are safe. Raises Unavailable if they may not be."""


class _Request:
    """The unacknowledged records of one call."""

    __slots__ = ("error", "future", "left")

    def __init__(self, left: int, future: "asyncio.Future[None]") -> None:
        self.left = left
        self.future = future
        self.error = ""

    def report(self, error: KafkaError | None, _: object) -> None:
        """Called by `poll`, once for each record."""
        if error is not None:
            self.error = error.name()
        self.left -= 1
        if self.left == 0 and not self.future.done():
            self.future.set_result(None)


class KafkaPublisher:
    """Delivers records from an event loop.

    Args:
        make_producer: makes the producer, given the function that it must call with its errors (`error_cb`).
    """

    def __init__(
        self, make_producer: Callable[[Callable[[KafkaError], None]], Producer], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._producer = make_producer(self._on_error)
        self._loop = loop
        self._waiting: set[_Request] = set()
        self._polling = False
        self._stopping = False
        self.seems_away = False

    async def deliver(self, records: Sequence[Record]) -> str:
        """Return when the fate of all records is known: "" if the broker has them all, else why some may be missing."""
        if self._stopping:
            return "the collector is stopping"
        request = _Request(len(records), self._loop.create_future())
        error = self._produce(records, request)
        if error:
            return error
        self._waiting.add(request)
        if not self._polling:
            self._polling = True
            self._loop.call_later(POLL_SECONDS, self._poll)
        try:
            await request.future
        finally:
            self._waiting.discard(request)
        self.seems_away = bool(request.error)
        return request.error

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when the broker has all records. Raises Unavailable if it may not have them."""
        error = await self.deliver(records)
        if error:
            raise Unavailable(f"Kafka did not take the records: {error}.", "Try again.")

    def _produce(self, records: Sequence[Record], request: _Request) -> str:
        try:
            for topic, group in _by_topic(records):
                messages: list[dict[str, Any]] = [{"key": record.key, "value": record.value} for record in group]
                queued = self._producer.produce_batch(topic, messages, on_delivery=request.report)
                if queued != len(messages):
                    return "the queue to Kafka is full"
        except BufferError:
            return "the queue to Kafka is full"
        except KafkaException as error:
            return str(error.args[0].name())
        return ""

    def _poll(self) -> None:
        self._producer.poll(0)
        if self._waiting:
            self._loop.call_later(POLL_SECONDS, self._poll)
        else:
            self._polling = False

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
        while self._waiting and self._loop.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        left = self._producer.flush(0)
        if left:
            log.warning("%d records were not acknowledged before the end; their senders were not told that they arrived", left)


def _by_topic(records: Sequence[Record]) -> Iterable[tuple[str, Iterable[Record]]]:
    first = records[0].topic
    if all(record.topic == first for record in records):
        return ((first, records),)
    return groupby(records, attrgetter("topic"))
