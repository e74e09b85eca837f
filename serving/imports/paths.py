"""Paths into a record: ``buyer.name``, ``lines[0].sku``, ``lines[].price``, ``^.tid`` (of what is around it), ``.`` (itself)."""

import re
from typing import Any, NamedTuple

_STEP = re.compile(r"([^.\[\]]*)((?:\[\d{0,6}\])*)")
_INDEX = re.compile(r"\[(\d*)\]")
ALL = None
UP = "^."
NOTHING = (None, "")


class Scope(NamedTuple):
    """A record, what is around it, and what is known of its place: ``@line``, ``@index``, ``@partition``, ``@offset``."""

    record: Any
    around: "Scope | None" = None
    place: dict[str, Any] | None = None


class Path(NamedTuple):
    """A path, read. `steps`: names, indices, and ALL for every item of a list; `plain`: it is only a field's name."""

    text: str
    up: int
    flat: str
    steps: tuple[str | int | None, ...]
    plain: bool = False

    @property
    def many(self) -> bool:
        """Whether it leads to several values."""
        return ALL in self.steps

    def find(self, scope: Scope) -> Any:
        """The value that the path leads to, a list of them if it has ``[]``; None if there is none."""
        if self.plain and type(scope.record) is dict:
            return scope.record.get(self.flat)
        here: Scope | None = scope
        for _ in range(self.up):
            here = here.around if here is not None else None
        if here is None:
            return None
        if self.flat.startswith("@"):
            return _place(here, self.flat)
        if isinstance(here.record, dict) and self.flat in here.record:  # a table's column may have dots in its name
            return here.record[self.flat]
        found = [here.record]
        for step in self.steps:
            found = [value for node in found for value in _take(node, step)]
        if self.many:
            return found
        return found[0] if found else None


def parse_path(text: str) -> Path:
    """Read a path. Raises ValueError with the reason."""
    flat, up = text, 0
    while flat.startswith(UP):
        flat, up = flat[len(UP) :], up + 1
    if not flat:
        raise ValueError(f"the path {text!r} is empty")
    if flat == "." or flat.startswith("@"):
        return Path(text, up, flat, ())
    steps: list[str | int | None] = []
    for part in flat.split("."):
        match = _STEP.fullmatch(part)
        if match is None or not part:
            raise ValueError(f"the path {text!r} cannot be read: use name, name[0] and name[] with dots between them")
        if match[1]:
            steps.append(match[1])
        steps += [int(number) if number else ALL for number in _INDEX.findall(match[2])]
    return Path(text, up, flat, tuple(steps), plain=not up and steps == [flat])


def _place(scope: Scope, name: str) -> Any:
    here: Scope | None = scope
    while here is not None:
        if here.place is not None and name in here.place:
            return here.place[name]
        here = here.around
    return None


def _take(node: Any, step: str | int | None) -> list[Any]:
    if isinstance(step, str):
        return [node[step]] if isinstance(node, dict) and step in node else []
    if not isinstance(node, list):
        return []
    if step is ALL:
        return node
    return [node[step]] if step < len(node) else []
