"""Who is who: the identifiers of a component fall into people. A pure function of the set of evidence, decisions and rules.

Links are taken strongest first, of equals the earliest first (Kruskal's order), and join their two ends unless the person
that came of it would break a limit of `identity.yaml`. Then the weaker end gives way. If it is an exclusive identifier that
the two sides disagree about, the weaker end serves several people: from the moment on at which both are known, it stands for
nobody of them, and what only it says belongs to a person of its own.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cdp.clock import DAY
from cdp.identity import Component, Decision, Link, Node, Refusal
from rules.identity.model import IdentifierType, IdentityRules, Limit

SHARED = -1
NEVER = 2**62
WINDOWS = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY, "year": 365 * DAY}
UNDECLARED = IdentifierType("", 99)
EXCLUSIVE = Limit(1)

Vertex = tuple[str, int]
"""An identifier's key and its epoch, or SHARED."""
Pair = tuple[str, str]


class Edge(NamedTuple):
    """A link between two epochs, in the order in which links are taken: decided ones, then by confidence, then by time."""

    undecided: bool
    doubt: float
    priority: int
    time: int
    a: Vertex
    b: Vertex


@dataclass(frozen=True, slots=True)
class Grouping:
    """The people of a component.

    Attributes:
        groups: each vertex that a link touches, or that is an identifier's first epoch, in one of them; those who are shared
            are in none.
        cuts: by identifier, where its epochs end, ascending.
        shared_from: after which time an identifier stands for nobody in particular.
    """

    groups: tuple[tuple[Vertex, ...], ...]
    cuts: Mapping[str, tuple[int, ...]]
    shared_from: Mapping[str, int]
    refusals: tuple[Refusal, ...]


def type_of(key: str) -> str:
    """The type in ``type:value``."""
    return key[: key.index(":")]


def rule_of(key: str, rules: IdentityRules) -> IdentifierType:
    """The rule for an identifier; a type that is not declared is weak and unlimited."""
    return rules.identifiers.get(type_of(key), UNDECLARED)


def vertex_at(key: str, time: int, cuts: Sequence[int], shared_from: int) -> Vertex:
    """What an identifier is at a time; `shared_from` below 0: it never serves several people."""
    if 0 <= shared_from < time:
        return key, SHARED
    return key, bisect_right(cuts, time) if cuts else 0


def group(component: Component, rules: IdentityRules) -> Grouping:
    """Let the identifiers of a component fall into people; combinations of them are left out."""
    return _group_as_one(component, rules) or _group_by_links(component, rules)


def _group_as_one(component: Component, rules: IdentityRules) -> Grouping | None:
    """The usual case, in which nothing can stand against all links: one person. None if something may."""
    if component.decisions:
        return None
    counts: dict[str, int] = {}
    mortal: dict[str, int] = {}
    transactions: set[str] = set()
    for key, node in component.nodes.items():
        if node.names:
            continue
        if node.unbound or node.records:
            return None
        type_ = type_of(key)
        rule = rules.identifiers.get(type_, UNDECLARED)
        if rule.transaction:
            transactions.add(key)
        count = counts[type_] = counts.get(type_, 0) + 1
        if count > rule.surely_allowed:
            return None
        if rule.lifetime_days:
            mortal[key] = rule.lifetime_days * DAY
    if transactions and links_several(component, transactions):
        return None
    cuts = _single_cuts(component, mortal, transactions)
    return Grouping((tuple((key, 0) for key in sorted(cuts)),), cuts, {}, ()) if cuts is not None else None


def _single_cuts(
    component: Component, mortal: Mapping[str, int], transactions: Collection[str]
) -> dict[str, tuple[int, ...]] | None:
    """Where epochs end if each identifier has but one that links touch; None if one has several.

    Args:
        mortal: identifiers that lead to their person for some time only, and how long.
    """
    seen: dict[str, list[int]] = {key: [] for key in mortal}
    for link in component.links:
        for key, other in ((link.a, link.b), (link.b, link.a)):
            if key in seen and (other not in transactions or key in transactions):
                seen[key] += link.moments()
    cuts: dict[str, tuple[int, ...]] = dict.fromkeys(component.identifiers, ())
    for key, moments in seen.items():
        if not moments:
            continue
        last = max(moments)
        if last - min(moments) > mortal[key]:
            return None
        cuts[key] = (last + mortal[key],)
    return None if transactions and _goes_on(component, cuts) else cuts


