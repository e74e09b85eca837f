"""What is in force, in memory: looked up at most once a second, and made anew only when there is a newer version."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from cdp.settings import Settings
from serving.documents import store
from serving.documents.complaints import Complaints
from serving.documents.document import Document

log = logging.getLogger(__name__)

TTL = 1.0
PATIENCE = 2.0

T = TypeVar("T")


class Watched(Generic[T]):
    """What a document means, made anew at most a second after a new version is in force, and only then.

    `await watched.get()` does not wait while the answer is fresh. If the database is away, or a version cannot be used, the
    last good one stays in force; if there never was one, `first`.

    Args:
        name: for the log.
        newer: blocks; given the version that is known (0: none), what is in force and its version, or None if nothing is newer.
        clock: in seconds.
    """

    def __init__(
        self, name: str, newer: Callable[[int], tuple[int, T] | None], first: T, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._newer = newer
        self._value = first
        self._clock = clock
        self._version = 0
        self._until = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._complaints = Complaints(self._complain)

    @property
    def current(self) -> T:
        """What `get` found last, without looking."""
        return self._value

    async def get(self) -> T:
        """What was in force within the last second."""
        if self._until <= self._clock():
            await self._looked()
        return self._value

    async def get_now(self) -> T:
        """What is in force at this moment."""
        if self._looking is not None and not self._looking.done():
            await self._looked()  # it may have begun too early: the next one counts
        await self._looked()
        return self._value

    async def _looked(self) -> None:
        """One look at a time, for all who ask."""
        task = self._looking
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._looking = asyncio.create_task(self._look())
        await asyncio.shield(task)

    async def _look(self) -> None:
        try:
            newer = await asyncio.wait_for(asyncio.to_thread(self._newer, self._version), PATIENCE)
            if newer is not None:
                self._version, self._value = newer
            self._complaints.over()
        except Exception as error:  # whatever is wrong with a document, collecting goes on
            self._complaints.about(error)
        self._until = self._clock() + TTL

    def _complain(self, trouble: str) -> None:
        log.error("%s could not be read; version %s stays in force: %s", self._name, self._version, trouble)


def watch(
    settings: Settings, key: str, make: Callable[[Document | None], T], clock: Callable[[], float] = time.monotonic
) -> Watched[T]:
    """Watch a document. `make(None)` is what holds while there is none."""

    def newer(known: int) -> tuple[int, T] | None:
        if store.version_in_force(settings, key) == known:
            return None
        document = store.find(settings, key)
        return None if document is None else (document.version, make(document))

    return Watched(f"the document {key}", newer, make(None), clock)
