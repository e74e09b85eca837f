"""identity.yaml to IdentityRules: every mistake is one sentence that names the file, the rule and the field."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import get_args

from rules.definitions.entries import Entry, InvalidRule, read_file, read_text
from rules.identity.combine import COMBINATION
from rules.identity.load_matching import load_matching
from rules.identity.model import WEAKEST, IdentifierType, IdentityRules, Limit, Window
from rules.identity.steps import NORMALISERS

SHIPPED = Path(__file__).parents[1] / "shipped" / "identity.yaml"

_DAYS = {"day": 1, "week": 7, "month": 31, "year": 366, "ever": 10**6}
_REGION_LENGTH = 2


@lru_cache(maxsize=8)
def load_identity_rules(path: Path | None = None) -> IdentityRules:
    """Read a file, without a path the shipped one. Raises InvalidRule."""
    return _rules(read_file(path or SHIPPED))


@lru_cache(maxsize=16)
def parse_identity_rules(text: str, name: str = "identity.yaml") -> IdentityRules:
    """Read the text of a file; `name` is what messages call it. Raises InvalidRule."""
    return _rules(read_text(text, name))


def number_identity_rules(text: str, version: int) -> IdentityRules:
    """The rules of a text, under the version that the platform gave it, whatever it says itself. Raises InvalidRule."""
    return replace(parse_identity_rules(text, "identity rules"), version=version)


def _rules(document: Entry) -> IdentityRules:
    others = IdentifierType(
        "", WEAKEST, blocked=_small(document, "blocked"), blocked_patterns=document.patterns("blocked_patterns"),
        allowed=_small(document, "allowed"),
    )  # fmt: skip
    region = document.take("region", str, "CN")
    if not (len(region) == _REGION_LENGTH and region.isascii() and region.isalpha() and region.isupper()):
        raise document.fail("region", f"must be two capital letters as in ISO 3166, e.g. CN, not {region!r}")
    identifiers: dict[str, IdentifierType] = {}
    for entry in document.entries("identifiers", "rule"):
        identifier = _identifier(entry, others)
        if identifier.name in identifiers:
            raise InvalidRule(f"There are two identifier rules named {identifier.name!r}.", "Names are unique.", "identifiers")
        identifiers[identifier.name] = identifier
    matching = document.below_or_none("matching")
    rules = IdentityRules(
        version=document.whole("version", 1, 10**9, 1),
        region=region,
        identifiers=identifiers,
        matching=load_matching(matching) if matching else None,
        others=others,
    )
    document.done()
    return rules


def _small(entry: Entry, field: str) -> frozenset[str]:
    """Texts in small letters."""
    return frozenset(value.lower() for value in entry.texts(field, ()))


def _identifier(entry: Entry, others: IdentifierType) -> IdentifierType:
    """A type; what holds for all types holds for it as well."""
    name = entry.take("name", str)
    if ":" in name or name != name.strip():
        raise entry.fail("name", "must hold no colon, and no space around it")
    if name == COMBINATION:
        raise entry.fail("name", f"must not be {COMBINATION!r}, which is what the platform calls combinations of identifiers")
    steps = entry.texts("normalise", ("trim",))
    for step in steps:
        if step not in NORMALISERS:
            raise entry.fail("normalise", f"knows {', '.join(NORMALISERS)}, not {step}")
    exclusive = entry.take("exclusive", bool, False)
    rule = IdentifierType(
        name=name,
        priority=entry.whole("priority", 1, 98),
        strength=entry.number("strength", 0.01, 1.0, 1.0),
        exclusive=exclusive,
        limits=_limits(entry, exclusive),
        normalise=steps,
        blocked=others.blocked | _small(entry, "blocked"),
        blocked_patterns=(*others.blocked_patterns, *entry.patterns("blocked_patterns")),
        allowed=others.allowed | _small(entry, "allowed"),
        lifetime_days=entry.whole("lifetime_days", 0, 36_500, 0),
        personal=entry.take("personal", bool, False),
        counts_alone=entry.take("counts_alone", bool, False),
        transaction=entry.take("transaction", bool, False),
        memory_days=entry.whole("memory_days", 0, 36_500, 0),
    )
    if rule.transaction and rule.limits:
        raise entry.fail("transaction", "has no limits of its own: it links one value of each type")
    if rule.memory_days and not rule.transaction:
        raise entry.fail("memory_days", "is of transactions only; see lifetime_days")
    entry.done()
    return rule


def _limits(entry: Entry, exclusive: bool) -> tuple[Limit, ...]:
    """From ``limits: {ever: 5, day: 2}``, the shortest window first; a limit that could never bind is refused."""
    listed = entry.below_or_none("limits")
    if listed is None:
        return (Limit(1),) if exclusive else ()
    found = {window: listed.whole(window, 1, 10_000) for window in get_args(Window) if window in listed.values}
    listed.done()
    if exclusive and found.get("ever", 1) != 1:
        raise entry.fail("limits", "contradicts exclusive, which is ever: 1")
    if exclusive:
        found["ever"] = 1
    limits = tuple(sorted((Limit(count, window) for window, count in found.items()), key=lambda limit: _DAYS[limit.window]))
    for short, long in pairwise(limits):
        if short.count >= long.count:
            raise entry.fail("limits", f"{short.window}: {short.count} can never bind beside {long.window}: {long.count}")
    return limits
