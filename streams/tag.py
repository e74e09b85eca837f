"""A person's tags: evaluated anew where something that they depend on was touched."""

from functools import lru_cache

from cdp.profile import Profile, Tag, TagValue
from rules.compile_python import CompiledRules, CompiledTag, Evaluator
from rules.evaluate import Context

Change = tuple[str, TagValue | None, TagValue | None]


class Tagger:
    """Evaluates tags. Built once for a rule book."""

    def __init__(self, rules: CompiledRules) -> None:
        self._all = _pairs(rules.tags)
        self._names = frozenset(name for name, _ in self._all)
        self._touched = lru_cache(maxsize=4096)(lambda touched: _pairs(rules.tags_for(touched)))

    def evaluate(self, profile: Profile, context: Context, touched: frozenset[str] | None) -> list[Change]:
        """Bring the profile's tags up to date.

        Args:
            touched: what the event touched; None: everything may have changed.

        Returns:
            (tag, old, new) for each tag whose value changed; None is no value.
        """
        changes: list[Change] = []
        tags = profile.tags
        if touched is None and not tags.keys() <= self._names:
            for name in tags.keys() - self._names:  # their rules are gone
                changes.append((name, tags.pop(name).value, None))
        for name, compute in self._all if touched is None else self._touched(touched):
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


def _pairs(tags: tuple[CompiledTag, ...]) -> tuple[tuple[str, Evaluator], ...]:
    return tuple((tag.rule.name, tag.evaluate) for tag in tags)
