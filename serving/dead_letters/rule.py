r"""Repair rules: a list of small operations on a message. Pure: a message is never changed, a copy is.

A path names a place in a message: ``properties.total``, ``properties.products[0].price``, ``batch[*].userId`` (every element),
``traits.shop\.name`` (a dot in a name). An operation on a place that is not there does nothing; ``set`` makes the objects on the
way to it.
"""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cdp.values.amounts import DecimalSign, read_amount

EVERY = "*"
MAX_STEPS = 32

Step = str | int
"""A name in an object, a place in a list, or EVERY place of it (in brackets)."""

_NAME = r"(?:[^.\[\]\\]|\\[\s\S])+"
_STEP = re.compile(rf"({_NAME})|\[(\*|[0-9]{{1,6}})\]")


def _pattern(place: str) -> str:
    return rf"^(?:{_NAME}|\[{place}\])(?:\.{_NAME}|\[{place}\]){{0,{MAX_STEPS - 1}}}$"


Path = Annotated[
    str,
    Field(
        max_length=300, pattern=_pattern(r"(?:\*|[0-9]{1,6})"), examples=["properties.total", "properties.products[*].price"],
        description="Names with dots; [0] is an element of a list, [*] every element, and \\. a dot within a name.",
    ),
]  # fmt: skip
Place = Annotated[
    str,
    Field(
        max_length=300, pattern=_pattern("[0-9]{1,6}"), examples=["properties.uid", "userId"],
        description="As a path, but without [*].",
    ),
]  # fmt: skip


class _Operation(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SetOperation(_Operation):
    """Put a value there; objects on the way to it are made."""

    op: Literal["set"]
    path: Path
    value: Any = Field(None, description="Any JSON value.", examples=["CNY"])


class RemoveOperation(_Operation):
    """Take it away."""

    op: Literal["remove"]
    path: Path


class RenameOperation(_Operation):
    """Move it to another place; if there is no way there, it stays."""

    op: Literal["rename"]
    path: Place
    to: Place


class CastOperation(_Operation):
    """Read it as another type; what cannot be read so stays as it is."""

    op: Literal["cast"]
    path: Path
    to: Literal["text", "number", "comma_number", "integer", "yes_no"]


Operation = Annotated[SetOperation | RemoveOperation | RenameOperation | CastOperation, Field(discriminator="op")]
"""One small change."""


def repair(message: Any, rule: Sequence[Operation]) -> Any:
    """A repaired copy of a message. Raises RecursionError if the message, or a value of the rule, is nested too deeply."""
    repaired = copy.deepcopy(message)
    for operation in rule:
        _do(repaired, operation)
    return repaired


def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path that fits its pattern; ``[*]`` is -1."""
    return tuple(
        re.sub(r"\\([\s\S])", r"\1", name) if name else -1 if place == EVERY else int(place)
        for name, place in _STEP.findall(path)
    )


def _do(message: Any, operation: Operation) -> None:
    steps = parse(operation.path)
    match operation:
        case SetOperation():
            for holder, step in _places(message, steps, make=True):
                _put(holder, step, copy.deepcopy(operation.value))
        case RemoveOperation():
            for holder, step in reversed(list(_places(message, steps))):
                del holder[step]
        case RenameOperation():
            for holder, step in list(_places(message, steps)):
                _move(message, holder, step, parse(operation.to))
        case CastOperation():
            cast = _CASTS[operation.to]
            for holder, step in _places(message, steps):
                holder[step] = cast(holder[step])


def _move(message: Any, holder: Any, step: Any, target: tuple[Step, ...]) -> None:
    value = holder.pop(step)
    places = list(_places(message, target, make=True))
    for place, name in places:
        _put(place, name, value)
    if not places and isinstance(holder, list):
        holder.insert(step, value)
    elif not places:
        holder[step] = value


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


def _number(value: Any, decimal: DecimalSign = "point") -> Any:
    """As `cdp.values.amounts` reads it. A decimal comma is nobody's guess, and true is no number."""
    if not isinstance(value, str):
        return value
    try:
        exact = read_amount(value, decimal=decimal)
    except ValueError:
        return value
    sign = "." if decimal == "point" else ","
    return int(exact) if exact == exact.to_integral_value() and sign not in value else float(exact)


def _comma_number(value: Any) -> Any:
    return _number(value, "comma")


def _integer(value: Any) -> Any:
    number = _number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _yes_no(value: Any) -> Any:
    said = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if said in ("true", "yes", "1") else False if said in ("false", "no", "0") else value


_CASTS: dict[str, Callable[[Any], Any]] = {
    "text": _text, "number": _number, "comma_number": _comma_number, "integer": _integer, "yes_no": _yes_no,
}  # fmt: skip
