"""OneID's rules: identifiers in normal form, and records of one person found by their traits. Begin with `model.py`."""

from rules.identity.load import load_identity_rules, number_identity_rules, parse_identity_rules
from rules.identity.normalise import normalise, priorities

__all__ = [
    "load_identity_rules",
    "normalise",
    "number_identity_rules",
    "parse_identity_rules",
    "priorities",
]
