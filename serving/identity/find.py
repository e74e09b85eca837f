"""Find the identity graph around somebody, by OneID or by identifier, in Redis."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import msgspec
from redis.exceptions import RedisError

from cdp.errors import Unavailable
from cdp.identity import Component, IdRecord, Node, decode_record, unpack_component
from cdp.people import person_number
from cdp.seal import TRAITS
from profiles.components.identifiers.state import IDENTIFIERS
from profiles.state import Person
from rules.identity import normalise
from serving.errors import ApiError
from serving.identity.people import people_of, person_now
from serving.parts import Parts
from serving.profiles.find import by_one_id
from serving.profiles.read import read_profiles

ATTEMPTS = 5
LATER = "Events take about a second to arrive here."


@dataclass(frozen=True)
class Around:
    """What hangs together with somebody.

    Attributes:
        person: the person's number.
        key: the identifier that was asked for, or that alone told of the transaction that was; "" if it was a OneID.
        component: of one identifier only, if it was never seen with another one.
        profile: None: PROFILE has not heard of the person yet.
        transaction: what was asked for, if it is a transaction that `key` alone has told of; "" otherwise.
    """

    person: int
    key: str
    component: Component
    profile: Person | None
    transaction: str = ""


async def find(parts: Parts, asked: str, field: str = "id") -> Around:
    """What hangs together with a OneID or ``type:value``. Raises ApiError 404 or 422, Unavailable."""
    try:
        number = person_number(asked)
    except ValueError:
        return await _by_identifier(parts, normal_key(parts, asked, field), field)
    return await _by_one_id(parts, asked, number, field)


def normal_key(parts: Parts, asked: str, field: str) -> str:
    """An identifier as the graph knows it. Raises ApiError 404 or 422."""
    type_, colon, value = asked.partition(":")
    if not (type_ and colon and value):
        raise ApiError(
            422, f"{asked[:80]!r} is neither a OneID nor type:value.", "Such as P0000000042 or phone:13800000000.", field=field
        )  # fmt: skip
    if value.startswith(" "):
        value = "+" + value[1:]  # an unescaped plus in a query string arrives as a space
    normal = normalise(type_, value, parts.identity.rules)
    if normal is None:
        raise ApiError(
            404, "This value identifies nobody: it is empty, too long or blocked by the identity rules.", field=field
        )  # fmt: skip
    return f"{type_}:{parts.sealing.sealer().key(type_, normal)}"


async def read_records(parts: Parts, keys: Iterable[str]) -> dict[str, IdRecord]:
    """What is kept of identifiers, those that are known."""
    keys = list(keys)
    found = await parts.redis.mget([parts.names.identifier_prefix + key for key in keys]) if keys else []
    return {key: decode_record(value) for key, value in zip(keys, found, strict=True) if value is not None}


async def read_component(parts: Parts, key: str) -> Component | None:
    """What hangs together with an identifier; None if nobody knows it."""
    for _ in range(ATTEMPTS):
        record = (await read_records(parts, [key])).get(key)
        if record is None:
            return None
        if not record.component:
            return _lone(key, record)
        value = await parts.redis.get(parts.names.component_key(record.component))
        component = opened(parts, value) if value is not None else None
        if component is not None and key in component.nodes:  # else it has just been put to another one
            return component
    raise Unavailable("These identifiers are just being changed.", "Try again.")


def opened(parts: Parts, value: bytes) -> Component:
    """A component as Redis keeps it, with its traits opened."""
    return unpack_component(value, partial(parts.sealing.ring.open, TRAITS))[0]


async def profiles_of(parts: Parts, people: Iterable[int]) -> dict[int, Person]:
    """The profiles of people, those that there are."""
    return await read_profiles(parts.redis, parts.names, people)


@contextmanager
def reading() -> Iterator[None]:
    """Say in one sentence that Redis is away, or holds what this version cannot read. Raises Unavailable."""
    try:
        yield
    except RedisError as error:
        raise Unavailable("Redis does not answer.", "Try again later; see /readyz.") from error
    except msgspec.DecodeError as error:
        raise Unavailable("This was written by another version of the platform.", "Upgrade, or run `cdp up` again.") from error


async def _by_identifier(parts: Parts, key: str, field: str) -> Around:
    record, transaction = (await read_records(parts, [key])).get(key), ""
    if record is not None and record.reported_by:
        key, transaction = record.reported_by, key
    component = await read_component(parts, key)
    if component is None:
        raise ApiError(404, "Nobody is known by this identifier.", LATER, field=field)
    person = person_now(component, key, parts.clock())
    profiles = await profiles_of(parts, [person])
    return Around(person, key, component, profiles.get(person), transaction)


async def _by_one_id(parts: Parts, asked: str, number: int, field: str) -> Around:
    profile = (await by_one_id(parts.redis, parts.names, asked)).profile
    records = await read_records(parts, profile.whole.get(IDENTIFIERS).seen)
    theirs = [key for key, record in records.items() if any(span.person == profile.number for span in record.spans)]
    for key in theirs or records:
        component = await read_component(parts, key)
        if component is not None and (profile.number in people_of(component) or not theirs):
            person = profile.number if theirs else component.people.get(number) or person_now(component, key, parts.clock())
            return Around(person, "", component, profile)
    raise ApiError(404, f"There is no person {asked}.", LATER, field=field)


def _lone(key: str, record: IdRecord) -> Component:
    span = record.spans[0]
    return Component(0, {key: Node(key, [span.part], sealed=record.sealed)}, people={span.part: span.person})
