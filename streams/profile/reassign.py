"""Ranges of time of a fragment are reassigned to another fragment of the same identifier, mostly of another person.

It may be found out late that an identifier stood for somebody else at some time. Two commands with one version say so:
`ReassignRange` to the owner of the fragment in which events of the range counted, `ExpectRange` to the owner of the fragment in
which they count now. From then on an event goes where `cdp.ranges` says. What was counted before is not sent from fragment to
fragment: both are counted again from their facts, which is the same whatever was counted before. So:

    ReassignRange  the holder notes the range. If something of it may be counted here, the fragment has to be counted again. In
                   either case it answers at once by `RangeState`, with the facts that were written for the fragment so far. If
                   the fragment itself is on its way here, it answers when the fragment has come.
    ExpectRange    the holder notes the range, and whom to ask again if no answer comes. No event waits for it.
    RangeState     the holder counts its fragment again, as soon as these facts have arrived. If it knows of a later reassignment
                   of the range, it passes the answer on to where the range belongs now.

Nobody waits in a circle, as nobody waits for another fragment: one that is to be counted again waits for facts that were written
already, and its events are applied meanwhile (`Rebuild.recent` keeps them: their facts may not have arrived). And nothing is
left out: what was counted somewhere has a fact, written before its holder heard of the reassignment, and that holder names it in
its answer. Versions grow from holder to holder, so what is passed on comes to an end.
"""

from collections import defaultdict
from collections.abc import Iterable

from cdp.ranges import Range, find, note_all, within
from profiles.fragments import fragment_of, from_remainder, pack_fragment, unpack_fragment
from profiles.inbox import INBOX
from profiles.kernel import Kernel
from profiles.state import Person, Slices
from profiles.transfer_log import Awaited, Position, Rebuild, Remainder
from streams import records
from streams.commands import Bundle, ExpectRange, RangeState, ReassignRange, range_state
from streams.records import Output, ResolvedEvent

ANSWERED_KEPT = 64
# Events of a fragment that are kept until it has been counted again. With more of them it waits for the facts of all so far.
RECENT_KEPT = 2_000


def expect(person: Person, command: ExpectRange) -> None:
    """A range of another fragment was reassigned to one of this person, and the answer is on its way."""
    log, number = person.open_log, command.fragment
    note_ranges(person, number, [command.range], [command.giver] if command.giver else [])
    if command.version not in log.answered.get(number, ()):
        waits = log.expected.setdefault(number, {})
        waits.setdefault(command.version, Awaited(command.other, command.time, command.giver, range=command.range))


def reassign(kernel: Kernel, person: Person, command: ReassignRange) -> list[Output]:
    """A range of a fragment was reassigned to another one: the answer, and whatever else follows for others."""
    number, (start, end, version, into, owner) = command.fragment, command.range
    is_news = note_ranges(person, number, [command.range], [into])
    if number in person.log.awaiting and not command.again:
        person.open_log.unanswered.setdefault(number, {})[version] = (into, owner)
        return []
    if command.again or (is_news and _may_hold(person, number, start, end)):
        request_rebuild(person, number, [], command.time)
        bundle = _what_was_counted(kernel, person, number, [command.range])
    else:
        bundle = Bundle(ranges=[command.range])
    answer = range_state(owner, person.number, into, bundle, version, command.time, again=command.again)
    return [records.send(answer)]


def receive(kernel: Kernel, person: Person, command: RangeState) -> list[Output]:
    """What was counted in a range that is a fragment's of this person, and what follows for others."""
    log, number, bundle = person.open_log, command.fragment, command.bundle
    note_ranges(person, number, bundle.ranges, bundle.family)
    log.answered[number] = list(dict.fromkeys([*log.answered.get(number, ()), command.version]))[-ANSWERED_KEPT:]
    _stop_expecting(person, number, command.version)
    if not bundle.state:
        return []
    kernel.put_in(person, number, unpack_fragment(bundle.state))
    known = [r for start, end, *_ in bundle.ranges for r in within(log.ranges.get(number, []), start, end)]
    if any(part == number for *_, part, _ in known):
        request_rebuild(person, number, bundle.needs, command.time)
    return _inform(person, number, [r for r in known if r[3] != number], bundle, command.time)


def hand_over(kernel: Kernel, person: Person, number: int, time: int) -> list[Output]:
    """A fragment has come: whoever has a range of it learns what was counted; an owed answer is given, if it is nothing."""
    log = person.open_log
    owed = log.unanswered.pop(number, {}) if number not in log.awaiting else {}
    elsewhere = [r for r in log.ranges.get(number, ()) if r[3] != number and _may_hold(person, number, r[0], r[1])]
    outputs = [
        records.send(range_state(owner, person.number, into, Bundle(), version, time))
        for version, (into, owner) in sorted(owed.items())
        if all(known[2] != version for known in elsewhere)
    ]
    if elsewhere:
        request_rebuild(person, number, [], time)
        outputs += _inform(person, number, elsewhere, _what_was_counted(kernel, person, number, elsewhere), time)
    return outputs


