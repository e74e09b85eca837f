"""Place events: each finds, or founds, its person. Works on what of the graph was loaded, in memory; others load and save it.

Linking puts components together, takes the evidence in, and lets the identifiers fall into people anew
(`rules.identity.group`). What belonged to one person before and belongs to another one now has moved: see `Move`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cdp.clock import DAY
from cdp.identity import HISTORY_KEPT, Change, Component, IdRecord, Link, Node, Refusal, Seen, Span
from rules.identity.combine import choose
from rules.identity.compare import compare
from rules.identity.decide import bar
from rules.identity.group import SHARED, Grouping, Vertex, links_several, rule_of, standing, vertex_at
from rules.identity.model import IdentityRules
from rules.identity.people import find_people
from rules.identity.sight import Sighting, decide, find_link, see, see_link, see_traits, see_unbinding

END = 2**62  # later than all times
AHEAD = DAY  # an event that is dated further ahead of its receipt is of another time than the clock's
_decode = msgspec.json.Decoder(dict[str, str]).decode
CHANGE_BITS = 20  # changes of one loaded graph are numbered in so many bits
CROWD = 30  # from so many on, what is seen with a shared identifier is not kept
MAX_NODES = 500  # identifiers that hang together: with more of them evidence says nothing about a person any more

Shape = tuple[list[int], int]
"""Where an identifier's epochs end, and after which time it is shared."""


def is_ahead(sighting: Sighting) -> bool:
    """Whether an event is dated ahead of its receipt: a clock was wrong. It may belong to an epoch that nobody knows of yet."""
    return sighting.time > sighting.received_at + AHEAD


@dataclass(frozen=True, slots=True)
class Move:
    """Parts of a profile belong to another person now. `version` grows with each change of the graph."""

    version: int
    source: int
    target: int
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Carve:
    """Of what counts in a part of `source`, the events from `start` to before `end` count in part `into` of `target` now.

    That an epoch ended is known late sometimes; mostly nothing was counted by then, and nothing is to be done.
    """

    version: int
    source: int
    target: int
    part: int
    into: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Placed:
    """Whose event it is, in which part of the profile it counts, and what it changed for others."""

    part: int
    person: int
    changes: tuple[Move | Carve, ...] = ()


