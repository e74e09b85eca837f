"""The identity graph in Redis. Known identifiers are plain reads; what links them is loaded, thought over and written back.

A write compares first: if another worker changed what was loaded, everything is loaded and thought over again. So two workers
that link the same identifiers at once end in one person.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import msgspec
import redis

from cdp.clock import DAY, SECOND
from cdp.identity import (
    Component,
    IdRecord,
    PublishedRules,
    Seen,
    decode_record,
    decode_rules,
    encode_record,
    pack_component,
    unpack_component,
)
from cdp.topics import Names
from rules.identity.derive import derive_keys
from rules.identity.group import rule_of
from rules.identity.model import IdentityRules
from rules.identity.place import Carve, Graph, Move, Placed
from rules.identity.sight import Sighting
from streams.functions import Functions

CHUNK = 250  # events that are placed at once: other clients of Redis wait while they are written
ATTEMPTS = 50


class Contention(RuntimeError):
    """Other workers changed the same identifiers again and again. The job restarts and tries once more."""


@dataclass(frozen=True, slots=True)
class Located:
    """A sighting and the position of its event on `events`."""

    sighting: Sighting
    partition: int
    offset: int


class Said(msgspec.Struct, array_like=True, frozen=True):
    """What an event changed for others, kept until its offset is committed."""

    offset: int
    moves: list[Move]
    carves: list[Carve]


_encode_said = msgspec.msgpack.Encoder().encode
_decode_said = msgspec.msgpack.Decoder(Said).decode


class Vault(NamedTuple):
    """Seals and opens the traits that the graph keeps, and hashes the keys by which they are found."""

    seal: Callable[[str], str] = str
    open: Callable[[str], str] = str
    token: Callable[[str], str] = str


OPEN = Vault()
"""Keeps everything as it is."""


def population(numbers: int) -> int:
    """How many people there are, at least, as a power of two: what convinces must not change with each new person."""
    return 1 << max(numbers - 1, 1).bit_length()


def with_population(rules: IdentityRules, people: int) -> IdentityRules:
    """The rules for so many people, unless they say a number themselves."""
    if rules.matching is None or rules.matching.population is not None:
        return rules
    return replace(rules, matching=replace(rules.matching, population=people))


class IdentityGraph:
    """Reads and links identifiers of one platform.

    Attributes:
        published: version of the identity rules that were in force at the last look-up; 0: the shipped ones.
    """

    def __init__(self, client: "redis.Redis[bytes]", names: Names, rules: IdentityRules, vault: Vault = OPEN) -> None:
        self._client = client
        self._names = names
        self._rules = rules
        self._vault = vault
        self._rules_of = lru_cache(maxsize=64)(with_population)
        self._functions = Functions(client)
        self.published = 0

    def use(self, rules: IdentityRules) -> None:
        """Decide by other rules from now on."""
        self._rules = rules

    def published_rules(self) -> PublishedRules | None:
        """The identity rules in force; None while those are the shipped ones."""
        value = self._client.get(self._names.identity_rules_key)
        return decode_rules(value) if value is not None else None

    def look_up(self, keys: Sequence[str]) -> dict[str, IdRecord]:
        """What is kept of the identifiers that are known, and which rules are in force, in one round trip."""
        prefix = self._names.identifier_prefix
        version, *found = self._client.mget([self._names.identity_rules_version_key, *(prefix + key for key in keys)])
        self.published = int(version) if version is not None else 0
        return {key: decode_record(value) for key, value in zip(keys, found, strict=True) if value is not None}

    def place(
        self, sightings: Sequence[Located], known: Mapping[str, IdRecord], now: int = 0
    ) -> tuple[list[Placed], dict[tuple[str, str, str], Seen | None]]:
        """Place events, one after the other: atomic for each chunk, safe from several workers.

        Args:
            known: what was read of their identifiers; it may be out of date.
            now: the wall clock; see `Graph`.

        Returns the places, and the evidence that the graph now holds of the links, by (source, one, other).
        """
        placed: list[Placed] = []
        evidence: dict[tuple[str, str, str], Seen | None] = {}
        for start in range(0, len(sightings), CHUNK):
            chunk = self._find_candidates(sightings[start : start + CHUNK])
            placed += self._place(chunk, known if start == 0 else None, evidence, now)
        return placed, evidence

    def _find_candidates(self, chunk: Sequence[Located]) -> Sequence[Located]:
        """Look up who may be the same person by traits. A key of too many people finds nobody.

        Each is filed before it looks: of two at once at least one finds the other.
        """
        matching = self._rules.matching
        wanted = [located for located in chunk if located.sighting.record] if matching is not None else []
        if not wanted or matching is None:
            return chunk
        pipeline = self._client.pipeline(transaction=False)
        asked = []
        for located in wanted:
            keys = [self._names.match_key(self._vault.token(key)) for key in derive_keys(located.sighting.record, matching)]
            asked.append(keys)
            for key in keys:
                pipeline.sadd(key, located.sighting.ids[0])
                pipeline.srandmember(key, matching.crowd + 1)
        answers = iter(pipeline.execute()[1::2])
        found: dict[int, list[str]] = {}
        for located, keys in zip(wanted, asked, strict=True):
            members = [next(answers) for _ in keys]
            few = {member.decode() for some in members if len(some) <= matching.crowd for member in some}
            found[id(located)] = sorted(few - {located.sighting.ids[0]})
        return [
            replace(located, sighting=replace(located.sighting, candidates=tuple(found[id(located)])))
            if id(located) in found
            else located
            for located in chunk
        ]

    def _place(
        self,
        chunk: Sequence[Located],
        known: Mapping[str, IdRecord] | None,
        evidence: dict[tuple[str, str, str], Seen | None],
        now: int,
    ) -> list[Placed]:
        keys = list(dict.fromkeys(key for located in chunk for key in located.sighting.keys))
        for _ in range(ATTEMPTS):
            records = self._known(chunk, known) if known is not None else self.look_up(keys)
            known = None
            unknown = sum(key not in records and not rule_of(key, self._rules).transaction for key in keys)
            records |= self._tellers(records)
            loaded = self._load(records, unknown)
            if loaded is None:
                continue
            graph, versions = loaded
            graph.now = now
            placed = [graph.place(located.sighting) for located in chunk]
            if self._write(graph, records, versions, _said(chunk, placed)):
                _collect(graph, chunk, evidence)
                return placed
        raise Contention("Identifiers were changed by others at every attempt.")

    def _known(self, chunk: Sequence[Located], known: Mapping[str, IdRecord]) -> dict[str, IdRecord]:
        """What was read of the identifiers already, and what was not asked for then."""
        candidates = {key for located in chunk for key in located.sighting.candidates}
        mine = {key: known[key] for located in chunk for key in located.sighting.keys if key in known}
        return mine | self.look_up(sorted(candidates - known.keys()))

    def _tellers(self, records: Mapping[str, IdRecord]) -> dict[str, IdRecord]:
        """What is kept of those who told of transactions, and were not asked for: they may be linked now."""
        wanted = {record.reported_by for record in records.values()} - records.keys() - {""}
        return self.look_up(sorted(wanted)) if wanted else {}

    def _load(self, records: Mapping[str, IdRecord], unknown: int) -> tuple[Graph, dict[int, bytes]] | None:
        """The part of the graph that the records belong to, and its components' versions; None if it changed meanwhile."""
        wanted = list(dict.fromkeys(record.component for record in records.values() if record.component))
        pipeline = self._client.pipeline(transaction=False)
        if wanted:
            pipeline.mget([self._names.component_key(number) for number in wanted])
        pipeline.incr(self._names.graph_version_key)
        pipeline.incrby(self._names.people_key, unknown)
        *values, version, last = pipeline.execute()
        found = dict(zip(wanted, values[0] if wanted else (), strict=True))
        if None in found.values():
            return None
        components = {number: unpack_component(value, self._vault.open)[0] for number, value in found.items()}
        if any(r.component and key not in components[r.component].nodes for key, r in records.items()):
            return None
        reserve = iter(range(last - unknown + 1, last + 1))
        rules = self._rules_of(self._rules, population(last))
        graph = Graph(rules, dict(records), components, lambda: next(reserve, 0) or self._draw(), version)
        return graph, {number: value[:8] for number, value in found.items()}

    def _draw(self) -> int:
        return int(self._client.incr(self._names.people_key))

    def _write(
        self, graph: Graph, read: Mapping[str, IdRecord], versions: Mapping[int, bytes], said: Mapping[int, list[Said]]
    ) -> bool:
        """Write what changed, unless somebody else has written meanwhile."""
        names, prefix = self._names, self._names.identifier_prefix
        changed = graph.outcome()
        if not changed and not graph.touched:
            return True
        commit = Commit()
        for key, record in changed.items():
            if key not in graph.loaded:  # for those that had a component its version tells
                before = read.get(key)
                commit.expect(prefix + key, encode_record(before) if before is not None else b"")
            commit.set(prefix + key, encode_record(record), self._memory(key) if record.reported_by else 0)
        for number, version in versions.items():
            if number in graph.touched or number in graph.absorbed:
                commit.expect(names.component_key(number), version)
        for number in graph.touched:
            component = graph.components[number]
            commit.set(names.component_key(number), pack_component(component, graph.version, self._vault.seal))
            commit.queue(names.review_key, str(number), _oldest_review(component))
        for number in graph.absorbed & versions.keys():
            commit.delete(names.component_key(number))
            commit.queue(names.review_key, str(number), None)
        for partition, words in said.items():
            for word in words:
                commit.queue(names.moves_key(partition), _encode_said(word), word.offset)
        return self._functions.commit(names.prefix, commit.arguments())

    def _memory(self, key: str) -> int:
        """How long, in seconds, it is remembered who told of a transaction that has linked nothing; 0: for ever."""
        return rule_of(key, self._rules).memory_days * (DAY // SECOND)

    # -- what was said ---------------------------------------------------------------------------------------------

    def changes_since(self, partition: int, offset: int) -> list[Move | Carve]:
        """What events of a source partition at or after an offset changed for others."""
        found = [_decode_said(value) for value in self._client.zrangebyscore(self._names.moves_key(partition), offset, "+inf")]
        changes: list[Move | Carve] = []
        for said in found:
            changes += said.moves
            changes += said.carves
        return changes

    def forget_changes(self, partition: int, offset: int) -> None:
        """Drop those below a committed offset: their events will not come again."""
        self._client.zremrangebyscore(self._names.moves_key(partition), "-inf", f"({offset}")


def _said(chunk: Sequence[Located], placed: Sequence[Placed]) -> dict[int, list[Said]]:
    said: dict[int, list[Said]] = {}
    for located, place in zip(chunk, placed, strict=True):
        if place.changes:
            moves = [change for change in place.changes if isinstance(change, Move)]
            carves = [change for change in place.changes if isinstance(change, Carve)]
            said.setdefault(located.partition, []).append(Said(located.offset, moves, carves))
    return said


def _collect(graph: Graph, chunk: Sequence[Located], evidence: dict[tuple[str, str, str], Seen | None]) -> None:
    """The evidence for the links of a chunk, as it is kept now; None: too much hangs together for it to be kept."""
    for located in chunk:
        source = located.sighting.source
        for one, two in located.sighting.pairs:
            evidence[source, one, two] = graph.seen(one, two, source)


def _oldest_review(component: Component) -> int | None:
    """Since when something of a component waits for somebody's decision; None: nothing does."""
    return min((refusal.time for refusal in component.refusals if refusal.review), default=None)


class Commit:
    """A compare-and-set of several keys, as the function wants it."""

    def __init__(self) -> None:
        self._expected: list[bytes | str] = []
        self._set: list[bytes | str | int] = []
        self._deleted: list[bytes | str] = []
        self._queued: list[bytes | str | int] = []

    def expect(self, key: str, value: bytes) -> None:
        """The key must begin with these bytes; empty: it must not be there."""
        self._expected += (key, value)

    def set(self, key: str, value: bytes, seconds: int = 0) -> None:
        """Write a key, for so many seconds; 0: for ever."""
        self._set += (key, value, seconds)

    def delete(self, key: str) -> None:
        """Remove a key."""
        self._deleted.append(key)

    def queue(self, key: str, member: bytes | str, score: int | None) -> None:
        """Put a member into a sorted set; None: take it out."""
        self._queued += (key, member, "" if score is None else score)

    def arguments(self) -> list[bytes | str | int]:
        """Counts, then what they count."""
        parts = (self._expected, self._set, self._deleted, self._queued)
        return [*(len(part) for part in parts), *(value for part in parts for value in part)]
