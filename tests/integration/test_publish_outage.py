"""An answer means that the broker has every record of it, also while the broker is killed under load."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from cdp import kafka
from cdp.topics import Names
from infra import supervise
from loadtest.drill_outage import hold_down
from serving.collect.publish import KafkaPublisher, Record
from tests.conftest import Stack, make_stack, running

PARTITIONS = 4
SENDERS = 24
DELIVERY_MS = 1_500
ENOUGH = 300  # requests that must be answered before and after the outage


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Stack]:
    """A broker that nobody else needs."""
    with running(make_stack(tmp_path / "data"), "--only", "kafka") as started:
        yield started


class Senders:
    """Send requests of some records each, all different, and keep what was said about them."""

    def __init__(self, publisher: KafkaPublisher, topic: str) -> None:
        self._publisher, self._topic = publisher, topic
        self._numbers = count()
        self.acknowledged: list[int] = []
        self.failed: list[int] = []
        self.stopping = False

    async def run(self) -> None:
        await asyncio.gather(*(self._send(1 + sender % 7) for sender in range(SENDERS)))

    async def _send(self, size: int) -> None:
        while not self.stopping:
            numbers = [next(self._numbers) for _ in range(size)]
            error = await self._publisher.deliver([Record(self._topic, f"k{number}", b"%d" % number) for number in numbers])
            (self.failed if error else self.acknowledged).extend(numbers)
            await asyncio.sleep(0.02 if error else 0)


async def until(senders: Senders, acknowledged: int = 0, failed: int = 0) -> None:
    async with asyncio.timeout(90):
        while len(senders.acknowledged) < acknowledged or len(senders.failed) < failed:
            await asyncio.sleep(0.02)


async def outage(stack: Stack, topic: str) -> Senders:
    settings = stack.settings
    publisher = KafkaPublisher(
        lambda on_error: kafka.producer(
            settings.kafka_servers, client_id="test", linger_ms=1, delivery_timeout_ms=DELIVERY_MS, report_errors_only=True,
            on_error=on_error,
        ),
        asyncio.get_running_loop(),
    )  # fmt: skip
    senders = Senders(publisher, topic)
    work = asyncio.create_task(senders.run())
    await until(senders, acknowledged=ENOUGH)
    await asyncio.to_thread(hold_down, settings, "kafka")
    await until(senders, failed=ENOUGH)
    await asyncio.to_thread(supervise.start_program, settings.data_dir, "kafka")
    await until(senders, acknowledged=len(senders.acknowledged) + ENOUGH)
    senders.stopping = True
    await work
    await publisher.close()
    return senders


def written(servers: str, topic: str) -> set[int]:
    """All that is in a topic."""
    ends = kafka.end_offsets(servers, topic)
    client = kafka.consumer(servers, group="test-all", client_id="test")
    client.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in ends])
    found: set[int] = set()
    left = sum(ends.values())
    while left:
        record = client.poll(30)
        assert record is not None, f"{left} records are missing"
        assert record.error() is None, record.error()
        found.add(int(record.value()))
        left -= 1
    client.close()
    return found


@pytest.mark.timeout(600)
def test_what_was_acknowledged_around_a_kill_of_the_broker_is_there(broker: Stack) -> None:
    names = Names("outage")
    kafka.ensure_topics(broker.settings.kafka_servers, names, PARTITIONS)
    senders = asyncio.run(outage(broker, names.events))
    lost = set(senders.acknowledged) - written(broker.settings.kafka_servers, names.events)
    assert (lost, len(senders.failed) >= ENOUGH) == (set(), True)
