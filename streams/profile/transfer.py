"""Whole fragments change hands: how people pass fragments to each other, whatever comes late, twice or in another order.

A fragment that belongs to another person from now on is announced by two commands with one version: `ExpectFragments` to the new
owner and `TransferFragments` to the old one. The states of a fragment at one person, and what leads from one to another:

    .                      TransferFragments(v): the answer brings the fragment
    .              +----------------------------------------------------------------+
    .              |                                                                v
    .          +------+    FragmentState(v), nothing else awaited              +--------+
    .          | here | <-----------------------------+                        |  gone  |
    .          +------+                               |                        +--------+
    .              ^                             +---------+   Expect(newer)        |
    .              |                             | awaited | <--------------------- +
    .              |                             +---------+   events wait          |
    .              +----------------------------------------------------------------+
    .                      FragmentState(newer): the answer was faster than Expect

    here, TransferFragments(older)   here. The answer brings nothing: the fragment has come back since, or will.
    gone, TransferFragments(v)       gone. The answer brings nothing.
    gone, ExpectFragments(older)     gone; its owner has to wait for it, and is told so.
    gone, anything else for it       gone; it is passed on to the owner.

Nobody waits for ever, as each `TransferFragments` that is handled is answered at once, whatever is waited for by whoever handles
it; and each `ExpectFragments` has its `TransferFragments`. So whoever waits, waits for records of the log alone, not for anybody
who waits. An answer that was lost all the same is asked for again (`streams.profile.heal`).

Nothing is counted twice, as a fragment is taken over as it is only where nothing was counted in it before. Where something was,
it is counted again from its facts (`streams.profile.reassign`), which does not depend on what came in which order, or twice.
"""

from collections.abc import Iterable

from profiles.fragments import fragment_of, from_remainder, is_empty, pack_fragment, unpack_fragment
from profiles.inbox import INBOX
from profiles.kernel import Kernel
from profiles.state import Person, Slices
from profiles.transfer_log import Awaited, Gone, Position, Remainder, TransferLog
from streams import records
from streams.commands import (
    Bundle,
    Command,
    ExpectFragments,
    ExpectRange,
    FragmentState,
    RangeState,
    ReassignRange,
    TransferFragments,
    expect_fragments,
    fragment_state,
)
from streams.profile.reassign import ANSWERED_KEPT, hand_over, note_ranges, request_rebuild, take_rebuild
from streams.records import Output

RECEIVED_KEPT = 32


def expect(person: Person, command: ExpectFragments) -> list[Output]:
    """Fragments are on their way to this person, unless they have come. For what has gone on since, its owner has to wait."""
    outputs, log = [], person.open_log
    for number in command.fragments:
        gone = log.gone.get(number)
        if gone is not None and gone.version > command.version:
            onward = expect_fragments(gone.owner, command.other, (number,), command.version, command.time)
            outputs.append(records.send(onward))
            continue
        if command.version in log.received.get(number, ()):
            continue
        log.gone.pop(number, None)
        waits = log.awaiting.setdefault(number, {})
        waits.setdefault(command.version, Awaited(command.other, command.time))
    return outputs


def release(kernel: Kernel, person: Person, command: TransferFragments) -> tuple[list[int], list[Output]]:
    """Fragments belong to another person from now on: those that leave, and the answers for all that were asked for."""
    log = person.open_log
    leaving = [number for number in command.fragments if not _is_over(log, number, command.version)]
    answers = []
    for number, slices in kernel.take_out(person, leaving).items():
        answers.append(_answer(person, number, command, _pack(person, number, slices)))
        log.gone[number] = Gone(command.other, command.version)
        if not is_empty(slices):
            log.handed[number] = kernel.remainder(slices)
    for number in command.fragments:
        if number not in leaving and (command.again or not _was_answered(log, number, command.version)):
            answers.append(_answer(person, number, command, _nothing(person, number, again=command.again)))
    return leaving, answers


def receive(kernel: Kernel, person: Person, command: FragmentState) -> tuple[bool, list[Output]]:
    """A fragment has come. Returns whether that is news, and what follows for others: it may have been here before."""
    log, number, bundle = person.open_log, command.fragment, command.bundle
    slices = unpack_fragment(bundle.state) if bundle.state else Slices()
    if _is_known(log, number, command.version, slices):
        return False, []
    log.gone.pop(number, None)
    person.as_of = max(person.as_of, bundle.as_of)
    _take_notes(person, number, bundle, command.version)
    if not is_empty(slices):
        log.brought[number] = _newest([*log.brought.get(number, ()), command.version])
    is_news = note_ranges(person, number, bundle.ranges, bundle.family)
    is_news = is_news or log.ranges.get(number, []) != bundle.ranges
    if command.again and is_empty(slices) and command.version not in log.brought.get(number, ()):  # it may have been lost
        request_rebuild(person, number, bundle.needs, command.time)
        is_news = True
    _take_state(kernel, person, number, slices, command.time)
    is_owed = number in log.unanswered and number not in log.awaiting
    return True, hand_over(kernel, person, number, command.time) if is_news or is_owed else []


