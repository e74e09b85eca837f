"""The people that identifiers make, out of a graph that holds all of them, with the traits that were said of each. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdp.identity import Component, Decision
from rules.identity.combine import owner_of
from rules.identity.group import SHARED, Vertex, group, rule_of, type_of
from rules.identity.match_people import Base
from rules.identity.model import IdentityRules
from rules.identity.place import Graph
from rules.identity.sight import Sighting


@dataclass(frozen=True)
class Bases:
    """People as identifiers make them.

    Attributes:
        people: by their keys.
        of_sighting: the key of each sighting's person; None: it identifies nobody.
        of_key: the key of each identifier's latest person.
        decisions: all that was decided.
    """

    people: Mapping[str, Base]
    of_sighting: Sequence[str | None]
    of_key: Mapping[str, str]
    decisions: Sequence[Decision]


def find_bases(graph: Graph, sightings: Sequence[Sighting], traits: Sequence[Mapping[str, str]], rules: IdentityRules) -> Bases:
    """Everybody whom a sighting is of."""
    name_of = _names(graph, rules)
    vertices = [_vertex(graph, sighting, name_of) if sighting.ids else None for sighting in sightings]
    of_sighting = [None if vertex is None else name_of.get(vertex) or _name(vertex) for vertex in vertices]
    since: dict[str, int] = {}
    records: dict[str, dict[tuple[tuple[str, str], ...], Mapping[str, str]]] = {}
    lone: dict[str, Vertex] = {}
    for sighting, vertex, name, values in zip(sightings, vertices, of_sighting, traits, strict=True):
        if vertex is None or name is None:
            continue
        since[name] = min(sighting.time, since.get(name, sighting.time))
        lone.setdefault(name, vertex)
        if values and graph.vertex(sighting.ids[0], sighting.time)[1] != SHARED:  # what nobody in particular says is nobody's
            records.setdefault(name, {})[tuple(sorted(values.items()))] = values
    owned = _owned(graph, name_of)
    said = {name: [values for _, values in sorted(theirs.items())] for name, theirs in records.items()}
    people = {
        name: Base(name, owned.get(name) or _alone(lone[name], first), said.get(name, []), first) for name, first in since.items()
    }
    of_key = {key: name for (key, _), name in sorted(name_of.items()) if name in people}
    of_key |= {vertex[0]: name for name, vertex in lone.items() if vertex not in name_of and vertex[1] != SHARED}
    decisions = [decision for component in graph.components.values() for decision in component.decisions]
    return Bases(people, of_sighting, of_key, decisions)


def _vertex(graph: Graph, sighting: Sighting, name_of: Mapping[Vertex, str]) -> Vertex:
    """What says whose an event is."""
    names = sighting.combined or sighting.ids[:1]
    return owner_of([graph.vertex(key, sighting.time) for key in names], lambda vertex: name_of.get(vertex, vertex))


def _names(graph: Graph, rules: IdentityRules) -> dict[Vertex, str]:
    """Each vertex that is in a group, to the name of the group: its strongest."""
    names: dict[Vertex, str] = {}
    for component in graph.components.values():
        for members in group(component, rules).groups:
            strongest = min(members, key=lambda vertex: (rule_of(vertex[0], rules).priority, vertex))
            names |= dict.fromkeys(members, _name(strongest))
    return names


def _name(vertex: Vertex) -> str:
    key, epoch = vertex
    if epoch == SHARED:
        return f"{key}#shared"
    return f"{key}#{epoch + 1}" if epoch else key


def _owned(graph: Graph, name_of: Mapping[Vertex, str]) -> dict[str, dict[str, dict[str, int]]]:
    """The identifiers of each group by type, and when each was first seen with another."""
    first = {key: time for component in graph.components.values() for key, time in _first_seen(component).items()}
    owned: dict[str, dict[str, dict[str, int]]] = {}
    for (key, _), name in name_of.items():
        owned.setdefault(name, {}).setdefault(type_of(key), {})[key] = first.get(key, 0)
    return owned


def _first_seen(component: Component) -> dict[str, int]:
    first: dict[str, int] = {}
    for link in component.links:
        for key in (link.a, link.b):
            first[key] = min(link.first, first.get(key, link.first))
    return first


def _alone(vertex: Vertex, time: int) -> dict[str, dict[str, int]]:
    key, epoch = vertex
    return {} if epoch == SHARED else {type_of(key): {key: time}}
