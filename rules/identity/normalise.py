"""Identifiers in their one normal form, so that ``Ann@Example.com`` and ``ann@example.com`` are one person."""

from functools import lru_cache

from cdp.seal import is_token
from rules.identity.load import load_identity_rules
from rules.identity.model import IdentityRules
from rules.identity.nobody import is_nobody
from rules.identity.steps import NORMALISERS

MAX_LENGTH = 255


@lru_cache(maxsize=200_000)
def normalise(type_: str, value: str, rules: IdentityRules | None = None) -> str | None:
    """The normal form of an identifier; None if it identifies nobody (empty, too long, malformed, blocked).

    A type that no rule declares is trimmed, and what is blocked for all types is blocked for it. A look-up token of a sealed
    value is in normal form already. Without `rules` the shipped ones hold.
    """
    if is_token(value):
        return value
    if len(value) > 4 * MAX_LENGTH:
        return None
    rules = rules or load_identity_rules()
    declared = rules.identifiers.get(type_, rules.others)
    normal = value
    for step in declared.normalise:
        normal = NORMALISERS[step](normal, rules.region)
    if not normal or len(normal) > MAX_LENGTH or is_nobody(value, normal, declared):
        return None
    return normal


@lru_cache(maxsize=1)
def priorities() -> dict[str, tuple[int, bool]]:
    """Identifier type to (priority, exclusive) of the shipped rules; 1 is the strongest."""
    return {t.name: (t.priority, t.exclusive) for t in load_identity_rules().identifiers.values()}
