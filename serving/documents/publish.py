"""Hand what is in force to programs that cannot read the definitions, and hand it to them again if they have lost it.

The definitions have the truth. Whoever changes a document publishes it at once; each API process looks every second whether the
others have the newest as well. So a change reaches them though its author died in between, or Redis lost it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from cdp.errors import CdpError
from serving.documents.complaints import Complaints

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Publication:
    """Await `refresh` now and then.

    Args:
        what: for the log.
        compare: publishes what is in force, if others have something else.
        patience: seconds that it may take.
        clock: in seconds.
    """

    def __init__(
        self, what: str, compare: Callable[[], Awaitable[None]], patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._compare = compare
        self._patience = patience
        self._clock = clock
        self._complaints = Complaints(lambda trouble: log.warning("%s could not be published: %s", what, trouble))
        self.looked = float("-inf")

    async def refresh(self) -> None:
        """Compare, at most once a second. Never raises: what could not be published now is published later."""
        if self._clock() < self.looked + LOOK_SECONDS:
            return
        try:
            await asyncio.wait_for(self._compare(), self._patience)
            self.looked = self._clock()
            self._complaints.over()
        except (CdpError, RedisError, SQLAlchemyError, TimeoutError, ValueError) as error:
            self._complaints.about(error)
