"""The records between the jobs, and how they are passed on without being encoded again.

A resolved event is the collector's JSON with a head spliced in front; a fact is the resolved JSON with another.
An output of a step is one text: a topic's letter, the key (a OneID, always eleven characters), the value.
"""

import msgspec

from cdp.events import EMPTY_OBJECT, NAMED_KINDS, UNNAMED_KINDS, Identifier
from cdp.people import ONE_ID_LENGTH, one_id

RESOLVED, FACTS, CHANGES, ACTIONS, DEAD_LETTERS = "R", "F", "C", "A", "D"
NO_KEY = "-" * ONE_ID_LENGTH


class Resolved(msgspec.Struct, kw_only=True):
    """What PROFILE reads of a record on `resolved`; everything else in it is passed on unread.

    Commands (`kind` "command") carry `other`: for ``merge`` the survivor, for ``await`` and ``state`` the loser;
    ``state`` carries the loser's profile as base64.
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
    other: int = 0
    state: str = ""

    @property
    def name(self) -> str:
        """The event's name as rules know it: what somebody did; a page's own name is no event's."""
        return self.event if self.kind in NAMED_KINDS else UNNAMED_KINDS.get(self.kind, "")


decode_resolved = msgspec.json.Decoder(Resolved).decode


class Command(msgspec.Struct, kw_only=True):
    """A command on `resolved`, as written. `event` is ``merge``, ``await`` or ``state``."""

    one_id: str
    person: int
    kind: str = "command"
    event: str
    other: int
    time: int
    message_id: str
    state: str = ""


class Tick(msgspec.Struct, kw_only=True):
    """Time has passed: on each partition of `resolved`, now and then."""

    kind: str = "tick"
    time: int


def command(event: str, person: int, other: int, time: int, state: str = "") -> str:
    """A command as an output of a step. The same command always has the same message id."""
    record = Command(
        one_id=one_id(person), person=person, event=event, other=other, time=time,
        message_id=f"{event}:{one_id(person)}:{one_id(other)}", state=state,
    )  # fmt: skip
    return RESOLVED + record.one_id + msgspec.json.encode(record).decode()


def resolved(event: bytes, person: int, partition: int, offset: int) -> str:
    """The collector's event with its person and its position on `events`."""
    key = one_id(person)
    return f'{RESOLVED}{key}{{"one_id":"{key}","person":{person},"origin":[{partition},{offset}],{event[1:].decode()}'


def forwarded(record: bytes, person: int) -> str:
    """A resolved event, addressed to another person. The head up to ``"origin"`` is the one `resolved` writes."""
    key = one_id(person)
    rest = record[record.index(b'"origin"') :].decode()
    return f'{RESOLVED}{key}{{"one_id":"{key}","person":{person},{rest}'


def fact(record: bytes, key: str, partition: int, offset: int) -> str:
    """An applied event with its position on `resolved`."""
    return f'{FACTS}{key}{{"p":{partition},"o":{offset},{record[1:].decode()}'


def output(topic: str, key: str, record: msgspec.Struct) -> str:
    """Any other record as an output of a step."""
    return topic + key + msgspec.json.encode(record).decode()
