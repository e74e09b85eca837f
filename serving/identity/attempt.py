"""Try a decision on a copy of the graph: who would be who? Pure.

A decision is about two identifiers. Whether people become one by it, or part, depends on all that is known of them: so the
pairs that it takes are found by trying.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from cdp.identity import Component, Decision, Verdict, pack_component, unpack_component
from rules.identity.group import broken_limit, type_of
from rules.identity.model import IdentityRules, Limit
from rules.identity.place import Graph, Move
from rules.identity.sight import Sighting
from serving.identity.people import Pair, as_pair, people_of, record_of

ROUNDS = 20  # each adds pairs; more than two or three were never needed


@dataclass(frozen=True)
class Tried:
    """The components as they would be, and what would move."""

    components: tuple[Component, ...]
    moves: tuple[Move, ...] = ()

    def people(self, key: str) -> set[int]:
        """Whose an identifier would be, now or for a time."""
        found = (people_of(component) for component in self.components)
        return {person for people in found for person, keys in people.items() if key in keys}


def decide(pairs: Iterable[Pair], verdict: Verdict, time: int, by: str = "", note: str = "") -> tuple[Decision, ...]:
    """The same decision on several pairs."""
    return tuple(Decision(a, b, verdict, time, by, note) for a, b in pairs)


def attempt(components: Sequence[Component], rules: IdentityRules, decisions: tuple[Decision, ...]) -> Tried:
    """What decisions would do. The components are left as they are; a lone identifier is one with the id 0."""
    if not decisions:
        return Tried(tuple(components))
    copies = [unpack_component(pack_component(component, 0))[0] for component in components]
    keys = list(dict.fromkeys(key for decision in decisions for key in (decision.a, decision.b)))
    numbers = count(1 + max(number for c in copies for node in c.nodes.values() for number in (*node.numbers, node.shared)))
    records = {key: record_of(component, key) for component in copies for key in component.nodes}
    graph = Graph(rules, records, {c.id: c for c in copies if c.id}, lambda: next(numbers))
    now = decisions[0].time
    placed = graph.place(Sighting(tuple(keys), now, now, decisions=decisions))
    moves = tuple(change for change in placed.changes if isinstance(change, Move))
    return Tried(tuple(graph.components.values()), moves)


def glue(components: Sequence[Component], rules: IdentityRules, pairs: Sequence[Pair], time: int) -> tuple[list[Pair], Tried]:
    """The pairs that must be put together so that the people of the given pairs are one, and what comes of it.

    What a limit would still keep out of the one person, an exclusive identifier of the other for example, is decided as well.
    """
    wanted = list(dict.fromkeys(pairs))
    named = {key for pair in pairs for key in pair}
    everybody = [keys for component in components for keys in people_of(component).values()]
    members = {key for keys in everybody if named & {*keys} for key in keys}
    for _ in range(ROUNDS):
        tried = attempt(components, rules, decide(wanted, "together", time))
        refused = {
            (r.a, r.b) for component in tried.components for r in component.refusals
            if members >= {r.a, r.b} and r.reason in ("exclusive", "limit")
        } - {*wanted}  # fmt: skip
        if not refused:
            break
        wanted += sorted(refused)
    return wanted, tried


def part(
    components: Sequence[Component], rules: IdentityRules, pairs: Sequence[Pair], sides: Sequence[set[str]], time: int
) -> tuple[list[Pair], Tried]:
    """The pairs that must be taken apart so that nobody has identifiers of two sides, and what comes of it.

    Args:
        pairs: those that are known to be needed. With them a link may count that a limit kept out before: it is cut as well.
        sides: the last is that of those who stay; links are cut where they touch the others. Who is on several, each for its
            time, holds nobody together.
    """
    wanted = list(dict.fromkeys(pairs))
    for _ in range(ROUNDS):
        tried = attempt(components, rules, decide(wanted, "apart", time))
        more = {pair for component in tried.components for pair in _joining(component, sides)} - {*wanted}
        if not more:
            break
        wanted += sorted(more)
    return wanted, tried


def breaks(
    components: Sequence[Component], rules: IdentityRules, one: Iterable[str], two: Iterable[str], time: int
) -> tuple[str, Limit] | None:
    """The type and limit that two people, given by their identifiers, would break together."""
    return broken_limit(_by_type(components, one), _by_type(components, two), time, rules)


def _by_type(components: Sequence[Component], keys: Iterable[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for key in keys:
        times = [link.first for component in components for link in component.links if key in (link.a, link.b)]
        found.setdefault(type_of(key), {})[key] = min(times, default=-1)
    return found


def _joining(component: Component, sides: Sequence[set[str]]) -> set[Pair]:
    """The links by which those who should go hang on a person who has identifiers of several sides."""
    found: set[Pair] = set()
    refused = {(refusal.a, refusal.b) for refusal in component.refusals}
    side_of = {key: number for number, side in enumerate(sides) for key in side if sum(key in other for other in sides) == 1}
    staying = len(sides) - 1
    ties = [(tie.a, tie.b) for tie in component.links] + [(tie.a, tie.b) for tie in component.matches]
    for keys in people_of(component).values():
        if len({side_of[key] for key in keys if key in side_of}) < 2:
            continue
        for a, b in ties:
            if {a, b} <= {*keys} and side_of.get(a, staying) != side_of.get(b, staying) and (a, b) not in refused:
                found.add(as_pair(a, b))
    return found
