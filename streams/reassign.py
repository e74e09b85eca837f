"""Ranges of time of a part are reassigned to another part of the same identifier, mostly of another person.

It may be found out late that an identifier stood for somebody else at some time. Two commands with one version say so: ``carve``
to the owner of the part in which events of the range counted, ``expect`` to the owner of the part in which they count now. From
then on an event goes where `cdp.ranges` says. What was counted before is not sent from part to part: both parts are counted
again from their facts, which is the same whatever was counted before. So:

    carve   the holder notes the range. If something of it may be counted here, the part has to be counted again. In either case
            it answers at once: ``range``, with the facts that were written for the part so far. If the part itself is on its way
            here, it answers when the part has come.
    expect  the holder notes the range, and whom to ask again if no answer comes. No event waits for it.
    range   the holder counts its part again, as soon as these facts have arrived. If it knows of a later reassignment of the
            range, it passes the answer on to where the range belongs now.

Nobody waits in a circle, as nobody waits for another part: a part that is to be counted again waits for facts that were written
already, and its events are applied meanwhile (`Rebuild.recent` keeps them: their facts may not have arrived). And nothing is
left out: what was counted somewhere has a fact, written before its holder heard of the reassignment, and that holder names it in
its answer. Versions grow from holder to holder, so what is passed on comes to an end.
"""

import base64
from collections import defaultdict
from collections.abc import Iterable

from cdp.profile import Awaited, Position, Profile, Rebuild, Remainder, pack_state, unpack_state
from cdp.ranges import Range, find, note_all, within
from streams import records
from streams.parts import from_remainder, put_in, remainder, state_of
from streams.records import Cause, Fragment, Output, Resolved
from streams.store import Entry

ANSWERED_KEPT = 64
# Events of a part that are kept until it has been counted again. With more of them it waits for the facts of all so far.
RECENT_KEPT = 2_000


def expect(profile: Profile, record: Resolved) -> None:
    """A range of another part was reassigned to a part of this person, and the answer is on its way."""
    (number,), (known,) = record.parts, _ranges(record)
    note_ranges(profile, number, [known], [record.giver_part] if record.giver_part else [])
    if record.version not in profile.answered.get(number, ()):
        waits = profile.expected.setdefault(number, {})
        waits.setdefault(record.version, Awaited(record.other, record.time, record.giver_part, range=known))


def reassign(entry: Entry, record: Resolved) -> list[Output]:
    """A range of a part was reassigned to another part: the answer, and whatever else follows for others."""
    profile, (number,) = entry.profile, record.parts
    ((start, end, version, into, person),) = ranges = _ranges(record)
    is_news = note_ranges(profile, number, ranges, [into])
    if number in profile.awaiting and not record.again:
        profile.unanswered.setdefault(number, {})[version] = (into, person)
        return []
    if record.again or (is_news and _may_hold(entry, number, start, end)):
        request_rebuild(entry, number, [], record.time)
        fragment = _what_was_counted(entry, number, ranges)
    else:
        fragment = Fragment(ranges=ranges)
    cause = Cause(version, record.time, record.again)
    return [records.answer("range", person, profile.person, into, cause, fragment)]


def receive_range(entry: Entry, record: Resolved) -> list[Output]:
    """What was counted in a range that is a part's of this person, and what follows for others."""
    profile, (number,) = entry.profile, record.parts
    fragment = record.fragment or Fragment(state=record.state, ranges=_ranges(record))
    note_ranges(profile, number, fragment.ranges, fragment.family)
    profile.answered[number] = list(dict.fromkeys([*profile.answered.get(number, ()), record.version]))[-ANSWERED_KEPT:]
    _stop_expecting(profile, number, record.version)
    if not fragment.state:
        return []
    put_in(entry, number, unpack_state(base64.b64decode(fragment.state)))
    known = [r for start, end, *_ in fragment.ranges for r in within(profile.ranges.get(number, []), start, end)]
    if any(part == number for *_, part, _ in known):
        request_rebuild(entry, number, fragment.needs, record.time)
    return _inform(profile, number, [r for r in known if r[3] != number], fragment, record.time)


def hand_over(entry: Entry, number: int, time: int) -> list[Output]:
    """A part has come: whoever has a range of it learns what was counted; an answer that was owed is given, if it is nothing."""
    profile = entry.profile
    owed = profile.unanswered.pop(number, {}) if number not in profile.awaiting else {}
    elsewhere = [r for r in profile.ranges.get(number, ()) if r[3] != number and _may_hold(entry, number, r[0], r[1])]
    outputs = [
        records.answer("range", person, profile.person, into, Cause(version, time), Fragment())
        for version, (into, person) in sorted(owed.items())
        if all(known[2] != version for known in elsewhere)
    ]
    if elsewhere:
        request_rebuild(entry, number, [], time)
        outputs += _inform(profile, number, elsewhere, _what_was_counted(entry, number, elsewhere), time)
    return outputs


