"""Find a person's profile in Redis, by OneID or by identifier."""

from dataclasses import dataclass
from typing import Any

import msgspec
from redis.exceptions import RedisError

from cdp.errors import Unavailable
from cdp.identity import IdRecord, decode_record
from cdp.people import person_number
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from profiles.state import Person
from rules.identity import normalise
from rules.identity.model import IdentityRules
from rules.seal import Sealer
from serving.errors import ApiError
from serving.profiles.read import read_profiles

IDENTIFIER_PATTERN = r"^[^:]+:[\s\S]+$"
MAX_HOPS = 32  # merges lead to the survivor directly, or nearly so


@dataclass(frozen=True)
class Found:
    """A profile, and the person whose number led to it."""

    profile: Person
    asked: int


async def by_one_id(redis: Any, names: Names, one_id: str) -> Found:
    """The profile that a OneID leads to today. Raises ApiError 404 or 422."""
    try:
        person = person_number(one_id)
    except ValueError as error:
        raise ApiError(422, f"{error}.", field="one_id") from error
    return await _follow(redis, names, person, f"There is no person {one_id}.")


async def by_identifier(redis: Any, names: Names, sealer: Sealer, identifier: str, rules: IdentityRules | None = None) -> Found:
    """The profile of ``type:value``, e.g. ``phone:13800000000``; the value may be a token. Raises ApiError 404 or 422.

    `rules`: the identity rules in force; None: the shipped ones.
    """
    type_, colon, value = identifier.partition(":")
    if not (type_ and colon and value):
        raise ApiError(422, "The identifier is not of the form type:value.", "For example id=phone:13800000000.", field="id")
    if value.startswith(" "):
        value = "+" + value[1:]  # an unescaped plus in a query string arrives as a space
    normal = normalise(type_, value, rules)
    if normal is None:
        raise ApiError(404, "This value identifies nobody: it is empty, too long or blocked by the identity rules.", field="id")
    try:
        record = await _record(redis, names, f"{type_}:{sealer.key(type_, normal)}")
    except RedisError as error:
        raise _away() from error
    if record is None:
        raise ApiError(404, "Nobody is known by this identifier.", "Events take about a second to arrive here.", field="id")
    return await _follow(redis, names, record.current(wall_clock()).person, "Nobody is known by this identifier yet.")


async def _record(redis: Any, names: Names, key: str) -> IdRecord | None:
    """What is kept of an identifier; a transaction that one identifier alone has told of leads to that one."""
    value = await redis.get(names.identifier_prefix + key)
    record = decode_record(value) if value is not None else None
    return record if record is None or not record.reported_by else await _record(redis, names, record.reported_by)


async def _follow(redis: Any, names: Names, asked: int, missing: str) -> Found:
    person = asked
    try:
        for _ in range(MAX_HOPS):
            profile = (await read_profiles(redis, names, [person])).get(person)
            if profile is None:
                break
            if person not in profile.log.gone:
                return Found(profile, asked)
            person = profile.log.gone[person].owner
    except RedisError as error:
        raise _away() from error
    except msgspec.DecodeError as error:
        raise Unavailable(
            "This profile was written by another version of the platform.", "Upgrade, or run `cdp up` again."
        ) from error
    raise ApiError(404, missing, "Events take about a second to arrive here.")


def _away() -> Unavailable:
    return Unavailable("Redis does not answer.", "Try again later; see /readyz.")
