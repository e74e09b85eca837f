"""Tags: evaluated again where something that they depend on was touched. Derived."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from cdp.clock import Calendar
from cdp.events import TagValue
from profiles.component import Cause, Component, Kind, Touched
from profiles.components.tags.state import TAGS, Tag, Tags
from profiles.context import Context
from profiles.slots import Slot
from profiles.state import Person
from rules.definitions.book import CompiledRules, CompiledTag
from rules.language.compile_python import Evaluator

Selection = tuple[tuple[str, Evaluator], ...]


class TagsChanged(NamedTuple):
    """An effect: (tag, old, new) for each tag whose value changed; None is no value."""

    changes: list[tuple[str, TagValue | None, TagValue | None]]


def tag(context: Context, name: str) -> TagValue | None:
    """Another tag's value, as evaluated so far."""
    found = context.person.whole.get(TAGS).by_name.get(name)
    return None if found is None else found.value


class TagComponent(Component[Tags, None]):
    """Evaluates the tags of a rule book."""

    slot: ClassVar[Slot[Tags]] = TAGS
    kind: ClassVar[Kind] = "derived"
    vocabulary: ClassVar[Mapping[str, Callable[..., Any]]] = {"tag": tag}

    def __init__(self, book: CompiledRules, calendar: Calendar) -> None:
        super().__init__(book, calendar)
        self._all = _pairs(book.tags)
        self._names = frozenset(name for name, _ in self._all)
        self._selections: dict[Touched, Selection] = {}

    def is_concerned(self, event: str, touched: Touched) -> bool:
        """Whether any tag depends on what was touched."""
        return bool(self._select(touched))

    def evaluate(self, person: Person, context: Context, touched: Touched | None, cause: Cause) -> list[TagsChanged]:
        """Of everything, those whose rules are gone are taken away."""
        changes: list[tuple[str, TagValue | None, TagValue | None]] = []
        tags = person.whole.get(TAGS).by_name
        if touched is None and not tags.keys() <= self._names:
            for name in sorted(tags.keys() - self._names):
                changes.append((name, tags.pop(name).value, None))
        for name, compute in self._all if touched is None else self._select(touched):
            new = compute(context) or None
            current = tags.get(name)
            old = None if current is None else current.value
            if new == old:
                continue
            if new is None:
                del tags[name]
            else:
                tags[name] = Tag(new, context.now)
            changes.append((name, old, new))
        if not changes:
            return []
        person.whole.change(TAGS)
        return [TagsChanged(changes)]

    def _select(self, touched: Touched) -> Selection:
        selection = self._selections.get(touched)
        if selection is None:
            selection = self._selections[touched] = _pairs(self.book.tags_for(touched))
        return selection


def _pairs(tags: tuple[CompiledTag, ...]) -> Selection:
    return tuple((tag.rule.name, tag.evaluate) for tag in tags)
