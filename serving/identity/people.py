"""Whose the identifiers of a component are, as it was grouped last. Pure."""

from collections.abc import Iterable

from cdp.identity import Component, IdRecord, Span
from rules.identity.group import rule_of
from rules.identity.model import IdentityRules
from rules.identity.place import spans_of

Pair = tuple[str, str]


def record_of(component: Component, key: str) -> IdRecord:
    """What is kept of an identifier, as it follows from its component."""
    return IdRecord(component.id, spans_of(component, component.nodes[key]))


def span_at(component: Component, key: str, time: int) -> Span:
    """To whom an identifier leads at a time."""
    return record_of(component, key).at(time)


def person_now(component: Component, key: str, now: int) -> int:
    """Whose an identifier is; 0: nothing has happened with it yet."""
    return record_of(component, key).current(now).person


def people_of(component: Component) -> dict[int, list[str]]:
    """Each person's identifiers, those included that were theirs for a time only."""
    found: dict[int, list[str]] = {}
    for key in sorted(component.identifiers):
        for person in dict.fromkeys(span.person for span in record_of(component, key).spans if span.person):
            found.setdefault(person, []).append(key)
    return found


def parts_of(component: Component, person: int) -> list[int]:
    """The numbers of the parts that a person is put together of."""
    return sorted(part for part, owner in component.people.items() if owner == person)


def keys_of(component: Component, parts: Iterable[int]) -> list[str]:
    """The identifiers whose events count in some parts, by themselves or together."""
    wanted = set(parts)
    counted = (node for node in component.nodes.values() if wanted & {*node.numbers, node.shared} - {0})
    return sorted({key for node in counted for key in (node.names or (node.key,))})


def strongest(keys: Iterable[str], rules: IdentityRules) -> list[str]:
    """Identifiers, the strongest first."""
    return sorted(keys, key=lambda key: (rule_of(key, rules).priority, key))


def as_pair(one: str, two: str) -> Pair:
    """Two identifiers in the order in which the graph keeps them."""
    return (one, two) if one < two else (two, one)
