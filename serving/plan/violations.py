"""Count what breaks the tracking plan, with samples: gathered in memory, and written to Redis about once a second.

Nothing here waits for Redis while an event is taken, and nothing grows without bound: neither in memory nor in Redis.
Redis keys, each kept KEEP_DAYS: a hash of counts for each UTC day, and a short list of samples for each event.
"""

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from cdp.clock import DAY, Clock, date_of, to_iso
from cdp.mask import mask_all
from cdp.topics import Names
from rules.seal import Sealer
from serving.plan.compile import Verdict

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
MAX_PENDING = 5_000
MAX_COUNTED = 20_000
MAX_SAMPLED_EVENTS = 200
SAMPLES = 20
MAX_SAMPLE = 2_048
MAX_EVENT, MAX_SOURCE, MAX_ID = 200, 100, 256
KEEP_DAYS = 30
OTHER = ("(other)", "", "", "")

_INDEX = re.compile(r"\[\d+\]")

Field = tuple[str, str, str, str]
"""Event, path, keyword of JSON Schema, source."""

_decode_field = msgspec.json.Decoder(Field).decode


class Sample(msgspec.Struct):
    """One event that broke the plan; `properties` is the beginning of its JSON text, personal ones sealed.

    `time` is in microseconds.
    """

    time: int
    source: str
    message_id: str
    action: str
    violations: list[tuple[str, str, str]]
    properties: str


@dataclass(frozen=True)
class Counted:
    """How often something was wrong in the days asked for."""

    event: str
    path: str
    keyword: str
    source: str
    count: int


class Violations:
    """What has broken the plan since the last flush."""

    def __init__(self, names: Names, redis: Any, clock: Clock, sealer: Callable[[], Sealer]) -> None:
        self._names = names
        self._redis = redis
        self._clock = clock
        self._sealer = sealer
        self._counts: Counter[Field] = Counter()
        self._samples: dict[str, list[bytes]] = {}
        self._task: asyncio.Task[None] | None = None

    def record(self, event: str, source: str, message_id: str, verdict: Verdict, properties: Mapping[str, Any]) -> None:
        """Count a verdict's violations; never raises, never waits. Does nothing for a verdict without any."""
        if not verdict.violations:
            return
        event, source = mask_all(_clean(event, MAX_EVENT)), _clean(source, MAX_SOURCE)
        for path, keyword in {(_INDEX.sub("[]", v.path), v.keyword) for v in verdict.violations}:
            field = (event, mask_all(_clean(path, MAX_EVENT)), keyword, source)
            self._counts[field if field in self._counts or len(self._counts) < MAX_PENDING else OTHER] += 1
        self._sample(event, source, message_id, verdict, properties)

    def _sample(self, event: str, source: str, message_id: str, verdict: Verdict, properties: Mapping[str, Any]) -> None:
        samples = self._samples.get(event)
        if samples is None:
            if len(self._samples) >= MAX_SAMPLED_EVENTS:
                return
            samples = self._samples[event] = []
        if len(samples) < SAMPLES:
            sealer = self._sealer()
            found = [
                (mask_all(_clean(v.path, MAX_EVENT)), sealer.explanation(_clean(v.message, MAX_EVENT), v.path), v.keyword)
                for v in verdict.violations[:5]
            ]
            id_ = sealer.message_id(_clean(message_id, MAX_ID))
            seal = sealer.traits if event == "identify" else sealer.properties
            sample = Sample(self._clock(), source, id_, verdict.action, found, _beginning(properties, seal))
            samples.append(msgspec.json.encode(sample))

    def start(self) -> None:
        """Flush about each second from now on; call inside the running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Flush what is left, if Redis takes it, and stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write to Redis. If it is away, counts are kept for the next time, and samples are dropped."""
        counts, self._counts = self._counts, Counter()
        samples, self._samples = self._samples, {}
        if not counts:
            return
        try:
            await self._write(counts, samples)
        except Exception as error:  # whatever is wrong with Redis, collecting goes on
            log.error("violations of the tracking plan could not be written to Redis yet: %s", error)
            for field, count in counts.items():
                self._counts[field if field in self._counts or len(self._counts) < MAX_PENDING else OTHER] += count

    async def _write(self, counts: Counter[Field], samples: dict[str, list[bytes]]) -> None:
        key = counts_key(self._names, self._clock() // DAY)
        fields = {msgspec.json.encode(field): count for field, count in counts.items()}
        if await self._redis.hlen(key) + len(fields) > MAX_COUNTED:
            fields = await self._only_known(key, fields)
        pipe = self._redis.pipeline(transaction=False)
        for name, count in fields.items():
            pipe.hincrby(key, name, count)
        pipe.expire(key, KEEP_DAYS * DAY // 1_000_000)
        counted = {event for event, *_ in map(_decode_field, fields)}
        for event, found in samples.items():
            if event in counted:
                pipe.lpush(samples_key(self._names, event), *found)
                pipe.ltrim(samples_key(self._names, event), 0, SAMPLES - 1)
                pipe.expire(samples_key(self._names, event), KEEP_DAYS * DAY // 1_000_000)
        await pipe.execute()

    async def _only_known(self, key: str, fields: dict[bytes, int]) -> dict[bytes, int]:
        """A day that has too many different violations counts new ones together."""
        known = await self._redis.hmget(key, list(fields))
        kept: Counter[bytes] = Counter()
        for (name, count), value in zip(fields.items(), known, strict=True):
            kept[name if value is not None else msgspec.json.encode(OTHER)] += count
        return dict(kept)


def counts_key(names: Names, day: int) -> str:
    """Redis hash of a UTC day: JSON of event, path, keyword and source -> count."""
    return f"{names.prefix}:plan:violations:{date_of(day).isoformat()}"


def samples_key(names: Names, event: str) -> str:
    """Redis list of an event's newest samples, the newest first."""
    return f"{names.prefix}:plan:samples:{sha256(event.encode('utf-8', 'replace')).hexdigest()[:32]}"


def total(days: Iterable[Mapping[bytes, bytes]], event: str = "") -> list[Counted]:
    """Add up days, the most frequent first. `event`: only of this one."""
    counts: Counter[Field] = Counter()
    for day in days:
        for name, count in day.items():
            field = _decode_field(name)
            if not event or field[0] == event:
                counts[field] += int(count)
    return [Counted(*field, count) for field, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def days_until(now: int, days: int) -> range:
    """The numbers of the last days, today included."""
    today = now // DAY
    return range(today - days + 1, today + 1)


def read_samples(found: Sequence[bytes]) -> list[dict[str, Any]]:
    """Samples as JSON values, with `time` as ISO 8601."""
    samples = [msgspec.json.decode(one, type=Sample) for one in found]
    return [
        {
            "time": to_iso(sample.time), "source": sample.source, "message_id": sample.message_id, "action": sample.action,
            "violations": [{"path": path, "message": text, "keyword": keyword} for path, text, keyword in sample.violations],
            "properties": sample.properties,
        }
        for sample in samples
    ]  # fmt: skip


def _beginning(properties: Mapping[str, Any], seal: Callable[[bytes], bytes]) -> str:
    try:
        return seal(msgspec.json.encode(properties))[:MAX_SAMPLE].decode("utf-8", "ignore")
    except (TypeError, ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return ""


def _clean(text: str, longest: int) -> str:
    """Short enough, and without what UTF-8 cannot hold."""
    return text[:longest].encode("utf-8", "replace").decode()
