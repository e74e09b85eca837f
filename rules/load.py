"""Rule files to a RuleBook: every mistake is one sentence that names the file, the rule and the field."""

from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import yaml

from cdp.errors import CdpError
from cdp.events import ORDER_EVENTS
from rules.model import IdentifierType, Occasion, RuleBook, State, TagRule, TriggerRule
from rules.normalisers import NORMALISERS
from rules.parse import parse
from rules.syntax import Attribute, Case, Expression, TagReference, walk

SHIPPED = Path(__file__).parent
CHANNELS = ("webhook", "log")
TAG_TYPES = ("text", "number", "yes_no", "time")


class InvalidRule(CdpError):
    """A rule file says something that the platform cannot do."""


@lru_cache(maxsize=8)
def load_rules(folder: Path = SHIPPED) -> RuleBook:
    """Read identity.yaml, tags.yaml and triggers.yaml of a folder. Raises InvalidRule."""
    book = RuleBook(
        identifiers=tuple(_identifier(e) for e in _entries(folder / "identity.yaml", "identifiers")),
        tags=tuple(_tag(e) for e in _entries(folder / "tags.yaml", "tags")),
        triggers=tuple(_trigger(e) for e in _entries(folder / "triggers.yaml", "triggers")),
    )
    _check_names(book)
    return book


class _Entry:
    """One rule's mapping: takes fields out with checks, and refuses what is left over."""

    def __init__(self, file: Path, index: int, values: Any) -> None:
        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            raise InvalidRule(f"{file.name}: rule {index + 1} has no name.", "Each rule is a mapping with a name.")
        self.where = f"{file.name}, rule {values['name']!r}"
        self.values = dict(values)

    def fail(self, field: str, problem: str) -> CdpError:
        return InvalidRule(f"{self.where}, field {field!r}: {problem}.", "See docs/rules.md.")

    def take(self, field: str, kind: type, default: Any = ...) -> Any:
        value = self.values.pop(field, default)
        if value is ...:
            raise self.fail(field, "is missing")
        if value is not default and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise self.fail(field, f"must be {kind.__name__}, not {value!r}")
        return value

    def choose(self, field: str, choices: tuple[str, ...], default: Any = ...) -> Any:
        value = self.take(field, str, default)
        if value not in choices:
            raise self.fail(field, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def texts(self, field: str, default: Any = ...) -> tuple[str, ...]:
        value = self.values.pop(field, default)
        if value is ...:
            raise self.fail(field, "is missing")
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple | frozenset) or not all(isinstance(v, str) for v in listed):
            raise self.fail(field, f"must be a text or a list of texts, not {value!r}")
        return tuple(listed)

    def expression(self, field: str, text: str) -> Expression:
        try:
            return parse(text)
        except CdpError as error:
            raise self.fail(field, str(error.message).rstrip(".")) from error

    def done(self) -> None:
        if self.values:
            raise self.fail(next(iter(self.values)), "is not a field of this kind of rule")


def _entries(file: Path, key: str) -> list[_Entry]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidRule(f"{file} is missing.", "Restore it from the distribution.") from error
    except yaml.YAMLError as error:
        raise InvalidRule(f"{file.name} is not YAML: {str(error).replace(chr(10), ' ')}.") from error
    if not isinstance(document, dict) or not isinstance(document.get(key), list):
        raise InvalidRule(f"{file.name} must hold a list under {key!r}.")
    return [_Entry(file, index, values) for index, values in enumerate(document[key])]


def _identifier(entry: _Entry) -> IdentifierType:
    steps = entry.texts("normalise", ("trim",))
    for step in steps:
        if step not in NORMALISERS:
            raise entry.fail("normalise", f"knows {', '.join(NORMALISERS)}, not {step}")
    rule = IdentifierType(
        name=entry.take("name", str),
        priority=entry.take("priority", int),
        exclusive=entry.take("exclusive", bool, False),
        normalise=steps,
        blocked=frozenset(entry.texts("blocked", ())),
        personal=entry.take("personal", bool, False),
    )
    entry.done()
    return rule


