"""Credentials in memory for a second, so that a request seldom costs a database read and a new key works at once."""

import asyncio
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from cdp.errors import CdpError, Unavailable
from cdp.settings import Settings
from serving.definitions.credentials import Grant, digest, find

TTL = 1.0
MAX_ENTRIES = 10_000


class Credentials:
    """Looks secrets up by their hash.

    An unknown secret is asked for in the database at once, and remembered as unknown for at most a second. If the
    database does not answer, what was known a moment ago goes on being known: collecting must not stop for it.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._known: dict[str, tuple[float, Grant | None]] = {}

    async def grant(self, secret: str) -> Grant | None:
        """Whose secret this is, or None. Raises Unavailable only if the database is away and the secret was never seen."""
        hashed = digest(secret)
        entry = self._known.get(hashed)
        if entry is not None and entry[0] > self._clock():
            return entry[1]
        try:
            grant = await asyncio.to_thread(find, self._settings, secret)
        except (SQLAlchemyError, CdpError) as error:
            if entry is None:
                raise Unavailable("The definitions database does not answer.", "Try again; see /readyz.") from error
            grant = entry[1]
        if len(self._known) >= MAX_ENTRIES:
            self._known.clear()
        self._known[hashed] = (self._clock() + TTL, grant)
        return grant
