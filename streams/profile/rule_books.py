"""Rule books out of Redis, and since when each holds."""

from functools import partial

import msgspec
import redis

from cdp.clock import Calendar
from cdp.errors import CdpError, Unavailable
from cdp.rule_books import decode_book
from cdp.topics import Names
from profiles.book import compile_book
from profiles.kernel import Kernel
from rules.definitions.load import load_rules, read_book
from streams.profile.books import Books, Changes, InForce

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(InForce).decode


def live_books(client: "redis.Redis[bytes]", names: Names, calendar: Calendar, partitions: int) -> Books:
    """The books of a platform."""
    return Books(
        partial(_make, client, names, calendar), partial(_find, client, names), lambda: int(client.get(names.people_key) or 0),
        partitions,
    )  # fmt: skip


def queue_changes(pipeline: "redis.client.Pipeline[bytes]", names: Names, changes: Changes) -> None:
    """Queue what a batch has changed for writing."""
    for partition, offset, number in changes.since:
        pipeline.zadd(names.rules_since_key(partition), {str(number): offset})
    for partition, state in changes.sweeps.items():
        pipeline.set(names.rules_sweep_key(partition), _encode(state))


def _make(client: "redis.Redis[bytes]", names: Names, calendar: Calendar, number: int) -> Kernel:
    """Raises Unavailable: the book is not there; CdpError: it cannot be used by this version."""
    if number == 0:
        return Kernel(compile_book(load_rules()), calendar)
    value = client.get(names.rule_book_key(number))
    if value is None:
        raise Unavailable(f"Rule book {number} is not in Redis.", "The API writes it again within seconds.")
    try:
        return Kernel(compile_book(read_book(decode_book(value)), number), calendar)
    except msgspec.MsgspecError as error:
        raise CdpError(f"Rule book {number} cannot be read: {error}.", "It is of another version of the platform.") from error


def _find(client: "redis.Redis[bytes]", names: Names, partition: int, offset: int) -> InForce:
    """What holds for the record at an offset: the highest book whose record stands before it."""
    since = client.zrangebyscore(names.rules_since_key(partition), "-inf", f"({offset}")
    book = max(map(int, since), default=0)
    value = client.get(names.rules_sweep_key(partition))
    sweep = _decode(value) if value else InForce()
    return sweep if sweep.book == book else InForce(book)
