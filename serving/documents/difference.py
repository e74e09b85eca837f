"""What differs between two versions of a document, as JSON values. Pure."""

import json
from typing import Any, Literal, NamedTuple

Word = Literal["added", "removed", "changed"]


class Change(NamedTuple):
    """One difference.

    Attributes:
        path: as in the errors about documents: ``identifiers.phone.limits``; "" is the whole document.
        old, new: None where there is nothing.
    """

    path: str
    change: Word
    old: Any
    new: Any


def difference(old: Any, new: Any, path: str = "") -> list[Change]:
    """The differences, in the order of the old document, what is added last; none if both say the same.

    Lists of things with names are compared by name, and any other list as a whole.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        return _between(old, new, path)
    if isinstance(old, list) and isinstance(new, list):
        before, after = _by_name(old), _by_name(new)
        if before is not None and after is not None:
            moved = [name for name in before if name in after] != [name for name in after if name in before]
            return _between(before, after, path) + ([Change(path, "changed", [*before], [*after])] if moved else [])
    return [] if _text(old) == _text(new) else [Change(path, "changed", old, new)]


def _between(old: dict[str, Any], new: dict[str, Any], path: str) -> list[Change]:
    found: list[Change] = []
    for name, value in old.items():
        below = f"{path}.{name}" if path else str(name)
        found += difference(value, new[name], below) if name in new else [Change(below, "removed", value, None)]
    return found + [
        Change(f"{path}.{name}" if path else str(name), "added", None, value) for name, value in new.items() if name not in old
    ]


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    """By name, if each has one of its own."""
    named = {item["name"]: item for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)}
    return named if len(named) == len(items) else None


def _text(value: Any) -> str:
    """To Python 1 and True are equal; to JSON they are not."""
    return json.dumps(value, sort_keys=True)
