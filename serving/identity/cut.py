"""Which pairs of identifiers must be taken apart, so that people part. Pure.

What came to a person later, by links to both sides, stays on the side to which its stronger, or else earlier, link leads: links
are taken in the order in which people are put together.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from cdp.identity import Change, Component, IdRecord, Link
from rules.identity.group import last_seen, rule_of, standing
from rules.identity.model import IdentityRules
from serving.identity.people import Pair, as_pair, parts_of, people_of, record_of

STAYED = "stayed"

Stretch = tuple[str, int]
"""An identifier, and which of the stretches of time in which it stands for somebody."""


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

    There is one side only if nobody who came by the merge is with the person any more. An identifier that was with both, with
    either for its time, is on both sides.
    """
    forest = _forest(component, change, person)
    pairs = set()
    for a, b in _ordered(component, forest.keys(), rules):
        one, two = _root(forest, a), _root(forest, b)
        if one == two:
            continue
        mine, other = forest[one][1], forest[two][1]
        if mine and other and mine != other:
            pairs.add(as_pair(a[0], b[0]))
            continue
        forest[two] = (one, "")
        forest[one] = (one, mine or other)
    sides: dict[str, set[str]] = {}
    for stretch in forest:
        sides.setdefault(forest[_root(forest, stretch)][1], set()).add(stretch[0])
    stayed = sides.pop(STAYED, set()) | sides.pop("", set())
    return sorted(pairs), [*sides.values(), stayed]


def _forest(component: Component, change: Change, person: int) -> dict[Stretch, tuple[Stretch, str]]:
    """The place of each member's stretches in a forest (its parent, and of a root the side): those who moved, by whom they moved
    from, those who were there before, and, without a side, those who came later.
    """
    moved = {part: f"moved {source}" for source, _, parts in change.moves for part in parts}
    before = {part for c in component.history if c.version < change.version for _, _, parts in c.moves for part in parts}
    stayed = (before | {target for _, target, _ in change.moves}) & {*parts_of(component, person)}
    forest = {}
    for key in people_of(component).get(person, ()):
        for number, span in enumerate(record_of(component, key).spans):
            if span.person == person:
                stretch = (key, number)
                forest[stretch] = (stretch, moved.get(span.part) or (STAYED if span.part in stayed else ""))
    return forest


def _root(forest: Mapping[Stretch, tuple[Stretch, str]], stretch: Stretch) -> Stretch:
    while forest[stretch][0] != stretch:
        stretch = forest[stretch][0]
    return stretch


def _ordered(component: Component, members: AbstractSet[Stretch], rules: IdentityRules) -> list[tuple[Stretch, Stretch]]:
    """What holds the members together, in the order in which people are put together: decisions, links, matches by traits."""
    decided = standing(component)
    not_links = {(refusal.a, refusal.b) for refusal in component.refusals} | decided.keys()
    at = {key: record_of(component, key) for key in component.identifiers}
    glue = [
        tuple(_stretch(at, key, last_seen(component, key, decision.time, rules)) for key in pair)
        for pair, decision in sorted(decided.items()) if decision.verdict == "together" and at.keys() >= {*pair}
    ]  # fmt: skip
    links = [
        (_rank(link, time, rules), (_stretch(at, link.a, time), _stretch(at, link.b, time)))
        for link in component.links if (link.a, link.b) not in not_links for time in link.moments()
    ]  # fmt: skip
    latest = dict(sorted(members))
    matches = [
        ((match.a, latest[match.a]), (match.b, latest[match.b]))
        for match in sorted(component.matches, key=lambda match: (-match.bits, match.a, match.b))
        if (match.a, match.b) not in not_links and latest.keys() >= {match.a, match.b}
    ]  # fmt: skip
    ties = [*glue, *(ends for _, ends in sorted(links)), *matches]
    return [(a, b) for a, b in dict.fromkeys(ties) if a in members and b in members]


def _stretch(at: Mapping[str, IdRecord], key: str, time: int) -> Stretch:
    record = at[key]
    return key, record.spans.index(record.at(time))


def _rank(link: Link, time: int, rules: IdentityRules) -> tuple[float, int, int, str, str]:
    one, two = rule_of(link.a, rules), rule_of(link.b, rules)
    return -min(one.strength, two.strength), max(one.priority, two.priority), time, link.a, link.b
