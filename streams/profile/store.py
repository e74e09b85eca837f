"""Profiles in Redis: read in one round trip, written in one, and never over somebody else's write.

What was written lately is not read again: a person has one writer. If there was another one all the same, the version does not
fit when the profile is written, the job restarts, and its memory is empty.

A profile is a string, and for what has outgrown it a hash beside the string, in the same slot: see `profiles.state`. Both are
written by one function of Redis, which compares the version first. On a Redis Cluster each profile is a call of its own.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis

from cdp.topics import Names
from profiles.inbox import has_buckets
from profiles.state import Person, Stored, pack, unpack, version_bytes
from streams.functions import Functions
from streams.profile.books import NO_CHANGES, Changes
from streams.profile.outbox import Emitted, queue_outbox, read_outbox
from streams.profile.rule_books import queue_changes

SAVE_CHUNK = 500  # profiles per call: other clients of Redis wait meanwhile
DUE_PAGE = 500
KEPT = 5_000  # profiles that stay in memory: whoever does something mostly does more within seconds

Wanted = Callable[[int, Person], set[str]]
"""The fields outside of a person's envelope that a batch will need."""


class StaleWriter(RuntimeError):
    """Another writer changed a profile meanwhile: this worker is, or was, a zombie. The job restarts and reads again."""


@dataclass(slots=True)
class Entry:
    """A loaded profile. `is_changed`: it has to be written; `waited_since`: as it was loaded."""

    person: Person
    is_changed: bool = False
    waited_since: int = field(init=False)

    def __post_init__(self) -> None:
        """Who waits is listed: see `ProfileStore.save`."""
        self.waited_since = self.person.log.waits_since


@dataclass(frozen=True)
class Due:
    """A tick, which wakes the people of its partition who are due."""

    partition: int
    offset: int
    time: int


