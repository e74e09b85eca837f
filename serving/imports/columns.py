"""Which columns of a table a mapping reads, and which of them must be there. Pure."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple

from cdp.errors import CdpError
from serving.imports.mapping import ROWS, Conditions, EventRule, Field, Mapping, Test, Value
from serving.imports.paths import Path, parse_path

SHOWN = 40
INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u202a\u202b\u202c\u202d\u202e\u00ad"
_UNSEEN = re.compile(f"[{INVISIBLE}]")
_BRACES = re.compile(r"\{([^{}]+)\}")
_IN_ROWS = re.compile(rf"{ROWS}\[\d*\]\.?")


class Need(NamedTuple):
    """Columns of which one must be there.

    Attributes:
        optional: none of them need be there.
        holds: of a condition: whether it holds if none is there.
        of_order: it is read of the order, not of each of the rows that are grouped into it.
    """

    columns: tuple[Path, ...]
    optional: bool = False
    holds: bool = False
    of_order: bool = True

    @property
    def text(self) -> str:
        """How the mapping writes it."""
        return " or ".join(repr(column.text) for column in self.columns)


class EventNeeds(NamedTuple):
    """What one event needs: conditions, any list of which must be answerable, and fields."""

    when: list[list[Need]]
    fields: list[Need]

    def missing(self, has: Callable[[Path], bool]) -> list[Need] | None:
        """What is not there and should be; None if the event cannot come of such a file, and need not."""
        found: list[list[Need]] = [[need for need in one if not _there(need, has)] for one in self.when]
        lacking = min(found, key=lambda one: sum(not need.optional for need in one), default=[])
        if any(not need.optional for need in lacking):
            return [need for need in lacking if not need.optional] + self._lacking(has)
        return self._lacking(has) if all(need.holds for need in lacking) else None

    def _lacking(self, has: Callable[[Path], bool]) -> list[Need]:
        return [need for need in self.fields if not need.optional and not _there(need, has)]


class Columns:
    """The columns of a mapping."""

    def __init__(self, mapping: Mapping) -> None:
        """Of a mapping whose paths can be read."""
        grouped = bool(mapping.group_by)
        keys = [Need((parse_path(one),)) for one in _listed(mapping.group_by)]
        self._keys = keys
        self._events = [_Reader(grouped, mapping.each).event(rule) for rule in mapping.events]
        whole = [*keys, *(need for event in self._events for need in event.fields + [n for one in event.when for n in one])]
        self._spelt = {squeeze(path.flat): path.flat for need in whole for path in need.columns}
        self.of_order = {path.flat for need in whole if need.of_order for path in need.columns}
        self._all = whole

    def spell(self, name: str) -> str:
        """A column's name as the mapping writes it, if only white space and marks that nobody sees differ."""
        return self._spelt.get(squeeze(name), name)

    def missing(self, has: Callable[[Path], bool]) -> list[Need]:
        """What the mapping needs and is not there, each once."""
        lacking = [need for need in self._keys if not _there(need, has)]
        events = [event.missing(has) for event in self._events]
        if all(event is None for event in events):  # nothing could ever come of it
            lacking += [need for event in self._events for one in event.when for need in one if not _there(need, has)]
        return list(dict.fromkeys(lacking + [need for event in events for need in event or ()]))

    def unseen(self) -> "Unseen":
        """To look at records that have no header."""
        return Unseen([need for need in dict.fromkeys(self._all) if not need.optional])


class Unseen:
    """Fields that no record had so far."""

    def __init__(self, needs: list[Need]) -> None:
        self._needs = needs

    def look(self, record: dict[str, Any]) -> None:
        """Look at a record; it costs nothing once all was seen."""
        if self._needs:
            self._needs = [need for need in self._needs if not any(_has_field(record, path) for path in need.columns)]

    @property
    def fields(self) -> list[str]:
        """How the mapping writes them, each once."""
        return list(dict.fromkeys(need.text for need in self._needs))


def in_header(names: Iterable[str], *, nested: bool = False) -> Callable[[Path], bool]:
    """Whether a path leads to a column; with `nested` columns hold objects, into which it may lead."""
    known = frozenset(names)
    return lambda path: path.flat in known or (nested and bool(path.steps) and path.steps[0] in known)


