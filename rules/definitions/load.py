"""Rule files, and published books, to a RuleBook: every mistake is one sentence that names the rule and the field."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, get_args

from cdp.events import ORDER_EVENTS, ORDER_PLACED
from cdp.rule_books import PublishedRule, RuleBookDocument
from rules.definitions.bodies import as_body
from rules.definitions.entries import Entry, InvalidRule, read_file
from rules.definitions.model import Occasion, RuleBook, State, TagRule, TriggerRule
from rules.definitions.order import Key, check_book
from rules.identity.load import load_identity_rules
from rules.identity.model import IdentifierType
from rules.language.syntax import Case, Expression

__all__ = ["CHANNELS", "SHIPPED", "TAG_TYPES", "InvalidRule", "check_rule", "load_rules", "read_book", "shipped_bodies"]

SHIPPED = Path(__file__).parents[1] / "shipped"
CHANNELS = ("webhook", "log")
TAG_TYPES = ("text", "number", "yes_no", "time")
NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,79}"
MAX_BRANCHES = 100
_NUMBERED = ORDER_EVENTS - {ORDER_PLACED}  # their events always have an order's number


@lru_cache(maxsize=8)
def load_rules(folder: Path = SHIPPED) -> RuleBook:
    """Read identity.yaml, tags.yaml and triggers.yaml of a folder. Raises InvalidRule."""
    identifiers = tuple(load_identity_rules(folder / "identity.yaml").identifiers.values())
    tags = [_tag(entry) for entry in _entries(folder / "tags.yaml", "tags")]
    return _book(tags, [_trigger(entry) for entry in _entries(folder / "triggers.yaml", "triggers")], identifiers)


def read_book(document: RuleBookDocument, changed: Collection[Key] = ()) -> RuleBook:
    """A published book, checked; it says nothing of identifiers. Raises InvalidRule, whose path is like ``tags.vip.value``.

    Args:
        changed: the rules that somebody has just changed: an error of the book as a whole is about one of them.
    """
    tags = [_numbered("tags", rule, _tag) for rule in document.tags]
    return _book(tags, [_numbered("triggers", rule, _trigger) for rule in document.triggers], (), changed)


def check_rule(kind: str, body: Mapping[str, Any]) -> None:
    """Read an entry of ``tags`` or ``triggers`` by itself. Raises InvalidRule, whose path is the field."""
    read: Callable[[Entry], object] = _tag if kind == "tags" else _trigger
    read(Entry(f"{kind[:-1].capitalize()} {body.get('name')!r}", dict(body)))


@lru_cache(maxsize=8)
def shipped_bodies(folder: Path = SHIPPED) -> dict[Key, dict[str, Any]]:
    """The entries of tags.yaml and triggers.yaml as they are kept and published. Raises InvalidRule."""
    return {
        (kind, entry.values["name"]): as_body(entry.values)
        for kind in ("tags", "triggers")
        for entry in _entries(folder / f"{kind}.yaml", kind)
    }


def _book(
    tags: Iterable[TagRule], triggers: Iterable[TriggerRule], identifiers: tuple[IdentifierType, ...],
    changed: Collection[Key] = (),
) -> RuleBook:  # fmt: skip
    """The rules in an order that does not depend on that of their files."""
    tags, triggers = list(tags), sorted(triggers, key=lambda rule: rule.name)
    _check_names("tag", tags)
    _check_names("trigger", triggers)
    return RuleBook(identifiers, check_book(tags, triggers, changed), tuple(triggers))


def _numbered(kind: str, rule: PublishedRule, read: Callable[[Entry], Any]) -> Any:
    """A published rule, under the version that the platform gave it."""
    entry = Entry(f"{kind[:-1].capitalize()} {rule.name!r}", rule.body | {"name": rule.name}, path=f"{kind}.{rule.name}.")
    return replace(read(entry), version=rule.version)


def _entries(file: Path, key: str) -> list[Entry]:
    document = read_file(file)
    entries = document.entries(key, "rule")
    document.done()
    return entries


def _value(entry: Entry) -> tuple[str, Expression]:
    """A tag's value: an expression, or a list of when/then ending in otherwise."""
    value = entry.values.pop("value", None)
    if isinstance(value, str):
        return value, entry.expression("value", value)
    if not isinstance(value, list) or not value or not all(isinstance(branch, dict) for branch in value):
        raise entry.fail("value", "must be an expression or a list of when/then")
    if len(value) > MAX_BRANCHES:
        raise entry.fail("value", f"has more than {MAX_BRANCHES} branches")
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


def _tag(entry: Entry) -> TagRule:
    text, expression = _value(entry)
    rule = TagRule(
        name=_name(entry),
        title=entry.take("title", str),
        type=entry.choose("type", TAG_TYPES),
        value=text,
        expression=expression,
        **_common(entry),
    )
    entry.done()
    return rule


def _trigger(entry: Entry) -> TriggerRule:
    when = entry.take("when", str, "")
    content = entry.take("content", dict)
    channels = entry.texts("channels")
    for channel in channels:
        if channel not in CHANNELS:
            raise entry.fail("channels", f"knows {', '.join(CHANNELS)}, not {channel}")
    on = entry.texts("event")
    for field, given in (("channels", channels), ("event", on)):
        if not given or not all(given):
            raise entry.fail(field, "must name at least one, and none by an empty text")
    occasion = entry.choose("occasion", get_args(Occasion))
    if occasion == "message" and "time" in on:
        raise entry.fail("occasion", "'message' needs an event: time has no message")
    if occasion == "order" and not _NUMBERED.issuperset(on):
        raise entry.fail("occasion", f"'order' goes with {', '.join(sorted(_NUMBERED))}")
    rule = TriggerRule(
        name=_name(entry),
        title=entry.take("title", str),
        on=on,
        when=when,
        condition=entry.expression("when", when) if when else None,
        occasion=occasion,
        channels=channels,
        content=_content(entry, content),
        max_age_days=entry.whole("max_age_days", 0, 36_500, 1),
        **_common(entry),
    )
    entry.done()
    return rule


def _common(entry: Entry) -> dict[str, Any]:
    return {
        "description": entry.take("description", str, ""),
        "owner": entry.take("owner", str, "platform"),
        "version": entry.take("version", int, 1),
        "state": entry.choose("state", get_args(State), "live"),
    }


def _name(entry: Entry) -> str:
    name: str = entry.take("name", str)
    if not re.fullmatch(NAME, name):
        raise entry.fail("name", f"must be 1 to 80 letters, digits and _, not beginning with a digit, not {name!r}")
    return name


def _content(entry: Entry, content: dict[Any, Any]) -> tuple[tuple[str, str], ...]:
    for name, text in content.items():
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise entry.fail(f"content.{name}", f"must be a text, not {text!r}")
    return tuple((str(name), str(text)) for name, text in content.items())


def _check_names(kind: str, rules: Iterable[TagRule | TriggerRule]) -> None:
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise InvalidRule(
                f"There are two {kind} rules named {rule.name!r}.", "Names are unique.", f"{kind}s.{rule.name}.name"
            )
        seen.add(rule.name)
