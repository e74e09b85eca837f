"""Profiles of older formats, as they are read today. What is read is written in today's format with the next change.

Up to format 4 a profile was one array, and a fragment another one inside of it, as bytes.
"""

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import xxhash

from cdp.ranges import Range, note_all
from profiles.components.activity.state import ACTIVITY, Activity
from profiles.components.attributes.state import ATTRIBUTES, Attribute, Attributes
from profiles.components.identifiers.state import IDENTIFIERS, Known
from profiles.components.metrics.state import METRICS, Metrics, Moment
from profiles.components.orders.state import ORDERS, Order, Orders
from profiles.components.tags.state import TAGS, Tag, Tags
from profiles.components.triggers.state import OCCASIONS, Occasions
from profiles.inbox import FINGERPRINT, INBOX, Inbox, keep
from profiles.slots import Slot
from profiles.state import Person, Slices
from profiles.transfer_log import Awaited, Gone, Rebuild, Remainder, TransferLog


class _Figures(msgspec.Struct, array_like=True):
    """What formats 3 and 4 begin with."""

    person: int
    as_of: int = 0
    first_seen: int = 0
    last_seen: int = 0
    events: int = 0
    identifiers: dict[str, int] = {}
    attributes: dict[str, Attribute] = {}
    days: dict[str, dict[int, int]] = {}
    moments: dict[str, Moment] = {}
    orders: dict[str, Order] = {}
    occasions: dict[str, int] = {}
    marks: dict[int, bytes] = {}
    tags: dict[str, Tag] = {}
    part: int = 0
    parts: dict[int, bytes] = {}


class _Format3(_Figures, array_like=True):
    """States of ranges were sent from fragment to fragment, and events waited for them."""

    gone: dict[int, tuple[int, int]] = {}
    awaiting: dict[int, list[int]] = {}
    received: dict[int, list[int]] = {}
    heard: dict[int, list[int]] = {}
    carved: dict[int, list[tuple[int, int, int, int, int]]] = {}
    carving: dict[int, list[int]] = {}
    pending: list[tuple[int, bytes]] = []
    offset: int = -1
    due: int = 0
    deleted: tuple[int, int] = (0, 0)
    sealed: dict[str, str] = {}
    silent: tuple[int, int, int] = (0, 0, 0)
    released: dict[int, list[int]] = {}


class _Remainder4(msgspec.Struct, array_like=True):
    occasions: dict[str, int] = {}
    sealed: dict[str, str] = {}
    fact_at: dict[int, int] = {}


class _Format4(_Figures, array_like=True):
    """Fragments were counted again from the facts; the profile was still one array."""

    offset: int = -1
    due: int = 0
    deleted: tuple[int, int] = (0, 0)
    sealed: dict[str, str] = {}
    silent: tuple[int, int, int] = (0, 0, 0)
    fact_at: dict[int, int] = {}
    gone: dict[int, Gone] = {}
    handed: dict[int, _Remainder4] = {}
    awaiting: dict[int, dict[int, Awaited]] = {}
    received: dict[int, list[int]] = {}
    brought: dict[int, list[int]] = {}
    pending: list[tuple[int, bytes]] = []
    ranges: dict[int, list[Range]] = {}
    family: dict[int, list[int]] = {}
    expected: dict[int, dict[int, Awaited]] = {}
    answered: dict[int, list[int]] = {}
    unanswered: dict[int, dict[int, tuple[int, int]]] = {}
    rebuild: dict[int, Rebuild] = {}


_Old = _Format3 | _Format4
_HEAD = struct.Struct(">QB")
_decode3 = msgspec.msgpack.Decoder(_Format3).decode
_decode4 = msgspec.msgpack.Decoder(_Format4).decode


def unpack_old_fragment(packed: bytes) -> tuple[Slices, int]:
    """A fragment as it was kept, and travelled, up to format 4, and its clock. Raises msgspec.DecodeError."""
    old = _decode_fragment(packed)
    return _slices(old), old.as_of


