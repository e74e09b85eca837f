"""Identifiers in their one normal form, so that ``Ann@Example.com`` and ``ann@example.com`` are one person."""

import unicodedata
from functools import lru_cache

from cdp.seal import is_token
from rules.identity.load import load_identity_rules
from rules.identity.model import IdentifierType, IdentityRules
from rules.identity.steps import NORMALISERS

MAX_LENGTH = 255


@lru_cache(maxsize=200_000)
def normalise(type_: str, value: str, rules: IdentityRules | None = None) -> str | None:
    """The normal form of an identifier; None if it identifies nobody (empty, too long, malformed, blocked).

    A type that no rule declares is only trimmed; a look-up token of a sealed value is in normal form already. Without `rules`
    the shipped ones hold.
    """
    if is_token(value):
        return value
    if len(value) > 4 * MAX_LENGTH:
        return None
    rules = rules or load_identity_rules()
    declared = rules.identifiers.get(type_)
    if declared is None:
        normal = value.strip()
    else:
        folded = (value if value.isascii() else unicodedata.normalize("NFKC", value)).strip()
        normal = value
        for step in declared.normalise:
            normal = NORMALISERS[step](normal, rules.region)
        if _is_blocked(folded, declared) or (normal != folded and _is_blocked(normal, declared)):
            return None
    return normal if normal and len(normal) <= MAX_LENGTH else None


def _is_blocked(value: str, declared: IdentifierType) -> bool:
    return value.lower() in declared.blocked or any(pattern.fullmatch(value) for pattern in declared.blocked_patterns)


@lru_cache(maxsize=1)
def priorities() -> dict[str, tuple[int, bool]]:
    """Identifier type to (priority, exclusive) of the shipped rules; 1 is the strongest."""
    return {t.name: (t.priority, t.exclusive) for t in load_identity_rules().identifiers.values()}
