"""Who waits for something, and what for.

PROFILE lists the people who wait in Redis, by the moment since when (`Names.waiting_key`). A part or a range is under way for
well under a second; whoever waits for longer than WAITS_TOO_LONG is shown to people and counted for alerts. After a minute
PROFILE asks again by itself.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import msgspec
import redis

from cdp.clock import DAY, HOUR, MINUTE, SECOND, to_iso
from cdp.people import one_id
from cdp.topics import Names
from profiles.state import Fetch, Person, unpack

WAITS_TOO_LONG = 5 * SECOND
SHOWN = 20  # people whose profiles are read

Kind = Literal["part", "range", "facts"]
GONE = "its profile is not there"
UNREADABLE = "its profile is of another version of the platform"


@dataclass(frozen=True)
class Wait:
    """One thing that a person waits for.

    Attributes:
        kind: ``part``: a whole part is on its way from another person, and events are held back until it is there; ``range``:
            what was counted in a range of time that was reassigned to a part; ``facts``: a part is counted again once they are
            in ClickHouse.
        part: the part's number.
        version: of the move or the reassignment; 0 for facts.
        giver: the OneID of who has to send it; None if that is unknown, and for facts.
        since: in microseconds.
        needs: how many positions of facts must have arrived; 0 unless it waits for facts.
    """

    kind: Kind
    part: int
    version: int
    giver: str | None
    since: int
    needs: int = 0


@dataclass(frozen=True)
class Waiter:
    """A person who waits.

    Attributes:
        since: in microseconds.
        held_back: how many events wait until all parts are there.
        waits: what for, parts first, then ranges, then facts; empty if the profile could not be read.
        amiss: why it could not be read; otherwise empty.
    """

    one_id: str
    since: int
    held_back: int = 0
    waits: tuple[Wait, ...] = ()
    amiss: str = ""

    @property
    def kind(self) -> Kind | Literal["unknown"]:
        """The worst of what the person waits for: events are held back for a part, for a range or for facts none are."""
        return self.waits[0].kind if self.waits else "unknown"


@dataclass(frozen=True)
class Waiters:
    """The people who wait for too long.

    Attributes:
        count: how many there are.
        since: since when the first of them has waited, in microseconds; 0 if there are none.
        first: those who have waited longest.
    """

    count: int = 0
    since: int = 0
    first: tuple[Waiter, ...] = ()

    def by_kind(self) -> Counter[str]:
        """How many wait for what, each person counted once; ``unknown``: their profiles were not read, or could not be."""
        kinds = Counter[str](person.kind for person in self.first)
        kinds["unknown"] += self.count - len(self.first)
        return kinds


NOBODY = Waiters()


def waits_of(person: Person) -> tuple[Wait, ...]:
    """What a person waits for: parts first, then ranges, then facts; the longest wait of each first. Pure."""
    awaited: tuple[tuple[Kind, dict[int, dict[int, Any]]], ...] = (("part", person.log.awaiting), ("range", person.log.expected))
    found = [
        [
            Wait(kind, part, version, one_id(wait.giver) if wait.giver else None, wait.since)
            for part, waits in parts.items()
            for version, wait in waits.items()
        ]
        for kind, parts in awaited
    ]
    found.append([Wait("facts", part, 0, None, one.since, len(one.needs)) for part, one in person.log.rebuild.items()])
    return tuple(wait for waits in found for wait in sorted(waits, key=lambda wait: (wait.since, wait.part, wait.version)))


def waiter(person: Person) -> Waiter:
    """A person who waits, by the profile. Pure."""
    return Waiter(one_id(person.number), person.log.waits_since, len(person.log.pending), waits_of(person))


def read_waiters(client: "redis.Redis[bytes]", names: Names, partitions: int, now: int, limit: int = SHOWN) -> Waiters:
    """Who has waited for longer than WAITS_TOO_LONG at `now`, in microseconds.

    Two round trips, and one for each who holds back so much that it lies beside the profile; one if nobody waits.

    Args:
        limit: how many people's profiles are read, those who have waited longest.

    Raises redis.RedisError.
    """
    pipeline = client.pipeline(transaction=False)
    for partition in range(partitions):
        key, latest = names.waiting_key(partition), now - WAITS_TOO_LONG
        pipeline.zcount(key, "-inf", latest)
        pipeline.zrangebyscore(key, "-inf", latest, start=0, num=limit, withscores=True)
    answers = pipeline.execute()
    listed = sorted((int(since), int(person)) for some in answers[1::2] for person, since in some)[:limit]
    if not listed:
        return NOBODY
    values = client.mget([names.profile_key(person) for _, person in listed])
    read = [
        _read(since, person, value, partial(client.hget, names.slices_key(person)))
        for (since, person), value in zip(listed, values, strict=True)
    ]
    first = sorted((one for one in read if one is not None), key=lambda one: one.since)
    count = sum(answers[0::2]) - read.count(None)
    return Waiters(count, first[0].since if first else listed[0][0], tuple(first)) if count else NOBODY


def _read(since: int, person: int, value: bytes | None, fetch: Fetch) -> Waiter | None:
    """A person who is listed; None if nothing is waited for by now: a profile is written before the list is."""
    if value is None:
        return Waiter(one_id(person), since, amiss=GONE)
    try:
        profile = unpack(value, fetch=fetch)
        return waiter(profile) if profile.log.is_waiting else None
    except msgspec.DecodeError:
        return Waiter(one_id(person), since, amiss=UNREADABLE)


def say(person: Waiter, now: int) -> str:
    """In words: ``P0000009986 waits 12 s for part 9994 of P0000009994, 14 events held back``."""
    what = f"for {_say_wait(person.waits[0])}" if person.waits else f"but {person.amiss}"
    more = f" and {len(person.waits) - 1:,} more" if len(person.waits) > 1 else ""
    held_back = f", {_count(person.held_back, 'event')} held back" if person.held_back else ""
    return f"{person.one_id} waits {_length(now - person.since)} {what}{more}{held_back}"


def as_json(person: Waiter, now: int) -> dict[str, Any]:
    """For machines: times as ISO 8601 in UTC, and `seconds` up to `now`; `says` is what `say` says."""
    return {
        "one_id": person.one_id,
        "since": to_iso(person.since),
        "seconds": seconds_until(now, person.since),
        "held_back": person.held_back,
        "waits": [asdict(wait) | {"since": to_iso(wait.since)} for wait in person.waits],
        "says": say(person, now),
    }


def seconds_until(now: int, since: int) -> float:
    """How long something has lasted, in seconds to a tenth; never negative: clocks of two machines differ."""
    return round(max(0, now - since) / SECOND, 1)


def _say_wait(wait: Wait) -> str:
    match wait.kind:
        case "part":
            return f"part {wait.part} of {wait.giver or 'somebody unknown'}"
        case "range":
            return f"a range of time for part {wait.part} from {wait.giver or 'somebody unknown'}"
        case "facts":
            needed = f", {_count(wait.needs, 'position')} of them" if wait.needs else ""
            return f"the facts of part {wait.part}{needed}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _length(micros: int) -> str:
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if micros >= 2 * unit:
            return f"{micros // unit:,} {name}"
    return f"{max(0, micros) // SECOND} s"
