"""Funnels: how many people did one thing after the other within a window. Pure; the rows come from outside."""

from typing import Any

from serving.analytics.models import FunnelRequest, FunnelStep, StepResult
from serving.analytics.query import SURVIVOR, Query
from serving.analytics.span import LATEST

# `strict_increase` alone gives wrong counts; together with `strict_once` it means strictly after. `strict_once` alone
# means at or after, by another event: without it one event that fits two steps would count for both.
AT_OR_AFTER = "'strict_once'"
STRICTLY_AFTER = "'strict_once', 'strict_increase'"


def build(request: FunnelRequest, window: int, start: int, end: int, overrides: str) -> Query:
    """The statement. Chains begin in [start, end); later steps may come up to `window` after their first.

    Args:
        window, start, end: microseconds.
        overrides: name of the dictionary of merged people.
    """
    parameters: dict[str, Any] = {
        "overrides": overrides, "start": start, "end": end, "until": min(end + window, LATEST),
        "events": sorted({step.event for step in request.steps}),
    }  # fmt: skip
    conditions = [_condition(index, step, parameters) for index, step in enumerate(request.steps)]
    conditions[0] += " AND time < {end:Int64}"
    mode = STRICTLY_AFTER if request.strict else AT_OR_AFTER
    sql = f"""
SELECT level, count() FROM
(
    SELECT {SURVIVOR} AS who,
           windowFunnel({int(window)}, {mode})(toUInt64(time), {", ".join(conditions)}) AS level
    FROM
    (
        SELECT owner, part, event, properties, toUnixTimestamp64Micro(event_time) AS time
        FROM events
        WHERE event IN {{events:Array(String)}} AND bot = 0
          AND event_time >= fromUnixTimestamp64Micro({{start:Int64}})
          AND event_time < fromUnixTimestamp64Micro({{until:Int64}})
    )
    GROUP BY who
)
WHERE level > 0 GROUP BY level"""  # noqa: S608 - only fixed texts and an integer are put together; values are bound
    return Query(sql, parameters)


def summarise(request: FunnelRequest, rows: list[tuple[Any, ...]]) -> list[StepResult]:
    """From (level, people who got just that far) to people at each step."""
    reached = {int(level): int(people) for level, people in rows}
    results: list[StepResult] = []
    for index, step in enumerate(request.steps):
        people = sum(count for level, count in reached.items() if level > index)
        first = results[0].people if results else people
        before = results[-1].people if results else people
        results.append(
            StepResult(event=step.event, people=people, from_start=_share(people, first), from_previous=_share(people, before))
        )
    return results


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _condition(index: int, step: FunnelStep, parameters: dict[str, Any]) -> str:
    parameters[f"event{index}"] = step.event
    parts = [f"event = {{event{index}:String}}"]
    for number, (name, value) in enumerate(step.where.items()):
        key, wanted = f"name{index}_{number}", f"value{index}_{number}"
        parameters[key] = name
        parameters[wanted] = value
        parts.append(_equals(f"properties, {{{key}:String}}", wanted, value))
    return " AND ".join(parts)


def _equals(path: str, wanted: str, value: str | float | bool) -> str:
    """Equal in value and in kind: the text "1" is not the number 1."""
    match value:
        case bool():
            return f"JSONType({path}) = 'Bool' AND JSONExtractBool({path}) = {{{wanted}:Bool}}"
        case str():
            return f"JSONType({path}) = 'String' AND JSONExtractString({path}) = {{{wanted}:String}}"
        case _:
            return f"JSONType({path}) IN ('Int64', 'UInt64', 'Double') AND JSONExtractFloat({path}) = {{{wanted}:Float64}}"
