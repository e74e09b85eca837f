"""Entries of rules as they are kept, compared and published: plain JSON values. Pure."""

import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from rules.definitions.entries import InvalidRule, read_text

MAX_LEVELS = 20
MAX_VALUES = 10_000  # YAML may name one value many times

_REMEDY = "Send a rule as YAML with Content-Type: application/yaml, or as JSON with application/json; see docs/rules.md."


def as_body(values: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a rule file as it is kept: with its state, without a version, which the platform counts. Raises InvalidRule."""
    body: dict[str, Any] = _Plain().value({"state": "live", **values}, 0)
    body.pop("version", None)
    return dict(sorted(body.items(), key=lambda item: item[0] != "name"))


def decode(text: bytes, *, is_json: bool, what: str = "The rule") -> dict[str, Any]:
    """A mapping out of a request, as JSON values. Raises InvalidRule."""
    try:
        found = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_once) if is_json else _yaml(text, what)
    except (ValueError, RecursionError) as error:
        raise InvalidRule(f"{what} is not {'JSON' if is_json else 'YAML'}: {str(error)[:200]}.", _REMEDY) from error
    if not isinstance(found, dict):
        raise InvalidRule(f"{what} must be a mapping, such as {{name: vip, type: yes_no, ...}}.", _REMEDY)
    plain: dict[str, Any] = _Plain().value(found, 0)
    return plain


def _yaml(text: bytes, what: str) -> dict[str, Any]:
    return read_text(text.decode("utf-8-sig"), what).values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no name stands twice: the last one would silently count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found


class _Plain:
    """Copies what YAML or JSON gave as JSON can say it again, and not without bound."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def value(self, given: Any, level: int) -> Any:
        self.left -= 1
        if self.left < 0 or level > MAX_LEVELS:
            raise InvalidRule(f"There are more than {MAX_VALUES:,} values, or they are nested too deeply.", "Make it smaller.")
        match given:
            case dict():
                return {str(name): self.value(inner, level + 1) for name, inner in given.items()}
            case list() | tuple():
                return [self.value(inner, level + 1) for inner in given]
            case date():
                return given.isoformat()
            case None | bool() | int() | str():
                return given
            case float() if math.isfinite(given):
                return given
            case _:
                raise InvalidRule(f"The rule holds {given!r}, which is no JSON value.", "Write it as a text, in quotes.")
