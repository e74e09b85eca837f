"""OneID's graph as it is kept: identifiers, the evidence that links them, what people decided, and who is who by that.

Everything but `Node.cuts`, `Node.shared_from`, `Component.people`, `refusals` and `history` is a function of the set of
events: sets, minima and maxima, whatever the order. The rest is what the last grouping made of it.
Times are microseconds; days are numbers of UTC days. An identifier's key is ``type:value``.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Literal

import msgspec

from cdp.clock import DAY

FORMAT = 1
DAYS_KEPT = 30
HISTORY_KEPT = 100
REGROUP = "regroup"  # event of a decision that decides nothing: who is who, by the rules in force?
TRAITS = "record"  # type of the identifier that stands for an event which names none: its traits

Verdict = Literal["apart", "together"]


class Seen(msgspec.Struct, array_like=True):
    """What one source says for a link.

    Attributes:
        first: the earliest time.
        days: the newest 30 days on which it was said, ascending.
        bound: the latest time at which it was said expressly (login, bind, alias); 0: never.
    """

    first: int
    days: list[int]
    bound: int = 0

    def moments(self) -> list[int]:
        """Times at which the link is known to have been seen."""
        found = [self.first]
        if self.days[-1] * DAY > self.first:
            found += [time for day in self.days if (time := day * DAY) > self.first]
        if self.bound > self.first:
            found.append(self.bound)
        return found


class Link(msgspec.Struct, array_like=True):
    """Two identifiers that were seen together, `a` < `b`; by source."""

    a: str
    b: str
    sources: dict[str, Seen]

    @property
    def first(self) -> int:
        """When they were first seen together."""
        return min(seen.first for seen in self.sources.values())

    @property
    def last_day(self) -> int:
        """The last day on which they were seen together."""
        return max(max(seen.days) for seen in self.sources.values())

    def moments(self) -> list[int]:
        """Times at which the link is known to have been seen, ascending."""
        if len(self.sources) == 1:
            (seen,) = self.sources.values()
            return sorted(seen.moments())
        return sorted({time for seen in self.sources.values() for time in seen.moments()})


class Match(msgspec.Struct, array_like=True):
    """Two identifiers whose traits speak for one person, `a` < `b`: the evidence in bits, and the bits of each field."""

    a: str
    b: str
    bits: float
    fields: dict[str, float]


class Decision(msgspec.Struct, array_like=True):
    """What somebody decided about two identifiers, `a` < `b`; the latest one stands."""

    a: str
    b: str
    verdict: Verdict
    time: int
    by: str = ""
    note: str = ""


class Traits(msgspec.Struct, array_like=True):
    """What was said of a person beside identifiers, in the form in which it is compared: JSON, sealed where it is kept."""

    time: int
    text: str


class Node(msgspec.Struct, array_like=True):
    """An identifier.

    It may stand for one person after the other: after it was unbound, or not seen for its lifetime, it begins anew. Such a
    stretch is an epoch; each has a number of its own, and its own part of a profile.

    Attributes:
        numbers: of its epochs; 0: not given yet.
        shared: number of the person who stands for it while nobody knows who uses it; 0: not given yet.
        unbound: times at which it was unbound, ascending.
        cuts: where epochs end, ascending.
        shared_from: after this time it is known to serve several people; -1: it is not.
        sealed: the identifier itself, encrypted; "" if it is not personal.
        records: traits that were seen with it.
        ahead: the latest time of its events that were dated more than a day ahead of their receipt; 0: there was none. What
            they count in is unknown to whoever reads the clock.
        names: of a combination (see `rules.identity.combine`): the identifiers that are said together, the strongest first.
    """

    key: str
    numbers: list[int] = []
    shared: int = 0
    unbound: list[int] = []
    cuts: list[int] = []
    shared_from: int = -1
    sealed: str = ""
    records: list[Traits] = []
    ahead: int = 0
    names: list[str] = []

    def is_shared(self, time: int) -> bool:
        """Whether nobody can say at this time who uses it."""
        return 0 <= self.shared_from < time

    def epoch(self, time: int) -> int:
        """The number of the epoch at a time, from 0."""
        return bisect_right(self.cuts, time)


class Refusal(msgspec.Struct, array_like=True):
    """A link that glues nobody together, and why.

    Attributes:
        reason: ``exclusive``, ``limit``, ``shared``, ``decided``, ``size``, ``several`` (of a transaction), or one of
            matching (``household`` ...).
        gives_way: the weaker identifier.
        time: of the link.
        review: whether somebody should look at it.
    """

    a: str
    b: str
    reason: str
    gives_way: str
    time: int
    detail: str = ""
    review: bool = False
    bits: float = 0.0


class Change(msgspec.Struct, array_like=True):
    """People changed: parts moved from one person to another.

    Attributes:
        version: of the move; grows with each change of the graph.
        moves: (from, to, parts).
        cause: the keys whose evidence or decision did it.
        rules: version of the identity rules that decided.
    """

    version: int
    time: int
    message_id: str
    moves: list[tuple[int, int, list[int]]]
    cause: list[str]
    rules: int


class Component(msgspec.Struct, array_like=True):
    """Identifiers that hang together by evidence, though not all of it may count.

    Attributes:
        people: number of a part to the number of its person.
    """

    id: int
    nodes: dict[str, Node]
    links: list[Link] = []
    matches: list[Match] = []
    decisions: list[Decision] = []
    people: dict[int, int] = {}
    refusals: list[Refusal] = []
    history: list[Change] = []
    rules: int = 0

    @property
    def identifiers(self) -> list[str]:
        """Keys of its identifiers, without combinations of them."""
        return [key for key, node in self.nodes.items() if not node.names]


class Span(msgspec.Struct, array_like=True, frozen=True):
    """From `start` on an identifier's events belong to a part of a person; `part` 0: to be found out."""

    start: int
    part: int
    person: int
    is_shared: bool = False


