"""Profiles on a Redis Cluster of three servers, under the real PROFILE step; everything else is on a Redis by itself."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from cdp.events import Event, encode
from cdp.people import one_id
from cdp.redis import connect
from cdp.topics import Names
from loadtest.stack import free_port_base
from profiles.canonical import fingerprints, spell
from profiles.inbox import RECENT
from profiles.kernel import Kernel
from profiles.state import Person
from streams.profile.books import fixed
from streams.profile.step import ProfileStep
from streams.profile.store import ProfileStore, StaleWriter
from tests.shop import CALENDAR, NOW, make_event, order, rules

SLOTS, SERVERS = 16_384, 3
NAMES = Names("cluster")
PEOPLE = range(1, 31)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.RedisCluster]:
    """Three servers, each with a third of the slots."""
    base = free_port_base()
    ports = [base + number for number in range(SERVERS)]
    processes = [_start(port, tmp_path_factory.mktemp(f"redis-{port}")) for port in ports]
    nodes = [redis.Redis(port=port) for port in ports]
    try:
        for node in nodes:
            _until(node.ping)
        edges = [SLOTS * number // SERVERS for number in range(SERVERS + 1)]
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
            nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", ports[number])
        for node in nodes:
            _until(lambda node=node: node.cluster("info")["cluster_state"] == "ok")
        yield redis.RedisCluster(host="127.0.0.1", port=ports[0], socket_timeout=5)
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)


def _start(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    options = {"port": port, "cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "dir": folder, "save": '""'}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)


def _until(holds: object) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if holds():  # type: ignore[operator]
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "the cluster does not come up"
        time.sleep(0.1)


def _rows(events: list[tuple[int, Event]], first: int = 0) -> list[tuple[bytes, int, int]]:
    rows = []
    for offset, (person, event) in enumerate(events, start=first):
        head = {"one_id": one_id(person), "person": person, "part": person, "origin": [0, offset]}
        rows.append((msgspec.json.encode({**head, **msgspec.json.decode(encode(event))}), 0, offset))
    return rows


def _events() -> list[tuple[int, Event]]:
    shop = [(person, order(f"o{person}", f"o{person}", 10.0 + person)) for person in PEOPLE]
    busy = [(1, make_event(f"v{number}", "Product Viewed", time=NOW + number)) for number in range(2 * RECENT)]
    return [*shop, *busy, *shop]


def _step(store: ProfileStore) -> ProfileStep:
    return ProfileStep(store, fixed(Kernel(rules(), CALENDAR)), {}, lambda _: {}, lambda: NOW)


def _figures(store: ProfileStore) -> list[object]:
    people = store.load(list(PEOPLE))
    return [[spell(people[number].person), fingerprints(people[number].person)] for number in PEOPLE]


def test_profiles_on_a_cluster_are_those_on_one_server(cluster: redis.RedisCluster, redis_url: str) -> None:
    client = connect(redis_url)
    spread, together = ProfileStore(client, NAMES, cluster), ProfileStore(client, Names("one"))
    for store in (spread, together):
        step, rows = _step(store), _rows(_events())
        for first in range(0, len(rows), 50):
            step.process(rows[first : first + 50])
        store.forget()
    assert _figures(spread) == _figures(together)
    masters = {cluster.keyslot(NAMES.profile_key(person)) * SERVERS // SLOTS for person in PEOPLE}
    assert masters == set(range(SERVERS))
    assert cluster.keyslot(NAMES.profile_key(1)) == cluster.keyslot(NAMES.slices_key(1))
    assert cluster.exists(NAMES.slices_key(1)) == 1
    assert client.keys(f"{NAMES.prefix}:profile:*") == []


def test_a_replay_counts_nothing_again(cluster: redis.RedisCluster, redis_url: str) -> None:
    names, rows = Names("replayed"), _rows(_events())
    store = ProfileStore(connect(redis_url), names, cluster)
    outputs = _step(store).process(rows)
    before = _figures(store)
    again = _step(ProfileStore(connect(redis_url), names, cluster)).process(rows)
    assert again == outputs
    store.forget()
    assert _figures(store) == before


def test_a_writer_that_is_late_writes_nothing(cluster: redis.RedisCluster, redis_url: str) -> None:
    names = Names("late")
    zombie, store = (ProfileStore(connect(redis_url), names, cluster) for _ in range(2))
    held = zombie.load([5])
    _step(store).process(_rows([(5, order("o1", "o1", 5.0))]))
    entry = held[5]
    assert isinstance(entry.person, Person)
    entry.is_changed = True
    with pytest.raises(StaleWriter):
        zombie.save({5: (0, entry)}, {}, {})
    store.forget()
    assert store.load([5])[5].person.offset == 0
