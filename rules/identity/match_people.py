"""People whom identifiers made become one by their traits, under the limits of their identifiers. Pure.

One definition for the stream, which hands in the people at hand, and for simulations, which hand in all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from cdp.identity import TRAITS, Decision, Refusal
from rules.identity.compare import compare
from rules.identity.decide import Bar
from rules.identity.derive import Record
from rules.identity.group import broken_limit, say_limit
from rules.identity.join import TOLD_APART, Decisions
from rules.identity.match import Resolution, resolve_records
from rules.identity.model import IdentityRules, Matching

TRAITS_DIFFER = "traits"  # the reason of a refusal: traits match, but not well enough
DIGEST = 12  # bytes: two of a billion records hardly ever have the same

ByType = Mapping[str, Mapping[str, int]]
"""Identifiers by type, each with the time at which it came in."""


@dataclass(frozen=True)
class Base:
    """A person as identifiers make it.

    Attributes:
        key: the strongest identifier's, with what tells its epoch from others: unique, and the same in every run.
        by_type: its identifiers.
        records: the distinct traits that were said of it.
        since: when it was first seen, in microseconds.
    """

    key: str
    by_type: ByType
    records: Sequence[Mapping[str, str]] = ()
    since: int = 0


@dataclass(frozen=True)
class Matched:
    """What traits made of people.

    Attributes:
        person_of: key of each base to that of the first base of its person.
        refusals: pairs that are not joined although their traits match, and pairs that somebody should look at.
        candidates: how many pairs of records were compared.
        crowded: how many keys led to too many people to be followed.
    """

    person_of: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    candidates: int = 0
    crowded: int = 0

    @property
    def merges(self) -> int:
        """How many merges traits made: n bases that become one person are n - 1."""
        return len(self.person_of) - len(set(self.person_of.values()))


def record_key(values: Mapping[str, str], message_id: str, matching: Matching, bar: Bar) -> str:
    """The identifier that stands for an event which names none: its traits.

    The same form sent twice is one, if what it says is enough to tell one person from all others; else nobody can say whether two
    events that say the same are one person's, and each stands for itself.
    """
    enough = bar.margin(compare(values, values, matching)) >= 0
    return f"{TRAITS}:{digest(values) if enough else digest({'message_id': message_id})}"


def digest(values: Mapping[str, str]) -> str:
    """A name of traits, the same in every process."""
    told = "\0".join(f"{name}\0{value}" for name, value in sorted(values.items()))
    return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=DIGEST).hexdigest()


def match_people(bases: Iterable[Base], rules: IdentityRules, decisions: Mapping[tuple[str, str], str]) -> Matched:
    """Join people whose traits match; a function of the set of people.

    Args:
        bases: the people at hand; those without records count as population only.
        rules: with the section matching; without it nobody is joined.
        decisions: what stands about pairs of bases, by their keys: ``apart`` or ``together``.
    """
    known = {base.key: base for base in bases}
    if rules.matching is None:
        return Matched({key: key for key in known})
    records = {f"{base.key}|{digest(values)}": (base, values) for base in known.values() for values in base.records}
    groups: dict[str, list[str]] = {key: [] for key in known}
    for name, (base, _) in records.items():
        groups[base.key].append(name)
    limits = _Limits(known, rules)
    found = resolve_records(
        [Record(name, values) for name, (_, values) in records.items()], rules.matching, groups, limits.may_join,
        Decisions(
            apart=[pair for pair, verdict in decisions.items() if verdict == "apart"],
            together=[pair for pair, verdict in decisions.items() if verdict == "together"],
        ),
    )  # fmt: skip
    person_of = {key: person[0] for person in found.joined.people for key in person}
    return Matched(person_of, _refusals(found, known, records, limits, rules.matching), found.candidates, len(found.crowded))


class _Limits:
    """Whether people may be one, by the limits of their identifiers."""

    def __init__(self, bases: Mapping[str, Base], rules: IdentityRules) -> None:
        self._bases = bases
        self._rules = rules
        self._united: dict[tuple[str, ...], ByType] = {}
        self.reasons: dict[str, str] = {TOLD_APART: "decided"}

    def may_join(self, a: tuple[str, ...], b: tuple[str, ...]) -> str:
        """Why not, in words; "" if they may."""
        broken = broken_limit(self._unite(a), self._unite(b), 0, self._rules)
        if broken is None:
            return ""
        reason, detail = say_limit(*broken)
        self.reasons[detail] = reason
        return detail

    def _unite(self, person: tuple[str, ...]) -> ByType:
        if len(person) == 1:
            return self._bases[person[0]].by_type
        if person not in self._united:
            united: dict[str, dict[str, int]] = {}
            for key in person:
                for type_, values in self._bases[key].by_type.items():
                    mine = united.setdefault(type_, {})
                    for value, since in values.items():
                        mine[value] = min(since, mine.get(value, since))
            self._united[person] = united
        return self._united[person]


def _refusals(
    found: Resolution, bases: Mapping[str, Base], records: Mapping[str, tuple[Base, Mapping[str, str]]], limits: _Limits,
    matching: Matching,
) -> tuple[Refusal, ...]:  # fmt: skip
    told = []
    for refusal in found.joined.refusals:
        ends = [records[name][0] for name in refusal.records] or [bases[refusal.a[0]], bases[refusal.b[0]]]
        bits = _bits(refusal.records, records, matching)
        told.append(_refusal(ends, limits.reasons.get(refusal.reason, TRAITS_DIFFER), refusal.reason, bits, review=False))
    for review in found.joined.reviews:
        ends = [records[name][0] for name in review.records]
        bits = _bits(review.records, records, matching)
        told.append(_refusal(ends, TRAITS_DIFFER, review.reason, bits, review=True))
    return tuple(told)


def _bits(names: Sequence[str], records: Mapping[str, tuple[Base, Mapping[str, str]]], matching: Matching) -> float:
    if len(names) < 2:
        return 0.0
    return compare(records[names[0]][1], records[names[1]][1], matching).bits


def _refusal(ends: Sequence[Base], reason: str, detail: str, bits: float, *, review: bool) -> Refusal:
    one, two = sorted(ends, key=lambda base: base.key)
    return Refusal(one.key, two.key, reason, "", max(one.since, two.since), detail, review, round(bits, 2))


def between_bases(decisions: Iterable[Decision], base_of: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """What stands about pairs of bases, of what was decided about pairs of their identifiers; the latest on each pair counts."""
    standing: dict[tuple[str, str], str] = {}
    for decision in sorted(decisions, key=lambda one: (one.time, one.verdict)):
        a, b = base_of.get(decision.a), base_of.get(decision.b)
        if a is not None and b is not None and a != b:
            standing[min(a, b), max(a, b)] = decision.verdict
    return standing
