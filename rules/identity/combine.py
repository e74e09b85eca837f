"""What a shared identifier says together with others is whose the others name. Pure.

An event counts under its strongest identifier. If that one may come to serve several people, what it says together with others
counts under all of them, their *combination*: then it can go, without what the strongest says alone, to the one person whom
the others name. A combination is kept as a node of the graph that has names and no links: in each range of time it belongs to
one of its identifiers.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

from cdp.identity import Component, Node, Span
from rules.identity.group import SHARED, Grouping, Vertex, rule_of, vertex_at
from rules.identity.model import IdentityRules

COMBINATION = "with"  # type in the key of a combination

PersonOf = Callable[[Vertex], object]


def combined(ids: Sequence[str], rules: IdentityRules) -> tuple[str, ...]:
    """The identifiers under which an event counts together, the strongest first; () if it counts under the strongest alone.

    A transaction is nobody's by itself. Whether the strongest is exclusive does not matter: who changes that in the rules must
    not have a message count a second time that comes again.
    """
    if len(ids) < 2 or rule_of(ids[0], rules).counts_alone:
        return ()
    names = tuple(key for key in ids if not rule_of(key, rules).transaction)
    return names if len(names) > 1 and names[0] == ids[0] else ()


def combination_key(names: Sequence[str]) -> str:
    """The key of a combination; "" for no names."""
    if not names:
        return ""
    digest = blake2b("\n".join(names).encode(), digest_size=12).hexdigest()
    return f"{COMBINATION}:{digest}"


def owner_of(vertices: Sequence[Vertex], person_of: PersonOf) -> Vertex:
    """Which of its identifiers an event belongs to: the strongest.

    If that one serves several people, the strongest of the others, provided that they are all one person's.

    Args:
        vertices: of the event's identifiers at its time, the strongest first.
        person_of: anything that is equal for vertices of one person.
    """
    strongest = vertices[0]
    if strongest[1] != SHARED:
        return strongest
    others = [vertex for vertex in vertices[1:] if vertex[1] != SHARED]
    return others[0] if len({person_of(vertex) for vertex in others}) == 1 else strongest


def choose(names: Sequence[str], span_of: Callable[[str], Span]) -> str:
    """`owner_of` for identifiers of which only records are at hand: the key of the one to which an event belongs.

    Args:
        span_of: whose an identifier is at the event's time.
    """
    if not span_of(names[0]).is_shared:
        return names[0]
    others = {key: span.person for key in names[1:] if not (span := span_of(key)).is_shared}
    return next(iter(others)) if len({*others.values()}) == 1 else names[0]


def combine(component: Component, grouping: Grouping) -> Grouping:
    """Put the combinations of a component to the people of its identifiers."""
    combinations = sorted((node for node in component.nodes.values() if node.names), key=lambda node: node.key)
    if not combinations:
        return grouping
    groups = [list(members) for members in grouping.groups]
    number_of = {vertex: number for number, members in enumerate(groups) for vertex in members}
    cuts = dict(grouping.cuts)
    for node in combinations:
        owners = list(_owners(node, grouping, lambda vertex: number_of.get(vertex, vertex)))
        cuts[node.key] = tuple(start for start, _ in owners[1:])
        for epoch, (_, owner) in enumerate(owners):
            if owner not in number_of:
                number_of[owner] = len(groups)
                groups.append([owner])
            groups[number_of[owner]].append((node.key, epoch))
    return Grouping(tuple(sorted(tuple(sorted(members)) for members in groups)), cuts, grouping.shared_from, grouping.refusals)


def _owners(node: Node, grouping: Grouping, person_of: PersonOf) -> Iterator[tuple[int, Vertex]]:
    """From when on a combination belongs to which of its identifiers."""
    starts = {0}
    for key in node.names:
        starts.update(grouping.cuts[key])
        if key in grouping.shared_from:
            starts.add(grouping.shared_from[key] + 1)
    before: Vertex | None = None
    for start in sorted(starts):
        vertices = [vertex_at(key, start, grouping.cuts[key], grouping.shared_from.get(key, -1)) for key in node.names]
        owner = owner_of(vertices, person_of)
        if owner != before:
            yield start, owner
        before = owner
