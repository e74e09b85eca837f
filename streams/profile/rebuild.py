"""Count a fragment again from its facts. Pure: what comes out depends on the set of facts and on the ranges alone."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from cdp.clock import DAY
from cdp.errors import InvalidEvent
from cdp.ranges import Range, find
from profiles.inbox import ID_DIGEST, KEPT_DAYS, fingerprint_of
from profiles.kernel import Kernel, Reading
from profiles.state import Slices
from profiles.transfer_log import Position
from streams.profile.refetch import Fact
from streams.records import ResolvedEvent, decode_resolved


@dataclass(frozen=True)
class Repeated:
    """A message that was counted twice, in two fragments that are one now: of this fact it is known to be a repetition.

    `conflict`: it says something else than the message that counts.
    """

    position: Position
    record: ResolvedEvent
    conflict: bool


@dataclass(frozen=True)
class Rebuilt:
    """A fragment as its facts say.

    Attributes:
        slices: its states; what does not follow from facts is left out.
        assigned: version to the facts that count in this fragment, and are written down in another, or under an older version.
        repeated: facts that are none.
    """

    slices: Slices
    assigned: dict[int, list[Position]]
    repeated: list[Repeated]


def rebuild_fragment(
    number: int,
    ranges: list[Range],
    facts: Iterable[Fact],
    recent: Iterable[tuple[int, int, bytes]],
    kernel: Kernel,
    today: int,
) -> Rebuilt:
    """Count the facts of a fragment.

    Args:
        facts: of all fragments of the identifier in which something of this one may be written down.
        recent: (partition, offset, record) of events of this fragment whose facts may be missing among them.
        today: as for `Kernel.count`.
    """
    assigned: dict[int, list[Position]] = defaultdict(list)
    events: dict[Position, ResolvedEvent] = {}
    for fact in facts:
        version = _version(number, ranges, fact.label, fact.record.time)
        if version is None:
            continue
        events[fact.position] = fact.record
        if version and (fact.label != number or fact.assigned < version):
            assigned[version].append(fact.position)
    for partition, offset, value in recent:
        record = decode_resolved(value)
        if _version(number, ranges, number, record.time) is not None:
            events.setdefault((partition, offset), record)
    return _count(events, assigned, kernel, today)


def _version(number: int, ranges: list[Range], label: int, time: int) -> int | None:
    """By which version an event counts in a fragment, 0 if by none; None: it does not."""
    known = find(ranges, time)
    if known is None:
        return 0 if label == number else None
    return known[2] if known[3] == number else None


def _count(
    events: dict[Position, ResolvedEvent], assigned: dict[int, list[Position]], kernel: Kernel, today: int
) -> Rebuilt:  # fmt: skip
    """Apply events in the order in which they were received, each message once."""
    slices, repeated = Slices(), []
    applied: dict[bytes, tuple[int, bytes]] = {}
    for position, record in sorted(events.items(), key=lambda item: (item[1].received_at, item[0])):
        fingerprint, day = fingerprint_of(record), record.received_at // DAY
        earlier = applied.get(fingerprint[:ID_DIGEST])
        if earlier is not None and day - earlier[0] <= KEPT_DAYS:
            repeated.append(Repeated(position, record, conflict=earlier[1] != fingerprint))
            continue
        applied[fingerprint[:ID_DIGEST]] = day, fingerprint
        kernel.count(slices, record, _read(record, kernel), fingerprint, today)
    refused = {one.position for one in repeated}
    left = {version: [p for p in positions if p not in refused] for version, positions in assigned.items()}
    return Rebuilt(slices, {version: sorted(positions) for version, positions in left.items() if positions}, repeated)


def _read(record: ResolvedEvent, kernel: Kernel) -> Reading:
    """What an event changes. Rules may ask of it now what they did not ask when it was applied, and cannot be read."""
    try:
        return kernel.read(record)
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError):
        return kernel.read_silent(record)
