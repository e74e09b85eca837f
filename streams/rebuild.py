"""Count a part again from its facts. Pure: what comes out depends on the set of facts and on the ranges alone."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from cdp.clock import DAY
from cdp.errors import InvalidEvent
from cdp.profile import ID_DIGEST, Position, Profile, new_profile
from cdp.ranges import Range, find
from streams.measure import MARK_DAYS, SILENT, Measure, Reading, add_mark, digest_of, mark_of, note_silent
from streams.records import Resolved, decode_resolved
from streams.refetch import Fact


@dataclass(frozen=True)
class Repeated:
    """A message that was counted twice, in two parts that are one now: of this fact it is known to be a repetition.

    `conflict`: it says something else than the message that counts.
    """

    position: Position
    record: Resolved
    conflict: bool


@dataclass(frozen=True)
class Rebuilt:
    """A part as its facts say.

    Attributes:
        state: its figures; occasions and the like, which do not follow from facts, are left out.
        assigned: version to the facts that are written down in another part, or under an older version, and count in this one.
        repeated: facts that are none.
    """

    state: Profile
    assigned: dict[int, list[Position]]
    repeated: list[Repeated]


def rebuild(
    number: int,
    ranges: list[Range],
    facts: Iterable[Fact],
    recent: Iterable[tuple[int, int, bytes]],
    measure: Measure,
    today: int,
) -> Rebuilt:
    """Count the facts of a part.

    Args:
        facts: of all parts of the identifier in which something of this one may be written down.
        recent: (partition, offset, record) of events of this part whose facts may be missing among them.
        today: as for `Measure.apply`.
    """
    assigned: dict[int, list[Position]] = defaultdict(list)
    events: dict[Position, Resolved] = {}
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
    return _count(number, events, assigned, measure, today)


def _version(number: int, ranges: list[Range], label: int, time: int) -> int | None:
    """By which version an event counts in a part, 0 if by none; None: it does not."""
    known = find(ranges, time)
    if known is None:
        return 0 if label == number else None
    return known[2] if known[3] == number else None


def _count(
    number: int, events: dict[Position, Resolved], assigned: dict[int, list[Position]], measure: Measure, today: int
) -> Rebuilt:
    """Apply events in the order in which they were received, each message once."""
    state, repeated = new_profile(number), []
    applied: dict[bytes, tuple[int, bytes]] = {}
    for position, record in sorted(events.items(), key=lambda item: (item[1].received_at, item[0])):
        mark, day = mark_of(record), record.received_at // DAY
        earlier = applied.get(mark[:ID_DIGEST])
        if earlier is not None and day - earlier[0] <= MARK_DAYS:
            repeated.append(Repeated(position, record, conflict=earlier[1] != mark))
            continue
        applied[mark[:ID_DIGEST]] = day, mark
        add_mark(state, mark, record.received_at)
        reading = _read(record, measure)
        if reading is SILENT:
            note_silent(state, record)
        else:
            measure.apply(state, record, reading, digest_of(mark), today)
    refused = {one.position for one in repeated}
    left = {version: [p for p in positions if p not in refused] for version, positions in assigned.items()}
    return Rebuilt(state, {version: sorted(positions) for version, positions in left.items() if positions}, repeated)


def _read(record: Resolved, measure: Measure) -> Reading:
    """What an event changes. Rules may ask of it now what they did not ask when it was applied, and cannot be read."""
    try:
        return measure.read(record)
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError):
        return SILENT
