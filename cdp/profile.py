"""A person's profile: what PROFILE keeps in Redis, and what the API reads.

In Redis a profile is one string: eight bytes of version (big endian, for the compare-and-set), then MessagePack.
Everything under "state" is a function of the set of applied events, not of their order; `tags` holds what the last
evaluation found and since when; the rest is bookkeeping of the writer.
"""

import struct
from typing import Any

import msgspec

MONEY = 10_000  # amounts are integers of 1/10,000 of the currency's unit: sums do not depend on the order

FULL_REFUND = -1  # amount of a refund that names none: everything

TagValue = str | int | float | bool


class Placed(msgspec.Struct, array_like=True):
    """An order as placed: the version with the latest (time, digest) wins."""

    time: int
    digest: int
    amount: int
    quantity: int
    currency: str
    categories: dict[str, int]


class Order(msgspec.Struct, array_like=True):
    """What is known of one order, whatever came first: placed, refunds by message digest, first cancellation."""

    placed: Placed | None = None
    refunds: dict[int, tuple[int, int]] = {}
    cancelled: int | None = None


class Moment(msgspec.Struct, array_like=True):
    """First and last time of something, with the value it had; ties go by digest of the message."""

    first: int
    first_digest: int
    first_value: Any
    last: int
    last_digest: int
    last_value: Any


class Attribute(msgspec.Struct, array_like=True):
    """A trait: the value with the latest (time, digest) wins."""

    value: Any
    time: int
    digest: int


class Tag(msgspec.Struct, array_like=True):
    """A tag's value, and the time of the event or tick that set it, in microseconds."""

    value: TagValue
    since: int


class Profile(msgspec.Struct, array_like=True):
    """One person.

    Attributes:
        person: the dense number.
        as_of: the person's own clock: the latest event or tick, in microseconds.
        first_seen, last_seen: earliest and latest event time; 0 before the first event.
        events: how many events were applied.
        identifiers: ``type:value`` to the time first seen.
        attributes: traits by name.
        days: metric key to local day number to amount: the daily buckets that windows are summed from.
        moments: metric key to first and last.
        orders: by order id.
        occasions: ``rule|occasion`` to the time it fired: what may happen once, has happened.
        merged: people who became this one.
        marks: local day of receipt to 8-byte digests of the messages applied, one after the other.
        tags: by name.
        into: the survivor, once this person was merged away; the profile is frozen then.
        awaiting: merged people whose state is still on its way; events wait in `pending` until it is here.
        offset: of the last record applied, on this person's partition of `resolved`.
        due: when time alone will change something next, in microseconds; 0: never.
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
    merged: list[int] = []
    marks: dict[int, bytes] = {}
    tags: dict[str, Tag] = {}
    into: int = 0
    awaiting: list[int] = []
    pending: list[tuple[int, bytes]] = []
    offset: int = -1
    due: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Profile).decode
_VERSION = struct.Struct(">Q")


def pack(profile: Profile, version: int) -> bytes:
    """The Redis value of a profile."""
    return _VERSION.pack(version) + _encode(profile)


def unpack(value: bytes) -> tuple[Profile, int]:
    """The profile and its version. Raises msgspec.DecodeError if the bytes are not a profile."""
    return _decode(memoryview(value)[8:]), _VERSION.unpack_from(value)[0]


def pack_state(profile: Profile) -> bytes:
    """A profile without version: what travels to the survivor of a merge."""
    return _encode(profile)


def unpack_state(value: bytes) -> Profile:
    """The inverse of `pack_state`."""
    return _decode(value)
