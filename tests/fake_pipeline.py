"""A transaction of Redis for tests of the API: strings out of a fake, and the fields of hashes."""

from collections.abc import Awaitable, Callable, Mapping


class FakePipeline:
    """Takes what `serving.profiles.read` asks for.

    Args:
        mget: reads strings.
        hashes: by key.
    """

    def __init__(
        self, mget: Callable[[list[str]], Awaitable[list[bytes | None]]], hashes: Mapping[str, dict[bytes, bytes]] | None = None
    ) -> None:
        self._mget = mget
        self._hashes = hashes or {}
        self._asked: list[tuple[str, str]] = []

    def get(self, key: str) -> None:
        self._asked.append(("get", key))

    def hgetall(self, key: str) -> None:
        self._asked.append(("hgetall", key))

    async def execute(self) -> list[object]:
        strings = iter(await self._mget([key for command, key in self._asked if command == "get"]))
        return [next(strings) if command == "get" else self._hashes.get(key, {}) for command, key in self._asked]