def _goes_on(component: Component, cuts: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a link was seen after the end of an identifier's epoch: an order does not prolong it, and touches the next one."""
    return any(cuts[key] and link.moments()[-1] >= cuts[key][0] for link in component.links for key in (link.a, link.b))


def links_several(component: Component, transactions: Collection[str]) -> set[str]:
    """Those of some transactions that were told of by two identifiers of one type: two people's, or no transaction at all."""
    ends: dict[tuple[str, str], set[str]] = {}
    for link in component.links:
        for key, other in ((link.a, link.b), (link.b, link.a)):
            if key in transactions:
                ends.setdefault((key, type_of(other)), set()).add(other)
    return {key for (key, _), others in ends.items() if len(others) > 1}


def _group_by_links(component: Component, rules: IdentityRules) -> Grouping:
    identifiers = component.identifiers
    transactions = {key for key in identifiers if rule_of(key, rules).transaction}
    several = links_several(component, transactions)  # not all of their links are kept, so none of them says anything
    links_of: dict[str, list[Link]] = {key: [] for key in identifiers}
    for link in component.links:
        for key in (link.a, link.b):
            if not (transactions and _is_of_transaction(link, key, rules)) and key not in several:
                links_of[key].append(link)
    decided = standing(component)
    shared: dict[str, int] = {}
    while True:
        cuts = {key: _cuts(component.nodes[key], links_of[key], shared, rules) for key in identifiers}
        attempt = _Attempt(component, rules, cuts, shared, decided, several)
        attempt.run()
        if not attempt.contested:
            return attempt.grouping()
        # The earliest first: what a shared identifier glues wrongly comes later than its being shared, and may vanish with it.
        time, key = min(attempt.contested)
        shared[key] = time


def standing(component: Component) -> dict[Pair, Decision]:
    """The latest decision on each pair of identifiers."""
    latest = sorted(component.decisions, key=lambda d: (d.time, d.verdict))
    return {(decision.a, decision.b): decision for decision in latest}


def _cuts(node: Node, links: Iterable[Link], shared: Mapping[str, int], rules: IdentityRules) -> tuple[int, ...]:
    """Where the epochs of an identifier end: where it was unbound, and a lifetime after it was last seen with another one.

    To be seen with somebody whom nobody knows says nothing.
    """
    unbound = [time + 1 for time in node.unbound]
    days = rule_of(node.key, rules).lifetime_days
    seen = sorted({time for link in links for time in link.moments() if time <= _known_until(link, shared)}) if days else []
    if not seen:
        return tuple(unbound)
    ends = [last + days * DAY for last, following in zip(seen, [*seen[1:], NEVER], strict=True) if following > last + days * DAY]
    return tuple(sorted({*unbound, *ends}))


def _known_until(link: Link, shared: Mapping[str, int]) -> int:
    """Until when neither end of a link is shared."""
    return min(shared.get(link.a, NEVER), shared.get(link.b, NEVER))


@dataclass(slots=True)
class _Person:
    """A group in the making: identifiers by type, each with the time at which it came in; -1: it is by itself so far."""

    members: list[Vertex]
    by_type: dict[str, dict[str, int]]


@dataclass(slots=True)
class _Attempt:
    """One pass over the links, with what is known to be shared."""

    component: Component
    rules: IdentityRules
    cuts: Mapping[str, tuple[int, ...]]
    shared: Mapping[str, int]
    decided: Mapping[Pair, Decision]
    several: Collection[str]
    people: dict[Vertex, _Person] = field(default_factory=dict)
    attached: dict[Vertex, int] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    contested: list[tuple[int, str]] = field(default_factory=list)

    def run(self) -> None:
        for key in self.cuts:
            self._person((key, 0))
        for edge in sorted(self._edges()):
            self._take(edge)

    def grouping(self) -> Grouping:
        distinct = {id(person): person for person in self.people.values()}
        groups = sorted(tuple(sorted(person.members)) for person in distinct.values())
        refusals = sorted(self.refusals, key=lambda refusal: (refusal.time, refusal.a, refusal.b, refusal.reason))
        return Grouping(tuple(groups), self.cuts, dict(self.shared), tuple(refusals))

    def _vertex(self, key: str, time: int) -> Vertex:
        return vertex_at(key, time, self.cuts[key], self.shared.get(key, -1))

    def _edges(self) -> list[Edge]:
        edges = []
        for link in self.component.links:
            decision = self.decided.get((link.a, link.b))
            if decision is not None and decision.verdict == "apart":
                self.refusals.append(Refusal(link.a, link.b, "decided", self._weaker(link.a, link.b), link.first))
                continue
            if link.a in self.several or link.b in self.several:
                self.refusals.append(self._of_several(link))
                continue
            one, two = rule_of(link.a, self.rules), rule_of(link.b, self.rules)
            seen: dict[tuple[Vertex, Vertex], int] = {}
            for time in link.moments():
                ends = self._vertex(link.a, time), self._vertex(link.b, time)
                seen.setdefault(ends, time)
            for (a, b), time in seen.items():
                if SHARED in (a[1], b[1]):
                    continue
                doubt, priority = -min(one.strength, two.strength), max(one.priority, two.priority)
                edges.append(Edge(decision is None, doubt, priority, time, a, b))
        return edges + self._decided()

    def _decided(self) -> list[Edge]:
        """Pairs that somebody put together, whether or not links say so: as they stood when it was decided."""
        edges = []
        for (a, b), decision in self.decided.items():
            if decision.verdict == "together" and a in self.component.nodes and b in self.component.nodes:
                ends = self._as_seen(a, decision.time), self._as_seen(b, decision.time)
                if SHARED not in (ends[0][1], ends[1][1]):
                    edges.append(Edge(False, 0.0, 0, decision.time, *ends))
        return edges

    def _as_seen(self, key: str, time: int) -> Vertex:
        """The vertex that an identifier was, at a time, when it was last seen with another one."""
        now = self._vertex(key, time)
        if now[1] == SHARED:
            return now
        return self._vertex(key, last_seen(self.component, key, time, self.rules))

    def _person(self, vertex: Vertex) -> _Person:
        person = self.people.get(vertex)
        if person is None:
            key = vertex[0]
            person = self.people[vertex] = _Person([vertex], {type_of(key): {key: -1}})
        return person

    def _take(self, edge: Edge) -> None:
        one, two = self._person(edge.a), self._person(edge.b)
        if one is not two:
            broken = broken_limit(one.by_type, two.by_type, edge.time, self.rules) if edge.undecided else None
            if broken is not None:
                self._refuse(edge, *broken)
                return
            self._join(one, two, edge.time)
        for vertex in (edge.a, edge.b):
            self.attached[vertex] = min(edge.time, self.attached.get(vertex, edge.time))

    def _join(self, one: _Person, two: _Person, time: int) -> None:
        if len(one.members) < len(two.members):
            one, two = two, one
        for vertex in two.members:
            self.people[vertex] = one
        one.members += two.members
        for person in (one, two):
            for keys in person.by_type.values():
                for key, since in keys.items():
                    if since < 0:
                        keys[key] = time
        for type_, keys in two.by_type.items():
            mine = one.by_type.setdefault(type_, {})
            for key, since in keys.items():
                mine[key] = min(since, mine.get(key, since))

    def _refuse(self, edge: Edge, type_: str, limit: Limit) -> None:
        (a, _), (b, _) = edge.a, edge.b
        weaker = edge.a if self._weaker(a, b) == a else edge.b
        exclusive = limit == EXCLUSIVE
        reason, detail = say_limit(type_, limit)
        both_exclusive = rule_of(weaker[0], self.rules).exclusive
        self.refusals.append(Refusal(a, b, reason, weaker[0], edge.time, detail, review=exclusive and both_exclusive))
        if exclusive and not both_exclusive and weaker[0] not in self.shared:
            self.contested.append((max(edge.time, self.attached.get(weaker, edge.time)), weaker[0]))

    def _of_several(self, link: Link) -> Refusal:
        key = link.a if link.a in self.several else link.b
        detail = f"this {type_of(key)} was told of by several identifiers of one type"
        return Refusal(link.a, link.b, "several", key, link.first, detail)

    def _weaker(self, a: str, b: str) -> str:
        """The end that gives way: of the lower priority, else the one whose name comes later."""
        return max((a, b), key=lambda key: (rule_of(key, self.rules).priority, key))


def last_seen(component: Component, key: str, time: int, rules: IdentityRules) -> int:
    """When an identifier was last seen with another one, up to a time; that time itself if it never was."""
    if rule_of(key, rules).transaction and links_several(component, {key}):
        return time
    seen = [
        when
        for link in component.links
        if key in (link.a, link.b) and not _is_of_transaction(link, key, rules)
        for when in link.moments()
        if when <= time
    ]
    return max(seen, default=time)


def _is_of_transaction(link: Link, key: str, rules: IdentityRules) -> bool:
    """Whether a link joins an identifier to a transaction: that says nothing of how long a device, for example, is used."""
    other = link.b if key == link.a else link.a
    return rule_of(other, rules).transaction and not rule_of(key, rules).transaction


def broken_limit(
    one: Mapping[str, Mapping[str, int]], two: Mapping[str, Mapping[str, int]], time: int, rules: IdentityRules
) -> tuple[str, Limit] | None:
    """The type and limit that two people would break together, an exclusive one before others; None if they may be one.

    Args:
        one, two: by type, each identifier and when it came in; -1: with this link, at `time`.
    """
    broken: tuple[str, Limit] | None = None
    for type_ in sorted(one.keys() & two.keys()):
        limits = rules.identifiers.get(type_, UNDECLARED).limits
        if not limits or one[type_].keys() == two[type_].keys():
            continue
        together: dict[str, int] = {}
        for key, since in (*one[type_].items(), *two[type_].items()):
            came_in = time if since < 0 else since
            together[key] = min(came_in, together.get(key, came_in))
        found = next((limit for limit in limits if exceeds(list(together.values()), limit)), None)
        if found == EXCLUSIVE:
            return type_, found
        if found is not None and broken is None:
            broken = type_, found
    return broken


def exceeds(times: list[int], limit: Limit) -> bool:
    """Whether more identifiers than allowed came in, ever or within some window."""
    if len(times) <= limit.count:
        return False
    if limit.window == "ever":
        return True
    ordered, width = sorted(times), WINDOWS[limit.window]
    return any(later - earlier < width for earlier, later in zip(ordered, ordered[limit.count :], strict=False))


def say_limit(type_: str, limit: Limit) -> tuple[str, str]:
    """The reason of a refusal by a limit, and the limit in words."""
    if limit == EXCLUSIVE:
        return "exclusive", f"a person has one {type_}"
    per = "ever" if limit.window == "ever" else f"per {limit.window}"
    return "limit", f"a person has at most {limit.count} {type_} {per}"
