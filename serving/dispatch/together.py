"""Asks that come while an earlier one is under way wait for it, and then go together: one round trip for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


class Together(Generic[Ask, Answer]):
    """Call it as if each ask went alone; nobody waits longer than for the trip under way and his own.

    `trip` answers all asks in their order, or raises, which everybody on it learns.
    """

    def __init__(self, trip: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer]]]) -> None:
        self._trip = trip
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, ask: Ask) -> Answer:
        """The answer, or the trip's exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((ask, future))
        if self._task is None:
            self._task = loop.create_task(self._go())
        return await future

    async def _go(self) -> None:
        try:
            while self._waiting:
                travellers, self._waiting = self._waiting, []
                await self._take([ask for ask, _ in travellers], [future for _, future in travellers])
        finally:
            self._task = None

    async def _take(self, asks: list[Ask], futures: "list[asyncio.Future[Answer]]") -> None:
        try:
            answers = await self._trip(asks)
        except Exception as error:
            for future in futures:
                if not future.done():  # it is done if its asker was cancelled
                    future.set_exception(error)
            return
        for future, answer in zip(futures, answers, strict=True):
            if not future.done():
                future.set_result(answer)
