"""The section `matching` of identity.yaml: fields that are compared, and keys that find what to compare."""

from itertools import pairwise
from typing import Any, get_args

from rules.definitions.entries import Entry
from rules.identity.canonical import canonical
from rules.identity.model import Comparator, Evidence, Field, KeyPart, Level, Matching

_CUTS = "FIELD, FIELD(sound), FIELD(year), FIELD(month_day) or FIELD(3) for its first three signs"


def load_matching(entry: Entry) -> Matching:
    """Raises InvalidRule."""
    fields: dict[str, Field] = {}
    for below in entry.entries("fields", "field"):
        found = _field(below)
        if found.name in fields:
            raise entry.fail("fields", f"holds {found.name!r} twice")
        fields[found.name] = found
    _check_swaps(entry, fields)
    matching = Matching(
        fields=fields,
        keys=_keys(entry, fields),
        merge_from=entry.number("merge_from", 0.5, 0.999999, 0.99),
        review_from=entry.number("review_from", 0.01, 0.999999, 0.5),
        population=entry.take("population", (int, type(None)), None),
        crowd=entry.whole("crowd", 2, 10_000, 50),
        address_ceiling=entry.number("address_ceiling", 0, 1000, 18.0),
        address_floor=entry.number("address_floor", -1000, 0, -6.0),
        personal_floor=entry.number("personal_floor", 0, 1000, 7.0),
    )
    entry.done()
    if matching.review_from >= matching.merge_from:
        raise entry.fail("review_from", "must be below merge_from")
    if matching.population is not None and matching.population < 2:
        raise entry.fail("population", "must be at least 2, or left out")
    return matching


def _field(entry: Entry) -> Field:
    name = entry.take("name", str)
    close, similar = entry.below_or_none("close"), entry.below_or_none("similar")
    compare = entry.choose("compare", get_args(Comparator))
    field = Field(
        name=name,
        traits=entry.texts("traits", (name,)),
        compare=compare,
        evidence=entry.choose("evidence", get_args(Evidence)),
        agree=_level(entry.below("agree")),
        close=_level(close) if close else None,
        similar=_level(similar) if similar else None,
        swap=entry.take("swap", str, ""),
        ignore=frozenset(canonical(value, compare) for value in entry.texts("ignore", ())),
    )
    entry.done()
    if field.compare == "exact" and (field.close or field.similar):
        raise entry.fail("compare", "'exact' never finds values close or similar: leave these levels out")
    if field.similar and not field.close:
        raise entry.fail("similar", "needs close as well")
    if min(field.differ.m, field.differ.u, field.differ.home or 0.0) <= 0:
        raise entry.fail(
            "agree", "and the levels below it must leave something of m, u and home, each below 1, for values that differ"
        )
    bits = [level.bits for level in (field.agree, field.close, field.similar, field.differ) if level]
    if any(above <= below for above, below in pairwise(bits)):
        raise entry.fail(
            "agree", "must be better evidence, m / u, than close, close than similar, and similar than values that differ"
        )
    return field


def _level(entry: Entry) -> Level:
    level = Level(
        m=entry.number("m", 1e-9, 1.0),
        u=entry.number("u", 1e-12, 1.0),
        home=entry.number("home", 1e-12, 1.0) if "home" in entry.values else None,
    )
    entry.done()
    return level


def _check_swaps(entry: Entry, fields: dict[str, Field]) -> None:
    for field in fields.values():
        if not field.swap:
            continue
        other = fields.get(field.swap, field)
        if other is field or other.swap != field.name or other.compare != field.compare:
            problem = "which must be another field, compared alike, that names it in turn"
            raise entry.fail("fields", f"{field.name!r} has swap {field.swap!r}, {problem}")


def _keys(entry: Entry, fields: dict[str, Field]) -> tuple[tuple[KeyPart, ...], ...]:
    listed = entry.take("keys", list)
    if not listed:
        raise entry.fail("keys", "is empty: nothing would be found")
    keys = tuple(_key(entry, fields, parts) for parts in listed)
    if len(set(keys)) < len(keys):
        raise entry.fail("keys", "holds one key twice")
    return keys


def _key(entry: Entry, fields: dict[str, Field], parts: Any) -> tuple[KeyPart, ...]:
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) for part in parts):
        raise entry.fail("keys", f"each is a list of {_CUTS}, not {parts!r}")
    return tuple(_part(entry, fields, part) for part in parts)


def _part(entry: Entry, fields: dict[str, Field], text: str) -> KeyPart:
    name, _, cut = text.removesuffix(")").partition("(")
    if name not in fields:
        raise entry.fail("keys", f"uses {name!r}, which is not among the fields")
    is_date = fields[name].compare == "date"
    if text == name:
        return KeyPart(name)
    if text.endswith(")") and cut.isascii() and cut.isdigit() and int(cut) > 0:
        return KeyPart(name, "start", int(cut))
    if text.endswith(")") and cut == "sound" and not is_date:
        return KeyPart(name, "sound")
    if text.endswith(")") and cut == "year" and is_date:
        return KeyPart(name, "year")
    if text.endswith(")") and cut == "month_day" and is_date:
        return KeyPart(name, "month_day")
    raise entry.fail("keys", f"knows {_CUTS}, not {text!r}; sound is for words, year and month_day are for dates")
