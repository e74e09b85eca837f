"""Which names of fields are personal, as `privacy.yaml` says."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from rules.definitions.load import SHIPPED, InvalidRule

_NOT_LETTERS = re.compile(r"[\W\d_]+")
PARTS = ("traits", "properties", "identifiers", "parameters")


def letters_of(name: str) -> str:
    """A name as names are compared: ``$First_Name2`` -> ``firstname``."""
    return _NOT_LETTERS.sub("", name).lower()


@dataclass(frozen=True)
class Names:
    """Some names of fields.

    Attributes:
        exact: in letters only, see `letters_of`.
        begins: what others begin with.
    """

    exact: frozenset[str]
    begins: tuple[str, ...] = ()
    _known: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def __contains__(self, name: str) -> bool:
        known = self._known.get(name)
        if known is None:
            letters = letters_of(name)
            known = letters in self.exact or (bool(self.begins) and letters.startswith(self.begins))
            if len(self._known) < MAX_KNOWN:
                self._known[name] = known
        return known

    def __or__(self, other: "Names") -> "Names":
        return Names(self.exact | other.exact, tuple(dict.fromkeys(self.begins + other.begins)))


MAX_KNOWN = 10_000  # names come from outside


@dataclass(frozen=True)
class Privacy:
    """The names of personal fields: of traits, of properties, of properties that name a person, of parameters of addresses."""

    traits: Names
    properties: Names
    identifiers: Names
    parameters: Names


@lru_cache(maxsize=8)
def load_privacy(folder: Path = SHIPPED) -> Privacy:
    """Read privacy.yaml of a folder. Raises InvalidRule."""
    path = folder / "privacy.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidRule(f"{path} is missing.", "Restore it from the distribution.") from error
    except yaml.YAMLError as error:
        raise InvalidRule(f"{path.name} is not YAML: {str(error).replace(chr(10), ' ')}.") from error
    if not isinstance(document, dict) or set(document) != set(PARTS):
        raise InvalidRule(f"{path.name} must hold {', '.join(PARTS)}, and nothing else.", "See docs/privacy.md.")
    return Privacy(**{part: _names(part, document[part]) for part in PARTS})


def _names(part: str, listed: Any) -> Names:
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise InvalidRule(f"privacy.yaml, {part}: must be a list of names.", "See docs/privacy.md.")
    exact: list[str] = []
    begins: list[str] = []
    for name in listed:
        letters = letters_of(name)
        if not letters:
            raise InvalidRule(f"privacy.yaml, {part}: {name!r} has no letters.", "Names are compared by their letters.")
        (begins if name.endswith("*") else exact).append(letters)
    return Names(frozenset(exact), tuple(begins))
