"""The records between the jobs, and how they are passed on without being encoded again.

A resolved event is the collector's JSON with a head spliced in front; a fact is the resolved JSON with another.
An output of a step is a topic's letter, a key (a OneID) and a value.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from cdp.events import EMPTY_OBJECT, NAMED_KINDS, UNNAMED_KINDS, Identifier, Merge, Source
from cdp.people import one_id
from cdp.profile import Awaited, Position, Rebuild
from cdp.ranges import Range
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


class Fragment(msgspec.Struct, frozen=True):
    """What ``state`` and ``range`` bring of a part.

    Attributes:
        state: of ``state`` the part, as base64; of ``range`` its occasions and sealed identifiers only.
        needs: facts of the part; what is counted from facts has to wait for them.
        ranges: what is known of the part's ranges; of ``range`` those that are reassigned.
        family: parts in which something of them may have been counted.
        awaited, expected: what its old owner waited for itself.
        received, brought, answered, unanswered: as in a profile.
        rebuild: it has to be counted again from its facts, and was not yet.
    """

    state: str = ""
    needs: list[Position] = []
    ranges: list[Range] = []
    family: list[int] = []
    awaited: dict[int, Awaited] = {}
    expected: dict[int, Awaited] = {}
    received: list[int] = []
    brought: list[int] = []
    answered: list[int] = []
    unanswered: dict[int, tuple[int, int]] = {}
    rebuild: Rebuild | None = None


class Resolved(msgspec.Struct, kw_only=True):
    """What PROFILE reads of a record on `resolved`; everything else in it is passed on unread.

    An event counts in `part` of its person; `assigned` is the version of the reassignment that sent it there, if one did.
    Commands (`kind` "command") are about `parts`, by the change `version`; `other` is the opposite person. When parts move,
    ``await`` tells the new owner and ``move`` the old one, whose answer is ``state``. When a range of time of a part is
    reassigned to another part, ``expect`` tells the owner of the other one and ``carve`` the owner of the first, whose answer is
    ``range``; `carved` holds the range: (version, start, end, part, the part's person). `again`: it is asked for once more.
    ``rebuild`` counts a person again from the facts. See `Fragment` for what an answer brings.
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
    carved: list[tuple[int, int, int, int, int]] = []
    giver_part: int = 0
    assigned: int = 0
    again: bool = False
    fragment: Fragment | None = None
    state: str = ""  # what answers brought before they had fragments

    @property
    def name(self) -> str:
        """The event's name as rules know it: what somebody did; a page's own name is no event's."""
        return self.event if self.kind in NAMED_KINDS else UNNAMED_KINDS.get(self.kind, "")


decode_resolved = msgspec.json.Decoder(Resolved).decode


class Command(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A command on `resolved`, as written: see `Resolved`."""

    one_id: str
    person: int
    kind: str
    event: str
    other: int
    parts: list[int]
    version: int
    time: int
    message_id: str
    carved: list[tuple[int, int, int, int, int]] = []
    giver_part: int = 0
    again: bool = False
    fragment: Fragment | None = None


class Tick(msgspec.Struct, kw_only=True):
    """Time has passed: on each partition of `resolved`, now and then."""

    kind: str = "tick"
    time: int


class Cause(NamedTuple):
    """Why a command is sent: the change's version, the time of the record that has it sent, and whether it is sent once more."""

    version: int
    time: int
    again: bool = False


_encode = msgspec.json.Encoder().encode


def await_parts(change: Move, time: int) -> Output:
    """``await``, to the new owner of parts. The same command always has the same message id."""
    return _about("await", change.target, change.source, change.parts, Cause(change.version, time))


def await_part(person: int, number: int, giver: int, cause: Cause) -> Output:
    """``await``, to whom a part has gone on before it came."""
    return _about("await", person, giver, (number,), cause)


def move(change: Move, time: int) -> Output:
    """``move``, to the old owner of parts."""
    return _about("move", change.source, change.target, change.parts, Cause(change.version, time))


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
    """``expect``, to the owner of the part to which a range of another one is reassigned."""
    cause = Cause(change.version, time)
    return _about("expect", change.target, change.source, (change.into,), cause, [_carved(change)], giver_part=change.part)


def carve(change: Carve, time: int) -> Output:
    """``carve``, to the owner of the part from which a range is reassigned."""
    return _about("carve", change.source, change.target, (change.part,), Cause(change.version, time), [_carved(change)])


def _carved(change: Carve) -> tuple[int, int, int, int, int]:
    return change.version, change.start, change.end, change.into, change.target


def ask_for_part(person: int, number: int, version: int, giver: int, time: int) -> Output:
    """``move`` once more: a part, or the answer that it was sent, has not come."""
    return _about("move", giver, person, (number,), Cause(version, time, again=True))


def ask_for_range(person: int, known: Range, part: int, giver: int, time: int) -> Output:
    """``carve`` once more: what was counted in a range, or the answer that it was nothing, has not come."""
    start, end, version, into, owner = known
    return _about("carve", giver, person, (part,), Cause(version, time, again=True), [(version, start, end, into, owner)])


def _about(
    event: str, person: int, other: int, parts: Sequence[int], cause: Cause,
    carved: Sequence[tuple[int, int, int, int, int]] = (), *, giver_part: int = 0,
) -> Output:  # fmt: skip
    version, time, again = cause
    return _command(Command(
        one_id=one_id(person), person=person, kind="command", event=event, other=other, parts=list(parts), version=version,
        time=time, message_id=_command_id(event, person, version, parts), carved=list(carved), giver_part=giver_part, again=again,
    ))  # fmt: skip


def answer(event: str, person: int, other: int, number: int, cause: Cause, fragment: Fragment) -> Output:
    """``state`` or ``range``, to the person to whom a part, or a range, belongs now."""
    version, time, again = cause
    return _command(Command(
        one_id=one_id(person), person=person, kind="command", event=event, other=other, parts=[number], version=version,
        time=time, message_id=_command_id(event, person, version, (number,)), fragment=fragment, again=again,
    ))  # fmt: skip


def passed_on(record: Resolved, person: int) -> Output:
    """A command, addressed to another person."""
    return _command(Command(
        one_id=one_id(person), person=person, kind="command", event=record.event, other=record.other, parts=record.parts,
        version=record.version, time=record.time, carved=record.carved, giver_part=record.giver_part, again=record.again,
        fragment=record.fragment or (Fragment(state=record.state) if record.state else None),
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
