"""A person's profile: what PROFILE keeps in Redis, and what the API reads.

In Redis a profile is one string: eight bytes of version (big endian, for the compare-and-set), a byte that says the format,
then MessagePack. The format before this one is upgraded when it is read (`cdp.profile_formats`); any other is refused.
What a profile says of a person is a function of the set of applied events, not of their order; `tags` holds what the last
evaluation found and since when; the rest is bookkeeping of the writer.

A person is put together of parts: each identifier has one, and an event counts in the part of its strongest identifier. A
profile of several parts keeps the state of each beside the whole, so that a part can be taken out again exactly.
"""

import struct
from typing import Any

import msgspec

from cdp.ranges import Range

FULL_REFUND = -1  # amount of a refund that names none: everything; less its version, if it has one
FINAL = 2**63 - 1  # version of a cancellation that names none: whatever version is placed, it stands

FORMAT = 4  # raise it with every change that older profiles cannot be read under
ID_DIGEST, PAYLOAD_DIGEST = 8, 4  # bytes; together they are a message's mark
MARK = ID_DIGEST + PAYLOAD_DIGEST

TagValue = str | int | float | bool


class Placed(msgspec.Struct, array_like=True):
    """An order as placed: the highest (version, time, digest) wins. A source that counts no versions sends 0."""

    time: int
    digest: int
    amount: int
    quantity: int
    currency: str
    categories: dict[str, int]
    version: int = 0


class Order(msgspec.Struct, array_like=True):
    """What is known of one order, whatever came first.

    Attributes:
        placed: as placed.
        refunds: by digest of the refund's own id, or else of its message's: time, amount and currency. A full refund has
            FULL_REFUND less its version: it stands as long as no higher version was placed; without a version it is final.
        cancelled: the highest version that a cancellation has, FINAL if one has none; None: there is no cancellation.
        unpaid: the highest version in which it is not paid; 0: there is none.
    """

    placed: Placed | None = None
    refunds: dict[int, tuple[int, int, str]] = {}
    cancelled: int | None = None
    unpaid: int = 0

    @property
    def version(self) -> int:
        """The highest version of the order itself, paid or not; 0: none has a version."""
        return max(self.placed.version if self.placed is not None else 0, self.unpaid)

    @property
    def is_cancelled(self) -> bool:
        """Whether the order is cancelled, and was not placed again by a higher version."""
        return self.cancelled is not None and self.cancelled >= self.version

    @property
    def is_unpaid(self) -> bool:
        """Whether its highest version is not paid. Of one version that is both, the paid one stands."""
        return self.unpaid > (self.placed.version if self.placed is not None else 0)

    @property
    def stands(self) -> bool:
        """Whether anything of it is money: it is neither cancelled nor unpaid."""
        return not self.is_cancelled and not self.is_unpaid

    @property
    def refunded_by_name(self) -> int:
        """What the refunds that name an amount give back: all that a refund without its order says."""
        return sum(amount for _, amount, _ in self.refunds.values() if amount > FULL_REFUND)

    @property
    def refunded(self) -> int | None:
        """What was given back, in 1/10,000; None: everything.

        Only refunds in the order's own currency (or in none) count: there is no subtracting euros from yuan.
        """
        if any(self._is_everything(amount) for _, amount, _ in self.refunds.values()):
            return None
        return sum(amount for _, amount, currency in self.refunds.values() if amount >= 0 and self._is_own(currency))

    @property
    def other_currencies(self) -> dict[str, int]:
        """What was given back in other currencies than the order's, in 1/10,000 by currency: it is not subtracted."""
        found: dict[str, int] = {}
        for _, amount, currency in self.refunds.values():
            if amount >= 0 and not self._is_own(currency):
                found[currency] = found.get(currency, 0) + amount
        return found

    def _is_own(self, currency: str) -> bool:
        own = self.placed.currency if self.placed is not None else ""
        return not own or not currency or own == currency

    def _is_everything(self, amount: int) -> bool:
        version = FULL_REFUND - amount
        return version == 0 or (version > 0 and (self.placed is None or version >= self.placed.version))


class Moment(msgspec.Struct, array_like=True):
    """First and last time of something, with the value it had; ties go by digest of the message."""

    first: int
    first_digest: int
    first_value: Any
    last: int
    last_digest: int
    last_value: Any


class Attribute(msgspec.Struct, array_like=True):
    """A trait: the value as it is now, and the event that gave it.

    Without `operations` it was only ever set and unset, and the latest (time, digest) wins.

    Attributes:
        gone: it was unset or deleted: the person has not got it, and `value` is None.
        operations: what it is worked out from, if more was done to it: see `streams.attributes`.
    """

    value: Any
    time: int
    digest: int
    gone: bool = False
    operations: "Operations | None" = None


