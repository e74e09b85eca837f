"""One event, or one that has waited."""

from collections.abc import Callable

import msgspec

from cdp.errors import InvalidEvent
from cdp.people import one_id
from profiles.fragments import fragment_of
from profiles.inbox import INBOX, fingerprint_of
from profiles.kernel import Kernel, Reading
from profiles.state import Person
from streams import records
from streams.profile import reassign
from streams.profile.emit import dead_letter, duplicate, emit
from streams.profile.position import Position
from streams.records import ResolvedEvent, decode_resolved

Now = Callable[[], int]


def handle(kernel: Kernel, person: Person, record: ResolvedEvent, value: bytes, position: Position, now: Now) -> None:
    """An event that was not handled before: it is passed on, refused, kept waiting or applied."""
    log = person.log
    if record.part in log.gone:
        position.refused = True
        position.outputs.append(records.forwarded(value, log.gone[record.part].owner))
        return
    if log.ranges and (elsewhere := reassign.diverted_to(person, record)) is not None:
        position.refused = True
        position.outputs.append(records.diverted(value, elsewhere))
        return
    fingerprint = fingerprint_of(record)
    if (earlier := kernel.find(person, fingerprint)) is not None:
        position.refused = True
        is_conflict = earlier != fingerprint
        position.outputs.append(duplicate(record, position.partition, position.offset, is_conflict=is_conflict))
    elif log.awaiting:
        person.open_log.pending.append((position.offset, value))
    elif (reading := _read(kernel, record, value, position, now)) is None:
        position.refused = True
    else:
        position.fact = records.fact(value, record.one_id, position.partition, position.offset)
        if effects := kernel.apply(person, record, reading, fingerprint):
            emit(person, effects, record.message_id, position)
        _note_fact(person, record, value, position, position.offset)


def apply_pending(kernel: Kernel, person: Person, position: Position, now: Now) -> None:
    """Nothing is awaited any more: the events that waited have their turn."""
    if not person.log.pending:
        return
    log = person.open_log
    pending, log.pending = log.pending, []
    for offset, value in pending:
        record = decode_resolved(value)
        fingerprint = fingerprint_of(record)
        if (elsewhere := reassign.diverted_to(person, record)) is not None:
            position.outputs.append(records.diverted(value, elsewhere))
            position.also_refused.append(offset)
        elif (earlier := kernel.find(person, fingerprint)) is not None:
            position.outputs.append(duplicate(record, position.partition, offset, is_conflict=earlier != fingerprint))
            position.also_refused.append(offset)
        elif (reading := _read(kernel, record, value, position, now)) is not None:
            key = one_id(person.number)
            position.outputs.append(records.fact(value, key, position.partition, offset, position.offset - 1))
            emit(person, kernel.apply(person, record, reading, fingerprint), record.message_id, position)
            _note_fact(person, record, value, position, offset)
        else:
            position.also_refused.append(offset)


def _read(kernel: Kernel, record: ResolvedEvent, value: bytes, position: Position, now: Now) -> Reading | None:
    """What an event will change; None if it cannot be read, which makes a dead letter."""
    try:
        return kernel.read(record)
    except InvalidEvent as error:
        letter = dead_letter(value, now(), error.reason, error.field, error.message, record.origin)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        letter = dead_letter(value, now(), "malformed", "properties", str(error), record.origin)
    position.outputs.append(letter)
    return None


def _note_fact(person: Person, record: ResolvedEvent, value: bytes, position: Position, offset: int) -> None:
    """Remember how far the facts must have arrived for the fragment's last one to be there."""
    slices = fragment_of(person, record.part) or person.whole
    slices.change(INBOX).fact_at[position.partition] = position.offset
    if person.log.rebuild:
        reassign.keep_recent(person, slices, record.part, (position.partition, offset, value))
