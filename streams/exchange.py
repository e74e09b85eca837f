"""Parts change hands: how profiles pass parts to each other, whatever comes late, twice or in another order.

Each move of a part has a version, and the highest one says whose it is. An owner that has passed a part on passes on what
still comes for it. Commands that come again find their version known.
"""

import base64
from bisect import insort
from collections.abc import Iterable

from cdp.profile import Carved, Profile, new_profile, pack_state, unpack_state
from streams import records
from streams.measure import Measure, add_mark, digest_of, mark_of, record_identifiers
from streams.parts import put_in, replace, state_of, take_out
from streams.records import Output, PartState, Resolved
from streams.store import Entry

RECEIVED_KEPT = CARVED_KEPT = 16
_NOBODY = (0, -1)


def expect(profile: Profile, number: int, version: int) -> None:
    """A part is on its way to this person, unless it has come already, or has gone on since."""
    if version in profile.received.get(number, ()) or profile.gone.get(number, _NOBODY)[1] > version:
        return
    profile.gone.pop(number, None)
    awaited = profile.awaiting.setdefault(number, [])
    if version not in awaited:
        awaited.append(version)


def release(entry: Entry, record: Resolved) -> dict[int, Output]:
    """Parts belong to another person from now on: the states that go there, by part."""
    profile = entry.profile
    leaving = [number for number in record.parts if not _is_over(profile, number, record.version)]
    sent = {}
    for number, state in take_out(entry, leaving).items():
        profile.gone[number] = (record.other, record.version)
        part = PartState(
            number, base64.b64encode(pack_state(state)).decode(), profile.awaiting.pop(number, []),
            profile.carved.pop(number, []),
        )  # fmt: skip
        sent[number] = records.state(record.other, profile.person, part, record.version, record.time)
    profile.carving = [number for number in profile.carving if number not in sent]
    return sent


def receive(entry: Entry, record: Resolved) -> int | None:
    """The state of a part that belongs to this person now. Returns its number; None: it was here before."""
    profile, (number,), version = entry.profile, record.parts, record.version
    received = profile.received.get(number, [])
    if version in received:  # it comes again; what it brought may have gone on since, with a later move
        return None
    profile.received[number] = [*received, version][-RECEIVED_KEPT:]
    profile.gone.pop(number, None)
    awaited = {*profile.awaiting.pop(number, ()), *record.awaited} - {*profile.received[number]}
    if awaited:
        profile.awaiting[number] = sorted(awaited)
    put_in(entry, number, unpack_state(base64.b64decode(record.state)))
    for stretch in record.carved:
        _note_stretch(profile, number, stretch)
    _look_for_stretches(entry, number)
    return number


def owner_elsewhere(profile: Profile, record: Resolved) -> int | None:
    """To whom a command about a part has to be passed on; None: it is for this person."""
    owner, version = profile.gone.get(record.parts[0], _NOBODY)
    if record.event == "state" and record.version in profile.received.get(record.parts[0], ()):
        return None
    return owner if version > record.version or (owner and record.event == "carve") else None


def carve(entry: Entry, record: Resolved) -> None:
    """A stretch of a part counts in another one. If something of it was counted here, it has to be taken out."""
    profile, (number,) = entry.profile, record.parts
    (stretch,) = record.carved
    if not _note_stretch(profile, number, stretch):
        return
    state = state_of(entry, number)
    _, start, end, _, _ = stretch
    if (
        state is not None
        and state.events
        and state.first_seen < end
        and state.last_seen >= start
        and number not in profile.carving
    ):
        profile.carving.append(number)


def diverted_to(profile: Profile, number: int, time: int) -> tuple[int, int] | None:
    """In which part of whom an event of a part counts instead: (part, person); None: here."""
    for _, start, end, into, person in reversed(profile.carved.get(number, ())):
        if start <= time < end:
            return None if into == number else (into, person)
    return None


def take_stretches_out(
    entry: Entry, number: int, events: Iterable[Resolved], measure: Measure, today: int, now: int
) -> tuple[list[Output], list[Carved]]:
    """Work a part out anew from all of its events, and what was carved out of it as well.

    Returns the states that go to the parts in which they count, and the stretches that were out of place.
    """
    profile = entry.profile
    here = (number, profile.person)
    before = state_of(entry, number)
    states = {here: new_profile(number)}
    for event in events:
        owner = diverted_to(profile, number, event.time) or here
        _count(states.setdefault(owner, new_profile(owner[0])), event, measure, today)
    for state in states.values():  # which of them was meant cannot be told: nobody gets anything again
        state.occasions = dict(before.occasions) if before is not None else {}
        state.as_of = profile.as_of
    replace(entry, number, states.pop(here))
    profile.carving.remove(number)
    outputs = []
    for (into, person), state in sorted(states.items(), key=lambda item: item[0]):
        stays = [(version, start, end, into, person) for version, start, end, to, _ in profile.carved[number] if to == into]
        part = PartState(into, base64.b64encode(pack_state(state)).decode(), carved=stays)
        outputs.append(records.state(person, profile.person, part, stays[-1][0], now))
    return outputs, [stretch for stretch in profile.carved[number] if (stretch[3], stretch[4]) in states]


def _count(state: Profile, event: Resolved, measure: Measure, today: int) -> None:
    reading = measure.read(event)
    mark = mark_of(event)
    add_mark(state, mark, event.received_at)
    if reading.operation:
        measure.apply(state, event, reading, digest_of(mark), today)
    else:
        record_identifiers(state, event)


def _note_stretch(profile: Profile, number: int, stretch: Carved) -> bool:
    """Remember where a stretch counts. Returns whether that was not known."""
    known = profile.carved.setdefault(number, [])
    if stretch in known:
        return False
    insort(known, stretch)
    del known[:-CARVED_KEPT]
    return True


def _look_for_stretches(entry: Entry, number: int) -> None:
    """See whether something may have been counted in a part that counts in another one."""
    profile, state = entry.profile, state_of(entry, number)
    if state is None or not state.events or number in profile.carving:
        return
    stretches = profile.carved.get(number, ())
    if any(start <= state.last_seen and state.first_seen < end and into != number for _, start, end, into, _ in stretches):
        profile.carving.append(number)


def _is_over(profile: Profile, number: int, version: int) -> bool:
    """Whether a part has moved on since: the command comes again, or too late."""
    return version <= max(profile.gone.get(number, _NOBODY)[1], *profile.received.get(number, ()), -1)
