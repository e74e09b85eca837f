"""What looks wrong in a column, before anything is sent: its first thousand values, held against what the mapping makes of them.

Pure. A suspicion refuses nothing: what cannot be read is refused line by line, with its own reason. It says for the whole column
what a mapping would have to say.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from cdp.values.amounts import read_amount
from cdp.values.identifiers import EXACT, SCIENTIFIC, read_identifier
from cdp.values.texts import MARKS, is_error, open_formula, read_text, shown, trim
from cdp.values.times import BIRTHDAY, EARLIEST, LATEST, read_birthday
from serving.imports.apply import kind_of
from serving.imports.convert import says_nothing
from serving.imports.mapping import ROWS, EventRule, Field, Mapping, Value
from serving.imports.paths import Path, Scope, parse_path

LOOKED_AT = 1_000
_OF_ROWS = f"{ROWS}[]."
MONEY = frozenset({"total", "revenue", "value", "price", "quantity", "discount", "shipping", "tax"})
NUMBERS, TIMES, IDS = (
    frozenset({"number", "integer", "cents"}),
    frozenset({"date", "time", "epoch"}),
    frozenset({"id", "contact"}),
)

_BRACES = re.compile(r"\{([^{}]+)\}")
_SERIAL = re.compile(r"[2-6][0-9]{4}(?:[.][0-9]+)?")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}(?:[.]0+)?")
_DAY_FIRST = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2[0-9]{4}(?:\s.*)?")
_HOUR = re.compile(r"(?:19|20)[0-9]{8}(?:[0-9]{2})?")
_ONE_COMMA = re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}")
_ROUNDED = re.compile(r"[1-9][0-9]{14}0+")


@dataclass(frozen=True)
class Use:
    """What a mapping makes of a column.

    Attributes:
        kind: ``number``, ``time``, ``id``, ``birthday`` or ``text``.
        sign: the decimal sign of numbers.
        said: whether the mapping says what its times are, by a format or a unit.
    """

    kind: str
    sign: str = "point"
    said: bool = False


@dataclass(frozen=True)
class Suspicion:
    """What looks wrong in a column, in how many of its values, with one of them, and what to do."""

    column: str
    problem: str
    found: int
    of: int
    example: str
    fix: str

    def __str__(self) -> str:
        return f"{self.column}: {self.found:,} of {self.of:,} values {self.problem}, such as {self.example}. {self.fix}"


class Columns:
    """The first values of the columns that a mapping reads."""

    def __init__(self, mapping: Mapping) -> None:
        self._uses = uses_of(mapping)
        self._paths: dict[str, Path] = {}
        self._values: dict[str, list[Any]] = {}
        self._records = 0
        for text in self._uses:
            self._paths[text], self._values[text] = parse_path(text), []

    def add(self, record: Any) -> None:
        """Take a record in. After the first thousand it does nothing."""
        if self._records >= LOOKED_AT or not isinstance(record, dict):
            return
        self._records += 1
        for text, path in self._paths.items():
            found = path.find(Scope(record))
            for one in found if path.many else [found]:
                if not says_nothing(one) and not isinstance(one, list | dict) and len(self._values[text]) < LOOKED_AT:
                    self._values[text].append(one)

    def suspicions(self) -> list[Suspicion]:
        """What looks wrong, column by column."""
        return [
            one for text, values in self._values.items() for one in look(text.removeprefix(_OF_ROWS), values, self._uses[text])
        ]


def look(column: str, values: Sequence[Any], uses: Sequence[Use]) -> list[Suspicion]:
    """What looks wrong in a column's values for what is made of them, each problem once."""
    found: dict[str, Suspicion] = {}
    for use in uses:
        checks = _CHECKS.get(use.kind, ())
        for problem, fix, holds in (*checks, *_OF_ALL):
            hits = [value for value in values if holds(value, use)]
            if hits and problem not in found:
                said = fix(hits) if callable(fix) else fix
                found[problem] = Suspicion(column, problem, len(hits), len(values), shown(hits[0]), said)
        if use.kind == "number" and use.sign == "point" and len(values) > 2 and all(map(_is_one_comma, values)):
            problem = "have one comma before three digits, and are read as thousands"
            fix = "If it is the decimal sign, write `decimal: comma` in the mapping."
            found[problem] = Suspicion(column, problem, len(values), len(values), shown(values[0]), fix)
        if use.kind == "id" and (rounded := _rounded(values)):
            problem = "have more than 15 digits, and all of those are 0 from the 16th on"
            fix = "A spreadsheet keeps 15 digits: the others are lost. Export the column as text."
            found[problem] = Suspicion(column, problem, len(rounded), len(values), shown(rounded[0]), fix)
    return list(found.values())


