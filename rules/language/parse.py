"""Text of the rule language to its tree. Precedence, loosest first: or, and, not, comparison, + -, * /, unary minus."""

import re
from collections.abc import Mapping
from typing import NoReturn, get_args

from cdp.errors import CdpError
from rules.language.functions import FUNCTIONS
from rules.language.functions import Function as ValueFunction
from rules.language.syntax import (
    COMPARISONS,
    Attribute,
    Binary,
    Call,
    Constant,
    Expression,
    Function,
    Member,
    Metric,
    Not,
    Scalar,
    TagReference,
)

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.\d+|\d+)|(?P<text>"[^"]*"|'[^']*')|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<symbol><=|>=|!=|[-+*/=<>(),.]))"""
)

_METRICS = get_args(Function)
_ORDER_FIELDS = {
    "count": ("",),
    "sum": ("amount", "quantity"),
    "avg": ("amount",),
    "min": ("amount",),
    "max": ("amount",),
    "first": ("time",),
    "last": ("time",),
    "top": ("category",),
    "distinct": ("category",),
}
_CONSTANTS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
MAX_WINDOW_DAYS = 730


class RuleSyntaxError(CdpError):
    """The text is not of the rule language; the message shows the place."""


def parse(text: str, functions: Mapping[str, ValueFunction] = FUNCTIONS) -> Expression:
    """The tree of an expression. Raises RuleSyntaxError with the position and what was expected."""
    return _Parser(text, functions).whole()


