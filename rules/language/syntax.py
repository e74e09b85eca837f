"""The rule language's tree: what a tag's value or a trigger's condition is made of."""

from dataclasses import dataclass, field
from typing import Literal

import xxhash

from rules.language.functions import Function as ValueFunction

Scalar = str | int | float | bool | None

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")

Function = Literal["count", "sum", "avg", "min", "max", "first", "last", "top", "distinct", "days"]


@dataclass(frozen=True)
class Constant:
    """A literal: text, number, true, false or null."""

    value: Scalar


@dataclass(frozen=True)
class Metric:
    """A function over events or orders, e.g. ``sum(orders.amount, last 30 days)``.

    Attributes:
        function: what is computed.
        source: ``orders``, ``any``, or an event's name.
        field: what of it (``amount``, ``time``, a property); empty for count and days.
        where: property equals value, all of them.
        days: window of calendar days, today included; None: all time.
    """

    function: Function
    source: str
    field: str = ""
    where: tuple[tuple[str, Scalar], ...] = ()
    days: int | None = None

    @property
    def key(self) -> str:
        """Says what the metric keeps of events: all windows of one metric share its state."""
        conditions = "".join(f"|{name}={value!r}" for name, value in self.where)
        family = {"days": "count", "first": "moment", "last": "moment"}.get(self.function, self.function)
        return f"{family}|{self.source}|{self.field}{conditions}"

    @property
    def id(self) -> int:
        """A short name of `key`, of 32 bits, as profiles keep it. `rules.definitions.book` sees to collisions."""
        return xxhash.xxh32_intdigest(self.key.encode())


@dataclass(frozen=True)
class Attribute:
    """A trait of the person, e.g. ``attribute.birthday``."""

    name: str


@dataclass(frozen=True)
class TagReference:
    """Another tag of the person, e.g. ``tag.member_level``."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function of values, e.g. ``minutes_since(...)``."""

    name: str
    arguments: tuple["Expression", ...]
    function: ValueFunction = field(repr=False, compare=False)


@dataclass(frozen=True)
class Binary:
    """Two sides and an operator: arithmetic, comparison, ``and``, ``or``."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True)
class Not:
    """The opposite."""

    operand: "Expression"


@dataclass(frozen=True)
class Member:
    """``value in (a, b, c)``."""

    operand: "Expression"
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Case:
    """The first branch whose condition holds gives the value."""

    branches: tuple[tuple["Expression", "Expression"], ...]
    otherwise: "Expression"


Expression = Constant | Metric | Attribute | TagReference | Call | Binary | Not | Member | Case


def children(node: Expression) -> tuple[Expression, ...]:
    """What a node is made of."""
    match node:
        case Call():
            return node.arguments
        case Binary():
            return (node.left, node.right)
        case Not() | Member():
            return (node.operand,)
        case Case():
            return (*(side for branch in node.branches for side in branch), node.otherwise)
        case _:
            return ()


def walk(node: Expression) -> list[Expression]:
    """The node and everything below it, parents first."""
    return [node] + [below for child in children(node) for below in walk(child)]


def depth(node: Expression) -> int:
    """How many nodes the longest way down has."""
    return 1 + max((depth(child) for child in children(node)), default=0)