class IdRecord(msgspec.Struct, array_like=True, frozen=True):
    """What is kept for each identifier.

    Attributes:
        component: 0: it was never seen with another one, or only as `reported_by` says.
        spans: ascending; the first begins at 0.
        sealed: the encrypted form of a personal identifier that has no component; else its node has it.
        reported_by: of a transaction that one identifier alone has told of, and that has no node: that identifier; "" otherwise.
        evidence: of such a transaction: what each source says for the link to `reported_by`.
    """

    component: int
    spans: list[Span]
    sealed: str = ""
    reported_by: str = ""
    evidence: dict[str, Seen] = {}

    def at(self, time: int) -> Span:
        """The span of a time."""
        if len(self.spans) == 1:
            return self.spans[0]
        return self.spans[bisect_right(self.spans, time, key=_start) - 1]

    def current(self, now: int) -> Span:
        """The span of a moment; if nothing has happened in it yet, the one before."""
        known = [span for span in self.spans if span.part and span.start <= now]
        return known[-1] if known else self.at(now)


class PublishedRules(msgspec.Struct, array_like=True, frozen=True):
    """The identity rules in force, as they are handed to those who use them: the text of the file, and its version."""

    version: int
    text: str


def _start(span: Span) -> int:
    return span.start


_encode = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(IdRecord).decode
encode_rules = msgspec.msgpack.Encoder().encode
decode_rules = msgspec.msgpack.Decoder(PublishedRules).decode
_encode_component = msgspec.msgpack.Encoder().encode
_decode_component = msgspec.msgpack.Decoder(Component).decode


def encode_record(record: IdRecord) -> bytes:
    """The Redis value of a record. One that nothing of a transaction is kept in looks as it did before there was such a thing:
    writers compare bytes.
    """
    return _encode(record if record.reported_by else (record.component, record.spans, record.sealed))


def pack_component(component: Component, version: int, seal: Callable[[str], str] = str) -> bytes:
    """The Redis value of a component: eight bytes of version, one that says the format, then MessagePack.

    `seal` seals the text of traits.
    """
    return version.to_bytes(8) + bytes([FORMAT]) + _encode_component(_with_traits(component, seal))


def unpack_component(value: bytes, open_: Callable[[str], str] = str) -> tuple[Component, int]:
    """The component and its version. Raises msgspec.DecodeError if the bytes are not a component of this format.

    `open_` opens the text of traits; without it they stay sealed.
    """
    if len(value) < 10 or value[8] != FORMAT:
        raise msgspec.DecodeError("not a component of this version's format")
    return _with_traits(_decode_component(memoryview(value)[9:]), open_), int.from_bytes(value[:8])


def _with_traits(component: Component, change: Callable[[str], str]) -> Component:
    """A component with its traits sealed, or opened."""
    if not any(node.records for node in component.nodes.values()):
        return component
    nodes = {
        key: msgspec.structs.replace(node, records=[Traits(traits.time, change(traits.text)) for traits in node.records])
        for key, node in component.nodes.items()
    }
    return msgspec.structs.replace(component, nodes=nodes)
