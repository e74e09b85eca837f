"""Records into people, in memory: derive, find candidates, compare, join.

The same steps as in the stream, for simulations and tests.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from rules.identity.compare import Comparison, compare
from rules.identity.decide import Bar, bar
from rules.identity.derive import Record, derive_keys
from rules.identity.join import Decisions, Edge, Joined, MayJoin, join
from rules.identity.model import Matching

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a set of records.

    Attributes:
        joined: people, reviews, refusals.
        candidates: how many pairs of records the keys found.
        crowded: keys that led to too many people to be followed.
    """

    joined: Joined
    candidates: int
    crowded: tuple[str, ...]


def resolve_records(
    records: Sequence[Record],
    matching: Matching,
    groups: Mapping[str, Collection[str]] | None = None,
    may_join: MayJoin = lambda _a, _b: "",
    decisions: Decisions = Decisions(),  # noqa: B008 - frozen and empty
) -> Resolution:
    """Resolve records into people; the result does not depend on their order.

    Args:
        records: with traits; ids are unique.
        matching: the rules.
        groups: people known by exact identifiers: key to the ids of their records; None: every record is a group of its own,
            and its id is the key. A group may be without records.
        may_join: see `rules.identity.join.join`.
        decisions: see there.
    """
    if groups is None:
        groups = {record.id: (record.id,) for record in records}
    return _Resolving(records, matching, groups).run(may_join, decisions)


class _Resolving:
    """One run: comparisons made so far."""

    def __init__(self, records: Sequence[Record], matching: Matching, groups: Mapping[str, Collection[str]]) -> None:
        self._matching = matching
        self._groups = groups
        self._group_of = {record: key for key, members in groups.items() for record in members}
        self._values = {record.id: record.values for record in sorted(records, key=lambda record: record.id)}
        self._bar: Bar = bar(matching, len(groups))
        self._compared: dict[Pair, Comparison] = {}
        self._slack = self._bar.merge - self._bar.review

    def run(self, may_join: MayJoin, decisions: Decisions) -> Resolution:
        """Keys of few records first; those of many records once it is known of how few people they are."""
        buckets = self._file()
        few = {key: ids for key, ids in buckets.items() if self._people(ids, self._group_of) <= self._matching.crowd}
        pairs = self._pairs(few.values())
        joined = self._join(pairs, may_join, decisions)
        person_of = {record: person[0] for person in joined.people for key in person for record in self._groups[key]}
        many = {key: ids for key, ids in buckets.items() if key not in few}
        fewer = {key: ids for key, ids in many.items() if self._people(ids, person_of) <= self._matching.crowd}
        if fewer:
            pairs |= self._pairs(fewer.values())
            joined = self._join(pairs, may_join, decisions)
        return Resolution(joined, len(pairs), tuple(sorted(many.keys() - fewer.keys())))

    def _file(self) -> dict[str, list[str]]:
        """Key to the records that it leads to; of equal records of a group the first stands for all."""
        buckets: dict[str, list[str]] = defaultdict(list)
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for record, values in self._values.items():
            said = (self._group_of[record], tuple(values.items()))
            if said in seen:
                continue
            seen.add(said)
            for key in derive_keys(values, self._matching):
                buckets[key].append(record)
        return {key: ids for key, ids in buckets.items() if len(ids) > 1}

    def _people(self, ids: Iterable[str], person_of: Mapping[str, str]) -> int:
        return len({person_of[record] for record in ids})

    def _pairs(self, buckets: Iterable[list[str]]) -> set[Pair]:
        return {
            (a, b) if a < b else (b, a)
            for ids in buckets
            for a, b in combinations(ids, 2)
            if self._group_of[a] != self._group_of[b]
        }

    def _join(self, pairs: set[Pair], may_join: MayJoin, decisions: Decisions) -> Joined:
        edges = [edge for pair in pairs if (edge := self._edge(pair)) is not None]
        return join(self._groups, edges, self._margin, may_join, decisions, self._slack)

    def _edge(self, pair: Pair) -> Edge | None:
        comparison = self._compare(pair)
        verdict = self._bar.verdict(comparison)
        return None if verdict == "apart" else Edge(*pair, self._bar.margin(comparison), verdict == "review")

    def _margin(self, a: str, b: str) -> float:
        return self._bar.margin(self._compare((a, b) if a < b else (b, a)))

    def _compare(self, pair: Pair) -> Comparison:
        known = self._compared.get(pair)
        if known is None:
            known = self._compared[pair] = compare(self._values[pair[0]], self._values[pair[1]], self._matching)
        return known
