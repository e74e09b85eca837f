"""Parts change hands: how profiles pass parts to each other, whatever comes late, twice or in another order.

Each move of a part has a version, and the highest one says whose it is. An owner that has passed a part on passes on what
still comes for it. Commands that come again find their version known.
"""

import base64
from bisect import insort
from collections.abc import Iterable

import xxhash

from cdp.profile import Carved, Profile, new_profile, pack_state, unpack_state
from streams import records
from streams.measure import Measure, add_mark, digest_of, mark_of, note_silent
from streams.parts import put_in, replace, state_of, take_out
from streams.records import Output, PartState, Resolved
from streams.store import Entry

RECEIVED_KEPT, HEARD_KEPT, CARVED_KEPT = 32, 64, 16
_NOBODY = (0, -1)


# -- whole parts --------------------------------------------------------------------------------------------------------


def await_parts(profile: Profile, record: Resolved) -> None:
    """Parts are on their way to this person, unless they have come already, or have gone on since."""
    for number in record.parts:
        _, left = profile.gone.get(number, _NOBODY)
        if record.version in profile.received.get(number, ()) or left > record.version:
            continue
        profile.gone.pop(number, None)
        _wait_for(profile, number, record.version)


def release(entry: Entry, record: Resolved) -> tuple[list[int], list[Output]]:
    """Parts belong to another person from now on: those that leave, and the states that go there.

    A move that is heard of when the part has moved on already is answered too, by nothing: somebody waits for it.
    """
    profile, version = entry.profile, record.version
    asked = [number for number in record.parts if version not in profile.released.get(number, ())]
    leaving = [number for number in asked if not _is_over(profile, number, version)]
    sent = []
    for number, state in take_out(entry, leaving).items():
        profile.gone[number] = (record.other, version)
        part = PartState(
            number, _encode(state), version, [version], profile.awaiting.pop(number, []), profile.carved.pop(number, []),
            profile.carving.pop(number, []), profile.heard.get(number, []), profile.received.get(number, []),
        )  # fmt: skip
        sent.append(records.state("state", record.other, profile.person, part, version, record.time))
    for number in asked:
        profile.released[number] = [*profile.released.get(number, ()), version][-RECEIVED_KEPT:]
        if number not in leaving:
            nothing = new_profile(number)
            nothing.as_of = profile.as_of
            part = PartState(number, _encode(nothing), version, [version])
            sent.append(records.state("state", record.other, profile.person, part, version, record.time))
    return leaving, sent


def passes_on(profile: Profile, record: Resolved) -> int | None:
    """To whom a command about a part has to be passed on; None: it is for this person, or was here before."""
    (number,) = record.parts
    owner, left = profile.gone.get(number, _NOBODY)
    if not owner or _was_here(profile, record):
        return None
    return owner if record.event != "state" or left > record.version else None


def receive(entry: Entry, record: Resolved) -> bool:
    """A part, or a stretch that counts in a part of this person. Returns whether it is new: it may have been here before."""
    profile, (number,) = entry.profile, record.parts
    if _was_here(profile, record):  # what it brought may have gone on since
        return False
    if record.event == "state":
        profile.gone.pop(number, None)
        received = {*profile.received.get(number, ()), *record.received, record.version}
        profile.received[number] = sorted(received)[-RECEIVED_KEPT:]
    else:
        _hear(profile, number, [record.state_id, *record.answers])
    _hear(profile, number, record.heard)
    known = {*profile.received.get(number, ()), *profile.heard.get(number, ())}
    awaited = {*profile.awaiting.pop(number, ()), *record.awaited} - known
    if awaited:
        profile.awaiting[number] = sorted(awaited)
    put_in(entry, number, unpack_state(base64.b64decode(record.state)))
    for stretch in record.carved:
        _note_stretch(profile, number, stretch)
    if record.carving or _has_strays(entry, number):
        profile.carving[number] = sorted({*profile.carving.get(number, ()), *record.carving})
    return True


# -- stretches ----------------------------------------------------------------------------------------------------------


def expect(profile: Profile, record: Resolved) -> None:
    """A stretch of another part counts in a part of this person, whatever was said of it before, and is on its way."""
    (number,) = record.parts
    for stretch in record.carved:
        _note_stretch(profile, number, stretch)
    if record.version not in profile.heard.get(number, ()):
        _wait_for(profile, number, record.version)


def carve(entry: Entry, record: Resolved) -> Output | None:
    """A stretch of a part counts in another one. If nothing of it was counted here, there is nothing to wait for: the answer."""
    profile, (number,) = entry.profile, record.parts
    (stretch,) = record.carved
    if not _note_stretch(profile, number, stretch):
        return None
    if number in profile.carving or _awaits_earlier(profile, number, record.version) or _has_strays(entry, number):
        profile.carving[number] = sorted({*profile.carving.get(number, ()), record.version})
        return None
    _, _, _, into, person = stretch
    nothing = new_profile(into)
    nothing.as_of = profile.as_of
    part = PartState(into, _encode(nothing), record.version, [record.version], carved=[stretch])
    return records.state("stretch", person, profile.person, part, record.version, record.time)