@dataclass
class Graph:
    """The part of the graph that is at hand.

    Args:
        rules: if they match traits, they say how many people there are.
        records: of the identifiers that will be asked for; those that are missing are new.
        components: those of these records, by their ids.
        draw_number: gives the next number of a person or part.
        version: later than that of every change before; those made here follow it.
        now: the wall clock, in microseconds: no event that counts already was received later; 0: that of each event at hand.

    Attributes:
        touched, absorbed: components that changed, and that were put into others.
        changed: identifiers whose records changed.
        loaded: identifiers of the components as they came.
        changes: how many changes were made.
        fresh: numbers that were given for the event at hand: nothing was counted under them, so that nothing moves.
        admitted: transactions that got a node for the event at hand.
    """

    rules: IdentityRules
    records: dict[str, IdRecord]
    components: dict[int, Component]
    draw_number: Callable[[], int]
    version: int = 0
    now: int = 0
    touched: set[int] = field(default_factory=set)
    absorbed: set[int] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    loaded: frozenset[str] = frozenset()
    changes: int = 0
    fresh: set[int] = field(default_factory=set)
    admitted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The records of all identifiers of a component follow from it."""
        self.loaded = frozenset(key for component in self.components.values() for key in component.nodes)
        for component in self.components.values():
            for key, node in component.nodes.items():
                self.records[key] = IdRecord(component.id, spans_of(component, node))

    def place(self, sighting: Sighting) -> Placed:
        """Take the event's evidence in, and say whose it is, see `rules.identity.combine.owner_of`."""
        self.fresh.clear()
        self.admitted.clear()
        changes = self._learn(sighting)
        key = self._counted_under(sighting)
        if is_ahead(sighting):
            node = self._component(key).nodes[key]
            if sighting.time > node.ahead:
                node.ahead = sighting.time
                self.touched.add(self.records[key].component)
        part, person, opened = self._find_part(key, sighting)
        return Placed(part, person, (*changes, *opened))

    def vertex(self, key: str, time: int) -> Vertex:
        """What an identifier is at a time."""
        record = self.records.get(key)
        return _vertex(self.components[record.component].nodes[key], time) if record and record.component else (key, 0)

    def seen(self, one: str, two: str, source: str) -> Seen | None:
        """What the graph holds now of a source's evidence for a link."""
        other = self.records.get(two)
        if other is not None and other.reported_by == one:
            return other.evidence.get(source)
        record = self.records.get(one)
        if record is None or not record.component:
            return None
        link = find_link(self.components[record.component], one, two)
        return link.sources.get(source) if link is not None else None

    # -- what an event says ----------------------------------------------------------------------------------------

    def _learn(self, sighting: Sighting) -> tuple[Move | Carve, ...]:
        changed = self._learn_links(sighting)
        if self._is_new_combination(sighting):
            changed.append(sighting.combination)
        for decision in sighting.decisions:
            component = self._unite(decision.a, decision.b, sighting.time)
            for key in (decision.a, decision.b):  # what would be too large together remembers it on both sides
                if decide(component or self._component(key), decision):
                    changed.append(key)
        if sighting.regroups:
            changed += [key for key in sighting.ids if self._record(key).component]
        if sighting.unbinds:
            for key in sighting.ids[1:] or sighting.ids:
                if see_unbinding(self._component(key).nodes[key], sighting.time):
                    changed.append(key)
        if sighting.record and not self._is_shared(sighting.ids[0], sighting.time) and self._compare(sighting):
            changed.append(sighting.ids[0])
        self._note_sealed(sighting)
        if sighting.ids[0] in self.records:
            self._record(sighting.ids[0])
        changed += self.admitted
        changes: list[Move | Carve] = []
        for number in dict.fromkeys(self.records[key].component for key in changed):
            changes += self._regroup(self.components[number], sighting)
        return tuple(changes)

    def _learn_links(self, sighting: Sighting) -> list[str]:
        changed = []
        for one, two in sighting.pairs:
            if self._links_nothing(one, two, sighting):
                continue
            # What is seen with somebody whom nobody knows says nothing. While they are few it is kept all the same: it says
            # something if it turns out later that they are not shared.
            is_shared = self._is_shared(one, sighting.time) or self._is_shared(two, sighting.time)
            if is_shared and self._would_be(one, two) > CROWD:
                continue
            component = self._unite(one, two, sighting.time)
            if component is not None and (see_link(component, one, two, sighting) or component.rules != self.rules.version):
                changed.append(two)
        return changed

    def _links_nothing(self, one: str, two: str, sighting: Sighting) -> bool:
        """Take in who tells of a transaction, as long as the graph need not know: one identifier does, or several of one type."""
        if not rule_of(two, self.rules).transaction:
            return False
        if rule_of(one, self.rules).transaction:  # two of them say nothing of each other
            return True
        record = self.records.get(two)
        if record is None:
            self._keep(two, IdRecord(0, [Span(0, 0, 0)], reported_by=one, evidence=_more({}, sighting)))
            return True
        if record.reported_by == one:
            if (evidence := _more(record.evidence, sighting)) != record.evidence:
                self._keep(two, msgspec.structs.replace(record, evidence=evidence))
            return True
        if not record.component:
            return False
        component = self.components[record.component]
        return find_link(component, one, two) is None and bool(links_several(component, {two}))

    def _admit(self, key: str, record: IdRecord) -> None:
        """Give a transaction, of which one identifier has told, its node."""
        component = self._component(record.reported_by)
        number = self.draw_number()
        self.fresh.add(number)
        component.nodes[key] = Node(key, [number])
        a, b = sorted((key, record.reported_by))
        component.links.append(Link(a, b, _more(record.evidence)))
        self._keep(key, IdRecord(component.id, [Span(0, number, number)]))
        self.touched.add(component.id)
        self.admitted.append(key)

    def _is_new_combination(self, sighting: Sighting) -> bool:
        """Give what several identifiers say together a node, if they hang together."""
        key = sighting.combination
        if not sighting.combined or key in self.records:
            return False
        component = self._component_of_all(sighting.combined)
        if component is None:
            return False
        number = self.draw_number()
        self.fresh.add(number)
        component.nodes[key] = Node(key, [number], names=list(sighting.combined))
        self._keep(key, IdRecord(component.id, [Span(0, number, number)]))
        self.touched.add(component.id)
        return True

    def _component_of_all(self, keys: Sequence[str]) -> Component | None:
        records = [self.records.get(key) for key in keys]
        numbers = {record.component if record is not None else 0 for record in records}
        return self.components.get(numbers.pop()) if len(numbers) == 1 else None

    def _compare(self, sighting: Sighting) -> bool:
        """Take in what traits say: who may be the same person hangs together. Returns whether it was not known."""
        key, matching = sighting.ids[0], self.rules.matching
        if matching is None or not see_traits(self._component(key).nodes[key], sighting.record, sighting.time):
            return False
        line = bar(matching, 1)
        for other in sighting.candidates:
            record = self.records.get(other)
            if other == key or record is None or not record.component:
                continue
            said = [_decode(traits.text) for traits in self.components[record.component].nodes[other].records]
            if any(line.verdict(compare(sighting.record, values, matching)) != "apart" for values in said):
                self._unite(key, other, sighting.time)
        return True

    def _would_be(self, one: str, two: str) -> int:
        """How many identifiers hang together if two do."""
        found = {}
        for key in (one, two):
            record = self.records.get(key)
            component = self.components[record.component] if record and record.component else None
            found[component.id if component else key] = len(component.identifiers) if component else 1
        return sum(found.values())

    def _note_sealed(self, sighting: Sighting) -> None:
        for key, sealed in sighting.sealed.items():
            if key not in sighting.ids:  # it identifies nobody
                continue
            record = self._record(key)
            if not record.component:
                if record.sealed != sealed:
                    self._keep(key, IdRecord(0, record.spans, sealed))
                continue
            node = self.components[record.component].nodes[key]
            if node.sealed != sealed:
                node.sealed = sealed
                self.touched.add(record.component)

    def _unite(self, one: str, two: str, time: int) -> Component | None:
        """The component that holds both; None if it would be too large."""
        first, second = self._component(one), self._component(two)
        if first is second:
            return first
        if len(first.identifiers) + len(second.identifiers) > MAX_NODES:
            self._refuse_size(first, one, two, time)
            return None
        into, gone = sorted((first, second), key=lambda component: component.id)
        into.nodes |= gone.nodes
        into.links += gone.links
        into.matches += gone.matches
        into.decisions += gone.decisions
        into.people |= gone.people
        if gone.history:
            into.history = sorted([*into.history, *gone.history], key=lambda change: change.version)[-HISTORY_KEPT:]
        for key in gone.nodes:
            self._keep(key, IdRecord(into.id, self.records[key].spans))
        del self.components[gone.id]
        self.absorbed.add(gone.id)
        self.touched.discard(gone.id)
        return into

    def _refuse_size(self, component: Component, one: str, two: str, time: int) -> None:
        a, b = sorted((one, two))
        if (a, b) in standing(component):
            return
        if all((known.a, known.b, known.reason) != (a, b, "size") for known in component.refusals):
            detail = f"more than {MAX_NODES} identifiers would hang together"
            component.refusals.append(Refusal(a, b, "size", two, time, detail, review=True))
            self.touched.add(component.id)

    # -- who is who ------------------------------------------------------------------------------------------------

    def _regroup(self, component: Component, sighting: Sighting) -> list[Move | Carve]:
        """Find out who is who, and what that changes."""
        people = component.people
        shapes = {key: (node.cuts, node.shared_from) for key, node in component.nodes.items()}
        self._settle(component)
        reassigned = self._reassigned(component, shapes, self._until(sighting))
        moved: dict[tuple[int, int], list[int]] = {}
        for part, person in sorted(component.people.items()):
            if (before := people.get(part, person)) != person:
                moved.setdefault((before, person), []).append(part)
        version = self._next_version() if moved else 0
        if moved:
            summary = [(source, target, parts) for (source, target), parts in moved.items()]
            change = Change(version, sighting.time, sighting.message_id, summary, list(sighting.ids), self.rules.version)
            component.history = [*component.history, change][-HISTORY_KEPT:]
        moves = [
            Move(version, source, target, tuple(old))
            for (source, target), parts in moved.items()
            if (old := [part for part in parts if part not in self.fresh])
        ]
        owner = component.people
        carves = [
            Carve(self._next_version(), owner[part], owner[into], part, into, start, end) for part, into, start, end in reassigned
        ]
        return [*moves, *carves]

    def _next_version(self) -> int:
        self.changes += 1
        return (self.version << CHANGE_BITS) + self.changes

    def _until(self, sighting: Sighting) -> int:
        """Events that count already are not later, but for those dated ahead; others are placed by what is known then."""
        return max(sighting.received_at, self.now) + 2 * AHEAD

    def _reassigned(self, component: Component, before: Mapping[str, Shape], until: int) -> list[tuple[int, int, int, int]]:
        """What an identifier said in some range of time counts in another part now: (part, into, start, end).

        What begins after `until` has not happened yet; it gets a number when something comes all the same: see `_find_part`.
        """
        found = []
        for key, (cuts, shared_from) in before.items():
            node = component.nodes[key]
            if node.shared_from == shared_from and node.cuts == cuts:
                continue
            old = spans_of(component, msgspec.structs.replace(node, cuts=cuts, shared_from=shared_from))
            for start, _, part in _differing(old, spans_of(component, node)):
                if part and start <= until and not _number(component, _vertex(node, start)):
                    self._number_vertex(component, node, start)
            last = max(until, node.ahead + 1)
            for start, end, part in _differing(old, spans_of(component, node)):
                if start < last and (into := _number(component, _vertex(node, start))):
                    sources = [part] if part else _numbers(node)
                    found += [(one, into, start, min(end, last)) for one in sources if one != into and one not in self.fresh]
        return found

    def _number_vertex(self, component: Component, node: Node, time: int) -> int:
        """Give a number to the epoch of a time."""
        number = self.draw_number()
        _give_number(node, time, number)
        self._settle(component)
        return number

    def _settle(self, component: Component) -> None:
        """Let the identifiers fall into people. The oldest number of a person is the person's."""
        grouping = find_people(component, self.rules)
        _remember(component, grouping, self.rules.version)
        people: dict[int, int] = {}
        for members in grouping.groups:
            numbers = [number for vertex in members if (number := _number(component, vertex))]
            people |= dict.fromkeys(numbers, min(numbers, default=0))
        for node in component.nodes.values():
            for number in (*node.numbers, node.shared):
                if number and number not in people:
                    people[number] = number
        component.people = people
        self.touched.add(component.id)

    def _is_shared(self, key: str, time: int) -> bool:
        record = self.records.get(key)
        if record is None or not record.component:
            return False
        return self.components[record.component].nodes[key].is_shared(time)

    def _counted_under(self, sighting: Sighting) -> str:
        """The identifier, or combination, under which an event counts."""
        if not sighting.combined:
            return sighting.ids[0]
        if sighting.combination in self.records:
            return sighting.combination
        # They do not hang together: too many do.
        return choose(sighting.combined, lambda key: self._span(key, sighting.time))

    def _span(self, key: str, time: int) -> Span:
        record = self._record(key)
        if not record.component:
            return record.spans[0]
        component = self.components[record.component]
        return IdRecord(0, spans_of(component, component.nodes[key])).at(time)

    def _find_part(self, key: str, sighting: Sighting) -> tuple[int, int, list[Move | Carve]]:
        """The part in which an identifier's events of a time count, its person, and what that changes.

        The first event of an epoch gives it a number. Others of its time, dated ahead of theirs, may have counted in an earlier
        epoch, as nobody knew then that it would end before. Whose it is comes of asking anew who is who in the whole component,
        by the rules of today: what these change for others is said as well.
        """
        time = sighting.time
        record = self._record(key)
        if not record.component:
            return record.spans[0].part, record.spans[0].person, []
        component = self.components[record.component]
        node = component.nodes[key]
        number = _number(component, _vertex(node, time))
        if number:
            return number, component.people[number], []
        changes = self._regroup(component, sighting)
        if number := _number(component, _vertex(node, time)):
            return number, component.people[number], changes
        earlier = [part for part in _numbers(node) if part not in self.fresh]
        number = self._number_vertex(component, node, time)
        people = component.people
        start, end = next((start, end) for start, end, part in _bounded(spans_of(component, node)) if part == number)
        end = min(end, max(self._until(sighting), node.ahead + 1))
        if node.ahead < start:
            return number, people[number], changes
        changes += [Carve(self._next_version(), people[part], people[number], part, number, start, end) for part in earlier]
        return number, people[number], changes

    # -- records and components ------------------------------------------------------------------------------------

    def _record(self, key: str) -> IdRecord:
        record = self.records.get(key)
        if record is None:
            number = self.draw_number()
            self.fresh.add(number)
            record = self._keep(key, IdRecord(0, [Span(0, number, number)]))
        elif record.reported_by:
            self._admit(key, record)
            record = self.records[key]
        return record

    def _keep(self, key: str, record: IdRecord) -> IdRecord:
        self.records[key] = record
        self.changed.add(key)
        return record

    def _component(self, key: str) -> Component:
        """The component of an identifier; one of its own if it was never linked."""
        record = self._record(key)
        if record.component:
            return self.components[record.component]
        number = record.spans[0].part
        component = Component(number, {key: Node(key, [number], sealed=record.sealed)}, people={number: number})
        self.components[number] = component
        self._keep(key, IdRecord(number, record.spans))
        self.touched.add(number)
        return component

    def outcome(self) -> dict[str, IdRecord]:
        """The records as they have to be kept: those that are new, or say something else than before."""
        for component_id in self.touched:
            component = self.components[component_id]
            for key, node in component.nodes.items():
                record = self.records[key]
                spans = spans_of(component, node)
                if record.spans != spans or record.component != component_id:
                    self._keep(key, IdRecord(component_id, spans))
        return {key: self.records[key] for key in self.changed}


