"""Profiles of older formats, as they are read today. What is read is written in today's format with the next change."""

from collections.abc import Callable

import msgspec

from cdp.profile import Attribute, Awaited, Gone, Moment, Order, Profile, Rebuild, Tag, new_profile
from cdp.ranges import note_all


class _Format3(msgspec.Struct, array_like=True):
    """States of ranges were sent from part to part, and events waited for them."""

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


_SAME = (
    "as_of", "first_seen", "last_seen", "events", "identifiers", "attributes", "days", "moments", "orders", "occasions", "marks",
    "tags", "part", "parts", "received", "pending", "offset", "due", "deleted", "sealed", "silent",
)  # fmt: skip
_decode3 = msgspec.msgpack.Decoder(_Format3).decode


def _from_format3(body: memoryview) -> Profile:
    """Events waited for ranges then, sometimes for ever: what was awaited has no giver, and is counted again from the facts."""
    old = _decode3(body)
    profile = new_profile(old.person)
    for name in _SAME:
        setattr(profile, name, getattr(old, name))
    since = max(old.as_of, 1)  # 0 means that nothing is waited for, but somebody may wait whose first event is held back
    profile.brought = {number: list(versions) for number, versions in old.received.items()}
    profile.gone = {number: Gone(*gone) for number, gone in old.gone.items()}
    profile.awaiting = {
        number: {version: Awaited(giver=0, since=since) for version in versions}
        for number, versions in old.awaiting.items()
        if versions
    }
    for number, known in old.carved.items():
        ranges = [(start, end, version, part, person) for version, start, end, part, person in known]
        profile.ranges[number] = note_all([], ranges)
        profile.family[number] = sorted({part for _, _, _, part, _ in ranges} - {number})
        profile.rebuild[number] = Rebuild(since=since)
    return profile


UPGRADES: dict[int, Callable[[memoryview], Profile]] = {3: _from_format3}
"""What reads the body of a profile of an older format, by that format."""
