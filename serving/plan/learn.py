"""Learn a tracking plan from events: what their properties look like. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from cdp.mask import looks_personal
from rules.privacy import load_privacy

MAX_DEPTH = 4
MAX_PROPERTIES = 200
MAX_EVENTS = 500
REQUIRED_SHARE = 0.99
REQUIRED_FROM = 10  # so few objects say nothing about what is always there
MAX_CHOICES = 12
MAX_CHOICE = 64
CHOICES_FROM = 50
SEEN_EACH = 4  # a choice is a value that comes again and again: on average so often

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", dict: "object", list: "array"}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Shape:
    """What was seen at one place: types, values of short texts (a plan holds none that are personal), and what is inside."""

    def __init__(self, *, personal: bool = False) -> None:
        self._personal = personal
        self.types: Counter[str] = Counter()
        self.values: set[str] | None = None if personal else set()
        self.properties: dict[str, Shape] = {}
        self.items: Shape | None = None

    def see(self, value: Any, depth: int = 0) -> None:
        """Take in one value."""
        kind = _TYPES.get(type(value), "string")
        self.types[kind] += 1
        if kind == "string":
            self._see_text(value)
        elif kind == "object" and depth < MAX_DEPTH:
            for name, inner in value.items():
                known = self.properties.get(name)
                if known is None and len(self.properties) < MAX_PROPERTIES:
                    known = self.properties[name] = Shape(personal=self._personal or name in load_privacy().properties)
                if known is not None:
                    known.see(inner, depth + 1)
        elif kind == "array" and depth < MAX_DEPTH:
            self.items = self.items or Shape(personal=self._personal)
            for inner in value:
                self.items.see(inner, depth + 1)

    def _see_text(self, value: str) -> None:
        if self.values is None:
            return
        self.values.add(value)
        if len(self.values) > MAX_CHOICES or len(value) > MAX_CHOICE or looks_personal(value):
            self.values = None

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of all that was seen."""
        found: dict[str, Any] = {}
        types = _types(self.types)
        if types:
            found["type"] = types[0] if len(types) == 1 else types
        if self._is_choice(types):
            found["enum"] = sorted(self.values or ())
        if "object" in types and self.properties:
            found["properties"] = {name: shape.schema() for name, shape in sorted(self.properties.items())}
            required = self._required()
            if required:
                found["required"] = required
        if self.items is not None and (items := self.items.schema()):
            found["items"] = items
        return found

    def _is_choice(self, types: list[str]) -> bool:
        seen = self.types["string"]
        return types == ["string"] and bool(self.values) and seen >= max(CHOICES_FROM, SEEN_EACH * len(self.values or ()))

    def _required(self) -> list[str]:
        objects = self.types["object"]
        if objects < REQUIRED_FROM:
            return []
        return sorted(name for name, shape in self.properties.items() if shape.types.total() >= REQUIRED_SHARE * objects)


class Learner:
    """Sees events one by one and drafts a plan."""

    def __init__(self) -> None:
        self._events: dict[str, Shape] = {}

    def see(self, event: str, properties: bytes | str) -> None:
        """Take in one event: its name, and its properties as JSON text. What cannot be read teaches nothing."""
        shape = self._events.get(event)
        if shape is None:
            if len(self._events) >= MAX_EVENTS or not event:
                return
            shape = self._events[event] = Shape()
        try:
            shape.see(_decode(properties or "{}"))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return

    @property
    def learnt_from(self) -> dict[str, int]:
        """How many events were seen, by name."""
        return {event: shape.types.total() for event, shape in sorted(self._events.items()) if shape.types}

    def plan(self) -> dict[str, Any]:
        """The draft: every event warns of what was not seen so far; unplanned ones are allowed."""
        return {
            "unplanned_events": "allow",
            "events": {
                event: {
                    "description": f"Learnt from {count:,} events.", "on_violation": "warn",
                    "schema": {"type": "object"} | self._events[event].schema(),
                }
                for event, count in self.learnt_from.items()
            },
        }  # fmt: skip


def learn(rows: Iterable[tuple[str, str]]) -> Learner:
    """See all rows of (event, properties as JSON text)."""
    learner = Learner()
    for event, properties in rows:
        learner.see(event, properties)
    return learner


def _types(seen: Counter[str]) -> list[str]:
    """The types, where a number may be whole as well."""
    return sorted(kind for kind in seen if not (kind == "integer" and "number" in seen))