def _remember(component: Component, grouping: Grouping, version: int) -> None:
    decided = standing(component)
    waiting = (r for r in component.refusals if r.reason == "size" and (r.a, r.b) not in decided)
    component.refusals = [*grouping.refusals, *waiting]
    component.rules = version
    for key, node in component.nodes.items():
        node.cuts = list(grouping.cuts[key])
        node.shared_from = grouping.shared_from.get(key, -1)


def _more(evidence: Mapping[str, Seen], sighting: Sighting | None = None) -> dict[str, Seen]:
    """A copy of evidence for a link, with what an event adds."""
    copy = {source: Seen(seen.first, list(seen.days), seen.bound) for source, seen in evidence.items()}
    if sighting is not None:
        see(copy, sighting)
    return copy


def _vertex(node: Node, time: int) -> Vertex:
    return vertex_at(node.key, time, node.cuts, node.shared_from)


def _number(component: Component, vertex: Vertex) -> int:
    """The number of a vertex; 0: it has none yet."""
    key, epoch = vertex
    node = component.nodes[key]
    if epoch == SHARED:
        return node.shared
    return node.numbers[epoch] if epoch < len(node.numbers) else 0


def _numbers(node: Node) -> list[int]:
    """The numbers of an identifier's parts."""
    return [number for number in (*node.numbers, node.shared) if number]


