"""Profiles out of Redis, whole: the string and the hash of each, as of one moment."""

from collections.abc import Iterable
from typing import Any

from cdp.people import MAX_PERSON
from cdp.topics import Names
from profiles.state import Person, unpack


async def read_profiles(redis: Any, names: Names, people: Iterable[int]) -> dict[int, Person]:
    """The profiles of people, those that there are. Raises redis.RedisError, msgspec.DecodeError."""
    wanted = [number for number in dict.fromkeys(people) if 0 < number <= MAX_PERSON]
    pipeline = redis.pipeline(transaction=True)
    for number in wanted:
        pipeline.get(names.profile_key(number))
        pipeline.hgetall(names.slices_key(number))
    answers = await pipeline.execute() if wanted else []
    return {
        number: unpack(head, {name.decode(): value for name, value in fields.items()})
        for number, head, fields in zip(wanted, answers[::2], answers[1::2], strict=True)
        if head is not None
    }
