"""What can change an expression's value: events, by what they touch, and time alone, by when."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cdp.clock import MINUTE
from cdp.errors import CdpError
from rules.language.syntax import COMPARISONS, Attribute, Binary, Call, Constant, Expression, Metric, TagReference, walk

LATEST = 2**53  # microseconds, in the year 2255: the scores of a sorted set in Redis are exact up to there


@dataclass(frozen=True)
class Timer:
    """Time alone changes something `delay` microseconds after the last moment of a metric.

    Attributes:
        source: whose events move the moment: ``orders``, ``any``, or an event's name.
        metric: its id; of ``orders`` it is not used.
    """

    source: str
    metric: int
    delay: int


def touches(expression: Expression, tags: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """What can change an expression besides time.

    Args:
        tags: the same of the tags that it may refer to.
    """
    found: set[str] = set()
    for node in walk(expression):
        match node:
            case Metric(function="days"):
                found.add("calendar")
            case Metric():
                found.add(node.source)
            case Attribute():
                found.add("attributes")
            case Call():
                found |= node.function.touched_by
            case TagReference():
                found |= tags.get(node.name, frozenset())
            case _:
                pass
    return frozenset(found)


def find_timers(nodes: Iterable[Expression]) -> tuple[Timer, ...]:
    """Raises CdpError for a use of minutes_since for which there is no timer."""
    found: list[Timer] = []
    compared = 0
    for node in nodes:
        match node:
            case Binary(
                operator, Call("minutes_since", (Metric(function="last") as last,)), Constant(int() | float() as minutes)
            ):
                if operator in COMPARISONS:
                    compared += 1
                    found += [Timer(last.source, last.id, delay) for delay in _delays(operator, minutes)]
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


def changes_daily(node: Expression) -> bool:
    """Whether any day may change what a node gives. When the anniversary of an attribute comes is known: see `anniversaries`."""
    match node:
        case Call("is_anniversary", (Attribute(),)):
            return False
        case Call():
            return node.function.is_daily
        case _:
            return False


def anniversaries(nodes: Iterable[Expression]) -> list[str]:
    """The attributes whose anniversaries are asked for."""
    names = []
    for node in nodes:
        match node:
            case Call("is_anniversary", (Attribute(name),)):
                names.append(name)
            case _:
                pass
    return names
