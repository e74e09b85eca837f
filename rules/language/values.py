"""What rules compute with: amounts, dates, texts, comparisons. Pure.

Logic has two values: a comparison with nothing is false, arithmetic with nothing is nothing.
"""

import calendar as months
from datetime import date, tzinfo
from functools import lru_cache
from typing import Any

from cdp.clock import date_of, day_number
from cdp.money import MONEY
from cdp.values.times import read_birthday


def money(amount: int | None) -> float | int | None:
    """1/10,000 to units; whole amounts as integers."""
    if amount is None:
        return None
    return amount // MONEY if amount % MONEY == 0 else amount / MONEY


def mean(amount: int, count: int) -> float | int | None:
    """Amount for each of so many, in 1/10,000 to units and to the cent; nothing for none."""
    return money(round(amount / count / 100) * 100) if count else None


@lru_cache(maxsize=50_000)
def parse_date(value: Any, zone: tzinfo) -> date | None:
    """The day of a trait such as a birthday, as every way in reads it; None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        return read_birthday(value, zone=zone)
    except ValueError:
        return None


def anniversary(born: date, year: int) -> date:
    """The day of a year on which a date of birth is kept."""
    if (born.month, born.day) == (2, 29) and not months.isleap(year):
        return date(year, 2, 28)
    return date(year, born.month, born.day)


def next_anniversary(born: date, today: int) -> int:
    """Day number of the first anniversary after today."""
    current = date_of(today)
    day = anniversary(born, current.year)
    return day_number(day if day > current else anniversary(born, current.year + 1))


def concat(*parts: Any) -> str | None:
    """The parts as one text; nothing if one is nothing."""
    return None if any(part is None for part in parts) else "".join(str(part) for part in parts)


def coalesce(*parts: Any) -> Any:
    """The first that is something."""
    return next((part for part in parts if part is not None), None)


def compare(operator: str, left: Any, right: Any) -> bool:
    """A comparison; false if a side is nothing or the kinds do not compare."""
    if left is None or right is None:
        return False
    try:
        match operator:
            case "=":
                return bool(left == right)
            case "!=":
                return bool(left != right)
            case "<":
                return bool(left < right)
            case "<=":
                return bool(left <= right)
            case ">":
                return bool(left > right)
            case _:
                return bool(left >= right)
    except TypeError:
        return False


def calculate(operator: str, left: Any, right: Any) -> float | int | None:
    """Arithmetic; nothing if a side is not a number, by division by zero, or if the result is too large a number."""
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return None
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case _:
                return left / right if right else None
    except OverflowError:
        return None