def gone_to(person: Person, command: FragmentState | ExpectRange | ReassignRange | RangeState) -> int:
    """To whom a command about a fragment has to be passed on; 0: it is for this person."""
    gone = person.log.gone.get(command.fragment)
    if gone is None or (isinstance(command, FragmentState) and gone.version < command.version):
        return 0
    return gone.owner


def _take_notes(person: Person, number: int, bundle: Bundle, version: int) -> None:
    """What the old owner waited for, and what it knew."""
    log = person.open_log
    log.received[number] = _newest([*log.received.get(number, ()), *bundle.received, version])
    if brought := [*log.brought.get(number, ()), *bundle.brought]:
        log.brought[number] = _newest(brought)
    answered = [*log.answered.get(number, ()), *bundle.answered]
    if answered:
        log.answered[number] = list(dict.fromkeys(answered))[-ANSWERED_KEPT:]
    _wait_on(log.awaiting, number, bundle.awaited, log.received[number])
    _wait_on(log.expected, number, bundle.expected, answered)
    if bundle.unanswered:
        log.unanswered[number] = bundle.unanswered | log.unanswered.get(number, {})
    if bundle.rebuild is not None:
        take_rebuild(person, number, bundle.rebuild)


def _newest(versions: Iterable[int]) -> list[int]:
    return sorted(set(versions))[-RECEIVED_KEPT:]


def _wait_on(waits: dict[int, dict[int, Awaited]], number: int, more: dict[int, Awaited], come: Iterable[int]) -> None:
    """Wait for what another one waited for as well, but not for what has come."""
    left = {version: wait for version, wait in (more | waits.pop(number, {})).items() if version not in come}
    if left:
        waits[number] = left


def _take_state(kernel: Kernel, person: Person, number: int, slices: Slices, time: int) -> None:
    """Take a fragment over as it is; count it again, if something of it was counted here, or if it is to be anyway."""
    is_alone = is_empty(slices) or is_empty(fragment_of(person, number))
    needs = positions(slices)
    if is_alone:
        kernel.put_in(person, number, slices)
    if not is_alone or number in person.log.rebuild:
        request_rebuild(person, number, needs, time)


def _is_known(log: TransferLog, number: int, version: int, slices: Slices) -> bool:
    """Whether an answer comes again. One that brought nothing may have overtaken the one that brings something."""
    if version not in log.received.get(number, ()):
        return False
    return is_empty(slices) or version in log.brought.get(number, ())


def _was_answered(log: TransferLog, number: int, version: int) -> bool:
    """Whether a command comes again, and its answer is on its way: another one could overtake it."""
    gone = log.gone.get(number)
    return gone is not None and gone.version == version


def positions(slices: Slices | None) -> list[Position]:
    """How far the facts must have arrived for all of a fragment's to be there."""
    return list(slices.get(INBOX).fact_at.items()) if slices is not None else []


def _pack(person: Person, number: int, slices: Slices) -> Bundle:
    """A fragment that leaves, with what is known of it. Its ranges stay known here, too: it may be asked for again."""
    log = person.open_log
    return Bundle(
        state=pack_fragment(slices), as_of=person.as_of, needs=positions(slices), ranges=log.ranges.get(number, []),
        family=log.family.get(number, []), awaited=log.awaiting.pop(number, {}), expected=log.expected.pop(number, {}),
        received=log.received.get(number, []), brought=log.brought.get(number, []), answered=log.answered.get(number, []),
        unanswered=log.unanswered.pop(number, {}), rebuild=log.rebuild.pop(number, None),
    )  # fmt: skip


def _nothing(person: Person, number: int, *, again: bool) -> Bundle:
    """The answer for a fragment that has gone, or stays. If it is asked for again, what is left of it here, once it was sent."""
    log = person.log
    left = from_remainder(log.handed.get(number, Remainder()) if again else Remainder())
    needs = [*positions(left), *positions(fragment_of(person, number))]
    return Bundle(
        state=pack_fragment(left), as_of=person.as_of, needs=needs, ranges=log.ranges.get(number, []),
        family=log.family.get(number, []),
    )  # fmt: skip


def _answer(person: Person, number: int, command: Command, bundle: Bundle) -> Output:
    return records.send(fragment_state(command.other, person.number, number, bundle, command))


def _is_over(log: TransferLog, number: int, version: int) -> bool:
    """Whether a fragment has moved on since, or will have: the command comes again, or too late."""
    gone = log.gone.get(number)
    later = (*log.received.get(number, ()), *log.awaiting.get(number, ()), gone.version if gone is not None else -1)
    return any(version <= known for known in later)
