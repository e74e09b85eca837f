"""Two records compared field by field: bits for and against their being one person's.

The model is that of Fellegi and Sunter, A Theory for Record Linkage, JASA 64 (1969), pp. 1183-1210: a field that comes out
as `agree`, `close`, `similar` or `differ` is worth log2(m / u) bits, and independent fields add up. Partial agreement by string
comparators is Winkler's, String Comparator Metrics and Enhanced Decision Rules in the Fellegi-Sunter Model of Record
Linkage (1990). The fields of an address are not independent, so together they have a ceiling and a floor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import fsum
from typing import Literal

import jellyfish

from rules.identity.model import Comparator, Field, Level, Matching

Outcome = Literal["agree", "close", "similar", "differ", "swapped", "unknown"]

SWAPPED = -6.0  # bits: one record in 64 has the two fields mixed up
CLOSE_WORDS = 0.9  # Jaro-Winkler from which two words are close
SIMILAR_WORDS = 0.8  # ... and from which they are similar
TYPING_ERRORS = 0.25  # share of signs that may be wrong (Damerau) for words to be close
CLOSE_CODE = 4  # signs of the shortest code that can be close to another, and ...
SIMILAR_CODE = 7  # ... similar: shorter ones are by chance
GENERATION = 15  # years apart from which two dates of one household are two people's rather than a typing error

_ALIKE = frozenset({"agree", "close", "swapped"})


@dataclass(frozen=True, slots=True)
class FieldEvidence:
    """What one field says, in bits against two people at large, and against two of one household; `unknown` is 0 bits."""

    field: str
    outcome: Outcome
    bits: float
    home_bits: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison says.

    Attributes:
        bits: evidence that the records are one person's, with the address between its floor and its ceiling.
        personal: evidence of the personal fields alone, that they are one person's and not those of two of one household.
        alike: how many personal fields agree or are close.
        fields: each field's part, the address uncut: for explanations.
    """

    bits: float
    personal: float
    alike: int
    fields: tuple[FieldEvidence, ...]


def compare(a: Mapping[str, str], b: Mapping[str, str], matching: Matching) -> Comparison:
    """Compare the values of two records, see `rules.identity.derive`. Symmetric."""
    found: dict[str, FieldEvidence] = {}
    for field, pair in _plan(matching):
        if pair is None:
            found[field.name] = _evidence(field, a.get(field.name), b.get(field.name))
        else:
            found.update(_swappable(field, pair, a, b))
    personal = address = other = 0.0
    alike = 0
    for name, evidence in found.items():
        field = matching.fields[name]
        if field.evidence == "address":
            address += evidence.bits
        else:
            other += evidence.bits
        if field.evidence == "personal":
            alike += evidence.outcome in _ALIKE
        # A family name is a household's; crossed with the given name it is one person's.
        if field.evidence == "personal" or (field.evidence == "other" and evidence.outcome == "swapped"):
            personal += evidence.home_bits
    address = max(matching.address_floor, min(matching.address_ceiling, address))
    return Comparison(address + other, personal, alike, tuple(found.values()))


@lru_cache(maxsize=16)
def _plan(matching: Matching) -> tuple[tuple[Field, Field | None], ...]:
    """Fields by themselves, and those that may be swapped with their other, once."""
    plan: list[tuple[Field, Field | None]] = []
    done: set[str] = set()
    for field in matching.fields.values():
        if field.name not in done:
            plan.append((field, matching.fields[field.swap] if field.swap else None))
            done |= {field.name, field.swap}
    return tuple(plan)