class Operations(msgspec.Struct, array_like=True):
    """Everything that was done to one trait, kept so that the order of arrival makes no difference.

    Attributes:
        base: the latest set or unset: (time, digest, gone, value).
        first, last: the earliest and the latest set_once: (time, digest, value).
        added: the newest increments, ascending: (time, digest, amount in 1/10,000).
        older: the increments before those as one: (time and digest of the newest of them, sum); None: there are none.
        items: appended values as JSON, with when each was appended last: (time, digest, place in the list).
    """

    base: tuple[int, int, bool, Any] | None = None
    first: tuple[int, int, Any] | None = None
    last: tuple[int, int, Any] | None = None
    added: list[tuple[int, int, int]] = []
    older: tuple[int, int, int] | None = None
    items: dict[str, tuple[int, int, int]] = {}


class Tag(msgspec.Struct, array_like=True):
    """A tag's value, and the time of the event or tick that set it, in microseconds."""

    value: TagValue
    since: int


Position = tuple[int, int]
"""Where a record stands on `resolved`: (partition, offset)."""

AT_NEXT_TICK = 1  # a moment that every tick is later than
STUCK_AFTER = 60_000_000  # microseconds after which what did not come is asked for again


class Gone(msgspec.Struct, array_like=True):
    """To whom a part went, by which version."""

    owner: int
    version: int


class Remainder(msgspec.Struct, array_like=True):
    """What of a part does not follow from its facts, and (`fact_at`) which these are; the fields are those of a profile."""

    occasions: dict[str, int] = {}
    sealed: dict[str, str] = {}
    fact_at: dict[int, int] = {}


class Awaited(msgspec.Struct, array_like=True):
    """What a person waits for from another one.

    Attributes:
        giver: the person who has to send it; 0: unknown (a profile of an older format).
        part: of a range: the part in which it counted before; 0: a whole part is awaited.
        range: what was reassigned then, whatever was since.
        since: when that was decided, in microseconds.
        asked: when it was asked for again; 0: it was not.
    """

    giver: int
    since: int
    part: int = 0
    asked: int = 0
    range: Range | None = None

    @property
    def wake_at(self) -> int:
        """When it has to be asked for (again)."""
        return max(self.since, self.asked) + STUCK_AFTER


class Rebuild(msgspec.Struct, array_like=True):
    """A part has to be counted again from its facts.

    Attributes:
        since: when that was found, in microseconds.
        needs: how far the facts must have arrived before, as in `fact_at`.
        recent: (partition, offset, record) of events applied since then: their facts may be on their way.
        is_overdue: it has waited for too long, and was counted among those.
    """

    since: int
    needs: list[Position] = []
    recent: list[tuple[int, int, bytes]] = []
    is_overdue: bool = False


