"""How well who is who was found, where the truth is known: over pairs of messages. Pure."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """Pairs of messages whose true person is known.

    Attributes:
        messages: how many messages have a true person.
        found: pairs that were given to one person.
        true: pairs that are one person's.
        right: pairs that are both.
    """

    messages: int
    found: int
    true: int
    right: int

    @property
    def precision(self) -> float:
        """The share of the found pairs that are right; 1 if none was found: then none is wrong."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """The share of the true pairs that were found; 1 if there are none: then none is missing."""
        return self.right / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if both are."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def score(person_of: Mapping[str, int], truths: Mapping[str, str]) -> Score:
    """Compare with the truth. A message without a person is in no found pair, though it may be in true ones."""
    found = [(person_of[message_id], truth) for message_id, truth in truths.items() if message_id in person_of]
    return Score(
        messages=len(truths),
        found=_pairs(person for person, _ in found),
        true=_pairs(truths.values()),
        right=_pairs(found),
    )


def _pairs(names: Iterable[Hashable]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(names).values())
