"""Rules to plain Python functions: each expression becomes one line of source, compiled once.

A compiled rule costs about a microsecond; walking the tree for each event would cost ten to a hundred times that.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cdp.clock import MINUTE
from cdp.errors import CdpError
from rules import evaluate
from rules.evaluate import Context
from rules.model import RuleBook, TagRule, TriggerRule
from rules.syntax import Attribute, Binary, Call, Case, Constant, Expression, Member, Metric, Not, TagReference, walk

Evaluator = Callable[[Context], Any]

_PLACEHOLDER = re.compile(r"\{(attribute|tag)\.([A-Za-z_][A-Za-z0-9_]*)\}")
_OPERATORS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
LATEST = 2**53  # microseconds, in the year 2255: the scores of a sorted set in Redis are exact up to there


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

    def render(self, context: Context) -> dict[str, str]:
        """The texts with the person's values filled in; an unknown value leaves nothing."""

        def fill(found: re.Match[str]) -> str:
            value = context.attribute(found[2]) if found[1] == "attribute" else context.tag(found[2])
            return "" if value is None else str(value)

        return {name: _PLACEHOLDER.sub(fill, text) for name, text in self.content}


@dataclass(frozen=True)
class Timer:
    """Time alone changes something `delay` microseconds after the last moment of a metric.

    Attributes:
        source: whose events move the moment: ``orders``, ``any``, or an event's name.
        key: the metric's state; of ``orders`` it is not used.
    """

    source: str
    key: str
    delay: int


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
            touched_by[rule.name] = _touches(rule.expression, touched_by)
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
        timers=_timers(nodes),
        daily=any(_changes_daily(node) for node in nodes),
        anniversaries=tuple(dict.fromkeys(_anniversaries(nodes))),
    )


def _compile_trigger(rule: TriggerRule, tags: dict[str, frozenset[str]]) -> CompiledTrigger:
    condition = rule.condition or Constant(True)
    return CompiledTrigger(rule, compile_expression(condition), rule.content, _touches(condition, tags))


def _touches(expression: Expression, tags: dict[str, frozenset[str]]) -> frozenset[str]:
    touches: set[str] = set()
    for node in walk(expression):
        match node:
            case Metric(function="days"):
                touches.add("calendar")
            case Metric():
                touches.add(node.source)
            case Attribute():
                touches.add("attributes")
            case TagReference():
                touches |= tags.get(node.name, frozenset())
            case _:
                pass
    return frozenset(touches)


def _timers(nodes: list[Expression]) -> tuple[Timer, ...]:
    """Raises CdpError for a use of minutes_since for which there is no timer."""
    found: list[Timer] = []
    compared = 0
    for node in nodes:
        match node:
            case Binary(
                operator, Call("minutes_since", (Metric(function="last") as last,)), Constant(int() | float() as minutes)
            ):
                if operator in _OPERATORS:
                    compared += 1
                    found += [Timer(last.source, last.key, delay) for delay in _delays(operator, minutes)]
            case _:
                pass
    if compared != sum(isinstance(node, Call) and node.name == "minutes_since" for node in nodes):
        raise CdpError(
            "minutes_since is there as minutes_since(last(...)) compared with a number on its right.",
            "Nobody could say otherwise when time alone makes it true.",
        )
    return tuple(dict.fromkeys(found))


def _delays(operator: str, minutes: float) -> tuple[int, ...]:
    """After how many microseconds a comparison with minutes changes its answer; none if it never does.

    The steps at the end make up for rounding: they divide as the compiled rule does.
    """
    if minutes * MINUTE > LATEST:
        return ()
    reached = math.ceil(minutes * MINUTE)
    while (reached - 1) / MINUTE >= minutes:
        reached -= 1
    while reached / MINUTE < minutes:
        reached += 1
    passed = reached
    while passed / MINUTE <= minutes:
        passed += 1
    match operator:
        case ">=" | "<":
            return (reached,)
        case ">" | "<=":
            return (passed,)
        case _:
            return (reached, passed)


def _changes_daily(node: Expression) -> bool:
    """Whether any day may change what a node gives. When the anniversary of an attribute comes is known: see `_anniversaries`."""
    match node:
        case Call("is_anniversary", (Attribute(),)):
            return False
        case Call("days_since" | "is_anniversary"):
            return True
        case _:
            return False


def _anniversaries(nodes: list[Expression]) -> list[str]:
    names = []
    for node in nodes:
        match node:
            case Call("is_anniversary", (Attribute(name),)):
                names.append(name)
            case _:
                pass
    return names


def compile_expression(expression: Expression) -> Evaluator:
    """A function from a Context to the expression's value."""
    source = f"lambda c: {_source(expression)}"
    # The source is made of our own templates and of repr() of checked constants: nothing of a rule's text is run.
    compiled: Evaluator = eval(source, {"e": evaluate})  # noqa: S307
    return compiled


def _source(node: Expression) -> str:
    match node:
        case Constant(value):
            return repr(value)
        case Metric():
            return _metric_source(node)
        case Attribute(name):
            return f"c.attribute({name!r})"
        case TagReference(name):
            return f"c.tag({name!r})"
        case Call(name, arguments):
            owner = "e" if name in ("concat", "coalesce") else "c"
            return f"{owner}.{name}({', '.join(map(_source, arguments))})"
        case Binary("and" | "or" as operator, left, right):
            return f"(bool({_source(left)}) {operator} bool({_source(right)}))"
        case Binary(operator, left, right) if operator in _OPERATORS:
            if _is_number(left) and _is_number(right):
                return f"({_source(left)} {_OPERATORS[operator]} {_source(right)})"
            return f"e.compare({operator!r}, {_source(left)}, {_source(right)})"
        case Binary(operator, left, right):
            return f"e.calculate({operator!r}, {_source(left)}, {_source(right)})"
        case Not(operand):
            return f"(not {_source(operand)})"
        case Member(operand, values):
            return f"({_source(operand)} in {values!r})"
        case Case(branches, otherwise):
            chain = "".join(f"{_source(then)} if {_source(when)} else " for when, then in branches)
            return f"({chain}{_source(otherwise)})"


def _is_number(node: Expression) -> bool:
    """Whether a node is a number for sure: never nothing, never text."""
    match node:
        case Metric(function="count" | "sum" | "days"):
            return True
        case Constant(value):
            return isinstance(value, int | float)
        case _:
            return False


def _metric_source(metric: Metric) -> str:
    if metric.source == "orders":
        return _orders_source(metric)
    match metric.function:
        case "count":
            return f"c.total({metric.key!r}, {metric.days})"
        case "sum":
            return f"e.money(c.total({metric.key!r}, {metric.days}))"
        case "days":
            return f"c.active_days({metric.key!r}, {metric.days})"
        case _:
            return f"c.{metric.function}({metric.key!r})"


def _orders_source(metric: Metric) -> str:
    orders = f"c.orders({metric.days})"
    match metric.function:
        case "count":
            return f"{orders}.count"
        case "sum" if metric.field == "quantity":
            return f"e.money({orders}.quantity)"
        case "sum":
            return f"e.money({orders}.amount)"
        case "avg":
            return f"e.mean({orders})"
        case "max":
            return f"e.money({orders}.largest)"
        case "min":
            return f"e.money({orders}.smallest)"
        case "first" | "last":
            return f"c.order_time({metric.function == 'last'})"
        case "distinct":
            return f"len({orders}.categories)"
        case _:
            return f"c.top_category({metric.days})"
