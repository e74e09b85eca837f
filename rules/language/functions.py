"""The functions of values that the language knows. Metrics, such as `count(orders)`, have a grammar of their own: `parse`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes:
        arity: how many arguments it takes; None: any number.
        is_asked: it is asked of a person at a moment: the context comes as its first argument.
        touched_by: what changes it besides its arguments, in the words of `dependencies.touches`.
        is_daily: any day may change it by itself.
    """

    name: str
    arity: int | None
    is_asked: bool = True
    touched_by: frozenset[str] = frozenset()
    is_daily: bool = False


FUNCTIONS: Mapping[str, Function] = {
    function.name: function
    for function in (
        Function("minutes_since", 1),
        Function("days_since", 1, is_daily=True),
        Function("is_anniversary", 1, is_daily=True),
        Function("month_of", 1),
        Function("concat", None, is_asked=False),
        Function("coalesce", None, is_asked=False),
    )
}


def with_functions(more: Iterable[Function]) -> Mapping[str, Function]:
    """The language's functions and some more."""
    return {**FUNCTIONS, **{function.name: function for function in more}}
