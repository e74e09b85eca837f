"""What is different between two answers to who is who, about the same messages. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from rules.identity.simulate import Assignment

Parts = Mapping[int, Mapping[int, int]]
"""Number of a person to the people of the other answer who share messages with it, and how many."""


@dataclass(frozen=True)
class Contrast:
    """Two answers side by side. A person is a set of messages: numbers mean nothing across the two.

    Attributes:
        joined: of each person after, who it was before, if it was several people: merges that appear.
        parted: of each person before, who it is after, if it is several people: merges that vanish.
        same_people: people who have the very same messages before and after.
        changed_messages: messages of all other people, of those who have a person before and after.
    """

    before: Assignment
    after: Assignment
    joined: Parts
    parted: Parts
    same_people: int
    changed_messages: int

    @cached_property
    def appearing(self) -> int:
        """How many merges appear: that make n people one are n - 1."""
        return _merges(self.joined.values())

    @cached_property
    def vanishing(self) -> int:
        """How many merges vanish, counted alike."""
        return _merges(self.parted.values())


def contrast(before: Assignment, after: Assignment) -> Contrast:
    """Set two answers side by side."""
    were, are = _shares(after, before), _shares(before, after)
    same = [
        (old, news)
        for old, news in are.items()
        if len(news) == 1 and before.sizes[old] == after.sizes[next(iter(news))] == next(iter(news.values()))
    ]
    common = sum(sum(news.values()) for news in are.values())
    return Contrast(
        before,
        after,
        joined={new: olds for new, olds in were.items() if len(olds) > 1},
        parted={old: news for old, news in are.items() if len(news) > 1},
        same_people=len(same),
        changed_messages=common - sum(sum(news.values()) for _, news in same),
    )


def apart_in_both(whole: Assignment, one: Assignment, other: Assignment) -> int:
    """How many merges of `whole` both other answers do without, in the same places."""
    people = contrast(whole, one).parted.keys() & contrast(whole, other).parted.keys()
    return sum(_islands(whole.people[person], one.person_of, other.person_of) - 1 for person in people)


def _islands(messages: Iterable[str], one: Mapping[str, int], other: Mapping[str, int]) -> int:
    """Into how many sets messages fall that no person of either answer reaches across."""
    islands: list[tuple[set[int], set[int]]] = []
    for a, b in {(one[message], other[message]) for message in messages if message in one and message in other}:
        touched = [island for island in islands if a in island[0] or b in island[1]]
        islands = [island for island in islands if island not in touched]
        islands.append(({a}.union(*(island[0] for island in touched)), {b}.union(*(island[1] for island in touched))))
    return len(islands)


def _shares(one: Assignment, other: Assignment) -> dict[int, dict[int, int]]:
    shares: dict[int, Counter[int]] = defaultdict(Counter)
    for message_id, person in one.person_of.items():
        if (counterpart := other.person_of.get(message_id)) is not None:
            shares[person][counterpart] += 1
    return {person: dict(found) for person, found in shares.items()}


def _merges(parts: Iterable[Mapping[int, int]]) -> int:
    return sum(len(found) - 1 for found in parts)
