"""Try rules with those in force, and write nothing."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cdp.rule_books import PublishedRule, RuleBookDocument
from cdp.settings import Settings
from rules.definitions.bodies import as_body
from rules.definitions.entries import InvalidRule
from rules.definitions.load import read_book
from rules.definitions.model import RuleBook
from rules.definitions.order import Key
from serving.rules.books import RULE_KINDS, newest_book

REMEDY = 'Send {"tags": [...], "triggers": [...]}, as in tags.yaml and triggers.yaml; one of them is enough.'


class Checked(NamedTuple):
    """The book as it would be, and an order in which the given rules can be put one by one."""

    book: RuleBook
    order: list[Key]


def check(settings: Settings, given: Mapping[str, Any]) -> Checked:
    """Put rules in the place of those of the same names. Raises InvalidRule, whose path is like ``tags.vip.value``."""
    listed = {kind: [_published(kind, at, body) for at, body in enumerate(_list(given, kind))] for kind in RULE_KINDS}
    if not any(listed.values()):
        raise InvalidRule("No rules were given.", REMEDY)
    others = set(given) - set(RULE_KINDS)
    if others:
        raise InvalidRule(f"{min(others)!r} is no kind of rule.", REMEDY, min(others))
    newest = newest_book(settings)
    changed = [(kind, rule.name) for kind in RULE_KINDS for rule in listed[kind]]
    document = RuleBookDocument(
        newest.number + 1, newest.time,
        [rule for rule in newest.tags if ("tags", rule.name) not in changed] + listed["tags"],
        [rule for rule in newest.triggers if ("triggers", rule.name) not in changed] + listed["triggers"],
    )  # fmt: skip
    book = read_book(document, changed)
    return Checked(book, _in_turn(book, {*changed}))


def _list(given: Mapping[str, Any], kind: str) -> list[Any]:
    listed = given.get(kind)
    if listed is not None and not isinstance(listed, list):
        raise InvalidRule(f"{kind!r} must be a list of rules.", REMEDY, kind)
    return listed or []


def _published(kind: str, at: int, body: Any) -> PublishedRule:
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        raise InvalidRule(f"Rule {at + 1} of {kind!r} has no name.", "Each rule is a mapping with a name.", f"{kind}.{at}.name")
    return PublishedRule(body["name"], 1, as_body(body))


def _in_turn(book: RuleBook, given: set[Key]) -> list[Key]:
    """What is used before its users; tags that are retired at last, when nobody uses them any more."""
    keys = [("tags", tag.name) for tag in book.tags if tag.state != "retired"]
    keys += [("triggers", trigger.name) for trigger in book.triggers]
    keys += [("tags", tag.name) for tag in book.tags if tag.state == "retired"]
    return [key for key in keys if key in given]
