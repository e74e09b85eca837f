"""A rule as JSON. Generic, so that a rule's new field is shown without a change here."""

from dataclasses import fields
from typing import Any

import msgspec


def describe(rule: Any) -> dict[str, Any]:
    """A rule as JSON values, without the fields that its repr leaves out (parsed trees)."""
    return {f.name: _plain(f.name, getattr(rule, f.name)) for f in fields(rule) if f.repr}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    if name == "blocked_patterns":
        return [pattern.pattern for pattern in value]
    if name == "content":
        return dict(value)
    return msgspec.to_builtins(value)
