"""Bench ways to keep profiles in Redis: one event of each of many people, read and written back by compare-and-set.

No profile is decoded here: the slices are bytes, of the sizes that real ones have. What is compared is what Redis and its client
do for an event:

string     one string for each person, fragments included: all of it is read and written
hash       a hash for each person, with a field for each slice: all is read, what changed is written
both       a string with the small slices, a hash beside it with those that have outgrown it: `profiles.state`
fragments  a string for the person, and one for each fragment: the person's and one fragment's are read and written
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from cdp.redis import connect
from profiles.state import KEPT_HEAD

BATCH, PEOPLE, ROUNDS, BEST_OF = 200, 1_000, 4, 3
CHANGED = ("envelope", "activity", "metrics", "inbox", "tags")  # by an event that changes a tag
_LIBRARY = """#!lua name=cdp_bench_storage
local function load(keys, args)
  local found = {}
  for i, key in ipairs(keys) do found[i] = redis.call('HGETALL', key) end
  return found
end
local function save(keys, args)
  local at = 1
  for i = 1, #keys, 2 do
    if redis.call('GETRANGE', keys[i], 0, 7) ~= args[at] then return i end
    at = at + 3 + 2 * tonumber(args[at + 2])
  end
  at = 1
  for i = 1, #keys, 2 do
    redis.call('SET', keys[i], args[at + 1])
    local last = at + 2 + 2 * tonumber(args[at + 2])
    for j = at + 3, last, 2 do redis.call('HSET', keys[i + 1], args[j], args[j + 1]) end
    at = last + 1
  end
  return 0
end
local function save_hash(keys, args)
  local at = 1
  for i, key in ipairs(keys) do
    if (redis.call('HGET', key, 'version') or '') ~= args[at] then return i end
    at = at + 2 + 2 * tonumber(args[at + 1])
  end
  at = 1
  for i, key in ipairs(keys) do
    local last = at + 1 + 2 * tonumber(args[at + 1])
    redis.call('HSET', key, unpack(args, at + 2, last))
    at = last + 1
  end
  return 0
