"""What was done before, in Redis: an action id that is fenced is never sent again, whoever brings it."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from cdp.errors import Unavailable
from cdp.topics import Names
from serving.dispatch.together import Together

DONE_SECONDS = 90 * 86_400
TRIES_SECONDS = 7 * 86_400


class Fence:
    """One action id leads to its final delivery (as JSON), and until then to the number of attempts that failed.

    The final delivery is kept so that it can be published again if the process died before Kafka had it.
    """

    def __init__(self, redis: Any, names: Names) -> None:
        self._redis = redis
        self._prefix = names.prefix
        self._ask = Together(self._trip)

    async def look(self, action_id: str) -> tuple[bytes | None, int]:
        """The final delivery if there is one, and how many attempts failed before. Raises Unavailable."""
        done, tries = await self._ask(("MGET", self._done(action_id), self._tries(action_id)))
        return done, int(tries or 0)

    async def failed(self, action_id: str, attempts: int) -> None:
        """Remember how many attempts failed, so that a restart does not begin anew. Raises Unavailable."""
        await self._ask(("SET", self._tries(action_id), attempts, "EX", TRIES_SECONDS))

    async def done(self, action_id: str, delivery: bytes) -> None:
        """Nothing is to be done for this action any more. Raises Unavailable."""
        await self._ask(("SET", self._done(action_id), delivery, "EX", DONE_SECONDS))

    async def _trip(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Looks and notes of many actions in one round trip. Raises Unavailable: any of them may be repeated."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            answers: list[Any] = await pipeline.execute()
        except RedisError as error:
            raise Unavailable("Redis does not answer.") from error
        return answers

    def _done(self, action_id: str) -> str:
        return f"{self._prefix}:done:{{{action_id}}}"

    def _tries(self, action_id: str) -> str:
        return f"{self._prefix}:tries:{{{action_id}}}"
