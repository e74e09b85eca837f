"""Who is who by the book: a plain and slow reading of docs/identity.md, for tests to compare with.

Nothing is loaded by components and nothing is found out on the way: all evidence is thought over at once.
"""

from collections import defaultdict
from dataclasses import dataclass, field

DAY = 86_400_000_000
WINDOWS = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY, "year": 365 * DAY}


@dataclass(frozen=True)
class Type:
    """What the rules say of a type: its rank, and limits as {window: count}."""

    priority: int
    strength: float = 1.0
    limits: dict[str, int] = field(default_factory=dict)
    lifetime: int = 0

    @property
    def exclusive(self) -> bool:
        return self.limits.get("ever") == 1


@dataclass(frozen=True)
class Said:
    """An event: identifiers as (type, value), in normal form."""

    message_id: str
    time: int
    kind: str
    ids: tuple[tuple[str, str], ...]
    source: str = ""


@dataclass
class Knowledge:
    """All evidence: sightings of each pair by source as (time, express), and unbindings of each identifier."""

    pairs: dict[tuple, dict[str, list[tuple[int, bool]]]] = field(default_factory=dict)
    unbound: dict[tuple, set[int]] = field(default_factory=lambda: defaultdict(set))

    def moments(self, pair: tuple) -> list[int]:
        """Exactly when first, then by days, and exactly when last said expressly; for each source."""
        found = set()
        for seen in self.pairs[pair].values():
            first = min(time for time, _ in seen)
            found.add(first)
            found |= {time // DAY * DAY for time, _ in seen if time // DAY * DAY > first}
            express = [time for time, is_express in seen if is_express]
            found |= {time for time in express if time == max(express)}
        return sorted(found)


def people(events: list[Said], types: dict[str, Type]) -> dict[str, object]:
    """Message id to something that stands for its person; messages that identify nobody are not in it."""
    known = Knowledge()
    for said in events:
        ids = strongest_first(said, types)
        if said.kind == "unbind":
            for identifier in ids[1:] or ids:
                known.unbound[identifier].add(said.time)
            continue
        for other in ids[1:]:
            pair = min(ids[0], other), max(ids[0], other)
            seen = known.pairs.setdefault(pair, {}).setdefault(said.source, [])
            seen.append((said.time, said.kind in ("identify", "alias")))
    answer = Answer(known, types)
    return {said.message_id: answer.person(strongest_first(said, types), said.time) for said in events if said.ids}


def strongest_first(said: Said, types: dict[str, Type]) -> list[tuple[str, str]]:
    return sorted(set(said.ids), key=lambda identifier: (types[identifier[0]].priority, ":".join(identifier)))


class Answer:
    """Who is who by what is known."""

    def __init__(self, known: Knowledge, types: dict[str, Type]) -> None:
        self.known, self.types = known, types
        self.shared: dict[tuple, int] = {}
        while (found := self.attempt()) is not None:
            time, identifier = found
            self.shared[identifier] = time

    def is_shared(self, identifier: tuple, time: int) -> bool:
        return identifier in self.shared and time > self.shared[identifier]

    def person(self, ids: list[tuple], time: int) -> object:
        if self.is_shared(ids[0], time):
            return ("nobody in particular", ids[0])
        point = (ids[0], self.epoch(ids[0], time))
        return frozenset(self.groups.get(point, {point}))

    def epoch(self, identifier: tuple, time: int) -> int:
        ends = {time + 1 for time in self.known.unbound[identifier]}
        days = self.types[identifier[0]].lifetime
        if days:
            mine = [pair for pair in self.known.pairs if identifier in pair]
            seen = sorted(
                {
                    moment
                    for pair in mine
                    for moment in self.known.moments(pair)
                    if not any(self.is_shared(end, moment) for end in pair)
                }
            )
            for place, moment in enumerate(seen):
                end = moment + days * DAY
                if place == len(seen) - 1 or seen[place + 1] > end:
                    ends.add(end)
        return sum(1 for end in ends if end <= time)

    def attempt(self) -> tuple[int, tuple] | None:
        """Group anew, with what is known to be shared. Returns what is found to be shared now, the earliest."""
        self.groups: dict[tuple, set] = {}
        came_in: dict[tuple, int] = {}
        attached: dict[tuple, int] = {}
        contested = []
        for _, _, time, one, two in sorted(self.edges(), key=lambda edge: (*edge[:3], _named(edge[3]), _named(edge[4]))):
            mine = self.groups.setdefault(one, {one})
            others = self.groups.setdefault(two, {two})
            if mine is not others:
                broken = self.broken(mine, others, time, came_in)
                if broken is not None:
                    weaker = max((one, two), key=lambda point: (self.types[point[0][0]].priority, ":".join(point[0])))
                    if broken and not self.types[weaker[0][0]].exclusive and weaker[0] not in self.shared:
                        contested.append((max(time, attached.get(weaker, time)), ":".join(weaker[0]), weaker[0]))
                    continue
                for point in (*mine, *others):
                    came_in.setdefault(point, time)
                mine |= others
                for point in others:
                    self.groups[point] = mine
            for point in (one, two):
                attached[point] = min(time, attached.get(point, time))
        return (min(contested)[0], min(contested)[2]) if contested else None

    def edges(self) -> list[tuple]:
        found = []
        for pair in self.known.pairs:
            a, b = sorted(pair, key=":".join)
            earliest: dict[tuple, int] = {}
            for moment in self.known.moments(pair):
                if not self.is_shared(a, moment) and not self.is_shared(b, moment):
                    earliest.setdefault(((a, self.epoch(a, moment)), (b, self.epoch(b, moment))), moment)
            one, two = self.types[a[0]], self.types[b[0]]
            for ends, moment in earliest.items():
                found.append((-min(one.strength, two.strength), max(one.priority, two.priority), moment, *ends))
        return found

    def broken(self, mine: set, others: set, time: int, came_in: dict[tuple, int]) -> bool | None:
        """Whether the limit that both together break is an exclusive one; None if they break none."""
        verdicts = []
        for name, type_ in self.types.items():
            values: dict[tuple, int] = {}
            sides = []
            for side in (mine, others):
                sides.append({identifier for identifier, _ in side if identifier[0] == name})
                for point in side:
                    if point[0][0] == name:
                        values[point[0]] = min(came_in.get(point, time), values.get(point[0], 2**62))
            if not sides[0] or not sides[1] or sides[0] == sides[1]:
                continue
            for window in sorted(type_.limits, key=lambda name: WINDOWS.get(name, 2**62)):
                if exceeds(sorted(values.values()), type_.limits[window], window):
                    verdicts.append(window == "ever" and type_.limits[window] == 1)
                    break
        return any(verdicts) if verdicts else None


def exceeds(times: list[int], count: int, window: str) -> bool:
    """Whether more than `count` came in, ever or within any window."""
    if window == "ever":
        return len(times) > count
    return any(len([time for time in times if start <= time < start + WINDOWS[window]]) > count for start in times)


def _named(point: tuple) -> tuple:
    return ":".join(point[0]), point[1]