def _give_number(node: Node, time: int, number: int) -> None:
    _, epoch = _vertex(node, time)
    if epoch == SHARED:
        node.shared = number
        return
    node.numbers += [0] * (epoch + 1 - len(node.numbers))
    node.numbers[epoch] = number


def spans_of(component: Component, node: Node) -> list[Span]:
    """From when on an identifier's events belong to which part of whom."""
    if not node.cuts and node.shared_from < 0:
        number = node.numbers[0]
        return [Span(0, number, component.people.get(number, 0))]
    shared_from = node.shared_from + 1 if node.shared_from >= 0 else None
    spans = []
    for start in (0, *node.cuts):
        if shared_from is None or start < shared_from:
            number = _number(component, (node.key, node.epoch(start)))
            spans.append(Span(start, number, component.people.get(number, 0)))
    if shared_from is not None:
        spans.append(Span(shared_from, node.shared, component.people.get(node.shared, node.shared), True))
    return spans


def _bounded(spans: list[Span]) -> list[tuple[int, int, int]]:
    """Spans as (start, end, part)."""
    ends = [*(span.start for span in spans[1:]), END]
    return [(span.start, end, span.part) for span, end in zip(spans, ends, strict=True)]


def _differing(old: list[Span], new: list[Span]) -> list[tuple[int, int, int]]:
    """Ranges (start, end, old part) in which events count in another part now.

    An old part of 0 had no number yet: what came of it before it was known to be an epoch of its own counted in any earlier one.
    """
    edges = sorted({span.start for span in (*old, *new)})
    found = []
    for start, end in zip(edges, [*edges[1:], END], strict=True):
        before, after = _at(old, start), _at(new, start)
        if before.part != after.part:
            found.append((start, end, before.part))
    return found


def _at(spans: list[Span], time: int) -> Span:
    return next(span for span in reversed(spans) if span.start <= time)