def uses_of(mapping: Mapping) -> dict[str, list[Use]]:
    """What a mapping makes of each path that begins in the record itself, also through its lists."""
    uses: dict[str, list[Use]] = {}
    for rule in [] if mapping.each else mapping.events:
        for name, field, kind in [] if rule.each else _fields(rule):
            value = Value(path=field) if isinstance(field, str) else field
            _note(uses, _paths(value), _use(value, kind, name, mapping.decimal))
            if "[]" in value.sum and not value.sum.startswith("^"):
                _note(uses, [value.sum], Use("number", value.decimal or mapping.decimal))
        items = None if rule.each else rule.products
        for name, field in items.fields.items() if items and not items.each.startswith(("^", ".")) else ():
            value = Value(path=field) if isinstance(field, str) else field
            paths = [f"{items.each}[].{path}" for path in _paths(value)] if items else []
            _note(uses, paths, _use(value, "", name, mapping.decimal))
    return uses


def _note(uses: dict[str, list[Use]], paths: list[str], use: Use) -> None:
    for path in paths:
        known = uses.setdefault(path, [])
        if use not in known:
            known.append(use)


def _fields(rule: EventRule) -> Iterator[tuple[str, Field, str]]:
    """The fields of an event rule that look into the record: name, field, and the kind that it has by its place."""
    yield "", Value(template=rule.message_id), "id"
    if rule.time is not None:
        yield "", rule.time, "time"
    for one in rule.ids:
        yield "", one, "text"
    for name, field in (*rule.properties.items(), *rule.traits.items()):
        yield name, field, ""


def _paths(value: Value) -> list[str]:
    if value.template:
        return _BRACES.findall(value.template)
    paths = [value.path] if isinstance(value.path, str) else value.path
    return [path for path in paths if path and path != "." and "[]" not in path and not path.startswith(("@", "^"))]


def _use(value: Value, kind: str, name: str, sign: str) -> Use:
    made = kind_of(value, kind, name)
    if made in NUMBERS or (not made and name in MONEY):
        return Use("number", (value.decimal or sign) if made else "point")
    if made in TIMES:
        return Use("time", said=bool(value.unit or value.format))
    if made in IDS or made == "plain id":
        return Use("id")
    return Use(BIRTHDAY if not made and name == BIRTHDAY else "text")


# -- what may be wrong with a value: whether it holds for a value ---------------------------------------------------------


def _reads(read: Callable[[Any], Any], value: Any) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def _is_of_sign(value: Any, use: Use, sign: Any, other: Any) -> bool:
    """Whether a text is a number with the other decimal sign only."""
    return (
        use.sign == sign
        and isinstance(value, str)
        and not _reads(partial(read_amount, decimal=sign), value)
        and _reads(partial(read_amount, decimal=other), value)
    )


def _is_one_comma(value: Any) -> bool:
    return isinstance(value, str) and _ONE_COMMA.fullmatch(trim(value)) is not None


def _is_number_like(pattern: re.Pattern[str]) -> Callable[[Any, Use], bool]:
    def holds(value: Any, use: Use) -> bool:
        if use.said or isinstance(value, bool | date):
            return False
        return pattern.fullmatch(trim(str(value))) is not None

    return holds


def _is_day_first(value: Any, use: Use) -> bool:
    return not use.said and isinstance(value, str) and _DAY_FIRST.fullmatch(trim(value)) is not None