def _value(entry: _Entry) -> tuple[str, Expression]:
    """A tag's value: an expression, or a list of when/then ending in otherwise."""
    value = entry.values.pop("value", None)
    if isinstance(value, str):
        return value, entry.expression("value", value)
    if not isinstance(value, list) or not value:
        raise entry.fail("value", "must be an expression or a list of when/then")
    branches = []
    otherwise = "null"
    for branch in value:
        if set(branch) == {"when", "then"}:
            branches.append((str(branch["when"]), _literal(branch["then"])))
        elif set(branch) == {"otherwise"}:
            otherwise = _literal(branch["otherwise"])
        else:
            raise entry.fail("value", f"a branch has when and then, or otherwise, not {', '.join(map(str, branch))}")
    tree = Case(
        tuple((entry.expression("value", when), entry.expression("value", then)) for when, then in branches),
        entry.expression("value", otherwise),
    )
    text = "; ".join([f"{then} when {when}" for when, then in branches] + [f"else {otherwise}"])
    return text, tree


def _literal(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f'"{value}"' if isinstance(value, str) else str(value)


def _tag(entry: _Entry) -> TagRule:
    text, expression = _value(entry)
    rule = TagRule(
        name=entry.take("name", str),
        title=entry.take("title", str),
        type=entry.choose("type", TAG_TYPES),
        value=text,
        expression=expression,
        **_common(entry),
    )
    entry.done()
    return rule


def _trigger(entry: _Entry) -> TriggerRule:
    when = entry.take("when", str, "")
    content = entry.take("content", dict)
    channels = entry.texts("channels")
    for channel in channels:
        if channel not in CHANNELS:
            raise entry.fail("channels", f"knows {', '.join(CHANNELS)}, not {channel}")
    on = entry.texts("event")
    occasion = entry.choose("occasion", get_args(Occasion))
    if occasion == "message" and "time" in on:
        raise entry.fail("occasion", "'message' needs an event: time has no message")
    if occasion == "order" and not ORDER_EVENTS.issuperset(on):
        raise entry.fail("occasion", f"'order' goes with {', '.join(sorted(ORDER_EVENTS))}")
    rule = TriggerRule(
        name=entry.take("name", str),
        title=entry.take("title", str),
        on=on,
        when=when,
        condition=entry.expression("when", when) if when else None,
        occasion=occasion,
        channels=channels,
        content=tuple((str(k), str(v)) for k, v in content.items()),
        max_age_days=entry.take("max_age_days", int, 1),
        **_common(entry),
    )
    entry.done()
    return rule


def _common(entry: _Entry) -> dict[str, Any]:
    return {
        "description": entry.take("description", str, ""),
        "owner": entry.take("owner", str, "platform"),
        "version": entry.take("version", int, 1),
        "state": entry.choose("state", get_args(State), "live"),
    }


def _check_names(book: RuleBook) -> None:
    for kind, rules in (("identifier", book.identifiers), ("tag", book.tags), ("trigger", book.triggers)):
        names = [rule.name for rule in rules]
        for name in names:
            if names.count(name) > 1:
                raise InvalidRule(f"There are two {kind} rules named {name!r}.", "Names are unique.")
    known: set[str] = set()
    for tag in book.tags:
        for reference in references(tag.expression):
            if reference not in known:
                raise InvalidRule(
                    f"Tag {tag.name!r} uses tag.{reference}, which is not defined above it.", "Tags may use tags above them."
                )
        known.add(tag.name)
    for trigger in book.triggers:
        for reference in references(trigger.condition) if trigger.condition else []:
            if reference not in known:
                raise InvalidRule(f"Trigger {trigger.name!r} uses tag.{reference}, which does not exist.")


def references(expression: Expression) -> list[str]:
    """Names of the tags that an expression uses."""
    return [node.name for node in walk(expression) if isinstance(node, TagReference)]


def attributes(expression: Expression) -> list[str]:
    """Names of the attributes that an expression uses."""
    return [node.name for node in walk(expression) if isinstance(node, Attribute)]
