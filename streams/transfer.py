"""Whole parts change hands: how profiles pass parts to each other, whatever comes late, twice or in another order.

A part that belongs to another person from now on is announced by two commands with one version: ``await`` to the new owner and
``move`` to the old one. The states of a part at one person, and the commands that lead from one to another:

    here      -- move(v) -->      gone to its owner of v. The answer ``state`` brings the part, and what is known of it.
    here      -- move(older) -->  here. The answer ``state`` brings nothing: the part has come back since, or will.
    gone      -- move(v) -->      gone. The answer brings nothing.
    gone      -- await(newer) --> awaited: events wait.
    gone      -- await(older) --> gone; its owner has to wait for it.
    awaited   -- state -->        here, as soon as nothing is awaited any more.
    gone      -- state(newer) --> here: the answer was faster than ``await``, which changes nothing when it comes.
    gone      -- anything else for the part --> gone; it is passed on to the owner.

Nobody waits for ever, as each ``move`` that is handled is answered at once, whatever is waited for by whoever handles it; and
each ``await`` has its ``move``. So whoever waits, waits for records of the log alone, not for anybody who waits. An answer that
was lost all the same is asked for again (`streams.heal`).

Nothing is counted twice, as a part is taken over as it is only where nothing was counted in it before. Where something was, it is
counted again from its facts (`streams.reassign`), which does not depend on what came in which order, or twice.
"""

import base64
from collections.abc import Iterable

from cdp.profile import Awaited, Gone, Position, Profile, Remainder, pack_state, unpack_state
from streams import records
from streams.parts import from_remainder, is_empty, put_in, remainder, state_of, take_out
from streams.reassign import ANSWERED_KEPT, hand_over, note_ranges, request_rebuild, take_rebuild
from streams.records import Cause, Fragment, Output, Resolved
from streams.store import Entry

RECEIVED_KEPT = 32


def await_parts(profile: Profile, record: Resolved) -> list[Output]:
    """Parts are on their way to this person, unless they have come already. For what has gone on since its owner has to wait."""
    outputs = []
    for number in record.parts:
        gone = profile.gone.get(number)
        if gone is not None and gone.version > record.version:
            outputs.append(records.await_part(gone.owner, number, record.other, Cause(record.version, record.time)))
            continue
        if record.version in profile.received.get(number, ()):
            continue
        profile.gone.pop(number, None)
        waits = profile.awaiting.setdefault(number, {})
        waits.setdefault(record.version, Awaited(record.other, record.time))
    return outputs


def release(entry: Entry, record: Resolved) -> tuple[list[int], list[Output]]:
    """Parts belong to another person from now on: those that leave, and the answers for all that were asked for."""
    leaving = [number for number in record.parts if not _is_over(entry.profile, number, record.version)]
    answers = []
    for number, state in take_out(entry, leaving).items():
        answers.append(_answer(entry.profile, number, record, _pack(entry.profile, number, state)))
        entry.profile.gone[number] = Gone(record.other, record.version)
        if not is_empty(state):
            entry.profile.handed[number] = remainder(state)
    for number in record.parts:
        if number not in leaving and (record.again or not _was_answered(entry.profile, number, record.version)):
            answers.append(_answer(entry.profile, number, record, _nothing(entry, number, again=record.again)))
    return leaving, answers


def receive(entry: Entry, record: Resolved) -> tuple[bool, list[Output]]:
    """A part has come. Returns whether that is news, and what follows for others: it may have been here before."""
    profile, (number,) = entry.profile, record.parts
    fragment = record.fragment or Fragment(state=record.state)
    state = unpack_state(base64.b64decode(fragment.state))
    if _is_known(profile, number, record.version, state):
        return False, []
    profile.gone.pop(number, None)
    _take_notes(entry, number, fragment, record.version)
    if not is_empty(state):
        profile.brought[number] = _newest([*profile.brought.get(number, ()), record.version])
    is_news = note_ranges(profile, number, fragment.ranges, fragment.family)
    is_news = is_news or profile.ranges.get(number, []) != fragment.ranges
    if record.again and is_empty(state) and record.version not in profile.brought.get(number, ()):  # it may have been lost
        request_rebuild(entry, number, fragment.needs, record.time)
        is_news = True
    _take_state(entry, number, state, record.time)
    is_owed = number in profile.unanswered and number not in profile.awaiting
    return True, hand_over(entry, number, record.time) if is_news or is_owed else []


