"""Idempotency keys with a real Redis, and a topic of somebody else's with a real Kafka."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kafka.admin import NewTopic

from cdp import kafka, redis
from cdp.errors import CdpError
from serving.errors import ApiError
from serving.imports.apply import Mapper
from serving.imports.deliver import Link, Refused
from serving.imports.idempotency import Claim, claim
from serving.imports.mapping import parse_mapping
from serving.imports.run import Limits
from serving.imports.topic import Counts, TopicImport
from tests.fake_collector import FakeCollector
from tests.sealing import RING

MAPPING = """
name: t
events:
  - event: E
    message_id: "e:{id}"
    ids: [{type: user_id, path: u}]
    properties: {at: "@offset"}
"""


def test_idempotency_keys_in_redis(redis_url: str) -> None:
    async def run() -> None:
        client = redis.connect_async(redis_url)
        prefix = f"t{uuid4().hex}"

        async def begin(body: bytes = b"b", source: str = "s") -> Claim | bytes:
            return await claim(client, RING, f"{prefix}:idem:{source}", "key", body)

        held = await begin()
        assert isinstance(held, Claim)
        with pytest.raises(ApiError) as busy:
            await begin()
        assert (busy.value.status, busy.value.code) == (409, "in_progress")
        with pytest.raises(ApiError) as conflict:
            await begin(b"other")
        assert (conflict.value.status, conflict.value.code) == (409, "idempotency_conflict")
        assert isinstance(await begin(source="another"), Claim)
        await held.release()
        held = await begin(b"other")
        assert isinstance(held, Claim)
        await held.finish(b"answer")
        assert await begin(b"other") == b"answer"
        assert 86_000 < await client.ttl(held.key) <= 86_400
        await held.release()  # it is finished: nothing of it is taken away
        assert await begin(b"other") == b"answer"
        await client.delete(held.key)
        mine = await begin()
        await client.delete(held.key)  # ours ran out, and somebody else began
        others = await begin()
        assert isinstance(mine, Claim)
        assert isinstance(others, Claim)
        await mine.finish(b"late")
        await others.finish(b"right")
        assert await begin() == b"right"
        await client.delete(held.key)
        claims = await asyncio.gather(*(begin() for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(one, Claim) for one in claims) == 1
        assert sum(isinstance(one, ApiError) and one.status == 409 for one in claims) == 19
        await client.aclose()

    asyncio.run(run())


@pytest.fixture
def fake() -> Iterator[FakeCollector]:
    made = FakeCollector()
    yield made
    made.close()


def fill(servers: str, topic: str, values: list[bytes | None]) -> None:
    producer = kafka.producer(servers, client_id="test")
    for number, value in enumerate(values):
        producer.produce(topic, value, key=str(number % 3))
    assert producer.flush(20) == 0


def create(servers: str, topic: str) -> None:
    admin = kafka.admin(servers)
    admin.create_topics([NewTopic(name=topic, num_partitions=3, replication_factor=1)], timeout_ms=15_000)
    admin.close()


def take(servers: str, topic: str, fake: FakeCollector, rejected: Path) -> Counts:
    consumer: Any = kafka.consumer(servers, group=f"g-{topic}", client_id="test", **{"enable.partition.eof": True})
    link = Link(fake.url, "wk", sleep=lambda _: None)
    work = TopicImport(consumer, topic, Mapper(parse_mapping(MAPPING, "t")), link, Limits(4, 100_000, 10_000), rejected)
    return work.run(threading.Event(), until_end=True)


def test_a_topic_is_imported_and_offsets_wait_for_the_collector(kafka_servers: str, fake: FakeCollector, tmp_path: Path) -> None:
    topic, rejected = f"foreign-{uuid4().hex[:8]}", tmp_path / "r.jsonl"
    records = [json.dumps({"id": n, "u": f"u{n}"}).encode() for n in range(10)]
    create(kafka_servers, topic)
    fill(kafka_servers, topic, [*records, b"{", b'{"id": 1}', None])
    fake.answers = [(200, {}), (401, {})]
    with pytest.raises(Refused):
        take(kafka_servers, topic, fake, rejected)
    assert 1 <= len(fake.taken) <= 4
    counts = take(kafka_servers, topic, fake, rejected)
    assert {message["messageId"] for message in fake.taken} == {f"e:{n}" for n in range(10)}
    assert len(fake.taken) <= 14
    kept = [json.loads(line) for line in rejected.read_text().splitlines()]
    assert {one["reason"] for one in kept} == {"unreadable", "missing_identifier"}
    assert counts.rejected >= 1
    before = len(fake.taken)
    assert take(kafka_servers, topic, fake, rejected).records == 0
    fill(kafka_servers, topic, [b'{"id": 11, "u": "x"}'])
    assert take(kafka_servers, topic, fake, rejected).events == 1
    assert len(fake.taken) == before + 1
    with pytest.raises(CdpError, match="There is no topic"):
        take(kafka_servers, "nobodys", fake, rejected)
