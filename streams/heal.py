"""A net below the protocol: what did not come in time is asked for again, and what nobody has is counted from the facts.

It catches what should not happen: a record that was lost, or taken out of the log.
"""

from cdp.profile import STUCK_AFTER, Awaited, Profile
from streams import records
from streams.reassign import hand_over, request_rebuild
from streams.records import Output
from streams.store import Entry


def ask_again(entry: Entry, time: int, *, at_once: bool = False) -> list[Output]:
    """Ask for what has been awaited for a minute; `at_once`: for whatever is awaited."""
    profile, asked = entry.profile, []
    for number, waits in list(profile.awaiting.items()):
        for version, wait in _overdue(waits, time, at_once=at_once):
            if wait.giver:
                wait.asked = time
                asked.append(records.ask_for_part(profile.person, number, version, wait.giver, time))
            else:
                _give_up(entry, profile.awaiting, number, version, time)
                asked += hand_over(entry, number, time)
    for number, waits in list(profile.expected.items()):
        for version, wait in _overdue(waits, time, at_once=at_once):
            if wait.giver and wait.part and wait.range is not None:
                wait.asked = time
                asked.append(records.ask_for_range(profile.person, wait.range, wait.part, wait.giver, time))
            else:
                _give_up(entry, profile.expected, number, version, time)
    return asked


def is_stuck(profile: Profile, time: int) -> bool:
    """Whether it is time to help: something has been waited for for too long, since it was asked for last if it was."""
    if any(wait.wake_at <= time for wait in profile.waits()):
        return True
    overdue = [rebuild for rebuild in profile.rebuild.values() if is_overdue(rebuild.since, time) and not rebuild.is_overdue]
    for rebuild in overdue:
        rebuild.is_overdue = True
    return bool(overdue)


def rebuild_all(entry: Entry, time: int) -> None:
    """Count every part of a person again from its facts."""
    for number in entry.profile.part_numbers:
        request_rebuild(entry, number, [], time)


def is_overdue(since: int, time: int) -> bool:
    """Whether something has been waited for longer than it should ever take."""
    return time - since >= STUCK_AFTER


def _overdue(waits: dict[int, Awaited], time: int, *, at_once: bool) -> list[tuple[int, Awaited]]:
    return [(version, wait) for version, wait in waits.items() if at_once or wait.wake_at <= time]


def _give_up(entry: Entry, waits: dict[int, dict[int, Awaited]], number: int, version: int, time: int) -> None:
    del waits[number][version]
    if not waits[number]:
        del waits[number]
    request_rebuild(entry, number, [], time)
