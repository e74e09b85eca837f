"""Time has passed for one person."""

from cdp.clock import Clock
from profiles.kernel import Kernel
from streams.profile import heal
from streams.profile.emit import emit
from streams.profile.event import apply_pending
from streams.profile.position import Position
from streams.profile.recount import Recount
from streams.profile.store import Entry


def wake(kernel: Kernel, recount: Recount, entry: Entry, time: int, position: Position, now: Clock) -> bool:
    """Count what has to be counted again, ask for what did not come, then evaluate. Returns whether the person was stuck.

    A tick puts out something for many people: each numbers its own outputs.
    """
    person = entry.person
    entry.is_changed = True
    mine = Position(position.partition, position.offset, seq=person.number << 16)
    is_stuck = False
    if person.log.is_waiting:
        is_stuck = heal.is_stuck(person, time)
        mine.outputs += recount.count(kernel, person, time)
        mine.outputs += heal.ask_again(kernel, person, time)
        if not person.log.awaiting:
            apply_pending(kernel, person, mine, now)
    emit(person, kernel.wake(person, time), "", mine)
    position.outputs += mine.outputs
    position.also_refused += mine.also_refused
    return is_stuck
