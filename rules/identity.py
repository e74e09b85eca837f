"""Identifiers in their one normal form, so that ``Ann@Example.com`` and ``ann@example.com`` are one person."""

from collections.abc import Callable
from functools import lru_cache

from cdp.seal import is_token
from rules.load import load_rules
from rules.normalisers import NORMALISERS

MAX_LENGTH = 255


@lru_cache(maxsize=1)
def _types() -> dict[str, tuple[tuple[Callable[[str], str], ...], frozenset[str]]]:
    return {t.name: (tuple(NORMALISERS[s] for s in t.normalise), t.blocked) for t in load_rules().identifiers}


@lru_cache(maxsize=100_000)
def normalise(type_: str, value: str) -> str | None:
    """The normal form of an identifier; None if it identifies nobody (empty, too long, blocked).

    A type that no rule declares is only trimmed. A look-up token is in normal form already.
    """
    if is_token(value):
        return value
    steps, blocked = _types().get(type_, ((str.strip,), frozenset()))
    for step in steps:
        value = step(value)
    if not value or len(value) > MAX_LENGTH or value.lower() in blocked:
        return None
    return value


@lru_cache(maxsize=1)
def priorities() -> dict[str, tuple[int, bool]]:
    """Identifier type to (priority, exclusive); 1 is the strongest."""
    return {t.name: (t.priority, t.exclusive) for t in load_rules().identifiers}


@lru_cache(maxsize=1)
def personal_types() -> frozenset[str]:
    """The identifier types whose values are sealed."""
    return frozenset(t.name for t in load_rules().identifiers if t.personal)
