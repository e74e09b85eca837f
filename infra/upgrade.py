"""Wake people who waited for something when the platform was upgraded.

A profile of an older format is upgraded when it is read, and what it waited for is counted from the facts then. But nothing
reads the profile of somebody of whom no event comes. So, once for each data folder and format of profiles, all those who wait
are made due.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec
import redis
from redis.exceptions import RedisError

from cdp.errors import Unavailable
from cdp.kafka import partition_of
from cdp.people import one_id
from cdp.redis import connect
from cdp.settings import Settings
from cdp.topics import Names
from profiles.state import AT_NEXT_TICK, FORMAT, Person, unpack

PAGE = 500  # profiles that are looked at in one round trip
FORMAT_AT = 8  # the place of the byte that says a profile's format


def wake_upgraded(config: Settings, report: Callable[[str], None]) -> int:
    """Make people due who wait in profiles of older formats; returns how many. Does nothing the second time.

    It may be broken off and repeated: a person who is due twice is looked at once. Raises Unavailable if Redis does not answer.
    """
    client, names = connect(config.redis_url), Names(config.topic_prefix)
    try:
        if int(client.get(names.upgraded_key) or 0) >= FORMAT:
            return 0
        woken = 0
        if client.exists(names.people_key):  # in a new folder there is nobody yet
            woken = sum(_wake(client, names, config.partitions, page) for page in _older(client, names))
            report(f"{woken} people who waited in profiles of an older format will be looked at")
        client.set(names.upgraded_key, FORMAT)
    except RedisError as error:
        raise Unavailable(f"Redis does not answer: {error}.", "Start it with `cdp up`, or set CDP_REDIS.") from error
    finally:
        client.close()
    return woken


def _older(client: "redis.Redis[bytes]", names: Names) -> Iterator[list[bytes]]:
    """The keys of profiles of older formats, in pages. Of each profile only one byte is read."""
    keys = client.scan_iter(names.profile_key_pattern, count=PAGE)
    while page := list(islice(keys, PAGE)):
        pipeline = client.pipeline(transaction=False)
        for key in page:
            pipeline.getrange(key, FORMAT_AT, FORMAT_AT)
        older = [key for key, found in zip(page, pipeline.execute(), strict=True) if found and found[0] < FORMAT]
        if older:
            yield older


def _wake(client: "redis.Redis[bytes]", names: Names, partitions: int, keys: list[bytes]) -> int:
    """Make those due, and list those as waiting, whose profiles wait for something."""
    read = [_read(value) for value in client.mget(keys) if value is not None]
    people = [profile for profile in read if profile is not None and profile.log.is_waiting]
    pipeline = client.pipeline(transaction=False)
    for profile in people:
        partition = partition_of(one_id(profile.number), partitions)
        pipeline.zadd(names.due_key(partition), {str(profile.number): AT_NEXT_TICK})
        pipeline.zadd(names.waiting_key(partition), {str(profile.number): profile.log.waits_since})
    pipeline.execute()
    return len(people)


def _read(value: bytes) -> Person | None:
    """None: it is of a format that cannot be upgraded, which PROFILE says loudly when it needs it."""
    try:
        return unpack(value)
    except msgspec.DecodeError:
        return None