def passes_on(profile: Profile, record: Resolved) -> int | None:
    """To whom a command about a part has to be passed on; None: it is for this person."""
    (number,) = record.parts
    gone = profile.gone.get(number)
    if gone is None or (record.event == "state" and gone.version < record.version):
        return None
    return gone.owner


def _take_notes(entry: Entry, number: int, fragment: Fragment, version: int) -> None:
    """What the old owner waited for, and what it knew."""
    profile = entry.profile
    profile.received[number] = _newest([*profile.received.get(number, ()), *fragment.received, version])
    if brought := [*profile.brought.get(number, ()), *fragment.brought]:
        profile.brought[number] = _newest(brought)
    answered = [*profile.answered.get(number, ()), *fragment.answered]
    if answered:
        profile.answered[number] = list(dict.fromkeys(answered))[-ANSWERED_KEPT:]
    _wait_on(profile.awaiting, number, fragment.awaited, profile.received[number])
    _wait_on(profile.expected, number, fragment.expected, answered)
    if fragment.unanswered:
        profile.unanswered[number] = fragment.unanswered | profile.unanswered.get(number, {})
    if fragment.rebuild is not None:
        take_rebuild(entry, number, fragment.rebuild)


def _newest(versions: Iterable[int]) -> list[int]:
    return sorted(set(versions))[-RECEIVED_KEPT:]


def _wait_on(waits: dict[int, dict[int, Awaited]], number: int, more: dict[int, Awaited], come: Iterable[int]) -> None:
    """Wait for what another one waited for as well, but not for what has come."""
    left = {version: wait for version, wait in (more | waits.pop(number, {})).items() if version not in come}
    if left:
        waits[number] = left


def _take_state(entry: Entry, number: int, state: Profile, time: int) -> None:
    """Take a part over as it is; count it again, if something of it was counted here already, or if it is to be anyway."""
    here = state_of(entry, number)
    is_alone = is_empty(state) or is_empty(here)
    if is_alone:
        put_in(entry, number, state)
    if not is_alone or number in entry.profile.rebuild:
        request_rebuild(entry, number, _positions(state), time)


def _is_known(profile: Profile, number: int, version: int, state: Profile) -> bool:
    """Whether an answer comes again. One that brought nothing may have overtaken the one that brings something."""
    if version not in profile.received.get(number, ()):
        return False
    return is_empty(state) or version in profile.brought.get(number, ())


def _was_answered(profile: Profile, number: int, version: int) -> bool:
    """Whether a command comes again, and its answer is on its way: another one could overtake it."""
    gone = profile.gone.get(number)
    return gone is not None and gone.version == version


def _positions(state: Profile | None) -> list[Position]:
    return list(state.fact_at.items()) if state is not None else []


def _pack(profile: Profile, number: int, state: Profile) -> Fragment:
    """A part that leaves, with what is known of it. Its ranges stay known here, too: it may be asked for again."""
    return Fragment(
        state=base64.b64encode(pack_state(state)).decode(), needs=_positions(state), ranges=profile.ranges.get(number, []),
        family=profile.family.get(number, []), awaited=profile.awaiting.pop(number, {}),
        expected=profile.expected.pop(number, {}), received=profile.received.get(number, []),
        brought=profile.brought.get(number, []), answered=profile.answered.get(number, []),
        unanswered=profile.unanswered.pop(number, {}), rebuild=profile.rebuild.pop(number, None),
    )  # fmt: skip


def _nothing(entry: Entry, number: int, *, again: bool) -> Fragment:
    """The answer for a part that has gone, or stays. If it is asked for again, what is left of it here, once it was sent."""
    profile = entry.profile
    nothing = from_remainder(number, profile.handed.get(number, Remainder()) if again else Remainder())
    nothing.as_of = profile.as_of
    needs = [*_positions(nothing), *_positions(state_of(entry, number))]
    return Fragment(
        state=base64.b64encode(pack_state(nothing)).decode(), needs=needs, ranges=profile.ranges.get(number, []),
        family=profile.family.get(number, []),
    )  # fmt: skip


def _answer(profile: Profile, number: int, record: Resolved, fragment: Fragment) -> Output:
    cause = Cause(record.version, record.time, record.again)
    return records.answer("state", record.other, profile.person, number, cause, fragment)


def _is_over(profile: Profile, number: int, version: int) -> bool:
    """Whether a part has moved on since, or will have: the command comes again, or too late."""
    gone = profile.gone.get(number)
    later = (*profile.received.get(number, ()), *profile.awaiting.get(number, ()), gone.version if gone is not None else -1)
    return any(version <= known for known in later)
