"""One command: fragments come and go."""

from profiles.kernel import Kernel
from profiles.state import Person
from streams import records
from streams.commands import (
    Command,
    ExpectFragments,
    ExpectRange,
    FragmentState,
    RangeState,
    ReassignRange,
    RebuildPerson,
    TransferFragments,
    address_to,
)
from streams.profile import heal, reassign, transfer
from streams.profile.emit import emit
from streams.profile.event import Now, apply_pending
from streams.profile.position import Position
from streams.records import decode_resolved


def handle(kernel: Kernel, person: Person, command: Command, position: Position, now: Now) -> None:
    """A command that was not handled before; see `streams.commands` for what each is about."""
    match command:
        case ExpectFragments():
            position.outputs += transfer.expect(person, command)
        case TransferFragments():
            _release(kernel, person, command, position, now)
        case FragmentState() | ExpectRange() | ReassignRange() | RangeState() if owner := transfer.gone_to(person, command):
            position.outputs.append(records.send(address_to(command, owner)))
        case FragmentState():
            is_new, answers = transfer.receive(kernel, person, command)
            position.outputs += answers
            if is_new:
                _reevaluate(kernel, person, command, position, now)
        case ExpectRange():
            reassign.expect(person, command)
        case ReassignRange():
            position.outputs += reassign.reassign(kernel, person, command)
        case RangeState():
            position.outputs += reassign.receive(kernel, person, command)
        case RebuildPerson():
            heal.rebuild_all(person, command.time)
            position.outputs += heal.ask_again(kernel, person, command.time, at_once=True)
        case _:
            pass


def _release(kernel: Kernel, person: Person, command: TransferFragments, position: Position, now: Now) -> None:
    """Fragments belong to another person now: send their states there, and forward what still comes."""
    leaving, answers = transfer.release(kernel, person, command)
    position.outputs += answers
    if not leaving:
        return
    log = person.open_log
    pending, log.pending = log.pending, []
    for offset, value in pending:
        if decode_resolved(value).part in leaving:
            position.outputs.append(records.forwarded(value, command.other))
            position.also_refused.append(offset)
        else:
            log.pending.append((offset, value))
    _reevaluate(kernel, person, command, position, now)


def _reevaluate(kernel: Kernel, person: Person, command: Command, position: Position, now: Now) -> None:
    """Tags and timers follow, and events that need not wait any longer have their turn."""
    emit(person, kernel.reevaluate(person), command.message_id, position)
    if not person.log.awaiting and person.log.pending:
        apply_pending(kernel, person, position, now)
        kernel.set_timer(person)
