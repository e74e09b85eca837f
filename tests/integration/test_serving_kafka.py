"""Collect and dispatch as processes, on a real Kafka broker and a real Redis."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import segment.analytics.client as sdk

from cdp import kafka, redis
from cdp.errors import Unavailable
from cdp.events import Action, encode
from cdp.settings import Settings
from cdp.topics import Names
from serving.definitions import mint_write_key
from serving.dispatch.fence import Fence
from tests.sealing import sealing

PARTITIONS = 4
Record = tuple[int, int, str, dict[str, Any]]  # partition, offset, key, value


@dataclass
class World:
    settings: Settings
    names: Names
    env: dict[str, str]

    @contextmanager
    def process(self, module: str) -> Iterator["subprocess.Popen[bytes]"]:
        started = subprocess.Popen([sys.executable, "-m", module], env=self.env)
        try:
            yield started
        finally:
            if started.poll() is None:
                started.terminate()
                assert started.wait(30) in (0, -signal.SIGTERM)

    def read(self, topic: str, count: int) -> list[Record]:
        """The first `count` records."""
        return self.read_until(topic, lambda records: len(records) >= count)

    def read_until(self, topic: str, enough: Callable[[list[Record]], bool]) -> list[Record]:
        """The records from the first one on, until there are enough of them or a minute is over."""
        client = kafka.consumer(self.settings.kafka_servers, group=f"test-{uuid.uuid4()}", client_id="test")
        client.subscribe([topic])
        records: list[Record] = []
        deadline = time.monotonic() + 60
        while not enough(records) and time.monotonic() < deadline:
            record = client.poll(0.5)
            if record is not None and record.error() is None:
                records.append((record.partition(), record.offset(), record.key().decode(), json.loads(record.value())))
        client.close()
        return records


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 60_000)


def eventually(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def world(tmp_path: Path, kafka_servers: str, redis_url: str) -> World:
    values: dict[str, Any] = {
        "data_dir": tmp_path / "data", "port_base": free_port(), "kafka": kafka_servers, "redis": redis_url,
        "topic_prefix": f"t{uuid.uuid4().hex[:8]}", "partitions": PARTITIONS,
    }  # fmt: skip
    env = {key: value for key, value in os.environ.items() if not key.startswith("CDP_")}
    env |= {f"CDP_{name.upper()}": str(value) for name, value in values.items()}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    settings = Settings(**values)
    names = Names(settings.topic_prefix)
    kafka.ensure_topics(kafka_servers, names, PARTITIONS)
    sealing(settings)  # makes the keyring, as `cdp up` would
    return World(settings, names, env)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_real_sdk_sends_and_every_event_is_in_kafka(world: World) -> None:
    with world.process("serving"):
        url = world.settings.api_url
        eventually(lambda: answers(url))
        failures: list[Exception] = []
        client = sdk.Client(
            mint_write_key(world.settings, "shop"), host=url, gzip=True, on_error=lambda error, _: failures.append(error)
        )  # fmt: skip
        for number in range(120):
            client.track(f"u{number % 10}", "Product Viewed", {"n": number, "name": "红色连衣裙"})
        client.identify("u1", {"email": "ann@example.com"})
        client.alias("a1", "u1")
        client.page("u1", name="Home")
        client.group("u1", "g1")
        client.flush()
        client.shutdown()
        assert failures == []
        events = world.read(world.names.events, 124)
        assert Counter(value["kind"] for *_, value in events) == {"track": 120, "identify": 1, "alias": 1, "page": 1, "group": 1}
        assert {value["source"]["library"] for *_, value in events} == {"analytics-python"}
        partitions: dict[str, set[int]] = {}
        for partition, _, key, _ in events:
            partitions.setdefault(key, set()).add(partition)
        assert all(len(found) == 1 for found in partitions.values())
        bad = httpx.post(f"{url}/v1/batch", auth=(client.write_key, ""), json={"batch": [{"type": "merge", "userId": "u"}]})
        assert (bad.status_code, bad.json()["rejected"]) == (200, 1)
        letters = world.read(world.names.dead_letters, 1)
        assert [value["reason"] for *_, value in letters] == ["unsupported_type"]

        assert httpx.post(f"{url}/v1/batch", content=b"{").status_code == 400
        assert redis.connect(world.settings.redis_url).hgetall(world.names.rejected_key) == {b"invalid_json": b"1"}
        ready = httpx.get(f"{url}/readyz", timeout=10)
        assert ready.status_code == 503
        assert {name: part["ok"] for name, part in ready.json()["parts"].items()} == {
            "kafka": True, "redis": True, "clickhouse": False, "definitions": True,
        }  # fmt: skip


@dataclass
class Hook:
    """A webhook's receiver: counts what arrives; ids that begin with ``flaky`` fail at first."""

    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            try:
                name = json.loads(body)["action_id"]
            except ValueError:
                return  # the sender was killed in the middle of it
            hook.seen[name] += 1
            status = 503 if name.startswith("flaky") and hook.seen[name] < 3 else 200
            if status == 200:
                hook.taken[name] += 1
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hook
    server.shutdown()


