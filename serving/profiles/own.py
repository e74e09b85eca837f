"""Which of the identifiers that a person's events named are the person's own."""

from typing import Any

from redis.exceptions import RedisError

from cdp.errors import Unavailable
from cdp.identity import decode_record
from cdp.topics import Names
from profiles.components.identifiers.state import IDENTIFIERS, Known
from serving.profiles.find import Found


async def only_own(redis: Any, names: Names, found: Found) -> Found:
    """Without identifiers that lead to somebody else: an event may name one that serves several people, or was parted since."""
    person, known = found.profile.number, found.profile.whole.get(IDENTIFIERS)
    keys = list(known.seen)
    if not keys:
        return found
    try:
        values = await redis.mget([names.identifier_prefix + key for key in keys])
    except RedisError as error:
        raise Unavailable("Redis does not answer.", "Try again later; see /readyz.") from error
    own = {
        key: known.seen[key]
        for key, value in zip(keys, values, strict=True)
        if value is None or any(span.person == person for span in decode_record(value).spans)
    }
    found.profile.whole.put(IDENTIFIERS, Known(own, known.sealed))
    return found
