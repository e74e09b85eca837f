"""What makes sense only in the book as a whole: tags use tags that exist, in no circle, and come after those that they use. Pure.

The order is a function of the set of tags, whatever the order of files: of the tags that could be next, the first by name is.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from rules.definitions.entries import InvalidRule
from rules.definitions.model import TagRule, TriggerRule
from rules.language.syntax import Expression, TagReference, walk

Key = tuple[str, str]
"""``tags`` or ``triggers``, and a rule's name."""

_PLACEHOLDER = re.compile(r"\{tag\.([A-Za-z_][A-Za-z0-9_]*)\}")
_WORDS = {"tags": "tag", "triggers": "trigger"}


class Use(NamedTuple):
    """A rule's field uses a tag."""

    user: Key
    field: str
    tag: str

    def fail(self, problem: str, remedy: str) -> InvalidRule:
        """The error about it, to be raised."""
        kind, name = self.user
        return InvalidRule(f"{_WORDS[kind].capitalize()} {name!r}, field {self.field!r}: {problem}.", remedy, _path(self))


def check_book(tags: Iterable[TagRule], triggers: Iterable[TriggerRule], changed: Collection[Key] = ()) -> tuple[TagRule, ...]:
    """The tags in an order in which each comes after those that it uses. Raises InvalidRule.

    Retired rules come last: what they use does not matter any more.

    Args:
        changed: the rules that somebody has just changed. The error is about one of them, where it could be about several.
    """
    by_name = {tag.name: tag for tag in tags}
    rules: list[TagRule | TriggerRule] = [*by_name.values(), *triggers]
    uses = [use for rule in rules if rule.state != "retired" for use in _uses(rule)]
    for use in uses:
        _check_use(use, by_name, uses, changed)
    return _in_order(by_name, [use for use in uses if use.user[0] == "tags"], changed)


def _uses(rule: TagRule | TriggerRule) -> Iterator[Use]:
    """What a rule uses, in the order in which it says so."""
    if isinstance(rule, TagRule):
        yield from (Use(("tags", rule.name), "value", name) for name in _references(rule.expression))
        return
    key = ("triggers", rule.name)
    if rule.condition is not None:
        yield from (Use(key, "when", name) for name in _references(rule.condition))
    for field, text in rule.content:
        yield from (Use(key, f"content.{field}", name) for name in _PLACEHOLDER.findall(text))


def _references(expression: Expression) -> Iterator[str]:
    return (node.name for node in walk(expression) if isinstance(node, TagReference))


def _check_use(use: Use, tags: Mapping[str, TagRule], uses: list[Use], changed: Collection[Key]) -> None:
    used = tags.get(use.tag)
    if used is None:
        raise use.fail(f"uses tag.{use.tag}, which does not exist", "Define that tag, or take it out.")
    if used.state != "retired":
        return
    if ("tags", use.tag) not in changed or use.user in changed:
        raise use.fail(f"uses tag.{use.tag}, which is retired", "Take it out, or make that tag live again.")
    users = dict.fromkeys(f"{_WORDS[other.user[0]]} {other.user[1]!r}" for other in uses if other.tag == use.tag)
    raise InvalidRule(
        f"Tag {use.tag!r}, field 'state': cannot be retired while {_listed([*users])} {'use' if len(users) > 1 else 'uses'} it.",
        f"Take tag.{use.tag} out there first, or pause it instead.", f"tags.{use.tag}.state",
    )  # fmt: skip


def _in_order(tags: Mapping[str, TagRule], uses: list[Use], changed: Collection[Key]) -> tuple[TagRule, ...]:
    missing: dict[str, set[str]] = {name: set() for name, tag in tags.items() if tag.state != "retired"}
    users: dict[str, set[str]] = {name: set() for name in missing}
    for use in uses:
        missing[use.user[1]].add(use.tag)
        users[use.tag].add(use.user[1])
    ready = [name for name, names in missing.items() if not names]
    heapify(ready)
    ordered: list[str] = []
    while ready:
        name = heappop(ready)
        ordered.append(name)
        for user in users[name]:
            missing[user].discard(name)
            if not missing[user]:
                heappush(ready, user)
    if len(ordered) < len(missing):
        raise _circle({name: names for name, names in missing.items() if names}, changed)
    return tuple(tags[name] for name in [*ordered, *sorted(name for name in tags if name not in missing)])


def _circle(missing: Mapping[str, set[str]], changed: Collection[Key]) -> InvalidRule:
    """The error about tags each of which waits for another one of them."""
    path = [min(missing)]
    while path.count(path[-1]) < 2:  # each has somebody to wait for, so that a circle is reached
        path.append(min(missing[path[-1]]))
    circle = path[path.index(path[-1]) : -1]
    first = min([name for name in circle if ("tags", name) in changed] or circle)
    start = circle.index(first)
    shown = " -> ".join([*circle[start:], *circle[:start], first])
    return InvalidRule(
        f"Tag {first!r}, field 'value': the tags use each other in a circle: {shown}.",
        "Take one of these uses out.", f"tags.{first}.value",
    )  # fmt: skip


def _path(use: Use) -> str:
    return f"{use.user[0]}.{use.user[1]}.{use.field}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
