"""From a record's traits to what is compared, and to the keys by which records that may be one person's find each other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jellyfish

from rules.identity.canonical import canonical
from rules.identity.model import KeyPart, Matching


@dataclass(frozen=True, slots=True)
class Record:
    """What one source said of one person at one time.

    Attributes:
        id: its name, such as the message's id: unique, and the same in every run.
        values: field to canonical value; what is missing is not there.
    """

    id: str
    values: Mapping[str, str]


def derive_values(traits: Mapping[str, Any], matching: Matching) -> dict[str, str]:
    """The canonical values of a traits object by field, in the order of the fields; {} if it holds nothing to compare."""
    values: dict[str, str] = {}
    for field in matching.fields.values():
        for trait in field.traits:
            value = canonical(_at(traits, trait), field.compare)
            if value and value not in field.ignore:
                values[field.name] = value
                break
    return values


def _at(traits: Mapping[str, Any], path: str) -> Any:
    if path in traits:
        return traits[path]
    value: Any = traits
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def derive_keys(values: Mapping[str, str], matching: Matching) -> list[str]:
    """The keys under which a record is filed: at most one of each declared combination, none of which a part is missing.

    A key finds candidates and never merges anybody: many people may share one. Fields that get mixed up with each other
    (`swap`) give the same key both ways round, if a combination has both.
    """
    keys = []
    for number, parts in enumerate(matching.keys):
        cuts = [(_slot(part, parts, matching), _cut(values.get(part.field, ""), part)) for part in parts]
        if all(cut for _, cut in cuts):
            keys.append(f"{number}|{'|'.join(cut for _, cut in sorted(cuts))}")
    return keys


def _slot(part: KeyPart, parts: tuple[KeyPart, ...], matching: Matching) -> str:
    """The place of a part in its key: two that swap share one, so that their values are sorted."""
    other = matching.fields[part.field].swap
    mixed = other and replace(part, field=other) in parts
    return min(part.field, other) if mixed else part.field


def _cut(value: str, part: KeyPart) -> str:
    match part.cut:
        case "start":
            return value[: part.length]
        case "year":
            return value[:4]
        case "month_day":
            return value[4:]
        case "sound":  # Metaphone is for the Latin alphabet; other scripts are taken as they are written
            return (jellyfish.metaphone(value) or value) if value.isascii() else value
        case _:
            return value
