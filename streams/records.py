"""The records between the jobs, and how they are passed on without being encoded again.

A resolved event is the collector's JSON with a head spliced in front; a fact is the resolved JSON with another.
An output of a step is a topic's letter, a key (a OneID) and a value.
"""

import msgspec

from cdp.events import Merge, Source
from cdp.people import one_id
from cdp.ranges import Range
from cdp.rule_books import RulesRecord, decode_rules_record
from cdp.topics import Names
from profiles.event import ProfileEvent
from rules.identity.place import Carve, Move
from streams.commands import Command, decode_command, encode_command
from streams.old_commands import decode_old_command

Output = tuple[str, str, bytes]

RESOLVED, FACTS, CHANGES, MERGES, ACTIONS, DEAD_LETTERS = "R", "F", "C", "M", "A", "D"
NO_KEY = "-"
BY_VERSION = 65_535  # the partition of positions that are none on a topic


def topics(names: Names) -> dict[str, str]:
    """A topic's name by its letter."""
    return {
        RESOLVED: names.resolved,
        FACTS: names.facts,
        CHANGES: names.changes,
        MERGES: names.merges,
        ACTIONS: names.actions,
        DEAD_LETTERS: names.dead_letters,
    }


class ResolvedEvent(ProfileEvent, kw_only=True):
    """What PROFILE reads of an event on `resolved`; everything else in it is passed on unread.

    Attributes:
        origin: its position on `events`.
        assigned: the version of the reassignment that sent it to its fragment (`part`), if one did.
    """

    person: int = 0
    one_id: str = ""
    origin: tuple[int, int] = (-1, -1)
    source: Source = Source()
    assigned: int = 0


decode_resolved = msgspec.json.Decoder(ResolvedEvent).decode


class Tick(msgspec.Struct, kw_only=True):
    """Time has passed: on each partition of `resolved`, now and then."""

    kind: str = "tick"
    time: int


Record = ResolvedEvent | Command | Tick | RulesRecord
_COMMAND, _TICK, _RULES = b'{"command":', b'{"kind":"tick"', b'{"kind":"rules"'
_encode = msgspec.json.Encoder().encode
_decode_tick = msgspec.json.Decoder(Tick).decode


def decode_record(value: bytes) -> Record | None:
    """What a record on `resolved` is; None: not one of this platform."""
    try:
        if value.startswith(_COMMAND):
            command: Command = decode_command(value)
            return command
        if value.startswith(_TICK):
            return _decode_tick(value)
        if value.startswith(_RULES):
            return decode_rules_record(value)
        event = decode_resolved(value)
        if event.kind == "command":
            return decode_old_command(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None
    return event if event.person else None


def send(command: Command) -> Output:
    """A command as an output."""
    return RESOLVED, command.one_id, encode_command(command)


def merges(change: Move | Carve, time: int) -> list[Output]:
    """For the facts: whose parts are from now on, at once on `merges`, for the history on `changes`.

    The position of each is the change's version and the part.
    What is carved out of a part was written for its owner: whose the part is in which it counts must be told as well.
    """
    key, parts = one_id(change.target), change.parts if isinstance(change, Move) else (change.into,)
    told = [
        Merge(
            one_id=key, person=change.target, loser=one_id(part), loser_person=part, version=change.version, time=time,
            message_id=f"merge:{change.version}:{part}:{key}", p=BY_VERSION, o=change.version, seq=part,
        )
        for part in parts
    ]  # fmt: skip
    return [output(topic, key, merge) for merge in told for topic in (MERGES, CHANGES)]


def resolved(event: bytes, person: int, part: int, partition: int, offset: int) -> Output:
    """The collector's event with its person, the part of the person that it counts in, and its position on `events`."""
    key = one_id(person)
    head = f'{{"one_id":"{key}","person":{person},"part":{part},"origin":[{partition},{offset}],'
    return RESOLVED, key, head.encode() + event[1:]


def forwarded(record: bytes, person: int) -> Output:
    """A resolved event, addressed to another person. The head up to ``"part"`` is the one `resolved` writes."""
    key = one_id(person)
    return RESOLVED, key, f'{{"one_id":"{key}","person":{person},'.encode() + record[record.index(b'"part"') :]


def diverted(record: bytes, known: Range) -> Output:
    """A resolved event, addressed to the part to which its range was reassigned, of another person perhaps."""
    _, _, version, part, person = known
    key = one_id(person)
    head = f'{{"one_id":"{key}","person":{person},"part":{part},"assigned":{version},'
    return RESOLVED, key, head.encode() + record[record.index(b'"origin"') :]


def fact(record: bytes, key: str, partition: int, offset: int, emitted: int | None = None) -> Output:
    """An applied event with its position on `resolved`.

    Args:
        emitted: if it waited, up to which record all facts have been put out with it; facts of a partition are written in the
            order of that. Of several that one record puts out only the last has that record's offset: see `end_late_facts`.
    """
    late = f'"e":{emitted},' if emitted is not None else ""
    return FACTS, key, f'{{"p":{partition},"o":{offset},{late}'.encode() + record[1:]


def end_late_facts(outputs: list[Output], offset: int, first: int) -> None:
    """Let the last fact of those that waited say that all facts up to a record have been put out, in place.

    Args:
        first: where the outputs begin that were not put out before a restart.
    """
    mark = f'"e":{offset - 1},'.encode()
    for at in range(len(outputs) - 1, first - 1, -1):
        topic, key, value = outputs[at]
        if topic == FACTS and mark in value[:80]:
            outputs[at] = topic, key, value.replace(mark, f'"e":{offset},'.encode(), 1)
            return


def output(topic: str, key: str, record: msgspec.Struct) -> Output:
    """Any other record as an output of a step."""
    return topic, key, _encode(record)
