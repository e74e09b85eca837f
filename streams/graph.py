"""The identity graph in Redis: identifiers lead to people's numbers. Known ones are plain reads; linking is one function."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import redis

from cdp.topics import Names
from streams.functions import Functions

LINK_CHUNK = 250  # events per call: other clients of Redis wait meanwhile


@dataclass(frozen=True)
class Merged:
    """Two people turned out to be one, at an offset of a source partition."""

    offset: int
    survivor: int
    loser: int


@dataclass(frozen=True)
class LinkRequest:
    """An event's identifiers, "type:value", the strongest first, and its position on `events`."""

    ids: Sequence[str]
    partition: int
    offset: int


@dataclass(frozen=True)
class Linked:
    """The person of an event, and the merges that it caused, in their order."""

    person: int
    merges: tuple[Merged, ...] = ()


class IdentityGraph:
    """Reads and links identifiers of one platform."""

    def __init__(self, client: "redis.Redis[bytes]", names: Names, exclusive: Sequence[str]) -> None:
        self._client = client
        self._names = names
        self._exclusive = dict.fromkeys(exclusive, True)
        self._functions = Functions(client)

    def look_up(self, ids: Sequence[str]) -> dict[str, int]:
        """The people of the identifiers that are known, in one round trip."""
        if not ids:
            return {}
        found = self._client.mget([f"{self._names.prefix}:id:{key}" for key in ids])
        return {key: int(value) for key, value in zip(ids, found, strict=True) if value is not None}

    def link(self, requests: Sequence[LinkRequest]) -> list[Linked]:
        """Link the identifiers of events, one event after the other: atomic for each chunk, safe from several workers."""
        linked: list[Linked] = []
        for start in range(0, len(requests), LINK_CHUNK):
            chunk = requests[start : start + LINK_CHUNK]
            events = [{"ids": r.ids, "p": r.partition, "o": r.offset} for r in chunk]
            answers = self._functions.link(
                self._names.prefix, msgspec.json.encode({"exclusive": self._exclusive, "events": events})
            )
            linked += [_linked(answer.decode(), r.offset) for answer, r in zip(answers, chunk, strict=True)]
        return linked

    def merges_since(self, partition: int, offset: int) -> list[Merged]:
        """Merges caused by events of a source partition at or after an offset, in their order."""
        stored = self._client.zrangebyscore(self._merges_key(partition), offset, "+inf")
        parsed = [Merged(*map(int, member.decode().split(":"))) for member in stored]
        # Within one offset a later merge joins an older survivor, so survivors fall.
        return sorted(parsed, key=lambda merged: (merged.offset, -merged.survivor))

    def forget_merges(self, partition: int, offset: int) -> None:
        """Drop merges below a committed offset: their events will not come again."""
        self._client.zremrangebyscore(self._merges_key(partition), "-inf", f"({offset}")

    def _merges_key(self, partition: int) -> str:
        return f"{self._names.prefix}:merges:{partition}"


def _linked(answer: str, offset: int) -> Linked:
    person, *merges = answer.split(",")
    return Linked(int(person), tuple(Merged(offset, *map(int, merge.split(":"))) for merge in merges))
