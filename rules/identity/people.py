"""The people of a component: as its links say, and then, where only traits speak, as these say. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping

import msgspec

from cdp.identity import Component
from rules.identity.combine import combine
from rules.identity.group import SHARED, Grouping, Vertex, group, rule_of, type_of
from rules.identity.match_people import Base, between_bases, match_people
from rules.identity.model import IdentityRules

_decode = msgspec.json.Decoder(dict[str, str]).decode


def find_people(component: Component, rules: IdentityRules) -> Grouping:
    """Let the identifiers of a component, and the combinations of them, fall into people."""
    return combine(component, _find_people(component, rules))


def _find_people(component: Component, rules: IdentityRules) -> Grouping:
    grouping = group(component, rules)
    if rules.matching is None or not any(node.records for node in component.nodes.values()):
        return grouping
    name_of = {vertex: _name(members, rules) for members in grouping.groups for vertex in members}
    bases = _bases(component, grouping, name_of)
    latest = {key: name_of[key, epoch] for key, epoch in sorted(name_of)}
    matched = match_people(bases, rules, between_bases(component.decisions, latest))
    united: dict[str, list[Vertex]] = defaultdict(list)
    for members in grouping.groups:
        united[matched.person_of[name_of[members[0]]]] += members
    groups = tuple(sorted(tuple(sorted(members)) for members in united.values()))
    return Grouping(groups, grouping.cuts, grouping.shared_from, (*grouping.refusals, *matched.refusals))


def _bases(component: Component, grouping: Grouping, name_of: Mapping[Vertex, str]) -> list[Base]:
    first: dict[str, int] = {}
    for link in component.links:
        for key in (link.a, link.b):
            first[key] = min(link.first, first.get(key, link.first))
    records: dict[str, dict[str, int]] = defaultdict(dict)
    for key, node in component.nodes.items():
        for traits in node.records:
            vertex = key, _epoch(grouping, key, traits.time)
            if vertex in name_of:  # what nobody in particular says is nobody's
                known = records[name_of[vertex]]
                known[traits.text] = min(traits.time, known.get(traits.text, traits.time))
    bases = []
    for members in grouping.groups:
        name = name_of[members[0]]
        by_type: dict[str, dict[str, int]] = {}
        for key, _ in members:
            by_type.setdefault(type_of(key), {})[key] = first.get(key, 0)
        said = records.get(name, {})
        since = min([*said.values(), *(first[key] for key, _ in members if key in first)], default=0)
        bases.append(Base(name, by_type, [_decode(text) for text in sorted(said)], since))
    return bases


def _epoch(grouping: Grouping, key: str, time: int) -> int:
    since = grouping.shared_from.get(key)
    return SHARED if since is not None and time > since else bisect_right(grouping.cuts[key], time)


def _name(members: tuple[Vertex, ...], rules: IdentityRules) -> str:
    """Of the strongest, with what tells its epoch from others."""
    key, epoch = min(members, key=lambda vertex: (rule_of(vertex[0], rules).priority, vertex))
    return f"{key}#{epoch + 1}" if epoch else key
