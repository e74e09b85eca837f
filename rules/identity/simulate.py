"""Who would be who: the evidence of many events, taken in by the code of the stream, in memory; nothing else is touched. Pure.

The evidence is taken in in the order of time, and every event is given to a person by what is known in the end. People have
the numbers of their first events. So the result is a function of the set of events, whatever their order in the file.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import msgspec

from cdp.errors import InvalidEvent
from cdp.identity import Refusal, Seen
from rules.identity.decide import Bar, bar
from rules.identity.derive import derive_values
from rules.identity.find_bases import find_bases
from rules.identity.group import rule_of
from rules.identity.match_people import Matched, between_bases, digest, match_people, record_key
from rules.identity.model import IdentityRules
from rules.identity.place import Graph
from rules.identity.read import Form, Told, read_identifier, read_sighting, strongest_first
from rules.identity.sight import Sighting, says_nothing_new

STEP = 10_000  # events between two words of progress

Tell = Callable[[str, int, int], None]
"""Is told what is being done, and how much of how much is done."""


def tell_nobody(_what: str, _done: int, _total: int) -> None:
    """No progress."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event, as far as a simulation reads it.

    Attributes:
        time: in microseconds.
        ids: (type, value) as they came.
        properties: JSON, of decisions only.
        source: the name of who says so.
    """

    message_id: str
    time: int
    kind: str
    event: str = ""
    ids: tuple[tuple[str, str], ...] = ()
    traits: Mapping[str, Any] = field(default_factory=dict)
    properties: bytes = b""
    source: str = ""


@dataclass(frozen=True)
class Assignment:
    """Who is who.

    Attributes:
        person_of: message id to the number of its person, from 1 on in the order of their first events; those that identify
            nobody are not in it.
        keys_of: message id to its identifiers in normal form, the strongest first.
        refusals: links and matches that glue nobody together.
        matched: what comparing traits did.
    """

    person_of: Mapping[str, int]
    keys_of: Mapping[str, tuple[str, ...]] = field(repr=False)
    refusals: tuple[Refusal, ...] = ()
    matched: Matched = field(default_factory=Matched, repr=False)

    @cached_property
    def people(self) -> dict[int, list[str]]:
        """Number of each person to the ids of its messages."""
        people: dict[int, list[str]] = defaultdict(list)
        for message_id, person in self.person_of.items():
            people[person].append(message_id)
        return dict(people)

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Number of each person to how many messages it has."""
        return {person: len(messages) for person, messages in self.people.items()}


def unique(events: Iterable[Event]) -> list[Event]:
    """Each message once, in the order of time. Of several under one id the earliest counts, whatever their order."""
    found: dict[str, Event] = {}
    for event in events:
        known = found.setdefault(event.message_id, event)
        if known is not event and _order(event) < _order(known):
            found[event.message_id] = event
    return sorted(found.values(), key=lambda event: (event.time, event.message_id))


def _order(event: Event) -> tuple[int, bytes]:
    return event.time, msgspec.json.encode(event, order="deterministic")


def simulate(events: Sequence[Event], rules: IdentityRules, tell: Tell = tell_nobody) -> Assignment:
    """Find out who is who.

    Args:
        events: as `unique` gives them.
    """
    traits = [_traits(event, rules) for event in events]
    sightings = list(read_sightings(events, traits, rules))
    graph = take_in(sightings, rules, tell)
    bases = find_bases(graph, sightings, traits, rules)
    tell("traits", 0, len(bases.people))
    matched = match_people(bases.people.values(), rules, between_bases(bases.decisions, bases.of_key))
    numbers: dict[str, int] = {}
    person_of: dict[str, int] = {}
    for sighting, base in zip(sightings, bases.of_sighting, strict=True):
        if base is not None:
            person_of[sighting.message_id] = numbers.setdefault(matched.person_of[base], len(numbers) + 1)
    keys_of = {sighting.message_id: sighting.ids for sighting in sightings}
    refusals = sorted((*_refusals(graph), *matched.refusals), key=lambda one: (one.time, one.a, one.b, one.reason))
    return Assignment(person_of, keys_of, tuple(refusals), matched)


def take_in(sightings: Sequence[Sighting], rules: IdentityRules, tell: Tell = tell_nobody) -> Graph:
    """All evidence in one graph, as the stream takes it in."""
    numbers = count(1)
    graph = Graph(rules, {}, {}, lambda: next(numbers))
    evidence: dict[tuple[str, str, str], Seen] = {}
    for done, sighting in enumerate(sightings):
        if done % STEP == 0:
            tell("evidence", done, len(sightings))
        if sighting.ids and not _is_known(sighting, evidence, rules):
            graph.place(sighting)
            for one, two in sighting.pairs:
                if (seen := graph.seen(one, two, sighting.source)) is not None:
                    evidence[sighting.source, one, two] = seen
    tell("evidence", len(sightings), len(sightings))
    return graph


def _is_known(sighting: Sighting, evidence: Mapping[tuple[str, str, str], Seen], rules: IdentityRules) -> bool:
    """Whether the graph holds already what an event says; most events say nothing new."""
    if sighting.unbinds or sighting.decisions:
        return False
    if not sighting.pairs and rule_of(sighting.ids[0], rules).transaction:
        return False  # it asks whose the transaction is
    for one, two in sighting.pairs:
        seen = evidence.get((sighting.source, one, two))
        if seen is None or not says_nothing_new(seen, sighting):
            return False
    return True


def _traits(event: Event, rules: IdentityRules) -> dict[str, str]:
    """The traits of an event in the form in which they are compared; {} if they are not."""
    return derive_values(event.traits, rules.matching) if rules.matching and event.traits else {}


def read_sightings(events: Sequence[Event], traits: Sequence[Mapping[str, str]], rules: IdentityRules) -> Iterator[Sighting]:
    """What each event says; one without an identifier is named by its traits."""
    forms: dict[tuple[str, str], Form | None] = {}
    for event in events:
        for identifier in event.ids:
            if identifier not in forms:
                forms[identifier] = read_identifier(*identifier, rules)
    keys = [strongest_first(forms[identifier] for identifier in event.ids) for event in events]
    line = _line(keys, traits, rules)
    for event, ids, values in zip(events, keys, traits, strict=True):
        if not ids and values and rules.matching and line:
            ids = (record_key(values, event.message_id, rules.matching, line),)  # noqa: PLW2901 - its traits name it
        try:
            told = Told(event.kind, event.event, event.properties)
            yield read_sighting(ids, told, event.time, event.time, rules, event.source, event.message_id)
        except InvalidEvent:  # the stream makes a dead letter of it
            yield Sighting((), event.time, event.time, event.source, event.message_id)


def _line(keys: Iterable[tuple[str, ...]], traits: Iterable[Mapping[str, str]], rules: IdentityRules) -> Bar | None:
    """What traits must say to name one person of as many as there may be."""
    if rules.matching is None:
        return None
    names = {ids[0] if ids else digest(values) for ids, values in zip(keys, traits, strict=True) if ids or values}
    return bar(rules.matching, len(names))


def _refusals(graph: Graph) -> Iterator[Refusal]:
    return (refusal for component in graph.components.values() for refusal in component.refusals)
