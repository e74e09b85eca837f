r"""Repair rules: a list of small operations on a message. Pure: a message is never changed, a copy is.

A path names a place in a message: ``properties.total``, ``properties.products[0].price``, ``batch[*].userId`` (every element),
``traits.shop\.name`` (a dot in a name). An operation on a place that is not there does nothing; ``set`` makes the objects on the
way to it.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.errors import ApiError

EVERY = "*"
MAX_STEPS = 32

Step = str | int
"""A name in an object, a place in a list, or EVERY place of it (in brackets)."""

MAX_NUMBER = 60
_CURRENCY = r"[$A-Za-z\u00a2-\u00a5\u20a0-\u20bf\uffe5\u5143]{1,3}"
_NUMBER = re.compile(
    rf"(?:{_CURRENCY}\s*)?([+-]?(?:[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+)(?:\.[0-9]+)?|[+-]?\.[0-9]+)(?:\s*{_CURRENCY})?"
)
_STEP = re.compile(r"(?:^|\.)((?:[^.\[\]\\]|\\.)+)|\[(\*|[0-9]{1,6})\]")


class Operation(BaseModel):
    """One small change."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["set", "remove", "rename", "cast"] = Field(
        description="`set`: put `value` there. `remove`: take it away. `rename`: move it to `to`. `cast`: read it as `to`."
    )
    path: str = Field(min_length=1, max_length=300, examples=["properties.total", "properties.products[*].price"])
    value: Any = Field(None, description="Of `set`: any JSON value.", examples=["CNY"])
    to: str | None = Field(
        None, max_length=300, description="Of `rename`: another path without [*]. Of `cast`: text, number, integer or yes_no."
    )


def repair(message: Any, rule: list[Operation]) -> Any:
    """A repaired copy of a message. Raises ApiError 422 if the rule itself is wrong, whatever the message."""
    try:
        repaired = copy.deepcopy(message)
        for number, operation in enumerate(rule):
            _do(repaired, operation, f"rule.{number}")
    except RecursionError as error:
        raise ApiError(422, "The rule or the message is nested too deeply.", field="rule") from error
    return repaired


def check(rule: list[Operation]) -> None:
    """Raises ApiError 422 with the field that is wrong."""
    repair({}, rule)


def parse(path: str, field: str) -> tuple[Step, ...]:
    """The steps of a path; ``[*]`` is -1. Raises ApiError 422."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or (found[0].startswith(".") and at == 0) or len(steps) == MAX_STEPS:
            raise ApiError(
                422, f"{path[:80]!r} is not a path.", "Use names, dots and brackets: properties.products[0].price.", field=field
            )
        if found[1] is not None:
            steps.append(re.sub(r"\\(.)", r"\1", found[1]))
        else:
            steps.append(-1 if found[2] == EVERY else int(found[2]))
        at = found.end()
    return tuple(steps)


def _do(message: Any, operation: Operation, field: str) -> None:
    steps = parse(operation.path, f"{field}.path")
    match operation.op:
        case "set":
            for holder, step in _places(message, steps, make=True):
                _put(holder, step, copy.deepcopy(operation.value))
        case "remove":
            for holder, step in reversed(list(_places(message, steps))):
                del holder[step]
        case "rename":
            target = parse(operation.to, f"{field}.to") if operation.to else ()
            if not target or -1 in target + steps or target[: len(steps)] == steps:
                raise ApiError(422, "rename needs a path and another path `to`, both without [*].", field=f"{field}.to")
            for holder, step in list(_places(message, steps)):
                value = holder[step]
                for place, name in list(_places(message, target, make=True)):
                    del holder[step]
                    _put(place, name, value)
        case "cast":
            cast = _CASTS.get(operation.to or "")
            if cast is None:
                raise ApiError(422, f"cast needs `to`: one of {', '.join(_CASTS)}.", field=f"{field}.to")
            for holder, step in _places(message, steps):
                holder[step] = cast(holder[step])


def _places(message: Any, steps: tuple[Step, ...], *, make: bool = False) -> Iterator[tuple[Any, Any]]:
    """Containers and keys that a path leads to. Without `make` only places where something is."""
    first, *rest = steps
    for key in _keys(message, first, make=make and not rest):
        if not rest:
            yield message, key
            continue
        yield from _places(message[key], tuple(rest), make=make)
    missing = isinstance(message, dict) and isinstance(first, str) and first not in message
    if make and missing and rest and isinstance(rest[0], str):
        message[first] = {}
        yield from _places(message[first], tuple(rest), make=True)


def _keys(holder: Any, step: Step, *, make: bool) -> list[Any]:
    if isinstance(step, str):
        return [step] if isinstance(holder, dict) and (make or step in holder) else []
    if not isinstance(holder, list):
        return []
    if step == -1:
        return list(range(len(holder)))
    return [step] if step < len(holder) or (make and step == len(holder)) else []


def _put(holder: Any, step: Any, value: Any) -> None:
    if isinstance(holder, list) and step == len(holder):
        holder.append(value)
    else:
        holder[step] = value


# -- casts: what cannot be read stays as it is, and the message stays a dead letter ----------------------------------------------


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


def _number(value: Any) -> Any:
    """Commas between thousands, and a currency before or behind a number, are left out. A decimal comma is nobody's guess."""
    if not isinstance(value, str):
        return int(value) if isinstance(value, bool) else value
    found = _NUMBER.fullmatch(value.strip()) if len(value) <= MAX_NUMBER else None
    if found is None:
        return value
    bare = found[1].replace(",", "")
    return float(bare) if "." in bare else int(bare)


def _integer(value: Any) -> Any:
    number = _number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _yes_no(value: Any) -> Any:
    said = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if said in ("true", "yes", "1") else False if said in ("false", "no", "0") else value


_CASTS = {"text": _text, "number": _number, "integer": _integer, "yes_no": _yes_no}