class ProfileStore:
    """Reads and writes profiles of one platform.

    Args:
        client: of the Redis with everything else: outbox, timers, who waits.
        profiles: of the Redis, or the cluster, with the profiles; None: the same.
    """

    def __init__(self, client: "redis.Redis[bytes]", names: Names, profiles: Any = None) -> None:
        self._client = client
        self._profiles: Any = client if profiles is None else profiles
        self._names = names
        self._is_cluster = isinstance(self._profiles, redis.RedisCluster)
        self._functions = Functions(self._profiles)
        self._recent: OrderedDict[int, Entry] = OrderedDict()

    def find_due(self, ticks: Iterable[Due]) -> dict[tuple[int, int], list[int]]:
        """For each tick, the people who are due, oldest first, a page at most: the next tick finds the others."""
        ticks = list(ticks)
        pipeline = self._client.pipeline(transaction=False)
        for tick in ticks:
            pipeline.zrangebyscore(self._names.due_key(tick.partition), "-inf", tick.time, start=0, num=DUE_PAGE)
        answers = pipeline.execute()
        return {(tick.partition, tick.offset): sorted(map(int, people)) for tick, people in zip(ticks, answers, strict=True)}

    def emitted_since(self, partition: int, offset: int) -> dict[int, Emitted]:
        """What was put out for the records of a partition from an offset on, before a restart."""
        return read_outbox(self._client.zrangebyscore(self._names.outbox_key(partition), offset, "+inf"), offset)

    def load(self, people: Collection[int], wanted: Wanted | None = None) -> dict[int, Entry]:
        """The profiles of people, new ones where there are none.

        Args:
            wanted: what will be needed of those of whom something lies outside; without it everything is fetched when it is
                asked for.
        """
        entries = {number: self._recent[number] for number in people if number in self._recent}
        missing = [number for number in people if number not in entries]
        for number, head in zip(missing, self._read([self._names.profile_key(number) for number in missing]), strict=True):
            fetch = partial(self._fetch, self._names.slices_key(number))
            entries[number] = Entry(unpack(head, fetch=fetch) if head else Person(number))
        if wanted is not None:
            self._prefetch(entries, wanted)
        return entries

    def forget(self) -> None:
        """After an error: what is in memory may be further than what is in Redis."""
        self._recent.clear()

    def save(
        self,
        entries: Mapping[int, tuple[int, Entry]],
        emitted: Mapping[int, Mapping[int, Emitted]],
        committed: Mapping[int, int],
        healed: int = 0,
        changes: Changes = NO_CHANGES,
    ) -> None:
        """Write what was put out, then the changed profiles, then who is due and who waits; see `streams.profile.outbox`.

        Args:
            entries: person to (partition, entry).
            emitted: partition to offset to what was put out.
            committed: partition to committed offset.
            healed: how many people had waited for too long, and were helped.
            changes: of rule books.

        Raises StaleWriter if a profile was changed meanwhile.
        """
        changed = [(person, partition, entry) for person, (partition, entry) in entries.items() if entry.is_changed]
        if not changed and not emitted and not changes.sweeps:
            return
        pipeline = self._client.pipeline(transaction=False)
        for partition, by_offset in emitted.items():
            queue_outbox(pipeline, self._names.outbox_key(partition), by_offset, committed.get(partition, 0))
        if self._profiles is self._client:
            saves = self._queue_profiles(pipeline, changed)
            self._queue_lists(pipeline, changed, healed)
            queue_changes(pipeline, self._names, changes)
            answers = self._run(pipeline)
            self._check([answers[place] for place in saves])
        else:  # one after the other: what is on two servers is not written in the order of a pipeline
            self._run(pipeline)
            profiles = self._profiles.pipeline() if self._is_cluster else self._profiles.pipeline(transaction=False)
            self._queue_profiles(profiles, changed)
            self._check(self._run(profiles))
            lists = self._client.pipeline(transaction=False)
            self._queue_lists(lists, changed, healed)
            queue_changes(lists, self._names, changes)
            self._run(lists)
        for number, _, entry in changed:
            entry.person.version += 1
            entry.is_changed = False
            self._recent[number] = entry
            self._recent.move_to_end(number)
        while len(self._recent) > KEPT:
            self._recent.popitem(last=False)

    def _read(self, keys: list[str]) -> list[bytes | None]:
        if not keys:
            return []
        found: list[bytes | None] = self._profiles.mget_nonatomic(keys) if self._is_cluster else self._profiles.mget(keys)
        return found

    def _fetch(self, key: str, name: str) -> bytes | None:
        found: bytes | None = self._profiles.hget(key, name)
        return found

    def _prefetch(self, entries: Mapping[int, Entry], wanted: Wanted) -> None:
        """Read what will be needed of those of whom something lies outside."""
        asked: dict[int, list[str]] = {}
        for number, entry in entries.items():
            person = entry.person
            if (person.has_outside or has_buckets(person)) and (names := person.lacks(wanted(number, person))):
                asked[number] = names
        if not asked:
            return
        pipeline = self._profiles.pipeline() if self._is_cluster else self._profiles.pipeline(transaction=False)
        for number, names in asked.items():
            pipeline.hmget(self._names.slices_key(number), names)
        for (number, names), values in zip(asked.items(), pipeline.execute(), strict=True):
            found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            entries[number].person.supply(found)

    def _queue_profiles(self, pipeline: Any, changed: list[tuple[int, int, Entry]]) -> list[int]:
        """Returns the places of the answers."""
        chunk, places = 1 if self._is_cluster else SAVE_CHUNK, []
        for start in range(0, len(changed), chunk):
            keys: list[str] = []
            arguments: list[bytes | int | str] = []
            for number, _, entry in changed[start : start + chunk]:
                keys += [self._names.profile_key(number), self._names.slices_key(number)]
                arguments += _arguments(entry.person, pack(entry.person))
            self._functions.save(pipeline, keys, arguments)
            places.append(len(pipeline) - 1)
        return places

    def _queue_lists(self, pipeline: Any, changed: list[tuple[int, int, Entry]], healed: int) -> None:
        due: dict[int, dict[str, int]] = {}
        not_due: dict[int, list[str]] = {}
        for number, partition, entry in changed:
            if wake_at := entry.person.wake_at:
                due.setdefault(partition, {})[str(number)] = wake_at
            else:
                not_due.setdefault(partition, []).append(str(number))
        for partition, members in due.items():
            pipeline.zadd(self._names.due_key(partition), members)
        for partition, people in not_due.items():
            pipeline.zrem(self._names.due_key(partition), *people)
        for number, partition, entry in changed:
            self._list_waiting(pipeline, number, partition, entry)
        if healed:
            pipeline.incrby(self._names.healed_key, healed)

    def _list_waiting(self, pipeline: Any, number: int, partition: int, entry: Entry) -> None:
        """Keep the list of people who wait for something, by the moment since when."""
        since = entry.person.log.waits_since
        if since and since != entry.waited_since:
            pipeline.zadd(self._names.waiting_key(partition), {str(number): since})
        elif not since and entry.waited_since:
            pipeline.zrem(self._names.waiting_key(partition), str(number))
        entry.waited_since = since

    def _run(self, pipeline: Any) -> list[Any]:
        answers: list[Any] = pipeline.execute(raise_on_error=False) if len(pipeline) else []
        for answer in answers:
            if isinstance(answer, redis.ResponseError) and "Function not found" in str(answer):
                self._functions.load()
            if isinstance(answer, Exception):
                raise answer
        return answers

    @staticmethod
    def _check(answers: list[Any]) -> None:
        if any(answer != 0 for answer in answers):
            raise StaleWriter("A profile was changed by another writer; reading again.")


def _arguments(person: Person, stored: Stored) -> list[bytes | int | str]:
    """What the function of Redis takes for one profile."""
    arguments: list[bytes | int | str] = [version_bytes(person.version), stored.head, len(stored.fields)]
    for name, value in stored.fields.items():
        arguments += [name, b"" if value is None else value]
    return arguments