def _day_first(values: Sequence[str]) -> str:
    """The format to write, as far as the values tell which number is the month."""
    parts = [found for value in values if (found := _DAY_FIRST.fullmatch(trim(value)))]
    days, months = any(int(found[1]) > 12 for found in parts), any(int(found[3]) > 12 for found in parts)
    sign = parts[0][2]
    if days == months:
        return f'Write `format: "%d{sign}%m{sign}%Y"`, or `"%m{sign}%d{sign}%Y"` if the month is first; a list of both guesses.'
    return f'Write `format: "%d{sign}%m{sign}%Y"`.' if days else f'Write `format: "%m{sign}%d{sign}%Y"`.'


def _is_scientific(value: Any, _: Use) -> bool:
    if isinstance(value, float):
        return abs(value) >= EXACT
    return isinstance(value, str) and SCIENTIFIC.fullmatch(open_formula(value)) is not None


def _is_zero(value: Any, _: Use) -> bool:
    return not isinstance(value, bool | date) and trim(str(value)) in ("0", "0.0")


def _is_guarded(value: Any, _: Use) -> bool:
    if not isinstance(value, str) or not _reads(read_identifier, value):
        return False
    text = trim(value)
    return text != read_identifier(value) and text[0] in MARKS + '="'


def _is_float(value: Any, _: Use) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?[0-9]+[.]0+", trim(value)) is not None


def _is_date(value: Any, _: Use) -> bool:
    return isinstance(value, date)


def _is_no_birthday(value: Any, _: Use) -> bool:
    return not _reads(read_birthday, value)


def _is_error(value: Any, _: Use) -> bool:
    return is_error(value)


def _rounded(values: Sequence[Any]) -> list[Any]:
    """Long numbers, if there are several and all of them end as a spreadsheet ends what it cannot hold."""
    long = [value for value in values if re.fullmatch(r"[0-9]{16,}", read_text(value) if isinstance(value, str | int) else "")]
    return long if len(long) > 1 and all(_ROUNDED.fullmatch(read_text(value)) for value in long) else []


_Check = tuple[str, Any, Callable[[Any, Use], bool]]
_LOST = "The digits are lost: format the column as text before the spreadsheet opens it, and export it again."
_CHECKS: dict[str, tuple[_Check, ...]] = {
    "number": (
        ("have a decimal comma", "Write `decimal: comma` in the mapping (with `as: number`).",
         lambda value, use: _is_of_sign(value, use, "point", "comma")),
        ("have a decimal point", "Write `as: number` with `decimal: point` for this field.",
         lambda value, use: _is_of_sign(value, use, "comma", "point")),
        ("are in scientific notation", _LOST, _is_scientific),
    ),
    "time": (
        ("look like a spreadsheet's serials", "Write `unit: serial` for this field.", _is_number_like(_SERIAL)),
        (f"look like years ({EARLIEST} to {LATEST})", "A year is no day: take it with `as: integer`.", _is_number_like(_YEAR)),
        ("do not begin with the year", _day_first, _is_day_first),
        ("may be a day with its hour, or an epoch", 'Write `format: "%Y%m%d%H"` or `unit: s`.', _is_number_like(_HOUR)),
        ("are 0, which is no time", "Those lines are refused: leave the cell empty where there is none.", _is_zero),
        ("are in scientific notation", _LOST, _is_scientific),
    ),
    "id": (
        ("are numbers that a spreadsheet has ruined", _LOST, _is_scientific),
        ("have a guard against spreadsheets around them", "They are read without it.", _is_guarded),
        ("end in .0", "They are read without it: a table made numbers of them.", _is_float),
        ("are dates", "A spreadsheet makes dates of ids such as 3-4: format the column as text, and export it again.", _is_date),
    ),
    BIRTHDAY: (
        ("are no birthdays", "Write `{path: ..., as: date}`, with `format` or `unit: serial` if it needs one.", _is_no_birthday),
    ),
}  # fmt: skip
_OF_ALL: tuple[_Check, ...] = (("are a spreadsheet's errors", "Mend the formula, or empty those cells.", _is_error),)
