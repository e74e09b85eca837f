"""Rule files read strictly: every mistake is one sentence that names the file, the rule and the field."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from cdp.errors import CdpError
from rules.language.dependencies import find_timers
from rules.language.parse import parse
from rules.language.syntax import Constant, Expression, depth, walk

MAX_DEPTH = 64  # Python compiles no more than 200 brackets within each other, and a node takes two or three
MAX_NUMBER = 2**53  # up to there every engine computes exactly


class InvalidRule(CdpError):
    """A rule file says something that the platform cannot do.

    Args:
        path: where, as in ``identifiers.phone.limits``; "" if it is the file as a whole.
    """

    def __init__(self, message: str, remedy: str = "", path: str = "") -> None:
        super().__init__(message, remedy)
        self.path = path


class Entry:
    """One mapping of a rule file: takes fields out with checks, and refuses what is left over.

    Args:
        where: how messages call it, e.g. ``tags.yaml, rule 'vip'``.
        values: the mapping.
        remedy: what a message says to do.
        path: what stands before a field's name in the path of an error.
    """

    def __init__(self, where: str, values: dict[str, Any], remedy: str = "See docs/rules.md.", path: str = "") -> None:
        self.where = where
        self.path = path
        self.values = dict(values)
        self.remedy = remedy

    def fail(self, field: str, problem: str) -> CdpError:
        """The error about a field, to be raised."""
        return InvalidRule(f"{self.where}, field {field!r}: {problem}.", self.remedy, f"{self.path}{field}")

    def take(self, field: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        """A field of a kind; without a default it must be there."""
        value = self.values.pop(field, default)
        if value is ...:
            raise self.fail(field, "is missing")
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if value is not default and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise self.fail(field, f"must be {' or '.join(k.__name__ for k in kinds)}, not {value!r}")
        return value

    def number(self, field: str, low: float, high: float, default: Any = ...) -> float:
        """A number from `low` to `high`, both included."""
        value = self.take(field, (int, float), default)
        if value is not default and not low <= value <= high:
            raise self.fail(field, f"must be from {low:g} to {high:g}, not {value!r}")
        return float(value)

    def whole(self, field: str, low: int, high: int, default: Any = ...) -> int:
        """A whole number from `low` to `high`, both included."""
        value: int = self.take(field, int, default)
        if value is not default and not low <= value <= high:
            raise self.fail(field, f"must be from {low} to {high}, not {value!r}")
        return value

    def choose(self, field: str, choices: tuple[str, ...], default: Any = ...) -> Any:
        """One of some words."""
        value = self.take(field, str, default)
        if value not in choices:
            raise self.fail(field, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def texts(self, field: str, default: Any = ...) -> tuple[str, ...]:
        """A text, or a list of them."""
        value = self.values.pop(field, default)
        if value is ...:
            raise self.fail(field, "is missing")
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple | frozenset) or not all(isinstance(v, str) for v in listed):
            raise self.fail(field, f"must be a text or a list of texts, not {value!r}")
        return tuple(listed)

    def patterns(self, field: str) -> tuple[re.Pattern[str], ...]:
        """Regular expressions; none if the field is not there."""
        compiled = []
        for text in self.texts(field, ()):
            try:
                compiled.append(re.compile(text))
            except re.error as error:
                raise self.fail(field, f"{text!r} is not a regular expression: {error}") from error
        return tuple(compiled)

    def expression(self, field: str, text: str) -> Expression:
        """An expression of the rule language that can be evaluated."""
        try:
            tree = parse(text)
            too_deep = depth(tree) > MAX_DEPTH
            find_timers(walk(tree))
        except CdpError as error:
            raise self.fail(field, str(error.message).rstrip(".")) from error
        except (RecursionError, ValueError):  # too many brackets, or a number of thousands of digits
            too_deep = True
        if too_deep:
            raise self.fail(field, f"is nested more than {MAX_DEPTH} levels deep, or holds too long a number")
        numbers = (node.value for node in walk(tree) if isinstance(node, Constant) and isinstance(node.value, int | float))
        if any(abs(number) > MAX_NUMBER for number in numbers):
            raise self.fail(field, f"holds a number above {MAX_NUMBER:,}")
        return tree

    def below(self, field: str) -> "Entry":
        """A mapping inside this one."""
        return Entry(f"{self.where}, {field}", self.take(field, dict), self.remedy, f"{self.path}{field}.")

    def below_or_none(self, field: str) -> "Entry | None":
        """A mapping inside this one, if it is there."""
        return self.below(field) if self.values.get(field) is not None else None

    def entries(self, field: str, kind: str) -> list["Entry"]:
        """A list of mappings, each with a name."""
        listed = self.values.pop(field, None)
        if not isinstance(listed, list):
            raise InvalidRule(f"{self.where} must hold a list under {field!r}.", self.remedy, f"{self.path}{field}")
        return [self._named(field, kind, index, values) for index, values in enumerate(listed)]

    def _named(self, field: str, kind: str, index: int, values: Any) -> "Entry":
        path = f"{self.path}{field}"
        if not isinstance(values, dict) or not isinstance(values.get("name"), str) or not values["name"]:
            raise InvalidRule(
                f"{self.where}: {kind} {index + 1} has no name.", f"Each {kind} is a mapping with a name.", f"{path}.{index}"
            )
        return Entry(f"{self.where}, {kind} {values['name']!r}", values, self.remedy, f"{path}.{values['name']}.")

    def done(self) -> None:
        """Refuse fields that nobody took."""
        if self.values:
            raise self.fail(str(next(iter(self.values))), "is not a field of this kind of rule")


def read_file(file: Path) -> Entry:
    """A rule file as one mapping. Raises InvalidRule."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InvalidRule(f"{file} is missing.", "Restore it from the distribution.") from error
    except UnicodeDecodeError as error:
        raise InvalidRule(f"{file.name} is not UTF-8.", "Save it as UTF-8.") from error
    return read_text(text, file.name)


def read_text(text: str, name: str) -> Entry:
    """The text of a rule file as one mapping. Raises InvalidRule."""
    try:
        document = yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader that is stricter
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRule(f"{name} is not YAML: {' '.join(str(error).split())}.", "Correct the place that it names.") from error
    if not isinstance(document, dict):
        raise InvalidRule(f"{name} must be a mapping.", "See docs/rules.md.")
    return Entry(name, document)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)
