"""The tracking plan: read it, compile it, check events against it. Pure.

``{"unplanned_events": "allow|warn|block", "events": {NAME: {"schema": JSON Schema of the properties, "on_violation":
"allow|warn|omit|block", "description": TEXT}}, "traits": {"schema": ..., "on_violation": ...}}``; everything may be left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import jsonschema_rs

from cdp.errors import CdpError
from cdp.events import NAMED_KINDS, UNNAMED_KINDS

Action = Literal["allow", "warn", "omit", "block"]
Unplanned = Literal["allow", "warn", "block"]

MAX_EVENTS = 5_000
MAX_NAME = 512
MAX_VIOLATIONS = 20
MAX_PATH, MAX_MESSAGE = 200, 300
UNREADABLE = "unreadable"
UNPLANNED = "unplanned"
TRAITS = "traits"

_PLAN_FIELDS = {"unplanned_events", "events", "traits"}
_EVENT_FIELDS = {"schema", "on_violation", "description"}
_PLAIN = re.compile(r"[^.\[\]\s\x00-\x1f]+")


class PlanError(CdpError):
    """A plan that makes no sense; `path` says where: ``events.Product Viewed.schema.properties.price.type``."""

    def __init__(self, path: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.path = path


class Violation(NamedTuple):
    """What is wrong: `path` such as ``properties.products[0].price``, `keyword` of JSON Schema, or ``unplanned``."""

    path: str
    message: str
    keyword: str


class Verdict(NamedTuple):
    """What becomes of an event.

    Attributes:
        action: ``allow``: nothing is wrong, or nobody minds; ``warn``: it goes on as it is; ``omit``: it goes on with
            `properties`, from which the offending ones are gone; ``block``: it becomes a dead letter.
        violations: empty if nothing is wrong; at most MAX_VIOLATIONS.
        properties: what to go on with if `action` is ``omit``; otherwise None: with the given ones.
    """

    action: Action
    violations: tuple[Violation, ...] = ()
    properties: dict[str, Any] | None = None


ALLOWED = Verdict("allow")


@dataclass(frozen=True)
class Planned:
    """How one event (or the traits) must look. `root` begins its paths."""

    validator: Any
    on_violation: Action
    root: str = "properties"

    def check(self, properties: Mapping[str, Any]) -> Verdict:
        """Compare properties with the schema."""
        try:
            if self.validator.is_valid(properties):
                return ALLOWED
            errors = [error for error, _ in zip(self.validator.iter_errors(properties), range(MAX_VIOLATIONS), strict=False)]
        except (ValueError, TypeError) as error:  # nested too deep, or not Unicode
            return self._verdict((Violation(self.root, _cut(str(error)), UNREADABLE),), set(), properties)
        found = tuple(
            Violation(path_text(self.root, error.instance_path), _cut(error.message), str(error.kind.name)) for error in errors
        )
        return self._verdict(found, {name for error in errors for name in _offending(error)}, properties)

    def _verdict(self, violations: tuple[Violation, ...], offending: set[Any], properties: Mapping[str, Any]) -> Verdict:
        if self.on_violation != "omit":
            return Verdict(self.on_violation, violations)
        if not offending:  # something is missing: nothing could be left out to mend it
            return Verdict("warn", violations)
        return Verdict("omit", violations, {name: value for name, value in properties.items() if name not in offending})


@dataclass(frozen=True)
class CompiledPlan:
    """A plan, ready to check events. `version` is 0 when there is none."""

    version: int = 0
    unplanned: Unplanned = "allow"
    events: Mapping[str, Planned] = field(default_factory=dict)
    traits: Planned | None = None

    def concerns(self, kind: str, event: str) -> bool:
        """Whether `check`, or `check_traits`, could have anything to say to such an event."""
        if kind == "identify":
            return self.traits is not None
        if kind in NAMED_KINDS:
            return self.unplanned != "allow" or event in self.events
        return UNNAMED_KINDS.get(kind) in self.events

    def check(self, kind: str, event: str, properties: Mapping[str, Any]) -> Verdict:
        """The verdict on an event's properties.

        Track and order events are known by their name, pages and screens as ``Page Viewed`` and ``Screen Viewed``; these two are
        never unplanned, and other kinds have no properties that could be planned.
        """
        planned = self.events.get(event if kind in NAMED_KINDS else UNNAMED_KINDS.get(kind, ""))
        if planned is not None:
            return planned.check(properties)
        if self.unplanned == "allow" or kind not in NAMED_KINDS:
            return ALLOWED
        return _NOT_ALLOWED[self.unplanned]

    def check_traits(self, traits: Mapping[str, Any]) -> Verdict:
        """The verdict on the traits of an identify message, in `properties` of the verdict."""
        return ALLOWED if self.traits is None else self.traits.check(traits)


_UNPLANNED = (Violation("event", "The tracking plan does not hold this event.", UNPLANNED),)
_NOT_ALLOWED = {"warn": Verdict("warn", _UNPLANNED), "block": Verdict("block", _UNPLANNED)}
NO_PLAN = CompiledPlan()


def compile_plan(body: Any, version: int = 0) -> CompiledPlan:
    """Compile a plan's JSON. Raises PlanError with the path of what is wrong."""
    plan = _object(body, "")
    _no_others(plan, _PLAN_FIELDS, "")
    events = _object(plan.get("events", {}), "events")
    if len(events) > MAX_EVENTS:
        raise PlanError("events", f"A plan holds at most {MAX_EVENTS:,} events.")
    return CompiledPlan(
        version=version,
        unplanned=_one_of(plan.get("unplanned_events", "allow"), get_args(Unplanned), "unplanned_events"),
        events={_name(name): _planned(entry, f"events.{name}", "properties") for name, entry in events.items()},
        traits=_planned(plan[TRAITS], TRAITS, TRAITS) if plan.get(TRAITS) is not None else None,
    )


