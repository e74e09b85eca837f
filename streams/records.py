"""The records between the jobs, and how they are passed on without being encoded again.

A resolved event is the collector's JSON with a head spliced in front; a fact is the resolved JSON with another.
An output of a step is a topic's letter, a key (a OneID) and a value.
"""

from collections.abc import Sequence

import msgspec

from cdp.events import EMPTY_OBJECT, NAMED_KINDS, UNNAMED_KINDS, Identifier, Merge, Source
from cdp.people import one_id
from cdp.profile import Carved
from cdp.topics import Names
from rules.identity.place import Carve, Move

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


class Resolved(msgspec.Struct, kw_only=True):
    """What PROFILE reads of a record on `resolved`; everything else in it is passed on unread.

    An event counts in `part` of its person. Commands (`kind` "command") are about `parts` that go from one person to another,
    by the change `version`. When parts move, ``await`` tells the new owner and ``move`` the old one, whose name `other` is in
    either case the opposite; ``state`` brings a part. When a stretch of a part counts in another one, ``expect`` tells the
    owner of the other one and ``carve`` the owner of the first; ``stretch`` brings it. See `PartState` for what is brought.
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
    carving: list[int] = []
    heard: list[int] = []
    received: list[int] = []
    state_id: int = 0
    answers: list[int] = []

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
    carving: list[int] = []
    heard: list[int] = []
    received: list[int] = []
    state_id: int = 0
    answers: list[int] = []


class PartState(msgspec.Struct, frozen=True):
    """A part, or a stretch of one, on its way.

    Attributes:
        state: as base64.
        state_id: what comes again has the same; of a move its version.
        answers: versions of the changes for which it was awaited.
        awaited: versions of changes that its old owner was waiting for itself.
        carved: stretches that were carved out of it.
        carving: versions of those that have not been answered.
        heard, received: as in a profile: what is in the state already.
    """

    number: int
    state: str
    state_id: int
    answers: list[int]
    awaited: list[int] = []
    carved: list[Carved] = []
    carving: list[int] = []
    heard: list[int] = []
    received: list[int] = []


class Tick(msgspec.Struct, kw_only=True):
    """Time has passed: on each partition of `resolved`, now and then."""

    kind: str = "tick"
    time: int


_encode = msgspec.json.Encoder().encode


def await_parts(change: Move, time: int) -> Output:
    """``await``, to the new owner of parts. The same command always has the same message id."""
    return _about("await", change.target, change.source, change.parts, change.version, time)


def move(change: Move, time: int) -> Output:
    """``move``, to the old owner of parts."""
    return _about("move", change.source, change.target, change.parts, change.version, time)


def merges(change: Move | Carve, time: int) -> list[Output]:
    """For the facts: whose parts are from now on, at once on `merges`, for the history on `changes`.

    The position of each is the change's version and the part.
    What is carved out of a part was written for its owner: whose the part is in which it counts must be told as well.
    """
    key, parts = one_id(change.target), change.parts if isinstance(change, Move) else (change.into,)
    told = [
        Merge(
            one_id=key, person=change.target, loser=one_id(part), loser_person=part, version=change.version, time=time,
            message_id=_command_id("merge", change.target, change.version, (part,)), p=BY_VERSION, o=change.version, seq=part,
        )
        for part in parts
    ]  # fmt: skip
    return [output(topic, key, merge) for merge in told for topic in (MERGES, CHANGES)]


def expect(change: Carve, time: int) -> Output:
    """``expect``, to the owner of the part in which a stretch of another one counts."""
    return _about("expect", change.target, change.source, (change.into,), change.version, time, [_stretch(change)])


def carve(change: Carve, time: int) -> Output:
    """``carve``, to the owner of a part."""
    return _about("carve", change.source, change.target, (change.part,), change.version, time, [_stretch(change)])


def _stretch(change: Carve) -> Carved:
    return change.version, change.start, change.end, change.into, change.target


def _about(
    event: str, person: int, other: int, parts: Sequence[int], version: int, time: int, carved: Sequence[Carved] = ()
) -> Output:
    return _command(Command(
        one_id=one_id(person), person=person, event=event, other=other, parts=list(parts), version=version, time=time,
        message_id=_command_id(event, person, version, parts), carved=list(carved),
    ))  # fmt: skip


def state(event: str, person: int, other: int, part: PartState, version: int, time: int) -> Output:
    """``state`` or ``stretch``, to the person to whom a part belongs now."""
    return _command(Command(
        one_id=one_id(person), person=person, event=event, other=other, parts=[part.number], version=version, time=time,
        message_id=_command_id(event, person, part.state_id, (part.number,)), state=part.state, awaited=part.awaited,
        carved=part.carved, carving=part.carving, heard=part.heard, received=part.received, state_id=part.state_id,
        answers=part.answers,
    ))  # fmt: skip


def passed_on(record: Resolved, person: int) -> Output:
    """A command, addressed to another person."""
    return _command(Command(
        one_id=one_id(person), person=person, event=record.event, other=record.other, parts=record.parts,
        version=record.version, time=record.time, state=record.state, awaited=record.awaited, carved=record.carved,
        carving=record.carving, heard=record.heard, received=record.received, state_id=record.state_id, answers=record.answers,
        message_id=_command_id(record.event, person, record.state_id or record.version, record.parts),
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
