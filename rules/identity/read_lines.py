"""Lines of JSON to events for a simulation; what is wrong with a line is said with its number, field and remedy. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

import msgspec

from cdp.clock import from_datetime
from cdp.events import Kind
from rules.identity.simulate import Event

KINDS = frozenset(get_args(Kind))
EARLIEST = 0
LATEST = 4_102_444_800_000_000  # the year 2100

_OBJECT = "Write a JSON object, or leave it out."
_TIME = 'Write microseconds since 1970 as a whole number, or ISO 8601, e.g. "2026-01-31T08:00:00Z"; from 1970 to 2100.'
_KIND = f"Write one of {', '.join(sorted(KINDS))}."
_IDS = 'Write a list of {"type": "phone", "value": "+8613800000001"}; both are texts.'


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no event: its number from 1 on, the field, what is wrong with it, and what to do."""

    line: int
    field: str
    problem: str
    remedy: str


@dataclass(slots=True)
class Lines:
    """What stands in a file.

    Attributes:
        events: of the good lines, in their order, repeated ones too.
        truths: message id to the true person, where a line says so. Kept apart: no rule reads it.
        bad: the other lines.
    """

    events: list[Event] = field(default_factory=list)
    truths: dict[str, str] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)


class _Bad(Exception):
    """(field, problem, remedy)."""


_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def read_lines(lines: Iterable[bytes]) -> Lines:
    """Read events of the contract, one JSON object a line; empty lines are passed over."""
    found = Lines()
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not text:
            continue
        try:
            values = _object(text)
            event = read_event(values)
        except _Bad as bad:
            found.bad.append(BadLine(number, *bad.args))
            continue
        found.events.append(event)
        if (truth := values.get("truth")) is not None:
            _note_truth(found.truths, event.message_id, truth)
    return found


def _note_truth(truths: dict[str, str], message_id: str, truth: Any) -> None:
    """A message that is repeated with another truth has the first by name: whatever the order of the lines."""
    name = truth if isinstance(truth, str) else _encode(truth).decode()
    truths[message_id] = min(name, truths.get(message_id, name))


def _object(text: bytes) -> dict[str, Any]:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Bad("", f"is not a JSON object: {error}", "Write one JSON object a line, in UTF-8.") from None


def read_event(values: dict[str, Any]) -> Event:
    """An event out of its fields; fields that are not known are passed over."""
    message_id = values.get("message_id")
    if not isinstance(message_id, str) or not message_id:
        raise _Bad("message_id", _problem(values, "message_id"), "Write a text that is the message's own.")
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _Bad("kind", _problem(values, "kind"), _KIND)
    event = values.get("event") or ""
    if not isinstance(event, str):
        raise _Bad("event", _problem(values, "event"), 'Write the event\'s name, e.g. "Order Completed", or leave it out.')
    properties, traits = (_part(values, name) for name in ("properties", "traits"))
    return Event(
        message_id, _time(values), kind, event, _ids(values), traits,
        _encode(properties) if kind == "decision" else b"", _source(values),
    )  # fmt: skip


def _problem(values: dict[str, Any], name: str) -> str:
    return f"cannot be {_short(values[name])}" if name in values else "is missing"


def _short(value: Any) -> str:
    text = _encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


def _time(values: dict[str, Any]) -> int:
    time = values.get("time")
    if isinstance(time, str):
        try:
            time = from_datetime(datetime.fromisoformat(time.strip()))
        except (ValueError, OverflowError):
            time = None
    if not isinstance(time, int) or isinstance(time, bool) or not EARLIEST <= time <= LATEST:
        raise _Bad("time", _problem(values, "time"), _TIME)
    return time


def _ids(values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    listed = values.get("ids")
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise _Bad("ids", _problem(values, "ids"), _IDS)
    found = []
    for place, identifier in enumerate(listed):
        type_, value = (identifier.get("type"), identifier.get("value")) if isinstance(identifier, dict) else (None, None)
        if not isinstance(type_, str) or not isinstance(value, str):
            raise _Bad(f"ids[{place}]", f"cannot be {_short(identifier)}", _IDS)
        found.append((type_, value))
    return tuple(found)


def _part(values: dict[str, Any], name: str) -> dict[str, Any]:
    part = values.get(name)
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise _Bad(name, _problem(values, name), _OBJECT)
    return part


def _source(values: dict[str, Any]) -> str:
    source = values.get("source")
    name = source.get("name") if isinstance(source, dict) else None
    return name if isinstance(name, str) else ""
