"""Groups of records, with a producer that says when it has them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from confluent_kafka import KafkaError

from serving.collect.publish import KafkaPublisher, Record

Report = Callable[[KafkaError | None, object], None]


class Producer:
    """librdkafka as far as it counts here: a record stays in the queue until its fate is known and its report was served."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.queue: list[tuple[bytes, Report]] = []
        self.produced: list[bytes] = []
        self.fates: dict[bytes, KafkaError | None] = {}

    def produce(self, topic: str, value: bytes, key: str, partition: int, on_delivery: Report) -> None:
        if len(self.queue) == self.room:
            raise BufferError
        self.produced.append(value)
        self.queue.append((value, on_delivery))

    def poll(self, _: float) -> None:
        for value, report in [one for one in self.queue if one[0] in self.fates]:
            self.queue.remove((value, report))
            if self.fates[value] is not None:  # as with delivery.report.only.error
                report(self.fates[value], None)

    def __len__(self) -> int:
        return len(self.queue)

    def flush(self, _: float) -> int:
        return len(self.queue)

    def decide(self, error: int | None = None, *values: bytes) -> None:
        """The fate of some records, or of all that are in the queue."""
        for value in values or tuple(value for value, _ in self.queue):
            self.fates[value] = KafkaError(error) if error is not None else None


class World:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.publisher = KafkaPublisher(lambda _: producer, asyncio.get_running_loop())  # type: ignore[arg-type,return-value]

    def send(self, *values: bytes) -> "asyncio.Task[str]":
        return asyncio.create_task(self.publisher.deliver([Record("t", "k", value) for value in values]))

    async def produced(self, *values: bytes) -> None:
        async with asyncio.timeout(10):
            while self.producer.produced != list(values):
                await asyncio.sleep(0.001)


def run(work: Callable[[World], Awaitable[None]], room: int = 100) -> None:
    async def inner() -> None:
        await asyncio.wait_for(work(World(Producer(room))), 30)

    asyncio.run(inner())


async def polls() -> None:
    """Enough time for some polls."""
    await asyncio.sleep(0.03)


def test_nobody_is_answered_before_all_of_a_group_have_left_the_queue() -> None:
    async def work(world: World) -> None:
        one, two = world.send(b"1", b"2"), world.send(b"3")
        await world.produced(b"1", b"2", b"3")
        world.producer.decide(None, b"2", b"3")
        await polls()
        assert len(world.producer) == 1
        assert not one.done()
        assert not two.done()
        world.producer.decide(None, b"1")
        assert (await one, await two) == ("", "")

    run(work)


def test_what_comes_meanwhile_goes_together_in_the_next_group() -> None:
    async def work(world: World) -> None:
        first = world.send(b"1")
        await world.produced(b"1")
        others = [world.send(b"2"), world.send(b"3")]
        await polls()
        assert world.producer.produced == [b"1"]
        world.producer.decide()
        assert await first == ""
        await world.produced(b"1", b"2", b"3")
        assert not any(one.done() for one in others)
        world.producer.decide()
        assert await asyncio.gather(*others) == ["", ""]

    run(work)


def test_a_failure_is_that_of_its_request_alone_and_those_that_wait_need_not_wait_as_long() -> None:
    async def work(world: World) -> None:
        good, bad = world.send(b"1"), world.send(b"2", b"3")
        await world.produced(b"1", b"2", b"3")
        waiting = world.send(b"4")
        await polls()
        world.producer.decide(KafkaError._MSG_TIMED_OUT, b"3")
        world.producer.decide(None, b"1", b"2")
        assert (await good, await bad, await waiting) == ("", "_MSG_TIMED_OUT", "_MSG_TIMED_OUT")
        assert world.publisher.seems_away
        assert world.producer.produced == [b"1", b"2", b"3"]
        later = world.send(b"5")
        await world.produced(b"1", b"2", b"3", b"5")
        world.producer.decide()
        assert await later == ""
        assert not world.publisher.seems_away

    run(work)


def test_a_full_queue_fails_those_that_found_no_room() -> None:
    async def work(world: World) -> None:
        fits, cut = world.send(b"1"), world.send(b"2", b"3")
        await world.produced(b"1", b"2")
        world.producer.decide()
        assert await fits == ""
        assert "full" in await cut

    run(work, room=2)


def test_a_sender_that_has_gone_disturbs_nobody() -> None:
    async def work(world: World) -> None:
        gone, stays = world.send(b"1"), world.send(b"2")
        await world.produced(b"1", b"2")
        gone.cancel()
        await polls()
        world.producer.decide()
        assert await stays == ""
        with pytest.raises(asyncio.CancelledError):
            await gone

    run(work)


def test_the_end_waits_for_what_is_under_way_and_takes_nothing_more() -> None:
    async def work(world: World) -> None:
        last = world.send(b"1")
        await world.produced(b"1")
        closing = asyncio.create_task(world.publisher.close())
        await polls()
        assert not closing.done()
        assert "stopping" in await world.send(b"2")
        world.producer.decide()
        await closing
        assert await last == ""
        assert world.producer.produced == [b"1"]

    run(work)