class Profile(msgspec.Struct, array_like=True):
    """One person; or one part of a person, which leaves the bookkeeping empty.

    Attributes:
        person: the dense number; of a part, the part's.
        as_of: the person's own clock: the latest event or tick, in microseconds.
        first_seen, last_seen: earliest and latest event time; 0 before the first event.
        events: how many events were applied.
        identifiers: ``type:value`` to the time first seen.
        attributes: traits by name.
        days: metric key to local day number to amount: the daily buckets that windows are summed from.
        moments: metric key to first and last.
        orders: by order id.
        occasions: ``rule|occasion`` to the time it fired: what may happen once, has happened.
        marks: day of receipt (UTC) to the marks of the messages applied, one after the other: a digest of the message id
            (8 bytes), and one of what the message says (4 bytes).
        tags: by name.
        part: the number of its only part; 0: it has none yet, or several.
        parts: the states of several parts by number, as `pack_state` writes them.
        offset: of the last record applied, on this person's partition of `resolved`.
        due: when time alone will change something next, in microseconds; 0: never.
        deleted: (time, digest) of the latest event that deleted all attributes: older ones are gone.
        sealed: personal identifiers, ``type:token`` to the sealed normal form; by the newest key of those that sealed it.
        silent: how many messages were applied that change nobody (bots', unbindings, decisions ...), and the earliest and latest
            time of them; they count in parts as others do.
        fact_at: partition to the offset of the record with which the last fact was written for this part: facts of a partition
            are written in this order.
        gone: parts that went to another person.
        handed: what is kept of parts that were handed over. If one is lost on its way, it is put together of that.
        awaiting: parts on their way to this person, by number and version of the move. Events wait in `pending` until they are
            here.
        received: the versions of the moves by which a part came, the newest 32.
        brought: of these, the ones whose answers brought something that was counted.
        pending: (offset, record) of events that wait.
        ranges: of a part, the ranges of time that were reassigned to it or away from it, ascending: see `streams.ranges`.
        family: of a part, the other parts of its identifier in which something of its ranges may have been counted.
        expected: ranges that were reassigned to a part, and about which the former holder has not answered yet. No event
            waits for that.
        answered: the versions of reassignments about which it has, the newest 64.
        unanswered: reassignments of ranges of a part that is on its way: by version, the other part and its person. What was
            counted of them is known, and answered, when the part has come.
        rebuild: parts that have to be counted again from their facts. No event waits for that.
    """

    person: int
    as_of: int = 0
    first_seen: int = 0
    last_seen: int = 0
    events: int = 0
    identifiers: dict[str, int] = {}
    attributes: dict[str, Attribute] = {}
    days: dict[str, dict[int, int]] = {}
    moments: dict[str, Moment] = {}
    orders: dict[str, Order] = {}
    occasions: dict[str, int] = {}
    marks: dict[int, bytes] = {}
    tags: dict[str, Tag] = {}
    part: int = 0
    parts: dict[int, bytes] = {}
    offset: int = -1
    due: int = 0
    deleted: tuple[int, int] = (0, 0)
    sealed: dict[str, str] = {}
    silent: tuple[int, int, int] = (0, 0, 0)
    fact_at: dict[int, int] = {}
    gone: dict[int, Gone] = {}
    handed: dict[int, Remainder] = {}
    awaiting: dict[int, dict[int, Awaited]] = {}
    received: dict[int, list[int]] = {}
    brought: dict[int, list[int]] = {}
    pending: list[tuple[int, bytes]] = []
    ranges: dict[int, list[Range]] = {}
    family: dict[int, list[int]] = {}
    expected: dict[int, dict[int, Awaited]] = {}
    answered: dict[int, list[int]] = {}
    unanswered: dict[int, dict[int, tuple[int, int]]] = {}
    rebuild: dict[int, Rebuild] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether something of it is on its way, or has to be counted again."""
        return bool(self.awaiting or self.expected or self.rebuild)

    @property
    def part_numbers(self) -> list[int]:
        """The numbers of the parts that this person is put together of, ascending."""
        return sorted(self.parts) if self.parts else [self.part] if self.part else []

    @property
    def waits_since(self) -> int:
        """Since when it waits for something, in microseconds; 0: it does not."""
        return min((*(wait.since for wait in self.waits()), *(one.since for one in self.rebuild.values())), default=0)

    @property
    def wake_at(self) -> int:
        """When it has to be looked at without an event, in microseconds; 0: never."""
        if not self.is_waiting:
            return self.due
        if self.rebuild:
            return AT_NEXT_TICK
        return min(moment for moment in (self.due, *(wait.wake_at for wait in self.waits())) if moment)

    def waits(self) -> list[Awaited]:
        """What it waits for from other people."""
        return [wait for some in (self.awaiting, self.expected) for waits in some.values() for wait in waits.values()]


def newer_seal(one: str, other: str) -> str:
    """Of two sealings of one value the one by the newer key: k10 after k9. They differ in their keys' names alone."""
    return max(one, other, key=lambda sealed: (len(sealed), sealed))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Profile).decode
_HEAD = struct.Struct(">QB")


def pack(profile: Profile, version: int) -> bytes:
    """The Redis value of a profile."""
    return _HEAD.pack(version, FORMAT) + _encode(profile)


def unpack(value: bytes) -> tuple[Profile, int]:
    """The profile and its version. Raises msgspec.DecodeError if the bytes are not a profile of this format."""
    if len(value) < _HEAD.size:
        raise msgspec.DecodeError("not a profile: too short")
    version, format_ = _HEAD.unpack_from(value)
    body = memoryview(value)[_HEAD.size :]
    if format_ == FORMAT:
        return _decode(body), version
    from cdp.profile_formats import UPGRADES  # it is seldom needed, and needs this module

    if format_ not in UPGRADES:
        raise msgspec.DecodeError(f"a profile of another format: {format_}, not {FORMAT}; this data folder is of another version")
    return UPGRADES[format_](body), version


def pack_state(profile: Profile) -> bytes:
    """A profile without version: how a part is kept, and travels."""
    return pack(profile, 0)


def unpack_state(value: bytes) -> Profile:
    """The inverse of `pack_state`."""
    return unpack(value)[0]


def new_profile(person: int) -> Profile:
    """Nobody knows anything of this person yet; the containers are the profile's own."""
    return Profile(
        person=person, identifiers={}, attributes={}, days={}, moments={}, orders={}, occasions={}, marks={}, tags={}, parts={},
        sealed={}, fact_at={}, gone={}, handed={}, awaiting={}, received={}, brought={}, pending=[], ranges={}, family={},
        expected={}, answered={}, unanswered={}, rebuild={},
    )  # fmt: skip
