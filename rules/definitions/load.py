"""Rule files to a RuleBook: every mistake is one sentence that names the file, the rule and the field."""

from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from cdp.events import ORDER_EVENTS, ORDER_PLACED
from rules.definitions.entries import Entry, InvalidRule, read_file
from rules.definitions.model import Occasion, RuleBook, State, TagRule, TriggerRule
from rules.identity.load import load_identity_rules
from rules.language.syntax import Attribute, Case, Expression, TagReference, walk

__all__ = ["CHANNELS", "SHIPPED", "TAG_TYPES", "InvalidRule", "attributes", "load_rules", "references"]

SHIPPED = Path(__file__).parents[1] / "shipped"
CHANNELS = ("webhook", "log")
TAG_TYPES = ("text", "number", "yes_no", "time")
_NUMBERED = ORDER_EVENTS - {ORDER_PLACED}  # their events always have an order's number


@lru_cache(maxsize=8)
def load_rules(folder: Path = SHIPPED) -> RuleBook:
    """Read identity.yaml, tags.yaml and triggers.yaml of a folder. Raises InvalidRule."""
    book = RuleBook(
        identifiers=tuple(load_identity_rules(folder / "identity.yaml").identifiers.values()),
        tags=tuple(_tag(e) for e in _entries(folder / "tags.yaml", "tags")),
        triggers=tuple(_trigger(e) for e in _entries(folder / "triggers.yaml", "triggers")),
    )
    _check_names(book)
    return book


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


def _tag(entry: Entry) -> TagRule:
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


def _trigger(entry: Entry) -> TriggerRule:
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
    if occasion == "order" and not _NUMBERED.issuperset(on):
        raise entry.fail("occasion", f"'order' goes with {', '.join(sorted(_NUMBERED))}")
    rule = TriggerRule(
        name=entry.take("name", str),
        title=entry.take("title", str),
        on=on,
        when=when,
        condition=entry.expression("when", when) if when else None,
        occasion=occasion,
        channels=channels,
        content=tuple((str(k), str(v)) for k, v in content.items()),
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


def _check_names(book: RuleBook) -> None:
    for kind, rules in (("tag", book.tags), ("trigger", book.triggers)):
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
