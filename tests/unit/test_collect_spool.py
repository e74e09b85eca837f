"""The spool, on a real disk, with a Kafka that comes and goes."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import Unavailable
from serving.collect.publish import Record
from serving.collect.spool import FOLDER, SafePublisher, Spool, waiting_in

MIB = 1 << 20


class Kafka:
    """Takes records, or not."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = False
        self.seems_away = False
        self.closed = False

    async def deliver(self, records: Sequence[Record]) -> str:
        await asyncio.sleep(0)
        if self.away:
            return "_MSG_TIMED_OUT"
        self.records += records
        return ""

    def hand_over(self, records: Sequence[Record], done: Callable[[str], None]) -> bool:
        self.records += records
        done("")
        return True

    async def close(self) -> None:
        self.closed = True


def record(number: int, size: int = 10) -> Record:
    return Record("cdp.events", f"user_id:{number}", b"%d" % number + b"x" * size)


def numbers(records: Sequence[Record]) -> list[int]:
    return [int(one.key.partition(":")[2]) for one in records]


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def open_publisher(folder: Path, kafka: Kafka, max_bytes: int = 16 * MIB) -> SafePublisher:
    return SafePublisher(kafka, Spool(folder / FOLDER, max_bytes))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.collect.spool.RETRY_SECONDS", 0.05)


def test_with_kafka_there_nothing_is_spooled(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        publisher = open_publisher(tmp_path, kafka)
        await publisher.publish([record(1), record(2)])
        assert (numbers(kafka.records), publisher.spool.count) == ([1, 2], 0)
        await publisher.close()
        assert kafka.closed

    run(work)


def test_what_comes_while_kafka_is_away_is_drained_in_order(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        publisher = open_publisher(tmp_path, kafka)
        kafka.away = True
        for number in range(1200):
            await publisher.publish([record(number)])
        assert (publisher.spool.count, waiting_in(tmp_path)) == (1200, 1200)
        kafka.away = False
        late = asyncio.gather(*(publisher.publish([record(2000 + number)]) for number in range(50)))
        await until(lambda: publisher.spool.count == 0)
        await late
        assert numbers(kafka.records) == [*range(1200), *range(2000, 2050)]
        assert waiting_in(tmp_path) == 0
        await publisher.publish([record(9)])
        assert numbers(kafka.records)[-1] == 9
        await publisher.close()

    run(work)


def test_what_a_killed_process_left_is_drained_by_the_next(tmp_path: Path) -> None:
    async def first() -> None:
        kafka = Kafka()
        kafka.away = True
        publisher = open_publisher(tmp_path, kafka)
        await publisher.publish([record(number) for number in range(10)])
        publisher._drainer.cancel()
        publisher.spool.close()

    async def second() -> None:
        kafka = Kafka()
        publisher = open_publisher(tmp_path, kafka)
        await until(lambda: publisher.spool.count == 0)
        assert numbers(kafka.records) == list(range(10))
        await publisher.close()

    run(first)
    run(second)


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        kafka.away = True
        publisher = open_publisher(tmp_path, kafka, max_bytes=1 * MIB)
        taken: list[int] = []
        refused = 0
        for number in range(400):
            try:
                await publisher.publish([record(number, 8_000)])
            except Unavailable:
                refused += 1
            else:
                taken.append(number)
        assert refused
        assert 50 < len(taken) < 200
        await publisher.publish([record(1000, 1)])  # what is small enough may still fit
        assert publisher.spool.count == len(taken) + 1
        kafka.away = False
        await until(lambda: publisher.spool.count == 0)
        assert numbers(kafka.records) == [*taken, 1000]
        kafka.away = True
        await publisher.publish([record(1, 8_000)])  # there is room again
        await publisher.close()

    run(work)


def test_one_request_that_does_not_fit_takes_no_other_with_it(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        kafka.away = True
        publisher = open_publisher(tmp_path, kafka, max_bytes=1 * MIB)
        outcomes: list[Any] = await asyncio.gather(
            *(publisher.publish([record(number, 2 * MIB if number == 3 else 10)]) for number in range(6)), return_exceptions=True
        )
        assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [number == 3 for number in range(6)]
        assert publisher.spool.count == 5
        await publisher.close()

    run(work)


def test_without_a_spool_the_sender_has_to_come_again(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        kafka.away = True
        publisher = open_publisher(tmp_path, kafka, max_bytes=0)
        with pytest.raises(Unavailable, match="switched off"):
            await publisher.publish([record(1)])
        kafka.away = False
        await publisher.publish([record(2)])
        assert numbers(kafka.records) == [2]
        await publisher.close()

    run(work)


def test_without_a_spool_an_outage_ends_as_well(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        publisher = open_publisher(tmp_path, kafka, max_bytes=0)
        kafka.seems_away = True
        with pytest.raises(Unavailable, match="switched off"):
            await publisher.publish([record(1)])
        await until(lambda: not kafka.seems_away)
        await publisher.publish([record(2)])
        assert numbers(kafka.records) == [2]
        await publisher.close()

    run(work)


def test_records_are_handed_over_only_while_kafka_is_there_and_nothing_waits_before_them(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        publisher = open_publisher(tmp_path, kafka)
        said: list[str] = []
        assert publisher.hand_over([record(1)], said.append)
        assert (numbers(kafka.records), said) == ([1], [""])
        kafka.seems_away = True
        assert not publisher.hand_over([record(2)], said.append)
        kafka.away = True
        await publisher.publish([record(3)])
        kafka.seems_away = False
        assert not publisher.hand_over([record(4)], said.append)
        kafka.away = False
        await until(lambda: publisher.spool.count == 0)
        assert publisher.hand_over([record(5)], said.append)
        assert (numbers(kafka.records), said) == ([1, 3, 5], ["", ""])
        await publisher.close()

    run(work)


def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    async def work() -> None:
        one, two = Spool(tmp_path, MIB), Spool(tmp_path, MIB)
        assert one.path != two.path
        one.close()
        three = Spool(tmp_path, MIB)
        assert three.path == one.path
        two.close()
        three.close()

    run(work)


def test_what_is_in_the_spool_is_on_disk(tmp_path: Path) -> None:
    async def work() -> None:
        kafka = Kafka()
        kafka.away = True
        publisher = open_publisher(tmp_path, kafka)
        await publisher.publish([record(7)])
        database = sqlite3.connect(publisher.spool.path)
        assert database.execute("SELECT key FROM spooled").fetchall() == [("user_id:7",)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()
        await publisher.close()

    run(work)


def test_records_that_come_while_others_are_removed_are_counted(tmp_path) -> None:
    async def work() -> None:
        spool = Spool(tmp_path / FOLDER, MIB)
        await spool.append([record(1)])
        last, _ = await spool.first()
        removing = asyncio.create_task(spool.remove(last))
        await asyncio.sleep(0)
        await asyncio.gather(removing, spool.append([record(2)]))
        assert spool.count == 1
        spool.close()

    run(work)
