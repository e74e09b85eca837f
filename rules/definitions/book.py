"""All live rules put together and compiled, ready to be evaluated."""

import re
from dataclasses import dataclass
from typing import Any

from rules.definitions.model import RuleBook, TagRule, TriggerRule
from rules.language.compile_python import Evaluator, compile_expression
from rules.language.dependencies import Timer, anniversaries, changes_daily, find_timers, touches
from rules.language.syntax import Constant, Metric, walk

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

    def render(self, context: Any) -> dict[str, str]:
        """The texts with the person's values filled in; an unknown value leaves nothing."""

        def fill(found: re.Match[str]) -> str:
            value = context.attribute(found[2]) if found[1] == "attribute" else context.tag(found[2])
            return "" if value is None else str(value)

        return {name: _PLACEHOLDER.sub(fill, text) for name, text in self.content}


@dataclass(frozen=True)
class CompiledRules:
    """All live rules, ready for the stream.

    Attributes:
        metrics: what is to be measured of events, by state key; orders are measured anyway.
        windows: every window of days that is used over orders.
        bucket_windows: state key to the windows used over its buckets.
        timers, daily, anniversaries: what makes a profile due without an event.
    """

    tags: tuple[CompiledTag, ...]
    triggers: tuple[CompiledTrigger, ...]
    metrics: tuple[Metric, ...]
    windows: tuple[int | None, ...]
    bucket_windows: dict[str, tuple[int, ...]]
    timers: tuple[Timer, ...]
    daily: bool
    anniversaries: tuple[str, ...]

    def tags_for(self, touched: frozenset[str]) -> tuple[CompiledTag, ...]:
        """The tags that an event of these touches can change."""
        return tuple(tag for tag in self.tags if tag.touched_by & touched)

    def watched(self) -> frozenset[str]:
        """The names of events that some trigger looks at."""
        return frozenset(name for trigger in self.triggers for name in trigger.rule.on)

    def triggers_for(self, event: str) -> tuple[CompiledTrigger, ...]:
        """The triggers that look at an event's name (or at ``time``)."""
        return tuple(trigger for trigger in self.triggers if event in trigger.rule.on)


def compile_rules(book: RuleBook) -> CompiledRules:
    """Compile every live tag and trigger."""
    tags: list[CompiledTag] = []
    touched_by: dict[str, frozenset[str]] = {}
    for rule in book.tags:
        if rule.state == "live":
            touched_by[rule.name] = touches(rule.expression, touched_by)
            tags.append(CompiledTag(rule, compile_expression(rule.expression), touched_by[rule.name]))
    triggers = tuple(_compile_trigger(rule, touched_by) for rule in book.triggers if rule.state == "live")
    trees = [tag.rule.expression for tag in tags] + [t.rule.condition for t in triggers if t.rule.condition]
    nodes = [node for tree in trees for node in walk(tree)]
    metrics = {m.key: m for m in nodes if isinstance(m, Metric) and m.source != "orders"}
    buckets: dict[str, set[int]] = {}
    for node in nodes:
        if isinstance(node, Metric) and node.source != "orders" and node.days is not None:
            buckets.setdefault(node.key, set()).add(node.days)
    return CompiledRules(
        tags=tuple(tags),
        triggers=triggers,
        metrics=tuple(metrics.values()),
        windows=tuple({m.days: None for m in nodes if isinstance(m, Metric) and m.source == "orders"}),
        bucket_windows={key: tuple(sorted(days)) for key, days in buckets.items()},
        timers=find_timers(nodes),
        daily=any(changes_daily(node) for node in nodes),
        anniversaries=tuple(dict.fromkeys(anniversaries(nodes))),
    )


def _compile_trigger(rule: TriggerRule, tags: dict[str, frozenset[str]]) -> CompiledTrigger:
    condition = rule.condition or Constant(True)
    return CompiledTrigger(rule, compile_expression(condition), rule.content, touches(condition, tags))
