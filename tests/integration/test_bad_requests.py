"""Each kind of malformed request by itself, against a collector with a broker: counted as its maker says, and no server error."""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from urllib.request import urlopen

import pytest

from cdp import kafka, redis
from cdp.settings import API, Settings
from cdp.topics import Names
from loadtest.bad_requests import Keys, Maker, kinds
from loadtest.drill_bad_input import send_all
from loadtest.stack import free_port_base
from serving.definitions import mint_write_key, revoke
from tests.sealing import sealing

EACH = 3
PATIENCE = 10.0  # seconds


class Counted:
    """How many events, dead letters and refusals there were since the last look, together."""

    def __init__(self, settings: Settings) -> None:
        from confluent_kafka import Consumer, TopicPartition

        names = Names(settings.topic_prefix)
        self._consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": "test"})
        self._places = [
            TopicPartition(topic, partition)
            for topic in (names.events, names.items, names.dead_letters)
            for partition in range(settings.partitions)
        ]
        self._redis = redis.connect(settings.redis_url)
        self._rejected = names.rejected_key
        self._last = self._now()

    def _now(self) -> int:
        written = sum(self._consumer.get_watermark_offsets(place, timeout=10)[1] for place in self._places)
        return written + sum(int(value) for value in self._redis.hvals(self._rejected))

    def look(self, expected: int) -> int:
        """Since the last look. The HTTP server itself may answer what follows a request before that one has been counted."""
        deadline = time.monotonic() + PATIENCE
        while (now := self._now()) - self._last < expected and time.monotonic() < deadline:
            time.sleep(0.05)
        since, self._last = now - self._last, now
        return since


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory, kafka_servers: str, redis_url: str) -> Iterator[Settings]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("bad") / "data", port_base=free_port_base(), kafka=kafka_servers, redis=redis_url,
        topic_prefix=f"t{uuid.uuid4().hex[:8]}",
    )  # fmt: skip
    kafka.ensure_topics(kafka_servers, Names(settings.topic_prefix), settings.partitions)
    env = {key: value for key, value in os.environ.items() if not key.startswith("CDP_")}
    for name in ("data_dir", "port_base", "kafka", "redis", "topic_prefix"):
        env[f"CDP_{name.upper()}"] = str(getattr(settings, name))
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    sealing(settings)  # makes the keyring, as `cdp up` would
    process = subprocess.Popen([sys.executable, "-m", "serving"], env=env)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(f"{settings.api_url}/healthz", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield settings
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.timeout(240)
def test_every_kind_is_counted_as_it_says(collector: Settings) -> None:
    disabled = mint_write_key(collector, "disabled")
    revoke(collector, "disabled", write_key=True)
    maker = Maker(Random(1), Keys(mint_write_key(collector, "shop"), disabled), "each")
    counted, wrong = Counted(collector), {}
    for name, (_, make) in kinds().items():
        requests = [replace(make(maker), kind=name) for _ in range(EACH)]
        sent = asyncio.run(send_all(collector.port(API), iter(requests), connections=1))
        found = counted.look(sent.expected)
        if found != sent.expected or sent.amiss:
            wrong[name] = (sent.expected, found, dict(sent.statuses), sent.amiss[:1])
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