def _swappable(one: Field, two: Field, a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, FieldEvidence]:
    """Both fields straight, or crossed if that explains the records better, at the price of the mistake."""
    straight = {field.name: _evidence(field, a.get(field.name), b.get(field.name)) for field in (one, two)}
    values = a.get(one.name), a.get(two.name), b.get(one.name), b.get(two.name)
    if all(values) and all(evidence.outcome != "agree" for evidence in straight.values()):
        crossed = [outcome(one.compare, values[0], values[3]), outcome(one.compare, values[1], values[2])]
        if all(found in ("agree", "close") for found in crossed):
            swapped = {field.name: _swapped(field, crossed) for field in (one, two)}
            if sum(e.bits for e in swapped.values()) > sum(e.bits for e in straight.values()):
                return swapped
    return straight


def _swapped(field: Field, crossed: list[Outcome]) -> FieldEvidence:
    """A field's part: the mean of both outcomes, so that the order of the records does not matter.

    One of a household whose names are mine crossed is as rare as anybody: `home` is no measure for it.
    """
    bits = (SWAPPED + fsum(_level(field, found).bits for found in crossed)) / 2
    return FieldEvidence(field.name, "swapped", bits, bits)


def _evidence(field: Field, a: str | None, b: str | None) -> FieldEvidence:
    found = outcome(field.compare, a, b)
    if found == "unknown":
        return FieldEvidence(field.name, found, 0.0, 0.0)
    if getattr(field, found) is None:
        found = "differ"
    level = _level(field, found)
    return FieldEvidence(field.name, found, level.bits, level.home_bits)


def _level(field: Field, found: Outcome) -> Level:
    levels = {"agree": field.agree, "close": field.close, "similar": field.similar}
    return levels.get(found) or field.differ


def outcome(comparator: Comparator, a: str | None, b: str | None) -> Outcome:
    """How two canonical values compare; `unknown` where one is missing, or a name that the other's initial may stand for."""
    if not a or not b:
        return "unknown"
    if a == b:
        return "agree"
    if comparator == "name" and 1 in (len(a), len(b)):
        return "unknown" if a[0] == b[0] else "differ"
    return _COMPARE[comparator](a, b) if a <= b else _COMPARE[comparator](b, a)


@lru_cache(maxsize=200_000)
def _words(a: str, b: str) -> Outcome:
    """Typing errors: Jaro-Winkler forgives the ends of words, Damerau's distance wrong and exchanged letters anywhere."""
    if min(len(a), len(b)) < 3:  # words of two Chinese characters are near each other by chance
        return "differ"
    winkler = jellyfish.jaro_winkler_similarity(a, b)
    if winkler >= CLOSE_WORDS or jellyfish.damerau_levenshtein_distance(a, b) <= TYPING_ERRORS * max(len(a), len(b)):
        return "close"
    return "similar" if winkler >= SIMILAR_WORDS else "differ"


def _codes(a: str, b: str) -> Outcome:
    """One wrong, missing or added sign, or two exchanged neighbours: close; two such mistakes: similar."""
    shortest = min(len(a), len(b))
    if shortest < CLOSE_CODE:
        return "differ"
    distance = jellyfish.damerau_levenshtein_distance(a, b)
    if distance <= 1:
        return "close"
    return "similar" if distance <= 2 and shortest >= SIMILAR_CODE else "differ"


def _dates(a: str, b: str) -> Outcome:
    """One wrong digit, two exchanged ones, or day and month the other way round: close. Year, month or day wrong: similar.

    A wrong digit that makes a generation's difference is similar only: a son may be named after his father.
    """
    exchanged = a[:4] == b[:4] and a[4:] == b[6:] + b[4:6]
    if exchanged or (jellyfish.damerau_levenshtein_distance(a, b) <= 1 and abs(int(a[:4]) - int(b[:4])) < GENERATION):
        return "close"
    equal = (a[:4] == b[:4]) + (a[4:6] == b[4:6]) + (a[6:] == b[6:])
    return "similar" if equal == 2 else "differ"


_COMPARE: dict[Comparator, Callable[[str, str], Outcome]] = {
    "exact": lambda _a, _b: "differ",
    "name": _words,
    "text": _words,
    "code": _codes,
    "date": _dates,
}