class _Parser:
    def __init__(self, text: str, functions: Mapping[str, ValueFunction]) -> None:
        self.text = text
        self.functions = functions
        self.tokens: list[tuple[str, str, int]] = []
        self.at = 0
        position = 0
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            if found is None:
                self._fail(position + len(text[position:]) - len(text[position:].lstrip()), "this character means nothing here")
            kind = str(found.lastgroup)
            self.tokens.append((kind, found.group(kind), found.start(kind)))
            position = found.end()
        self.tokens.append(("end", "", len(text)))

    def _fail(self, position: int, message: str) -> NoReturn:
        raise RuleSyntaxError(f"{message}: {self.text!r} at character {position + 1}.", "See docs/rules.md for the language.")

    def _expected(self, what: str) -> NoReturn:
        _, value, position = self.tokens[self.at]
        self._fail(position, f"expected {what}, found {value or 'the end'!r}")

    def _peek(self) -> str:
        kind, value, _ = self.tokens[self.at]
        return "" if kind == "text" else value

    def _take(self, *values: str) -> str | None:
        if self._peek() in values and self.tokens[self.at][0] != "end":
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def _need(self, value: str) -> None:
        if self._take(value) is None:
            self._expected(repr(value))

    def _next(self, kind: str, what: str) -> str:
        if self.tokens[self.at][0] != kind:
            self._expected(what)
        self.at += 1
        value = self.tokens[self.at - 1][1]
        return value[1:-1] if kind == "text" else value

    def whole(self) -> Expression:
        node = self._or()
        if self.tokens[self.at][0] != "end":
            self._expected("the end")
        return node

    def _or(self) -> Expression:
        node = self._and()
        while self._take("or"):
            node = Binary("or", node, self._and())
        return node

    def _and(self) -> Expression:
        node = self._not()
        while self._take("and"):
            node = Binary("and", node, self._not())
        return node

    def _not(self) -> Expression:
        return Not(self._not()) if self._take("not") else self._comparison()

    def _comparison(self) -> Expression:
        node = self._sum()
        if operator := self._take(*COMPARISONS):
            return Binary(operator, node, self._sum())
        if self._take("in"):
            return Member(node, self._values())
        return node

    def _values(self) -> tuple[Scalar, ...]:
        self._need("(")
        values = [self._scalar()]
        while self._take(","):
            values.append(self._scalar())
        self._need(")")
        return tuple(values)

    def _sum(self) -> Expression:
        node = self._product()
        while operator := self._take("+", "-"):
            node = Binary(operator, node, self._product())
        return node

    def _product(self) -> Expression:
        node = self._unary()
        while operator := self._take("*", "/"):
            node = Binary(operator, node, self._unary())
        return node

    def _unary(self) -> Expression:
        if self._take("-"):
            return Binary("-", Constant(0), self._unary())
        return self._atom()

    def _scalar(self) -> Scalar:
        kind, value, _ = self.tokens[self.at]
        if kind == "number":
            self.at += 1
            return float(value) if "." in value else int(value)
        if kind == "text":
            return self._next("text", "text")
        if value in _CONSTANTS:
            self.at += 1
            return _CONSTANTS[value]
        return self._expected("a value")

    def _atom(self) -> Expression:
        if self._take("("):
            node = self._or()
            self._need(")")
            return node
        kind, value, _ = self.tokens[self.at]
        if kind != "word" or value in _CONSTANTS:
            return Constant(self._scalar())
        self.at += 1
        if value in _METRICS:
            return self._metric(value)
        if value in self.functions:
            return self._call(value)
        if value in ("attribute", "tag"):
            self._need(".")
            name = self._next("word", f"the {value}'s name")
            return Attribute(name) if value == "attribute" else TagReference(name)
        self.at -= 1
        return self._expected("a function, attribute.NAME, tag.NAME or a value")

    def _call(self, name: str) -> Expression:
        function = self.functions[name]
        self._need("(")
        arguments = [] if function.arity == 0 else [self._or()]
        while arguments and self._take(","):
            arguments.append(self._or())
        self._need(")")
        if function.arity not in (None, len(arguments)):
            self._expected(f"{function.arity} argument for {name}")
        return Call(name, tuple(arguments), function)

    def _metric(self, function: str) -> Expression:
        self._need("(")
        source = self._source()
        field = self._next("word", "a field's name") if self._take(".") else ""
        where: list[tuple[str, Scalar]] = []
        if self._take("where"):
            where.append(self._condition())
            while self._take("and"):
                where.append(self._condition())
        days = self._window() if self._take(",") else None
        self._need(")")
        metric = Metric(function, source, field, tuple(where), days)  # type: ignore[arg-type]
        self._check(metric)
        return metric

    def _source(self) -> str:
        if self.tokens[self.at][0] == "text":
            return self._next("text", "an event")
        if self._peek() not in ("orders", "any"):
            self._expected('orders, any or an event\'s name in quotes, such as "Product Viewed"')
        return self._next("word", "orders or any")

    def _condition(self) -> tuple[str, Scalar]:
        name = self._next("word", "a property's name")
        self._need("=")
        return name, self._scalar()

    def _window(self) -> int:
        self._need("last")
        days = int(self._next("number", "a number of days").split(".")[0])
        if self._take("days", "day") is None:
            self._expected("days")
        if not 1 <= days <= MAX_WINDOW_DAYS:
            self._fail(self.tokens[self.at - 2][2], f"a window has 1 to {MAX_WINDOW_DAYS} days")
        return days

    def _check(self, metric: Metric) -> None:
        position = self.tokens[self.at - 1][2]
        if metric.source == "orders":
            fields = _ORDER_FIELDS.get(metric.function, ())
            if metric.field not in fields:
                known = " or ".join(f"{metric.function}(orders{'.' if field else ''}{field})" for field in fields)
                self._fail(position, f"of orders there is {known}" if known else f"{metric.function} is there for events only")
            if metric.where:
                self._fail(position, "orders take no where")
        elif metric.function in ("avg", "min", "max", "top", "distinct"):
            self._fail(position, f"{metric.function} is there for orders only")
        if metric.function in ("first", "last") and metric.days is not None:
            self._fail(position, f"{metric.function} looks at all time and takes no window")
        if metric.function == "days" and metric.days is None:
            self._fail(position, "days needs a window, such as last 30 days")
        if metric.field and metric.function in ("count", "days"):
            self._fail(position, f"{metric.function} takes no field")
        if not metric.field and metric.function not in ("count", "days"):
            self._fail(position, f"{metric.function} needs a field, such as orders.amount")
