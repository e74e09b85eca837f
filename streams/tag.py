"""A person's tags: evaluated anew where something that they depend on was touched."""

from cdp.profile import Profile, Tag, TagValue
from rules.definitions.book import CompiledRules, CompiledTag
from rules.language.compile_python import Evaluator
from rules.language.evaluate import Context
from streams.measure import ATTRIBUTES, CALENDAR, ORDERS, Touched

Selection = tuple[tuple[str, Evaluator], ...]
Change = tuple[str, TagValue | None, TagValue | None]

_NAMES = {ATTRIBUTES: "attributes", ORDERS: "orders", CALENDAR: "calendar"}


def touches(event: str, touched: Touched) -> frozenset[str]:
    """What an event of a name touches, in the words of `CompiledTag.touched_by`."""
    return frozenset({"any", event} | {name for bit, name in _NAMES.items() if touched & bit})


class Tagger:
    """Evaluates tags. Built once for a rule book."""

    def __init__(self, rules: CompiledRules) -> None:
        self._all = _pairs(rules.tags)
        self._names = frozenset(name for name, _ in self._all)
        self._rules = rules
        self._selections: dict[tuple[str, Touched], Selection] = {}

    def select(self, event: str, touched: Touched) -> Selection:
        """The tags that an event of a name can change, by what it touched."""
        key = (event, touched)
        selection = self._selections.get(key)
        if selection is None:
            selection = self._selections[key] = _pairs(self._rules.tags_for(touches(event, touched)))
        return selection

    def evaluate(self, profile: Profile, context: Context, selection: Selection | None) -> list[Change]:
        """Bring tags of the profile up to date.

        Args:
            selection: which; None: all of them, and those whose rules are gone are taken away.

        Returns:
            (tag, old, new) for each tag whose value changed; None is no value.
        """
        changes: list[Change] = []
        tags = profile.tags
        if selection is None and not tags.keys() <= self._names:
            for name in tags.keys() - self._names:  # their rules are gone
                changes.append((name, tags.pop(name).value, None))
        for name, compute in self._all if selection is None else selection:
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
        return changes


def _pairs(tags: tuple[CompiledTag, ...]) -> Selection:
    return tuple((tag.rule.name, tag.evaluate) for tag in tags)