def diverted_to(person: Person, record: ResolvedEvent) -> Range | None:
    """The range in which an event counts in another fragment than the one to which it was sent; None: it counts there."""
    known = find(person.log.ranges.get(record.part), record.time)
    if known is None or known[3] == record.part:
        return None
    if known[2] > record.assigned:
        return known
    moment = (record.time, record.time + 1, record.assigned, record.part, person.number)
    note_ranges(person, record.part, [moment], [])  # who sent it here knows better; the whole range follows
    return None


def note_ranges(person: Person, number: int, ranges: Iterable[Range], family: Iterable[int]) -> bool:
    """Remember where ranges count. Returns whether that was not known."""
    log = person.open_log
    before = log.ranges.get(number, [])
    known = note_all(before, ranges)
    if known:
        log.ranges[number] = known
    others = {*log.family.get(number, ()), *family, *(part for *_, part, _ in known)} - {number}
    if others:
        log.family[number] = sorted(others)
    return known != before


def request_rebuild(person: Person, number: int, needs: Iterable[Position], time: int) -> None:
    """Count a fragment again, as soon as some facts have arrived, and those of the fragment so far."""
    log = person.open_log
    rebuild = log.rebuild.get(number)
    if rebuild is None:
        slices = fragment_of(person, number)
        own = list(slices.get(INBOX).fact_at.items()) if slices is not None else []
        rebuild = log.rebuild[number] = Rebuild(since=time, needs=own)
    rebuild.needs = sorted({*rebuild.needs, *needs})


def take_rebuild(person: Person, number: int, other: Rebuild) -> None:
    """A fragment that came has to be counted again."""
    request_rebuild(person, number, other.needs, other.since)
    person.open_log.rebuild[number].recent += other.recent


def keep_recent(person: Person, slices: Slices, number: int, event: tuple[int, int, bytes]) -> None:
    """An event was applied in a fragment; `event`: its partition, offset and record. If the fragment is to be counted again, its
    fact may not have arrived when it is.
    """
    rebuild = person.log.rebuild.get(number)
    if rebuild is None:
        return
    rebuild = person.open_log.rebuild[number]
    rebuild.recent.append(event)
    if len(rebuild.recent) > RECENT_KEPT:
        rebuild.recent = []
        rebuild.needs = sorted({*rebuild.needs, *slices.get(INBOX).fact_at.items()})


def _stop_expecting(person: Person, number: int, version: int) -> None:
    expected = person.open_log.expected
    waits = expected.get(number, {})
    waits.pop(version, None)
    if not waits:
        expected.pop(number, None)


def _may_hold(person: Person, number: int, start: int, end: int) -> bool:
    """Whether something of a range may be counted in a fragment."""
    if number in person.log.rebuild:
        return True
    slices = fragment_of(person, number)
    inbox = slices.get(INBOX) if slices is not None else None
    return inbox is not None and inbox.applied > 0 and start <= inbox.last and inbox.first < end


def _what_was_counted(kernel: Kernel, person: Person, number: int, ranges: list[Range]) -> Bundle:
    """The facts of a fragment, and what does not follow from facts. Nobody can say which occasion was meant: none fires again."""
    log, slices = person.log, fragment_of(person, number)
    kept = kernel.remainder(slices) if slices is not None else Remainder()
    needs: set[Position] = {*kept.fact_at.items()}
    if number in log.rebuild:
        needs |= {*log.rebuild[number].needs}
    if number in log.handed:
        needs |= {*log.handed[number].fact_at.items()}
    state = pack_fragment(from_remainder(Remainder(kept.slices)))  # the facts of the other fragment are its own
    return Bundle(state=state, needs=sorted(needs), ranges=ranges, family=sorted({number, *log.family.get(number, ())}))


def _inform(person: Person, number: int, ranges: list[Range], counted: Bundle, time: int) -> list[Output]:
    """Let the fragments to which ranges belong know what was counted of them."""
    whose: dict[tuple[int, int, int], list[Range]] = defaultdict(list)
    for known in ranges:
        whose[known[2:]].append(known)
    outputs = []
    for (version, into, owner), theirs in sorted(whose.items()):
        family = sorted({number, *counted.family} - {into})
        bundle = Bundle(state=counted.state, needs=counted.needs, ranges=theirs, family=family)
        outputs.append(records.send(range_state(owner, person.number, into, bundle, version, time)))
    return outputs
