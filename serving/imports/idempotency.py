"""Idempotency keys: the same key and body within a day get the same answer, and nothing is done twice.

In Redis: ``<prefix>:idem:<source>:<token of the key>`` holds a `_Entry` as JSON. Keys, bodies and answers may hold what is
personal, so that Redis has keyed hashes of the first two, and the answer sealed.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec

from cdp.errors import Unavailable
from cdp.seal import ANSWER, Keyring
from serving.errors import ApiError

KEEP_SECONDS = 86_400
BUSY_SECONDS = 60  # whoever died in the middle blocks the key no longer than that
MAX_KEY = 255
# Replace or remove the entry only if it is still ours: after BUSY_SECONDS somebody else may have begun.
_REPLACE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end"
_REMOVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class _Entry(msgspec.Struct):
    """`body`: a hash of the request; `owner`: who works on it; `answer`: its answer, sealed, None while it is worked on."""

    body: str
    owner: str
    answer: str | None = None


@dataclass(frozen=True)
class Claim:
    """A key that we work on: `finish` or `release` it."""

    redis: Any
    ring: Keyring
    key: str
    entry: _Entry

    async def finish(self, answer: bytes) -> None:
        """Keep the answer for a day. If Redis is away, the answer is still right: it is only not kept."""
        done = msgspec.structs.replace(self.entry, answer=self.ring.seal(ANSWER, answer.decode()))
        with suppress(Exception):  # whatever is wrong with Redis: the events are safe, and repeating them changes nothing
            await self.redis.eval(_REPLACE, 1, self.key, _encode(self.entry), _encode(done), KEEP_SECONDS)

    async def release(self) -> None:
        """Nothing was done: let the next try begin anew."""
        with suppress(Exception):  # it ends by itself
            await self.redis.eval(_REMOVE, 1, self.key, _encode(self.entry))


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Entry).decode


async def claim(redis: Any, ring: Keyring, store: str, key: str, body: bytes) -> Claim | bytes:
    """Begin to work on a request, or the answer that it had before. `store` begins the name of the entry.

    Raises ApiError 409 if the key was used with another body or is being worked on, 400 if it is too long;
    Unavailable if Redis is away: without it nobody can promise to do it once.
    """
    if not key or len(key) > MAX_KEY:
        raise ApiError(400, f"An Idempotency-Key has 1 to {MAX_KEY} characters.", field="Idempotency-Key")
    name = f"{store}:{ring.token('idempotency key', key)}"
    mine = _Entry(ring.token("request", body.decode("latin-1")), uuid4().hex)
    try:
        held = None if await redis.set(name, _encode(mine), nx=True, ex=BUSY_SECONDS) else await redis.get(name)
        if held is None and await redis.get(name) is None:  # it went away between the two
            await redis.set(name, _encode(mine), nx=True, ex=BUSY_SECONDS)
            held = await redis.get(name)
    except Exception as error:  # clients raise many kinds
        raise Unavailable("Redis does not answer, which keeps idempotency keys.", "Send it again with the same key.") from error
    entry = _decode(held) if held is not None else mine
    if entry.owner == mine.owner:
        return Claim(redis, ring, name, mine)
    if entry.body != mine.body:
        raise ApiError(
            409, "This Idempotency-Key was used with another body.", "Use a new key for a new request.",
            code="idempotency_conflict", field="Idempotency-Key",
        )  # fmt: skip
    if entry.answer is None:
        raise ApiError(409, "A request with this Idempotency-Key is being worked on.", "Send it again later.", code="in_progress")
    return ring.open(ANSWER, entry.answer).encode()