def action(name: str, channel: str = "webhook") -> Action:
    now = time.time_ns() // 1000
    return Action(
        action_id=name, rule="welcome", rule_version=1, one_id="P0000000001", person=1, occasion="ever", channel=channel,
        content={"text": "hello"}, time=now, received_at=now, message_id="m", p=0, o=0, seq=0,
    )  # fmt: skip


def delivered(records: list[Record]) -> set[str]:
    return {value["action_id"] for *_, value in records if value["status"] == "delivered"}


def test_actions_survive_a_killed_dispatcher(world: World, hook: Hook) -> None:
    world.env["CDP_WEBHOOK_URL"] = hook.url
    producer = kafka.producer(world.settings.kafka_servers, client_id="test")
    names = [f"a{number}" for number in range(300)] + ["flaky"]
    for name in [*names, "a0"]:  # the first comes twice
        producer.produce(world.names.actions, encode(action(name)), name if name != "a0" else uuid.uuid4().hex)
    producer.produce(world.names.actions, encode(action("to-log", "log")), "x")
    producer.flush()
    with world.process("serving.dispatch") as first:
        eventually(lambda: len(hook.taken) > 20)
        first.kill()
        first.wait()
    with world.process("serving.dispatch"):
        eventually(lambda: set(hook.taken) == set(names))
        deliveries = world.read_until(world.names.deliveries, lambda records: delivered(records) >= {*names, "to-log"})
    assert delivered(deliveries) == {*names, "to-log"}
    repeated = [name for name, count in hook.taken.items() if count > 1]
    assert len(repeated) <= 64  # only what was under way at the moment of the kill
    assert hook.seen["flaky"] >= 3
    lines = (world.settings.logs_dir / "actions.jsonl").read_text().splitlines()
    assert {json.loads(line)["action_id"] for line in lines} == {"to-log"}


def test_the_fence_of_many_actions_at_once(redis_url: str) -> None:
    async def run(url: str) -> list[tuple[bytes | None, int]]:
        store = redis.connect_async(url)
        fence = Fence(store, Names("fence"))
        try:
            await asyncio.gather(*(fence.done(f"a{n}", b"%d" % n) for n in range(50)), fence.failed("b", 3))
            found = await asyncio.gather(*(fence.look(name) for name in [*(f"a{n}" for n in range(50)), "b", "c"]))
            assert 0 < await store.ttl("fence:done:{a0}") <= 90 * 86_400
            assert 0 < await store.ttl("fence:tries:{b}") <= 7 * 86_400
            return found
        finally:
            await store.aclose()

    assert asyncio.run(run(redis_url)) == [*((b"%d" % n, 0) for n in range(50)), (None, 3), (None, 0)]
    with pytest.raises(Unavailable):
        asyncio.run(run("redis://127.0.0.1:1/0"))
