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
        refusals: links that glue nobody together.
    """

    person_of: Mapping[str, int]
    keys_of: Mapping[str, tuple[str, ...]] = field(repr=False)
    refusals: tuple[Refusal, ...] = ()

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
    sightings = list(_sightings(events, rules))
    graph = take_in(sightings, rules, tell)
    people: dict[int, int] = {}
    person_of: dict[str, int] = {}
    for event, sighting in zip(events, sightings, strict=True):
        if sighting.ids:
            _, person = graph.find(sighting.ids, sighting.time)
            person_of[event.message_id] = people.setdefault(person, len(people) + 1)
    keys_of = {sighting.message_id: sighting.ids for sighting in sightings}
    return Assignment(person_of, keys_of, _refusals(graph))


def take_in(sightings: Sequence[Sighting], rules: IdentityRules, tell: Tell = tell_nobody) -> Graph:
    """All evidence in one graph, as the stream takes it in."""
    numbers = count(1)
    graph = Graph(rules, {}, {}, lambda: next(numbers))
    evidence: dict[tuple[str, str, str], Seen] = {}
    for done, sighting in enumerate(sightings):
        if done % STEP == 0:
            tell("evidence", done, len(sightings))
        if sighting.ids and not _is_known(sighting, evidence):
            graph.place(sighting)
            for one, two in sighting.pairs:
                if (seen := graph.seen(one, two, sighting.source)) is not None:
                    evidence[sighting.source, one, two] = seen
    tell("evidence", len(sightings), len(sightings))
    return graph


def _is_known(sighting: Sighting, evidence: Mapping[tuple[str, str, str], Seen]) -> bool:
    """Whether the graph holds already what an event says; most events say nothing new."""
    if sighting.unbinds or sighting.decisions:
        return False
    for one, two in sighting.pairs:
        seen = evidence.get((sighting.source, one, two))
        if seen is None or not says_nothing_new(seen, sighting):
            return False
    return True


def _sightings(events: Iterable[Event], rules: IdentityRules) -> Iterator[Sighting]:
    forms: dict[tuple[str, str], Form | None] = {}
    for event in events:
        for identifier in event.ids:
            if identifier not in forms:
                forms[identifier] = read_identifier(*identifier, rules)
        ids = strongest_first(forms[identifier] for identifier in event.ids)
        try:
            told = Told(event.kind, event.event, event.properties)
            yield read_sighting(ids, told, event.time, event.time, event.source, event.message_id)
        except InvalidEvent:  # the stream makes a dead letter of it
            yield Sighting((), event.time, event.time, event.source, event.message_id)


def _refusals(graph: Graph) -> tuple[Refusal, ...]:
    found = (refusal for component in graph.components.values() for refusal in component.refusals)
    return tuple(sorted(found, key=lambda refusal: (refusal.time, refusal.a, refusal.b, refusal.reason)))