def diverted_to(profile: Profile, record: Resolved) -> Range | None:
    """The range in which an event counts in another part than the one to which it was sent; None: it counts there."""
    known = find(profile.ranges.get(record.part), record.time)
    if known is None or known[3] == record.part:
        return None
    if known[2] > record.assigned:
        return known
    moment = (record.time, record.time + 1, record.assigned, record.part, profile.person)
    note_ranges(profile, record.part, [moment], [])  # who sent it here knows better; the whole range follows
    return None


def note_ranges(profile: Profile, number: int, ranges: Iterable[Range], family: Iterable[int]) -> bool:
    """Remember where ranges count. Returns whether that was not known."""
    before = profile.ranges.get(number, [])
    known = note_all(before, ranges)
    if known:
        profile.ranges[number] = known
    parts = {*profile.family.get(number, ()), *family, *(part for *_, part, _ in known)} - {number}
    if parts:
        profile.family[number] = sorted(parts)
    return known != before


def request_rebuild(entry: Entry, number: int, needs: Iterable[Position], time: int) -> None:
    """Count a part again, as soon as some facts have arrived, and those of the part so far."""
    rebuild = entry.profile.rebuild.get(number)
    if rebuild is None:
        state = state_of(entry, number)
        own = list(state.fact_at.items()) if state is not None else []
        rebuild = entry.profile.rebuild[number] = Rebuild(since=time, needs=own, recent=[])
    rebuild.needs = sorted({*rebuild.needs, *needs})


def take_rebuild(entry: Entry, number: int, other: Rebuild) -> None:
    """A part that came has to be counted again."""
    request_rebuild(entry, number, other.needs, other.since)
    entry.profile.rebuild[number].recent += other.recent


def keep_recent(profile: Profile, part: Profile, number: int, event: tuple[int, int, bytes]) -> None:
    """An event was applied in a part; `event`: its partition, offset and record. If the part is to be counted again, its fact may
    not have arrived when it is.
    """
    rebuild = profile.rebuild.get(number)
    if rebuild is None:
        return
    rebuild.recent.append(event)
    if len(rebuild.recent) > RECENT_KEPT:
        rebuild.recent = []
        rebuild.needs = sorted({*rebuild.needs, *part.fact_at.items()})


def _ranges(record: Resolved) -> list[Range]:
    return [(start, end, version, part, person) for version, start, end, part, person in record.carved]


def _stop_expecting(profile: Profile, number: int, version: int) -> None:
    waits = profile.expected.get(number, {})
    waits.pop(version, None)
    if not waits:
        profile.expected.pop(number, None)


def _may_hold(entry: Entry, number: int, start: int, end: int) -> bool:
    """Whether something of a range may be counted in a part."""
    if number in entry.profile.rebuild:
        return True
    state = state_of(entry, number)
    if state is None:
        return False
    silent, first, last = state.silent
    counted = ([(state.first_seen, state.last_seen)] if state.events else []) + ([(first, last)] if silent else [])
    return any(start <= last and first < end for first, last in counted)


def _what_was_counted(entry: Entry, number: int, ranges: list[Range]) -> Fragment:
    """The facts of a part, and what does not follow from facts. Nobody can say which occasion was meant: none fires again."""
    profile, state = entry.profile, state_of(entry, number)
    kept = remainder(state) if state is not None else Remainder()
    needs: set[Position] = {*kept.fact_at.items()}
    kept.fact_at = {}  # the facts of the other part are its own
    if number in profile.rebuild:
        needs |= {*profile.rebuild[number].needs}
    if number in profile.handed:
        needs |= {*profile.handed[number].fact_at.items()}
    return Fragment(
        state=base64.b64encode(pack_state(from_remainder(number, kept))).decode(), needs=sorted(needs), ranges=ranges,
        family=sorted({number, *profile.family.get(number, ())}),
    )  # fmt: skip


def _inform(profile: Profile, number: int, ranges: list[Range], counted: Fragment, time: int) -> list[Output]:
    """Let the parts to which ranges belong know what was counted of them."""
    whose: dict[tuple[int, int, int], list[Range]] = defaultdict(list)
    for known in ranges:
        whose[known[2:]].append(known)
    outputs = []
    for (version, into, person), theirs in sorted(whose.items()):
        family = sorted({number, *counted.family} - {into})
        fragment = Fragment(state=counted.state, needs=counted.needs, ranges=theirs, family=family)
        outputs.append(records.answer("range", person, profile.person, into, Cause(version, time), fragment))
    return outputs
