"""All live rules put together and compiled, ready to be evaluated."""

import re
from dataclasses import dataclass, field
from typing import Any

from cdp.errors import CdpError
from rules.definitions.model import RuleBook, TagRule, TriggerRule
from rules.language.compile_python import Evaluator, Vocabulary, compile_expression
from rules.language.dependencies import Timer, anniversaries, changes_daily, find_timers, touches
from rules.language.syntax import Constant, Expression, Metric, walk

_PLACEHOLDER = re.compile(r"\{(attribute|tag)\.([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class CompiledTag:
    """A tag with its evaluator.

    `touched_by`: what can change it besides time: events, ``any``, ``orders``, ``attributes``, ``calendar`` (a new day's
    first event of a figure: all that matters to a count of days).
    """

    rule: TagRule
    evaluate: Evaluator
    touched_by: frozenset[str]


@dataclass(frozen=True)
class CompiledTrigger:
    """A trigger with its condition and its texts. `touched_by`: what can change its condition besides time, as of a tag."""

    rule: TriggerRule
    condition: Evaluator
    content: tuple[tuple[str, str], ...]
    touched_by: frozenset[str]
    vocabulary: Vocabulary = field(repr=False, compare=False)

    def render(self, context: Any) -> dict[str, str]:
        """The texts with the person's values filled in; an unknown value leaves nothing."""

        def fill(found: re.Match[str]) -> str:
            value = self.vocabulary[found[1]](context, found[2])
            return "" if value is None else str(value)

        return {name: _PLACEHOLDER.sub(fill, text) for name, text in self.content}


@dataclass(frozen=True)
class CompiledRules:
    """All live rules, ready for the stream.

    Attributes:
        number: of the book; profiles remember which evaluated them last.
        metrics: what is to be measured of events; orders are measured anyway.
        windows: every window of days that is used over orders.
        bucket_windows: metric id to the windows used over its buckets.
        timers, daily, anniversaries: what makes a profile due without an event.
    """

    tags: tuple[CompiledTag, ...]
    triggers: tuple[CompiledTrigger, ...]
    metrics: tuple[Metric, ...]
    windows: tuple[int | None, ...]
    bucket_windows: dict[int, tuple[int, ...]]
    timers: tuple[Timer, ...]
    daily: bool
    anniversaries: tuple[str, ...]
    number: int = 0

    def tags_for(self, touched: frozenset[str]) -> tuple[CompiledTag, ...]:
        """The tags that an event of these touches can change."""
        return tuple(tag for tag in self.tags if tag.touched_by & touched)

    def watched(self) -> frozenset[str]:
        """The names of events that some trigger looks at."""
        return frozenset(name for trigger in self.triggers for name in trigger.rule.on)

    def triggers_for(self, event: str) -> tuple[CompiledTrigger, ...]:
        """The triggers that look at an event's name (or at ``time``)."""
        return tuple(trigger for trigger in self.triggers if event in trigger.rule.on)


def compile_rules(book: RuleBook, vocabulary: Vocabulary, number: int = 0) -> CompiledRules:
    """Compile every live tag and trigger.

    Args:
        vocabulary: what rules may ask of a person: see `profiles.book`.
        number: of the book.

    Raises CdpError for what can be read and not be evaluated.
    """
    tags: list[CompiledTag] = []
    touched_by: dict[str, frozenset[str]] = {}
    for rule in book.tags:
        if rule.state == "live":
            touched_by[rule.name] = touches(rule.expression, touched_by)
            tags.append(CompiledTag(rule, compile_expression(rule.expression, vocabulary), touched_by[rule.name]))
    triggers = tuple(_compile_trigger(rule, touched_by, vocabulary) for rule in book.triggers if rule.state == "live")
    trees = [tag.rule.expression for tag in tags] + [t.rule.condition for t in triggers if t.rule.condition]
    nodes = [node for tree in trees for node in walk(tree)]
    metrics = _metrics(nodes)
    buckets: dict[int, set[int]] = {}
    for node in nodes:
        if isinstance(node, Metric) and node.source != "orders" and node.days is not None:
            buckets.setdefault(node.id, set()).add(node.days)
    return CompiledRules(
        tags=tuple(tags),
        triggers=triggers,
        metrics=metrics,
        windows=tuple({m.days: None for m in nodes if isinstance(m, Metric) and m.source == "orders"}),
        bucket_windows={key: tuple(sorted(days)) for key, days in buckets.items()},
        timers=find_timers(nodes),
        daily=any(changes_daily(node) for node in nodes),
        anniversaries=tuple(dict.fromkeys(anniversaries(nodes))),
        number=number,
    )


def _metrics(nodes: list[Expression]) -> tuple[Metric, ...]:
    """Those over events, one of each key. Raises CdpError if two have one id, which happens once in a million books."""
    found: dict[int, Metric] = {}
    for node in nodes:
        if isinstance(node, Metric) and node.source != "orders" and found.setdefault(node.id, node).key != node.key:
            raise CdpError(
                f"The metrics {node.key!r} and {found[node.id].key!r} cannot be told apart.", "Write one of them in another way."
            )
    return tuple(found.values())


def _compile_trigger(rule: TriggerRule, tags: dict[str, frozenset[str]], vocabulary: Vocabulary) -> CompiledTrigger:
    condition = rule.condition or Constant(True)
    return CompiledTrigger(rule, compile_expression(condition, vocabulary), rule.content, touches(condition, tags), vocabulary)
