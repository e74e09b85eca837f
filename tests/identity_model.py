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
    transaction: bool = False

    @property
    def exclusive(self) -> bool:
        return self.limits.get("ever") == 1


@dataclass(frozen=True)
class Said:
    """An event: identifiers as (type, value), in normal form; of a decision, its verdict and the pairs that it is about."""

    message_id: str
    time: int
    kind: str
    ids: tuple[tuple[str, str], ...]
    source: str = ""
    verdict: str = ""
    decided: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = ()


@dataclass
class Knowledge:
    """All evidence: sightings of each pair by source as (time, express), and unbindings of each identifier; and what somebody
    decided last about a pair, as (time, verdict).
    """

    pairs: dict[tuple, dict[str, list[tuple[int, bool]]]] = field(default_factory=dict)
    unbound: dict[tuple, set[int]] = field(default_factory=lambda: defaultdict(set))
    decided: dict[tuple, tuple[int, str]] = field(default_factory=dict)

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
    return answer(events, types).people(events)


def answer(events: list[Said], types: dict[str, Type]) -> "Answer":
    """What all events together say."""
    known = Knowledge()
    for said in events:
        ids = strongest_first(said, types)
        if said.kind == "decision":
            for one, two in said.decided:
                pair = min(one, two), max(one, two)
                known.decided[pair] = max((said.time, said.verdict), known.decided.get(pair, (-1, "")))
            continue
        if said.kind == "unbind":
            for identifier in ids[1:] or ids:
                known.unbound[identifier].add(said.time)
            continue
        for other in ids[1:]:
            if types[ids[0][0]].transaction and types[other[0]].transaction:
                continue
            pair = min(ids[0], other), max(ids[0], other)
            seen = known.pairs.setdefault(pair, {}).setdefault(said.source, [])
            seen.append((said.time, said.kind in ("identify", "alias")))
    return Answer(known, types)


def strongest_first(said: Said, types: dict[str, Type]) -> list[tuple[str, str]]:
    return sorted(set(said.ids), key=lambda identifier: (types[identifier[0]].priority, ":".join(identifier)))


class Answer:
    """Who is who by what is known.

    Attributes:
        groups: each point (an identifier and its epoch) that a link touches, with all those that are one person with it.
        came_in: when each of them came to its person.
    """

    def __init__(self, known: Knowledge, types: dict[str, Type]) -> None:
        self.known, self.types = known, types
        self.shared: dict[tuple, int] = {}
        while (found := self.attempt()) is not None:
            time, identifier = found
            self.shared[identifier] = time

    def people(self, events: list[Said]) -> dict[str, object]:
        """See `people`."""
        return {
            said.message_id: self.person(ids[:1] if said.kind in ("unbind", "decision") else ids, said.time)
            for said in events
            if (ids := strongest_first(said, self.types))
        }

    def is_shared(self, identifier: tuple, time: int) -> bool:
        return identifier in self.shared and time > self.shared[identifier]

    def person(self, ids: list[tuple], time: int) -> object:
        """The strongest's; of one that serves several people the person's whom all others name that do not."""
        if not self.is_shared(ids[0], time):
            return self.group_of(ids[0], time)
        named = {
            self.group_of(one, time) for one in ids[1:] if not self.types[one[0]].transaction and not self.is_shared(one, time)
        }
        return named.pop() if len(named) == 1 else ("nobody in particular", ids[0])

    def group_of(self, identifier: tuple, time: int) -> object:
        point = (identifier, self.epoch(identifier, time))
        return frozenset(self.groups.get(point, {point}))

    def speaks(self, identifier: tuple) -> list[tuple]:
        """The pairs that say when an identifier was in use: a transaction says so of itself only."""
        mine = [pair for pair in self.known.pairs if identifier in pair]
        if self.types[identifier[0]].transaction:
            return [] if any(self.links_several(pair, identifier) for pair in mine) else mine
        return [pair for pair in mine if not any(self.types[end[0]].transaction for end in pair)]

    def links_several(self, pair: tuple, *ends: tuple) -> bool:
        """Whether an end is a transaction of which two identifiers of one type told."""
        for end in ends or pair:
            if self.types[end[0]].transaction:
                others = [one for other in self.known.pairs if end in other for one in other if one != end]
                if len({one[0] for one in others}) < len(set(others)):
                    return True
        return False

    def epoch(self, identifier: tuple, time: int) -> int:
        ends = {time + 1 for time in self.known.unbound[identifier]}
        days = self.types[identifier[0]].lifetime
        if days:
            mine = self.speaks(identifier)
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
        came_in = self.came_in = {}
        attached: dict[tuple, int] = {}
        contested = []
        for undecided, _, _, time, one, two in sorted(
            self.edges(), key=lambda edge: (*edge[:4], _named(edge[4]), _named(edge[5]))
        ):
            mine = self.groups.setdefault(one, {one})
            others = self.groups.setdefault(two, {two})
            if mine is not others:
                broken = self.broken(mine, others, time, came_in) if undecided else None
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
            _, verdict = self.known.decided.get(pair, (0, ""))
            if verdict == "apart" or self.links_several(pair):
                continue
            earliest: dict[tuple, int] = {}
            for moment in self.known.moments(pair):
                if not self.is_shared(a, moment) and not self.is_shared(b, moment):
                    earliest.setdefault(((a, self.epoch(a, moment)), (b, self.epoch(b, moment))), moment)
            one, two = self.types[a[0]], self.types[b[0]]
            for ends, moment in earliest.items():
                doubt, priority = -min(one.strength, two.strength), max(one.priority, two.priority)
                found.append((not verdict, doubt, priority, moment, *ends))
        return found + self.decided()

    def decided(self) -> list[tuple]:
        """Who was put together is so as they were seen last by then, with or without a link."""
        found = []
        for pair, (time, verdict) in self.known.decided.items():
            if verdict == "together" and not any(self.is_shared(end, time) for end in pair):
                a, b = sorted(pair, key=":".join)
                found.append((False, 0.0, 0, time, self.last_seen(a, time), self.last_seen(b, time)))
        return found

    def last_seen(self, identifier: tuple, time: int) -> tuple:
        mine = self.speaks(identifier)
        seen = [moment for pair in mine for moment in self.known.moments(pair) if moment <= time]
        return identifier, self.epoch(identifier, max(seen, default=time))

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


def excess(answer: Answer) -> list[str]:
    """What people have too much of, by the rules, and nobody put together."""
    found = []
    decided = {frozenset(pair) for pair, (_, verdict) in answer.known.decided.items() if verdict == "together"}
    for group in {frozenset(group) for group in answer.groups.values()}:
        names = {identifier for identifier, _ in group}
        if any(pair <= names for pair in decided):
            continue
        for name, type_ in answer.types.items():
            came = {
                one: min(answer.came_in[p] for p in group if p[0] == one) for one in names if one[0] == name and len(group) > 1
            }
            for window, count in type_.limits.items():
                if exceeds(sorted(came.values()), count, window):
                    found.append(f"{sorted(came)} exceed {count} per {window}")
    return found


def exceeds(times: list[int], count: int, window: str) -> bool:
    """Whether more than `count` came in, ever or within any window."""
    if window == "ever":
        return len(times) > count
    return any(len([time for time in times if start <= time < start + WINDOWS[window]]) > count for start in times)


def _named(point: tuple) -> tuple:
    return ":".join(point[0]), point[1]
