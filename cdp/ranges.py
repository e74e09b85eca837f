"""Ranges of time of one identifier, and in which part of a profile the events of each count. Pure.

An identifier may stand for one person after the other, and that may be found out late: then a range of time is reassigned from
one part to another, by a version. What is known of an identifier is a list of ranges that do not overlap, ascending. Of two that
say something of one moment the higher version stands, so the order in which they are heard makes no difference.
"""

from collections.abc import Iterable

Range = tuple[int, int, int, int, int]
"""(start, end, version, part, the part's person); times in microseconds, `end` excluded."""


def note(ranges: list[Range], new: Range) -> list[Range]:
    """The ranges with one more. Where a known one has the same or a higher version, that stands."""
    start, end, version, part, person = new
    kept: list[Range] = []
    free = start  # from here on nothing of a higher version was met
    added: list[Range] = []
    for known in ranges:
        if known[1] <= start or end <= known[0]:
            kept.append(known)
        elif known[2] >= version:
            kept.append(known)
            if free < known[0]:
                added.append((free, known[0], version, part, person))
            free = max(free, known[1])
        else:
            if known[0] < start:
                kept.append((known[0], start, *known[2:]))
            if end < known[1]:
                kept.append((end, known[1], *known[2:]))
    if free < end:
        added.append((free, end, version, part, person))
    return _joined(sorted([*kept, *added]))


def note_all(ranges: list[Range], new: Iterable[Range]) -> list[Range]:
    """The ranges with some more."""
    for one in new:
        ranges = note(ranges, one)
    return ranges


def find(ranges: list[Range] | None, time: int) -> Range | None:
    """The range of a moment; None: nothing was reassigned, so an event counts where it was sent."""
    if not ranges:
        return None
    return next((known for known in ranges if known[0] <= time < known[1]), None)


def within(ranges: list[Range], start: int, end: int) -> list[Range]:
    """What of the ranges lies between two moments."""
    return [(max(r[0], start), min(r[1], end), *r[2:]) for r in ranges if r[0] < end and start < r[1]]


def _joined(ranges: list[Range]) -> list[Range]:
    """Neighbours that say the same become one."""
    joined: list[Range] = []
    for one in ranges:
        if joined and joined[-1][1] == one[0] and joined[-1][2:] == one[2:]:
            joined[-1] = (joined[-1][0], *one[1:])
        else:
            joined.append(one)
    return joined