def _from_format4(body: bytes) -> Person:
    old = _decode4(body)
    person = _person(old)
    handed = {
        number: Remainder(
            _packed({OCCASIONS: Occasions(kept.occasions), IDENTIFIERS: Known(sealed=kept.sealed)}), kept.fact_at
        )
        for number, kept in old.handed.items()
    }  # fmt: skip
    log = TransferLog(
        old.gone, handed, old.awaiting, old.received, old.brought, old.pending, old.ranges, old.family, old.expected,
        old.answered, old.unanswered, old.rebuild,
    )  # fmt: skip
    person.set_log(log)
    return person


def _from_format3(body: bytes) -> Person:
    """Events waited for ranges then, sometimes for ever: what was awaited has no giver, and is counted again from the facts."""
    old = _decode3(body)
    person = _person(old)
    since = max(old.as_of, 1)  # 0 means that nothing is waited for, but somebody may wait whose first event is held back
    log = TransferLog(pending=old.pending, received=old.received)
    log.brought = {number: list(versions) for number, versions in old.received.items()}
    log.gone = {number: Gone(*gone) for number, gone in old.gone.items()}
    log.awaiting = {
        number: {version: Awaited(giver=0, since=since) for version in versions}
        for number, versions in old.awaiting.items()
        if versions
    }
    for number, known in old.carved.items():
        ranges = [(start, end, version, part, person) for version, start, end, part, person in known]
        log.ranges[number] = note_all([], ranges)
        log.family[number] = sorted({part for _, _, _, part, _ in ranges} - {number})
        log.rebuild[number] = Rebuild(since=since)
    person.set_log(log)
    return person


def _person(old: _Old) -> Person:
    person = Person(old.person)
    person.as_of, person.offset, person.due, person.fragment = old.as_of, old.offset, old.due, old.part
    person.whole = _slices(old, with_inbox=not old.parts)
    person.whole.put(TAGS, Tags(old.tags))
    person.fragments = {number: _slices(_decode_fragment(packed)) for number, packed in old.parts.items()}
    return person


def _decode_fragment(packed: bytes) -> _Old:
    if not packed:
        return _Format4(0)
    if len(packed) < _HEAD.size:
        raise msgspec.DecodeError("not a fragment: too short")
    _, format_ = _HEAD.unpack_from(packed)
    if format_ not in (3, 4):
        raise msgspec.DecodeError(f"a fragment of another format: {format_}")
    return (_decode3 if format_ == 3 else _decode4)(packed[_HEAD.size :])


def _slices(old: _Old, *, with_inbox: bool = True) -> Slices:
    slices = Slices()
    count, first, last = old.silent
    states: dict[Slot[Any], Any] = {
        ACTIVITY: Activity(old.events, old.first_seen, old.last_seen, count),
        IDENTIFIERS: Known(old.identifiers, old.sealed),
        ATTRIBUTES: Attributes(old.attributes, old.deleted),
        ORDERS: Orders(old.orders),
        METRICS: Metrics(
            {_metric(key): buckets for key, buckets in old.days.items()}, {_metric(key): one for key, one in old.moments.items()}
        ),
        OCCASIONS: Occasions(old.occasions),
    }
    for slot, state in states.items():
        slices.put(slot, state)
    if with_inbox:
        times = ([old.first_seen, old.last_seen] if old.events else []) + ([first, last] if count else [])
        fact_at = old.fact_at if isinstance(old, _Format4) else {}
        inbox = Inbox({}, old.events + count, min(times, default=0), max(times, default=0), fact_at)
        slices.put(INBOX, inbox)
        for day in sorted(old.marks):
            for at in range(0, len(old.marks[day]), FINGERPRINT):
                keep(slices, old.marks[day][at : at + FINGERPRINT], day)
    return slices


def _packed(states: dict[Slot[Any], Any]) -> dict[str, bytes]:
    packed = {slot.name: slot.encode(state) for slot, state in states.items()}
    return {slot.name: packed[slot.name] for slot in states if packed[slot.name] != slot.empty}


def _metric(key: str) -> int:
    """The id of a metric by its key: see `rules.language.syntax.Metric`."""
    return xxhash.xxh32_intdigest(key.encode())


UPGRADES: dict[int, Callable[[bytes], Person]] = {3: _from_format3, 4: _from_format4}
"""What reads the body of a profile of an older format, by that format."""
