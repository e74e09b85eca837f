"""The records between the jobs, and how they are passed on without being encoded again.

A resolved event is the collector's JSON with a head spliced in front; a fact is the resolved JSON with another.
An output of a step is a topic's letter, a key (a OneID) and a value.
"""

from collections.abc import Sequence

import msgspec

from cdp.events import EMPTY_OBJECT, NAMED_KINDS, UNNAMED_KINDS, Identifier, Source
from cdp.people import one_id
from cdp.profile import Carved
from cdp.topics import Names
from rules.identity.place import Carve, Move

Output = tuple[str, str, bytes]

RESOLVED, FACTS, CHANGES, ACTIONS, DEAD_LETTERS = "R", "F", "C", "A", "D"
NO_KEY = "-"


def topics(names: Names) -> dict[str, str]:
    """A topic's name by its letter."""
    return {
        RESOLVED: names.resolved,
        FACTS: names.facts,
        CHANGES: names.changes,
        ACTIONS: names.actions,
        DEAD_LETTERS: names.dead_letters,
    }


class Resolved(msgspec.Struct, kw_only=True):
    """What PROFILE reads of a record on `resolved`; everything else in it is passed on unread.

    An event counts in `part` of its person. Commands (`kind` "command") are about `parts` that move from one person to
    another, in the move `version`: ``await`` tells the new owner, ``move`` the old one, whose name `other` is in either
    case the opposite; ``state`` brings a part's state as base64, and the moves of it that the old owner still `awaited`, and
    its `carved` stretches. ``carve`` says that a stretch of a part counts in another one.
    """

    kind: str
    time: int
    person: int = 0
    one_id: str = ""
    origin: tuple[int, int] = (-1, -1)
    message_id: str = ""
    event: str = ""
    received_at: int = 0
    ids: list[Identifier] = []
    properties: msgspec.Raw = EMPTY_OBJECT
    traits: msgspec.Raw = EMPTY_OBJECT
    bot: bool = False
    source: Source = Source()
    part: int = 0
    other: int = 0
    parts: list[int] = []
    version: int = 0
    state: str = ""
    awaited: list[int] = []
    carved: list[Carved] = []

    @property
    def name(self) -> str:
        """The event's name as rules know it: what somebody did; a page's own name is no event's."""
        return self.event if self.kind in NAMED_KINDS else UNNAMED_KINDS.get(self.kind, "")


decode_resolved = msgspec.json.Decoder(Resolved).decode


class Command(msgspec.Struct, kw_only=True):
    """A command on `resolved`, as written: see `Resolved`."""

    one_id: str
    person: int
    kind: str = "command"
    event: str
    other: int
    parts: list[int]
    version: int
    time: int
    message_id: str
    state: str = ""
    awaited: list[int] = []
    carved: list[Carved] = []


class PartState(msgspec.Struct, frozen=True):
    """A part on its way: its state as base64, the moves of it that are awaited still, and the stretches carved out of it."""

    number: int
    state: str
    awaited: list[int] = []
    carved: list[Carved] = []


class Tick(msgspec.Struct, kw_only=True):
    """Time has passed: on each partition of `resolved`, now and then."""

    kind: str = "tick"
    time: int


_encode = msgspec.json.Encoder().encode


def command(event: str, person: int, move: Move, time: int) -> Output:
    """``await`` or ``move``, to a person, as an output of a step. The same command always has the same message id."""
    other = move.source if person == move.target else move.target
    return _command(Command(
        one_id=one_id(person), person=person, event=event, other=other, parts=list(move.parts), version=move.version, time=time,
        message_id=_command_id(event, person, move.version, move.parts),
    ))  # fmt: skip


def carve(change: Carve, time: int) -> Output:
    """``carve``, to the owner of a part."""
    stretch = (change.version, change.start, change.end, change.into, change.target)
    return _command(Command(
        one_id=one_id(change.source), person=change.source, event="carve", other=change.target, parts=[change.part],
        version=change.version, time=time, message_id=_command_id("carve", change.source, change.version, (change.part,)),
        carved=[stretch],
    ))  # fmt: skip


def state(person: int, other: int, part: "PartState", version: int, time: int) -> Output:
    """``state``, to the person to whom a part belongs now."""
    return _command(Command(
        one_id=one_id(person), person=person, event="state", other=other, parts=[part.number], version=version, time=time,
        message_id=_command_id("state", person, version, (part.number,)), state=part.state, awaited=part.awaited,
        carved=part.carved,
    ))  # fmt: skip


def passed_on(record: Resolved, person: int) -> Output:
    """A command, addressed to another person."""
    return _command(Command(
        one_id=one_id(person), person=person, event=record.event, other=record.other, parts=record.parts,
        version=record.version, time=record.time, state=record.state, awaited=record.awaited, carved=record.carved,
        message_id=_command_id(record.event, person, record.version, record.parts),
    ))  # fmt: skip


def _command(record: Command) -> Output:
    return RESOLVED, record.one_id, _encode(record)


def _command_id(event: str, person: int, version: int, parts: Sequence[int]) -> str:
    return f"{event}:{version}:{'-'.join(map(str, parts))}:{one_id(person)}"


def resolved(event: bytes, person: int, part: int, partition: int, offset: int) -> Output:
    """The collector's event with its person, the part of the person that it counts in, and its position on `events`."""
    key = one_id(person)
    head = f'{{"one_id":"{key}","person":{person},"part":{part},"origin":[{partition},{offset}],'
    return RESOLVED, key, head.encode() + event[1:]


def forwarded(record: bytes, person: int) -> Output:
    """A resolved event, addressed to another person. The head up to ``"part"`` is the one `resolved` writes."""
    key = one_id(person)
    return RESOLVED, key, f'{{"one_id":"{key}","person":{person},'.encode() + record[record.index(b'"part"') :]


def diverted(record: bytes, person: int, part: int) -> Output:
    """A resolved event, addressed to another part, of another person perhaps."""
    key = one_id(person)
    head = f'{{"one_id":"{key}","person":{person},"part":{part},'
    return RESOLVED, key, head.encode() + record[record.index(b'"origin"') :]


def fact(record: bytes, key: str, partition: int, offset: int) -> Output:
    """An applied event with its position on `resolved`."""
    return FACTS, key, f'{{"p":{partition},"o":{offset},'.encode() + record[1:]


def output(topic: str, key: str, record: msgspec.Struct) -> Output:
    """Any other record as an output of a step."""
    return topic, key, _encode(record)