def _planned(entry: Any, path: str, root: str) -> Planned:
    fields = _object(entry, path)
    _no_others(fields, _EVENT_FIELDS, path)
    if not isinstance(fields.get("description", ""), str):
        raise PlanError(f"{path}.description", "A description is a text.")
    action = _one_of(fields.get("on_violation", "warn"), get_args(Action), f"{path}.on_violation")
    return Planned(_validator(fields.get("schema", {}), f"{path}.schema"), action, root)


def _validator(schema: Any, path: str) -> Any:
    if not isinstance(schema, dict | bool):
        raise PlanError(path, "A schema is a JSON object.", "See json-schema.org.")
    try:
        return jsonschema_rs.validator_for(
            schema,
            validate_formats=True,
            offline=True,  # a plan must not make the collector fetch addresses or read files
            pattern_options=jsonschema_rs.RegexOptions(),  # linear time: no pattern can hold the collector up
        )
    except jsonschema_rs.ValidationError as error:
        raise PlanError(path_text(path, error.instance_path), _cut(f"{error.message}."), "See json-schema.org.") from error
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        raise PlanError(path, _cut(f"The schema cannot be used: {error}."), "See json-schema.org.") from error


def _offending(error: jsonschema_rs.ValidationError) -> list[Any]:
    """The names of the top-level properties that a violation is about; none if it is about what is not there."""
    if error.instance_path:
        return [error.instance_path[0]]
    return list(error.kind.as_dict().get("unexpected", ()))


def path_text(root: str, parts: Any) -> str:
    """A path for people: ``properties.products[0].price``; odd names are quoted."""
    text = root + "".join(_part(part) for part in parts)
    return text if len(text) <= MAX_PATH else text[: MAX_PATH - 3] + "..."


def _part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{part!r}]"


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PlanError(path, "A JSON object is expected here.")
    return value


def _no_others(given: dict[str, Any], known: set[str], path: str) -> None:
    for name in given:
        if name not in known:
            raise PlanError(f"{path}.{name}".lstrip("."), "There is no such field.", f"Use {', '.join(sorted(known))}.")


def _one_of(value: Any, allowed: tuple[str, ...], path: str) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise PlanError(path, f"{str(value)[:40]!r} is not possible here.", f"Use one of {', '.join(allowed)}.")
    return value


def _name(name: str) -> str:
    if not 0 < len(name) <= MAX_NAME:
        raise PlanError("events", f"An event's name has 1 to {MAX_NAME} characters.")
    return name


def _cut(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 3] + "..."
