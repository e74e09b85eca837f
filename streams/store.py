"""Profiles in Redis: read in one round trip, written in one, and never over somebody else's write."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import redis

from cdp.profile import Profile, new_profile, pack, pack_state, unpack
from cdp.topics import Names
from streams.functions import Functions
from streams.records import Output

SAVE_CHUNK = 500  # profiles per call: other clients of Redis wait meanwhile
DUE_PAGE = 500
_VERSION = struct.Struct(">Q")


class StaleWriter(RuntimeError):
    """Another writer changed a profile meanwhile: this worker is, or was, a zombie. The job restarts and reads again."""


@dataclass(slots=True)
class Entry:
    """A loaded profile. `version` 0: it is new; `opened`: parts that were decoded, as they are now, by number; `waited_since`: as
    it was loaded.
    """

    key: str
    profile: Profile
    version: int
    dirty: bool = False
    opened: dict[int, Profile] = field(default_factory=dict)
    waited_since: int = field(init=False)

    def __post_init__(self) -> None:
        """Who waits is listed: see `ProfileStore.save`."""
        self.waited_since = self.profile.waits_since if self.profile.is_waiting else 0

    def close(self) -> None:
        """Write the parts that were opened back into the profile."""
        for number, state in self.opened.items():
            self.profile.parts[number] = pack_state(state)
        self.opened.clear()


class Said(msgspec.Struct, array_like=True):
    """What was put out for one record, besides its own fact; `refused`: it was not applied, and makes no fact."""

    outputs: list[Output]
    refused: bool = False


_encode_outbox = msgspec.msgpack.Encoder().encode
_decode_outbox = msgspec.msgpack.Decoder(dict[int, Said]).decode


@dataclass(frozen=True)
class Due:
    """A tick, which wakes the people of its partition who are due."""

    partition: int
    offset: int
    time: int


class ProfileStore:
    """Reads and writes profiles of one platform."""

    def __init__(self, client: "redis.Redis[bytes]", names: Names) -> None:
        self._client = client
        self._names = names
        self._functions = Functions(client)

    def find_due(self, ticks: Iterable[Due]) -> dict[tuple[int, int], list[int]]:
        """For each tick, the people who are due, oldest first, a page at most: the next tick finds the others."""
        ticks = list(ticks)
        pipeline = self._client.pipeline(transaction=False)
        for tick in ticks:
            pipeline.zrangebyscore(self._names.due_key(tick.partition), "-inf", tick.time, start=0, num=DUE_PAGE)
        answers = pipeline.execute()
        return {(tick.partition, tick.offset): sorted(map(int, people)) for tick, people in zip(ticks, answers, strict=True)}

    def said_since(self, partition: int, offset: int) -> dict[int, Said]:
        """What was put out for the records of a partition from an offset on, before a restart."""
        said: dict[int, Said] = {}
        for blob in self._client.zrangebyscore(self._outbox_key(partition), offset, "+inf"):
            for at, found in _decode_outbox(blob).items():
                known = said.get(at)
                if at < offset or (known is not None and len(known.outputs) > len(found.outputs)):
                    continue  # a tick that came again put out more each time, and each time all that it had put out before
                said[at] = Said(found.outputs, found.refused or (known is not None and known.refused))
        return said

    def load(self, people: Iterable[int]) -> dict[int, Entry]:
        """The profiles of people, new ones where there are none."""
        wanted = list(people)
        if not wanted:
            return {}
        keys = [self._names.profile_key(person) for person in wanted]
        entries = {}
        for person, key, value in zip(wanted, keys, self._client.mget(keys), strict=True):
            entries[person] = Entry(key, *unpack(value)) if value else Entry(key, new_profile(person), 0)
        return entries

    def save(
        self,
        entries: dict[int, tuple[int, Entry]],
        said: Mapping[int, Mapping[int, Said]],
        committed: Mapping[int, int],
        healed: int = 0,
    ) -> None:
        """Write what was said, then the dirty profiles, then who is due and who waits, in one round trip and in this order.

        A crash in between leaves words for records that count as not handled yet: they are said anew, to the same effect.

        Args:
            entries: person to (partition, entry).
            said: partition to offset to what was put out.
            committed: partition to committed offset: what lies below will not come again, and need not be said again.
            healed: how many people had waited for too long, and were helped.

        Raises StaleWriter if a profile was changed meanwhile.
        """
        dirty = [(person, partition, entry) for person, (partition, entry) in entries.items() if entry.dirty]
        if not dirty and not said:
            return
        pipeline = self._client.pipeline(transaction=False)
        for partition, by_offset in said.items():
            pipeline.zremrangebyscore(self._outbox_key(partition), "-inf", f"({committed.get(partition, 0)}")
            pipeline.zadd(self._outbox_key(partition), {_encode_outbox(by_offset): max(by_offset)})
        saves = []
        for start in range(0, len(dirty), SAVE_CHUNK):
            chunk = dirty[start : start + SAVE_CHUNK]
            arguments: list[bytes] = []
            for _, _, entry in chunk:
                entry.close()
                arguments.append(_VERSION.pack(entry.version) if entry.version else b"")
                arguments.append(pack(entry.profile, entry.version + 1))
            self._functions.save(pipeline, [entry.key for _, _, entry in chunk], arguments)
            saves.append(len(pipeline) - 1)
        self._queue_due(pipeline, dirty)
        self._list_waiting(pipeline, dirty)
        if healed:
            pipeline.incrby(self._names.healed_key, healed)
        answers = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, redis.ResponseError) and "Function not found" in str(answer):
                self._functions.load()
            if isinstance(answer, Exception):
                raise answer
        if any(answers[index] != 0 for index in saves):
            raise StaleWriter("A profile was changed by another writer; reading again.")
        for _, _, entry in dirty:
            entry.version += 1
            entry.dirty = False

    def _queue_due(self, pipeline: "redis.client.Pipeline[bytes]", dirty: list[tuple[int, int, Entry]]) -> None:
        due: dict[int, dict[str, int]] = {}
        not_due: dict[int, list[str]] = {}
        for person, partition, entry in dirty:
            if wake_at := entry.profile.wake_at:
                due.setdefault(partition, {})[str(person)] = wake_at
            else:
                not_due.setdefault(partition, []).append(str(person))
        for partition, members in due.items():
            pipeline.zadd(self._names.due_key(partition), members)
        for partition, people in not_due.items():
            pipeline.zrem(self._names.due_key(partition), *people)

    def _list_waiting(self, pipeline: "redis.client.Pipeline[bytes]", dirty: list[tuple[int, int, Entry]]) -> None:
        """Keep the list of people who wait for something, by the moment since when."""
        for person, partition, entry in dirty:
            since = entry.profile.waits_since if entry.profile.is_waiting else 0
            if since and since != entry.waited_since:
                pipeline.zadd(self._names.waiting_key(partition), {str(person): since})
            elif not since and entry.waited_since:
                pipeline.zrem(self._names.waiting_key(partition), str(person))
            entry.waited_since = since

    def _outbox_key(self, partition: int) -> str:
        return f"{self._names.prefix}:outbox:{partition}"
