"""The loop: read actions, deliver each in a task of its own, commit what is finished."""

import asyncio
import logging
import time
from collections.abc import Sequence

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdp.errors import Unavailable
from cdp.events import Action
from serving.dispatch import metrics
from serving.dispatch.deliver import Deliverer
from serving.dispatch.offsets import Offsets

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 1000  # waiting retries included; beyond it reading pauses
BATCH = 200
POLL_SECONDS = 0.2
COMMIT_SECONDS = 1.0
STOP_SECONDS = 12.0

_decode = msgspec.json.Decoder(Action).decode


class Dispatcher:
    """Reads the topic of actions as a member of a consumer group. Runs in one event loop; polling happens in a thread."""

    def __init__(self, consumer: Consumer, topic: str, deliverer: Deliverer) -> None:
        self._consumer = consumer
        self._topic = topic
        self._deliverer = deliverer
        self._offsets = Offsets()
        self._tasks: set[asyncio.Task[None]] = set()
        self._revoked: list[int] = []
        self._paused: list[TopicPartition] = []
        self._stopping = False

    def stop(self) -> None:
        """Take nothing new, finish what is under way."""
        self._stopping = True

    async def run(self) -> None:
        """Dispatch until stopped. Raises Unavailable if the consumer cannot go on."""
        self._consumer.subscribe([self._topic], on_revoke=self._on_revoke, on_lost=self._on_revoke)
        commit_at = 0.0
        try:
            while not self._stopping:
                for message in await asyncio.to_thread(self._poll):
                    self._take(message)
                self._throttle()
                if time.monotonic() >= commit_at:
                    await asyncio.to_thread(self._commit)
                    commit_at = time.monotonic() + COMMIT_SECONDS
        finally:
            await self._finish()

    def _poll(self) -> Sequence[Message]:
        """The first record as soon as it is there, and what else is there already."""
        first = self._consumer.poll(POLL_SECONDS)
        return [] if first is None else [first, *self._consumer.consume(BATCH - 1, 0)]

    def _take(self, message: Message) -> None:
        while self._revoked:
            self._offsets.drop(self._revoked.pop())
        error = message.error()
        if error is not None:
            if error.fatal() or error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
                raise Unavailable(f"Kafka refuses the dispatcher: {error.name()}.")
            log.warning("Kafka: %s", error.str())
            return
        partition, offset = message.partition(), message.offset()
        if not self._offsets.start(partition, offset):
            return
        task = asyncio.get_running_loop().create_task(self._deliver(message.value(), partition, offset))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        metrics.in_flight.set(len(self._tasks))

    async def _deliver(self, value: bytes, partition: int, offset: int) -> None:
        try:
            action = _decode(value)
        except (msgspec.DecodeError, UnicodeError) as error:
            log.error("the record at %s[%d]@%d is not an action and is left out: %s", self._topic, partition, offset, error)
        else:
            await self._deliverer.deliver(action, partition, offset)
        self._offsets.finish(partition, offset)

    def _throttle(self) -> None:
        """Pause reading while too much is under way; polling goes on, so that the group does not think us dead."""
        metrics.in_flight.set(len(self._tasks))
        if not self._paused and len(self._tasks) >= MAX_IN_FLIGHT:
            self._paused = self._consumer.assignment()
            self._consumer.pause(self._paused)
        elif self._paused and len(self._tasks) < MAX_IN_FLIGHT // 2:
            mine = {(tp.topic, tp.partition) for tp in self._consumer.assignment()}
            self._consumer.resume([tp for tp in self._paused if (tp.topic, tp.partition) in mine])
            self._paused = []

    def _commit(self) -> None:
        ready = self._offsets.committable()
        if not ready:
            return
        try:
            positions = [TopicPartition(self._topic, partition, offset) for partition, offset in ready.items()]
            self._consumer.commit(offsets=positions, asynchronous=False)
            self._offsets.committed(ready)
        except KafkaException as error:  # the next second tries again; what is read twice meanwhile is fenced
            log.warning("offsets could not be committed: %s", error.args[0].name())

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Called while polling, in another thread: only take note. What the next owner reads again is fenced."""
        self._revoked.extend(tp.partition for tp in partitions)

    async def _finish(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.to_thread(self._commit)
        await asyncio.to_thread(self._consumer.close)