end
redis.register_function('cdp_bench_load', load)
redis.register_function('cdp_bench_save', save)
redis.register_function('cdp_bench_save_hash', save_hash)
"""


@dataclass(frozen=True)
class Kind:
    """A kind of people: bytes of each slice, and how many fragments they are put together of."""

    name: str
    slices: dict[str, int]
    fragments: int = 1

    def person(self) -> dict[str, bytes]:
        """The slices of the person, and, if there are several, of each fragment."""
        person = {name: os.urandom(size) for name, size in self.slices.items()}
        folds = {name: size for name, size in self.slices.items() if name not in ("envelope", "tags")}
        if self.fragments > 1:
            for number in range(self.fragments):
                person |= {f"{number}/{name}": os.urandom(size // 2) for name, size in folds.items()}
        return person


_ORDINARY = {
    "envelope": 60, "activity": 30, "identifiers": 150, "attributes": 220, "orders": 160, "metrics": 250, "inbox": 240,
    "tags": 520, "occasions": 60,
}  # fmt: skip
_HEAVY = {
    "envelope": 60, "activity": 30, "identifiers": 400, "attributes": 600, "orders": 4_000, "metrics": 16_000, "inbox": 1_600,
    "tags": 3_500, "occasions": 8_000,
}  # fmt: skip
KINDS = (
    Kind("ordinary", _ORDINARY), Kind("of 4 fragments", _ORDINARY, 4), Kind("heavy", _HEAVY),
    Kind("heavy, of 3 fragments", _HEAVY, 3),
)  # fmt: skip

Way = Callable[["_Bench", list[str], dict[str, bytes], int], None]


def bench_storage(redis_url: str, update: Callable[[int], None]) -> dict[str, Any]:
    """For each kind of people and each way: CPU in microseconds of Redis and of the client, and bytes, for one event."""
    bench, done = _Bench(connect(redis_url)), 0
    found: dict[str, Any] = {}
    for kind in KINDS:
        person, found[kind.name] = kind.person(), {}
        for name, way in WAYS.items():
            found[kind.name][name] = bench.measure(way, person)
            done += 1
            update(done)
    return {"people": PEOPLE, "changed_slices": list(CHANGED), "kinds": found}


class _Bench:
    def __init__(self, client: "redis.Redis[bytes]") -> None:
        self.client = client
        client.function_load(_LIBRARY, replace=True)

    def measure(self, way: Way, person: dict[str, bytes]) -> dict[str, float]:
        """The best of some runs, each on an empty Redis."""
        return min((self._run(way, person) for _ in range(BEST_OF)), key=lambda run: run["redis_us"] + run["client_us"])

    def _run(self, way: Way, person: dict[str, bytes]) -> dict[str, float]:
        self.client.flushdb()
        keys = [f"{{p{number}}}" for number in range(PEOPLE)]
        batches = [keys[first : first + BATCH] for first in range(0, PEOPLE, BATCH)]
        for batch in batches:
            way(self, batch, person, 0)
        memory = self.client.info("memory")["used_memory_dataset"] / PEOPLE
        before, started = self.client.info(), time.process_time()
        for version in range(1, ROUNDS + 1):
            for batch in batches:
                way(self, batch, person, version)
        client_us, after, count = time.process_time() - started, self.client.info(), ROUNDS * PEOPLE
        used = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
        return {
            "redis_us": round(used / count * 1e6, 1),
            "client_us": round(client_us / count * 1e6, 1),
            "bytes_written": round((after["total_net_input_bytes"] - before["total_net_input_bytes"]) / count),
            "bytes_read": round((after["total_net_output_bytes"] - before["total_net_output_bytes"]) / count),
            "memory_bytes": round(memory),
        }


def _version(number: int) -> bytes:
    return number.to_bytes(8, "big") if number else b""


def _save(bench: _Bench, keys: list[str], heads: list[bytes], fields: dict[str, bytes], version: int) -> None:
    arguments: list[bytes | str | int] = []
    for head in heads:
        arguments += [_version(version), _version(version + 1) + head, len(fields)]
        for name, raw in fields.items():
            arguments += [name, raw]
    pairs = [name for key in keys for name in (key, f"{key}h")]
    if bench.client.fcall("cdp_bench_save", len(pairs), *pairs, *arguments) != 0:
        raise AssertionError("a version does not fit")


def _string(bench: _Bench, keys: list[str], person: dict[str, bytes], version: int) -> None:
    whole = b"".join(person.values())
    if version:
        whole = (bench.client.mget(keys)[0] or b"")[8:]
    _save(bench, keys, [whole] * len(keys), {}, version)


def _hash(bench: _Bench, keys: list[str], person: dict[str, bytes], version: int) -> None:
    written = person
    if version:
        bench.client.fcall("cdp_bench_load", len(keys), *keys)
        written = _changed(person)
    arguments: list[bytes | str | int] = []
    for _ in keys:
        arguments += [_version(version), len(written) + 1, "version", _version(version + 1)]
        for name, raw in written.items():
            arguments += [name, raw]
    if bench.client.fcall("cdp_bench_save_hash", len(keys), *keys, *arguments) != 0:
        raise AssertionError("a version does not fit")


def _both(bench: _Bench, keys: list[str], person: dict[str, bytes], version: int) -> None:
    inside, outside = _split(person)
    if not version:
        _save(bench, keys, [b"".join(inside.values())] * len(keys), outside, version)
        return
    bench.client.mget(keys)
    wanted = [name for name in outside if "/" not in name or name.startswith("0/")]
    if wanted:
        pipeline = bench.client.pipeline(transaction=False)
        for key in keys:
            pipeline.hmget(f"{key}h", wanted)
        pipeline.execute()
    _save(bench, keys, [b"".join(inside.values())] * len(keys), _changed(outside), version)


def _fragments(bench: _Bench, keys: list[str], person: dict[str, bytes], version: int) -> None:
    whole = b"".join(raw for name, raw in person.items() if "/" not in name)
    one = b"".join(raw for name, raw in person.items() if name.startswith("0/")) or whole[: len(whole) // 2]
    ours, theirs = list(keys), [f"{key}f" for key in keys]
    if version:
        bench.client.mget([*ours, *theirs])
    _save(bench, theirs, [one] * len(keys), {}, version)
    _save(bench, ours, [whole] * len(keys), {}, version)


def _changed(person: dict[str, bytes]) -> dict[str, bytes]:
    """What an event changes: some slices of the person, and of the fragment in which it counts."""
    return {name: raw for name, raw in person.items() if name.removeprefix("0/") in CHANGED}


def _split(person: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """As `profiles.state` does: the largest slices are outside, until few enough bytes are left."""
    inside, outside = dict(person), {}
    for name in sorted(person, key=lambda name: -len(person[name])):
        if sum(map(len, inside.values())) <= KEPT_HEAD:
            break
        outside[name] = inside.pop(name)
    return inside, outside


WAYS: dict[str, Way] = {"string": _string, "hash": _hash, "both": _both, "fragments": _fragments}
