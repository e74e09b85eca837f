"""Groups of records that match become one person, heaviest edge first, as long as nothing speaks against it.

The result is a function of the set of what is given, never of its order. Two groups are joined by an edge between two of
their records only if no operator and no limit forbids it, and if all their records, each with each, fit together: chains
of look-alikes do not grow into one super-person. Records are compared with records, never with merged profiles, whose values
would depend on what was merged before.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from math import fsum

MayJoin = Callable[[tuple[str, ...], tuple[str, ...]], str]
Margin = Callable[[str, str], float]

SAMPLE = 32  # records of a person that are compared with another's: the first by id

TOLD_APART = "an operator told them apart"
WEAK = "the evidence is not enough"


@dataclass(frozen=True, slots=True)
class Edge:
    """Two records that may be one person's.

    Attributes:
        a, b: the records' ids; their order says nothing.
        margin: bits above the line for merging; below 0: not enough.
        review: whether an operator is asked if they are not joined.
    """

    a: str
    b: str
    margin: float
    review: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Review:
    """Two people who may be one: the groups of each, and the two records that are nearest each other."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    margin: float
    records: tuple[str, str]
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """Two people who were not joined although two of their records match, or an operator said so (no records), and why."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    records: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The people: each the sorted keys of its groups; all sorted. `reviews` and `refusals` name people as they are in the end."""

    people: tuple[tuple[str, ...], ...]
    reviews: tuple[Review, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True)
class Decisions:
    """What operators said of pairs of groups, by their keys. `apart` outweighs `together`."""

    apart: Collection[tuple[str, str]] = ()
    together: Collection[tuple[str, str]] = ()


def join(
    groups: Mapping[str, Collection[str]],
    edges: Iterable[Edge],
    margin: Margin,
    may_join: MayJoin = lambda _a, _b: "",
    decisions: Decisions = Decisions(),
    slack: float = 6.0,
) -> Joined:
    """Join groups into people.

    Args:
        groups: key of each group, made by exact identifiers, to the ids of its records that have traits; every record is in one.
        edges: pairs of records that are worth a look; a pair given twice counts once, at its highest margin.
        margin: that of any two records, symmetric; asked for records that are in no edge together.
        may_join: why the people made of two tuples of sorted group keys must not be one, "" if they may. Called with both
            tuples in sorted order.
        slack: by how many bits the records of two people may, on average, miss the line for merging when one edge is above it.
    """
    return _Joining(groups, margin, may_join, decisions, slack).run(_unique(edges))


def _unique(edges: Iterable[Edge]) -> list[Edge]:
    best: dict[tuple[str, str], Edge] = {}
    for edge in edges:
        pair = (edge.a, edge.b) if edge.a <= edge.b else (edge.b, edge.a)
        known = best.get(pair)
        review = edge.review or (known.review if known else False)
        best[pair] = Edge(*pair, max(edge.margin, known.margin if known else edge.margin), review)
    return sorted(best.values(), key=lambda edge: (-edge.margin, edge.a, edge.b))


class _Joining:
    """One run: which groups are together so far."""

    def __init__(
        self, groups: Mapping[str, Collection[str]], margin: Margin, may_join: MayJoin, decisions: Decisions, slack: float
    ) -> None:
        self._group_of = {record: key for key, records in groups.items() for record in records}
        self._records = {key: tuple(sorted(records)) for key, records in groups.items()}
        self._people: dict[str, tuple[str, ...]] = {key: (key,) for key in groups}
        self._margin = margin
        self._may_join = may_join
        self._slack = slack
        self._together = sorted({tuple(sorted(pair)) for pair in decisions.together})
        self._apart: dict[str, set[str]] = {}
        for one, two in decisions.apart:
            self._apart.setdefault(one, set()).add(two)
            self._apart.setdefault(two, set()).add(one)
        self._unlike: dict[tuple[str, ...], str] = {}  # records whose people do not fit together: reason

    def run(self, edges: list[Edge]) -> Joined:
        for one, two in self._together:
            if one in self._people and two in self._people:
                self._try(one, two, ())
        for edge in edges:
            if edge.margin >= 0:
                self._try(self._group_of[edge.a], self._group_of[edge.b], (edge.a, edge.b))
        return self._result(edges)

    def _try(self, one: str, two: str, records: tuple[str, ...]) -> None:
        a, b = self._pair(one, two)
        if a == b:
            return
        if self._forbidden(a, b):
            return
        if records and (reason := self._unfit(a, b)):
            self._unlike[records] = reason
        else:
            joined = tuple(sorted(a + b))
            self._people.update(dict.fromkeys(joined, joined))

    def _pair(self, one: str, two: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        a, b = self._people[one], self._people[two]
        return (a, b) if a <= b else (b, a)

    def _forbidden(self, a: tuple[str, ...], b: tuple[str, ...]) -> str:
        if any(not self._apart.get(key, set()).isdisjoint(b) for key in a):
            return TOLD_APART
        return self._may_join(a, b)

    def _unfit(self, a: tuple[str, ...], b: tuple[str, ...]) -> str:
        margins = [self._margin(one, two) for one in self._some(a) for two in self._some(b)]
        mean = fsum(margins) / len(margins)
        return "" if mean >= -self._slack else f"on average their records miss the line by {-mean:.1f} bits"

    def _some(self, person: tuple[str, ...]) -> list[str]:
        return sorted(record for key in person for record in self._records[key])[:SAMPLE]

    def _result(self, edges: list[Edge]) -> Joined:
        """Of each two people who match and are two in the end: why they must be, or a question to an operator."""
        reviews: dict[tuple[tuple[str, ...], tuple[str, ...]], Review] = {}
        refusals: dict[tuple[tuple[str, ...], tuple[str, ...]], Refusal] = {}
        for one, two in self._together:
            if one in self._people and two in self._people and self._people[one] != self._people[two]:
                pair = self._pair(one, two)
                refusals.setdefault(pair, Refusal(*pair, (), self._forbidden(*pair)))
        for edge in edges:
            pair = self._pair(self._group_of[edge.a], self._group_of[edge.b])
            if pair[0] == pair[1] or not (edge.margin >= 0 or edge.review):
                continue
            records = (edge.a, edge.b)
            if reason := self._forbidden(*pair):
                if edge.margin >= 0:
                    refusals.setdefault(pair, Refusal(*pair, records, reason))
            else:
                reviews.setdefault(pair, Review(*pair, edge.margin, records, self._unlike.get(records, WEAK)))
        people = tuple(sorted(set(self._people.values())))
        return Joined(people, tuple(sorted(reviews.values())), tuple(sorted(refusals.values())))