def refusal(missing: list[Need], names: list[str], place: str, remedy: str = "") -> CdpError:
    """One sentence about columns that are not there, with those that are."""
    said = [need.text + _meant(need, names) for need in missing]
    most = ", ".join(said[:SHOWN]) + (f" and {len(said) - SHOWN} more" if len(said) > SHOWN else "")
    there = ", ".join(repr(name) for name in names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return CdpError(
        f"{place} has no column {most}; its columns are {there}.",
        remedy or "Correct the mapping's paths, or mark what a file may lack with `optional: true`.",
    )


def squeeze(name: str) -> str:
    """A name without what nobody sees: runs of white space, line breaks included, are one space."""
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFC", name)).split())


def _meant(need: Need, names: list[str]) -> str:
    folded = {squeeze(unicodedata.normalize("NFKC", name)).casefold(): name for name in names}
    for column in need.columns:
        near = get_close_matches(squeeze(unicodedata.normalize("NFKC", column.flat)).casefold(), folded, 1, 0.6)
        if near:
            return f" (did you mean {folded[near[0]]!r}?)"
    return ""


def _there(need: Need, has: Callable[[Path], bool]) -> bool:
    return any(has(column) for column in need.columns)


def _has_field(value: Any, path: Path) -> bool:
    """Whether a record has a field, be it null."""
    if isinstance(value, dict) and path.flat in value:
        return True
    nodes = [value]
    for step in path.steps:
        if isinstance(step, str):
            nodes = [node[step] for node in nodes if isinstance(node, dict) and step in node]
        elif step is None:
            nodes = [item for node in nodes if isinstance(node, list) for item in node]
        else:
            nodes = [node[step] for node in nodes if isinstance(node, list) and step < len(node)]
    return bool(nodes)


def _listed(value: str | list[str]) -> list[str]:
    return ([value] if value else []) if isinstance(value, str) else value


class _Reader:
    """Collects the columns that the parts of a mapping name. `scopes`: which of the things that paths start from are rows."""

    def __init__(self, grouped: bool, each: str, scopes: tuple[bool, ...] = (True,)) -> None:
        self._grouped, self._scopes, self._fields = grouped, scopes, list[Need]()
        if each:
            self._fields += self._need([each])
            self._scopes = (*scopes, self._leads_to_rows(each))

    def event(self, rule: EventRule) -> EventNeeds:
        """What an event rule names."""
        here = _Reader(self._grouped, rule.each, self._scopes)
        fields = [*self._fields, *here._fields, *here.template(rule.message_id)]
        named = [*rule.ids, *rule.properties.values(), *rule.traits.values(), *rule.page.values()]
        named += [one for one in (rule.time, rule.channel, rule.store) if one is not None]
        named += [rule.event] if isinstance(rule.event, Value) else []
        fields += [need for field in named for need in here.value(field)]
        if rule.products is not None:
            items = _Reader(self._grouped, rule.products.each, here._scopes)
            fields += items._fields + [need for field in rule.products.fields.values() for need in items.value(field)]
            fields += [need for one in items.conditions(rule.products.when) for need in one]
        return EventNeeds(here.conditions(rule.when), [need for need in fields if need.columns])

    def value(self, field: Field) -> list[Need]:
        rule = Value(path=field) if isinstance(field, str) else field
        found = self.template(rule.template)
        if rule.sum:
            found += self._need([rule.sum])
        if rule.path:
            found += self._need(_listed(rule.path))
        return [need._replace(optional=True) for need in found] if rule.optional else found

    def template(self, text: str) -> list[Need]:
        return [need for one in _BRACES.findall(text) for need in self._need([one])]

    def conditions(self, when: Conditions | list[Conditions]) -> list[list[Need]]:
        return [one for each in (when if isinstance(when, list) else [when]) if (one := list(self._conditions(each)))]

    def _conditions(self, when: Conditions) -> Iterator[Need]:
        for text, test in when.items():
            of_nothing = isinstance(test, Test) and (test.present is False or test.not_ is not None)
            optional = isinstance(test, Test) and test.optional
            yield from (need._replace(optional=optional, holds=of_nothing) for need in self._need([text]))

    def _need(self, texts: list[str]) -> list[Need]:
        found = [self._column(parse_path(text)) for text in texts]
        if not found or any(column is None for column in found):  # one of them is no column, and so always there
            return []
        columns = [column for column in found if column is not None]
        return [Need(tuple(path for path, _ in columns), of_order=any(of_order for _, of_order in columns))]

    def _column(self, path: Path) -> tuple[Path, bool] | None:
        """The column that a path names, and whether it is read of the order; None if it is none."""
        up = path.up
        if path.flat.startswith("@") or path.flat == "." or up >= len(self._scopes) or not self._scopes[-1 - up]:
            return None
        of_order = up == len(self._scopes) - 1
        if not of_order or not self._grouped:
            return parse_path(path.flat), of_order
        inner = _IN_ROWS.sub("", path.flat, count=1)
        if path.flat == ROWS or not inner:
            return None
        return parse_path(inner), inner == path.flat

    def _leads_to_rows(self, each: str) -> bool:
        return self._grouped and each.removeprefix("^." * (len(self._scopes) - 1)) == ROWS
