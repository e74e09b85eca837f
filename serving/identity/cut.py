"""Which pairs of identifiers must be taken apart, so that people part. Pure.

What came to a person later, by links to both sides, stays on the side to which its stronger, or else earlier, link leads: links
are taken in the order in which people are put together.
"""

from collections.abc import Iterable, Mapping

from cdp.identity import Change, Component, Link
from rules.identity.group import rule_of, standing
from rules.identity.model import IdentityRules
from serving.identity.people import Pair, as_pair, parts_of, people_of

STAYED = "stayed"


def around(component: Component, key: str, person: int) -> list[Pair]:
    """The pairs that an identifier makes with the members of its person, be it by a link, a match of traits or a decision."""
    members = set(people_of(component).get(person, ())) - {key}
    linked = [link.b if link.a == key else link.a for link in component.links if key in (link.a, link.b)]
    linked += [match.b if match.a == key else match.a for match in component.matches if key in (match.a, match.b)]
    together = [
        b if a == key else a for (a, b), decision in standing(component).items()
        if key in (a, b) and decision.verdict == "together"
    ]  # fmt: skip
    return sorted({as_pair(key, other) for other in (*linked, *together) if other in members})


def crossing(component: Component, change: Change, person: int, rules: IdentityRules) -> tuple[list[Pair], list[set[str]]]:
    """The pairs that hold the sides of a merge together, within the person that came of it, and the sides; those who stay last.

    There is one side only if nobody who came by the merge is with the person any more.
    """
    forest = _forest(component, change, person)
    pairs = set()
    for a, b in _ordered(component, forest, rules):
        one, two = _root(forest, a), _root(forest, b)
        if one == two:
            continue
        mine, other = forest[one][1], forest[two][1]
        if mine and other and mine != other:
            pairs.add(as_pair(a, b))
            continue
        forest[two] = (one, "")
        forest[one] = (one, mine or other)
    sides: dict[str, set[str]] = {}
    for key in forest:
        sides.setdefault(forest[_root(forest, key)][1], set()).add(key)
    stayed = sides.pop(STAYED, set()) | sides.pop("", set())
    return sorted(pairs), [*sides.values(), stayed]


def _forest(component: Component, change: Change, person: int) -> dict[str, tuple[str, str]]:
    """Each member's place in a forest (its parent, and of a root the side): those who moved, by whom they moved from, those
    who were there before, and, without a side, those who came later.
    """
    moved = {part: f"moved {source}" for source, _, parts in change.moves for part in parts}
    before = {part for c in component.history if c.version < change.version for _, _, parts in c.moves for part in parts}
    targets = {target for _, target, _ in change.moves}
    forest = {}
    for key in people_of(component).get(person, ()):
        node = component.nodes[key]
        numbers = {*node.numbers, node.shared} - {0}
        side = next((moved[number] for number in sorted(numbers) if number in moved), "")
        if not side and numbers & (before | targets) & {*parts_of(component, person)}:
            side = STAYED
        forest[key] = (key, side)
    return forest


def _root(forest: Mapping[str, tuple[str, str]], key: str) -> str:
    while forest[key][0] != key:
        key = forest[key][0]
    return key


def _ordered(component: Component, members: Iterable[str], rules: IdentityRules) -> list[Pair]:
    """What holds the members together, in the order in which people are put together: decisions, links, matches by traits."""
    members = set(members)
    decided = standing(component)
    refused = {(refusal.a, refusal.b) for refusal in component.refusals}
    glue = [pair for pair, decision in sorted(decided.items()) if decision.verdict == "together" and members >= {*pair}]
    links = [
        link for link in component.links
        if members >= {link.a, link.b} and (link.a, link.b) not in decided and (link.a, link.b) not in refused
    ]  # fmt: skip
    matches = [
        (match.a, match.b) for match in sorted(component.matches, key=lambda match: (-match.bits, match.a, match.b))
        if members >= {match.a, match.b} and (match.a, match.b) not in decided and (match.a, match.b) not in refused
    ]  # fmt: skip
    return [*glue, *((link.a, link.b) for link in sorted(links, key=lambda link: _rank(link, rules))), *matches]


def _rank(link: Link, rules: IdentityRules) -> tuple[float, int, int, str, str]:
    one, two = rule_of(link.a, rules), rule_of(link.b, rules)
    return -min(one.strength, two.strength), max(one.priority, two.priority), link.first, link.a, link.b
