"""What was done before, in Redis: an action id that is fenced is never sent again, whoever brings it."""

from typing import Any

from redis.exceptions import RedisError

from cdp.errors import Unavailable
from cdp.topics import Names

DONE_SECONDS = 90 * 86_400
TRIES_SECONDS = 7 * 86_400


class Fence:
    """One action id leads to its final delivery (as JSON), and until then to the number of attempts that failed.

    The final delivery is kept so that it can be published again if the process died before Kafka had it.
    """

    def __init__(self, redis: Any, names: Names) -> None:
        self._redis = redis
        self._prefix = names.prefix

    async def look(self, action_id: str) -> tuple[bytes | None, int]:
        """The final delivery if there is one, and how many attempts failed before. Raises Unavailable."""
        try:
            done, tries = await self._redis.mget(self._done(action_id), self._tries(action_id))
        except RedisError as error:
            raise Unavailable("Redis does not answer.") from error
        return done, int(tries or 0)

    async def failed(self, action_id: str, attempts: int) -> None:
        """Remember how many attempts failed, so that a restart does not begin anew. Raises Unavailable."""
        await self._set(self._tries(action_id), str(attempts).encode(), TRIES_SECONDS)

    async def done(self, action_id: str, delivery: bytes) -> None:
        """Nothing is to be done for this action any more. Raises Unavailable."""
        await self._set(self._done(action_id), delivery, DONE_SECONDS)

    async def _set(self, key: str, value: bytes, seconds: int) -> None:
        try:
            await self._redis.set(key, value, ex=seconds)
        except RedisError as error:
            raise Unavailable("Redis does not answer.") from error

    def _done(self, action_id: str) -> str:
        return f"{self._prefix}:done:{{{action_id}}}"

    def _tries(self, action_id: str) -> str:
        return f"{self._prefix}:tries:{{{action_id}}}"
