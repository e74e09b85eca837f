"""Hand records to Kafka and wait until it has them: one poll thread serves every request of the process."""

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from cdp.errors import Unavailable

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
REMEDY = "Send it again; a repeated message id is counted once."


class Publisher(Protocol):
    """What the collector needs of Kafka."""

    async def publish(self, records: "Iterable[Record]") -> None:
        """Return when the broker has all records. Raises Unavailable if it may not have them."""


Record = tuple[str, str, bytes]  # topic, key, value


class _Pending:
    """The unacknowledged records of one request."""

    __slots__ = ("done", "error", "future", "left")

    def __init__(self, left: int, future: "asyncio.Future[None]", done: "list[_Pending]") -> None:
        self.left = left
        self.future = future
        self.done = done
        self.error: KafkaError | None = None

    def delivered(self, error: KafkaError | None, _: object) -> None:
        """Called in the poll thread, once for each record."""
        self.left -= 1
        if error is not None:
            self.error = error
        if self.left == 0:
            self.done.append(self)


class KafkaPublisher:
    """Publishes from an event loop. Delivery reports are served by one thread and reach the loop in batches."""

    def __init__(self, producer: Producer, loop: asyncio.AbstractEventLoop) -> None:
        self._producer = producer
        self._loop = loop
        self._done: list[_Pending] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        self._thread.start()

    async def publish(self, records: Iterable[Record]) -> None:
        """Return when the broker has all records. Raises Unavailable if it may not have them: full queue, or no answer."""
        batch = list(records)
        if not batch:
            return
        if self._stopping:
            raise Unavailable("The collector is stopping.", REMEDY)
        pending = _Pending(len(batch), self._loop.create_future(), self._done)
        produce, on_delivery = self._producer.produce, pending.delivered
        try:
            for topic, key, value in batch:
                produce(topic, value, key, on_delivery=on_delivery)
        except BufferError as error:
            raise Unavailable("The collector's queue to Kafka is full.", REMEDY) from error
        except KafkaException as error:
            raise Unavailable(f"Kafka refused a record: {error.args[0].name()}.", REMEDY) from error
        await pending.future
        if pending.error is not None:
            raise Unavailable(f"Kafka did not take the events: {pending.error.name()}.", REMEDY)

    def reach(self, timeout: float) -> None:
        """Ask the broker for its metadata; blocks at most `timeout` seconds. Raises Unavailable."""
        try:
            self._producer.list_topics(timeout=timeout)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not answer: {error.args[0].name()}.", "Start it with `cdp up`.") from error

    def close(self, timeout: float = 10.0) -> None:
        """Refuse new records and wait for those under way, at most `timeout` seconds. Call from outside the loop's thread."""
        self._stopping = True
        self._thread.join(POLL_SECONDS * 10)
        left = self._producer.flush(timeout)
        self._hand_over()
        if left:
            log.warning("%d records were not acknowledged before the end; their senders were not told that they arrived", left)

    def _poll(self) -> None:
        while not self._stopping:
            self._producer.poll(POLL_SECONDS)
            self._hand_over()

    def _hand_over(self) -> None:
        if self._done and not self._loop.is_closed():
            done, self._done[:] = self._done[:], []
            self._loop.call_soon_threadsafe(_resolve, done)


def _resolve(done: list[_Pending]) -> None:
    for pending in done:
        if not pending.future.done():
            pending.future.set_result(None)