def diverted_to(profile: Profile, number: int, time: int) -> tuple[int, int] | None:
    """In which part of whom an event of a part counts instead: (part, person); None: here."""
    for _, start, end, into, person in reversed(profile.carved.get(number, ())):
        if start <= time < end:
            return None if into == number else (into, person)
    return None


def take_stretches_out(
    entry: Entry, number: int, events: Iterable[Resolved], measure: Measure, today: int, tick: tuple[int, int, int]
) -> tuple[list[Output], list[Carved]]:
    """Work a part out anew from all of its events, and what was carved out of it as well.

    Args:
        tick: partition, offset and time of the record that has it done.

    Returns the states that go to the parts in which they count, and the stretches that were out of place.
    """
    profile = entry.profile
    before = state_of(entry, number)
    stretches = profile.carved[number]
    owners = {into: person for _, _, _, into, person in stretches if into != number}
    states = {part: new_profile(part) for part in (number, *owners)}
    for event in events:
        instead = diverted_to(profile, number, event.time)
        _count(states[instead[0] if instead is not None else number], event, measure, today)
    for state in states.values():  # which of them was meant cannot be told: nobody gets anything again
        state.occasions = dict(before.occasions) if before is not None else {}
        state.sealed = {key: sealed for key, sealed in profile.sealed.items() if key in state.identifiers}
        state.as_of = profile.as_of
    replace(entry, number, states[number])
    asked = profile.carving.pop(number)
    if left := [version for version in asked if _awaits_earlier(profile, number, version)]:
        profile.carving[number] = left
    partition, offset, time = tick
    outputs = []
    for into, person in sorted(owners.items()):
        stays = [stretch for stretch in stretches if stretch[3] == into]
        answers = [version for version, *_ in stays if version in asked and version not in left]
        if not answers and not states[into].marks:
            continue
        encoded = _encode(states[into])
        state_id = xxhash.xxh3_64_intdigest(f"{number}:{into}:{partition}:{offset}:{answers}:{encoded}".encode()) >> 1
        part = PartState(into, encoded, state_id, answers, carved=stays)
        outputs.append(records.state("stretch", person, profile.person, part, stays[-1][0], time))
    return outputs, [stretch for stretch in stretches if stretch[3] in owners and states[stretch[3]].marks]


def _encode(state: Profile) -> str:
    return base64.b64encode(pack_state(state)).decode()


def _count(state: Profile, event: Resolved, measure: Measure, today: int) -> None:
    reading = measure.read(event)
    mark = mark_of(event)
    add_mark(state, mark, event.received_at)
    if reading.operation:
        measure.apply(state, event, reading, digest_of(mark), today)
    else:
        note_silent(state, event)


def _note_stretch(profile: Profile, number: int, stretch: Carved) -> bool:
    """Remember where a stretch counts. Returns whether that was not known."""
    known = profile.carved.setdefault(number, [])
    if stretch in known:
        return False
    insort(known, stretch)
    del known[:-CARVED_KEPT]
    return True


def _wait_for(profile: Profile, number: int, version: int) -> None:
    awaited = profile.awaiting.setdefault(number, [])
    if version not in awaited:
        awaited.append(version)


def _was_here(profile: Profile, record: Resolved) -> bool:
    (number,) = record.parts
    if record.event == "state":
        return record.version in profile.received.get(number, ())
    return record.event == "stretch" and record.state_id in profile.heard.get(number, ())


def _hear(profile: Profile, number: int, news: Iterable[int]) -> None:
    heard = list(dict.fromkeys([*profile.heard.get(number, ()), *news]))[-HEARD_KEPT:]
    if heard:
        profile.heard[number] = heard


def _has_strays(entry: Entry, number: int) -> bool:
    """Whether something may have been counted in a part that counts in another one."""
    profile, state = entry.profile, state_of(entry, number)
    if state is None:
        return False
    silent, first, last = state.silent
    counted = ([(state.first_seen, state.last_seen)] if state.events else []) + ([(first, last)] if silent else [])
    stretches = [(start, end) for _, start, end, into, _ in profile.carved.get(number, ()) if into != number]
    return any(start <= last and first < end for start, end in stretches for first, last in counted)


def _awaits_earlier(profile: Profile, number: int, version: int) -> bool:
    """Whether something of a part is still on its way that was sent before a change."""
    return any(awaited < version for awaited in profile.awaiting.get(number, ()))


def _is_over(profile: Profile, number: int, version: int) -> bool:
    """Whether a part has moved on since: the command comes again, or too late."""
    return version <= max(profile.gone.get(number, _NOBODY)[1], *profile.received.get(number, ()), -1)
