"""A net below the protocol: what did not come in time is asked for again, and what nobody has is counted from the facts.

It catches what should not happen: a record that was lost, or taken out of the log.
"""

from profiles.kernel import Kernel
from profiles.state import Person
from profiles.transfer_log import STUCK_AFTER, Awaited
from streams import records
from streams.commands import reassign_range, transfer_fragments
from streams.profile.reassign import hand_over, request_rebuild
from streams.records import Output


def ask_again(kernel: Kernel, person: Person, time: int, *, at_once: bool = False) -> list[Output]:
    """Ask for what has been awaited for a minute; `at_once`: for whatever is awaited."""
    log, asked = person.open_log, []
    for number, waits in list(log.awaiting.items()):
        for version, wait in _overdue(waits, time, at_once=at_once):
            if wait.giver:
                wait.asked = time
                again = transfer_fragments(wait.giver, person.number, (number,), version, time, again=True)
                asked.append(records.send(again))
            else:
                _give_up(person, log.awaiting, number, version, time)
                asked += hand_over(kernel, person, number, time)
    for number, waits in list(log.expected.items()):
        for version, wait in _overdue(waits, time, at_once=at_once):
            if wait.giver and wait.part and wait.range is not None:
                wait.asked = time
                asked.append(records.send(reassign_range(wait.giver, wait.part, wait.range, time, again=True)))
            else:
                _give_up(person, log.expected, number, version, time)
    return asked


def is_stuck(person: Person, time: int) -> bool:
    """Whether it is time to help: something has been waited for for too long, since it was asked for last if it was."""
    log = person.open_log
    if any(wait.wake_at <= time for wait in log.waits()):
        return True
    overdue = [rebuild for rebuild in log.rebuild.values() if time - rebuild.since >= STUCK_AFTER and not rebuild.is_overdue]
    for rebuild in overdue:
        rebuild.is_overdue = True
    return bool(overdue)


def rebuild_all(person: Person, time: int) -> None:
    """Count every fragment of a person again from its facts."""
    for number in person.fragment_numbers:
        request_rebuild(person, number, [], time)


def _overdue(waits: dict[int, Awaited], time: int, *, at_once: bool) -> list[tuple[int, Awaited]]:
    return [(version, wait) for version, wait in waits.items() if at_once or wait.wake_at <= time]


def _give_up(person: Person, waits: dict[int, dict[int, Awaited]], number: int, version: int, time: int) -> None:
    del waits[number][version]
    if not waits[number]:
        del waits[number]
    request_rebuild(person, number, [], time)
