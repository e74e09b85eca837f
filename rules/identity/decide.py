"""From a comparison's bits to a decision.

Bits of evidence meet prior odds of about 1 to N that two records of N people are one person's, so the posterior odds are
2 ** (bits - log2(N)): what convinces in a village does not in a city.
"""

from dataclasses import dataclass
from math import log2
from typing import Literal

from rules.identity.compare import Comparison
from rules.identity.model import Matching

Verdict = Literal["merge", "review", "apart"]


def posterior(bits: float, population: int) -> float:
    """The probability that two records are one person's, by Bayes' theorem with prior odds 1 / population."""
    exponent = log2(max(population, 1)) - bits
    return 0.0 if exponent > 1000 else 1.0 / (1.0 + 2.0**exponent)


def threshold(probability: float, population: int) -> float:
    """The bits from which the posterior is at least `probability`: log2(N) + log2(p / (1 - p))."""
    return log2(max(population, 1)) + log2(probability / (1.0 - probability))


@dataclass(frozen=True, slots=True)
class Bar:
    """What a comparison must reach in one population.

    Attributes:
        merge: bits from which two records are one person's ...
        personal: ... if so many of them are personal. A relative shares one personal field - twins the birth date, father and son
            the name - so where two are alike, half of it is enough.
        review: bits from which an operator is asked.
    """

    merge: float
    personal: float
    review: float

    def margin(self, comparison: Comparison) -> float:
        """By how many bits a comparison is above both lines; negative: it is not."""
        floor = self.personal if comparison.alike < 2 else self.personal / 2
        return min(comparison.bits - self.merge, comparison.personal - floor)

    def verdict(self, comparison: Comparison) -> Verdict:
        """`review` needs personal evidence as well: that two people share an address and a family name is no question."""
        if self.margin(comparison) >= 0:
            return "merge"
        return "review" if comparison.bits >= self.review and comparison.personal > 0 else "apart"


def bar(matching: Matching, population: int) -> Bar:
    """The lines of a rule file; its own `population`, where it has one, counts instead of the given one."""
    people = matching.population or population
    return Bar(
        merge=threshold(matching.merge_from, people),
        personal=matching.personal_floor,
        review=threshold(matching.review_from, people),
    )
