"""Credentials in memory for a second, so that a request seldom costs a database read and a new key works at once."""

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from cdp.errors import CdpError, Unavailable
from cdp.settings import Settings
from serving.definitions.credentials import MAX_SECRET, Grant, find, find_app

TTL = 1.0
MAX_UNKNOWN = 10_000
PATIENCE = 2.0  # seconds: a database that hangs is as good as one that is away


class Missing(Enum):
    """That nothing is known of a secret just now."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Credentials:
    """Looks up whose a secret, or an application's name, is.

    On the hot path ask `known` (or `known_app`), which never waits; when it says MISSING, await `grant` (or `app`). An unknown
    secret is asked for in the database at once, and remembered as unknown for at most a second. If the database does not
    answer, what was known a moment ago goes on being known: collecting must not stop for it.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        secrets = _Remembered(partial(find, settings), clock)
        apps = _Remembered(partial(find_app, settings), clock)
        self.known, self.grant = secrets.known, secrets.get
        self.known_app, self.app = apps.known, apps.get


class _Remembered:
    """Answers of one question to the database.

    Good answers are as few as there are keys; only the others can be made up by strangers, so that those are bounded and
    never push out a good one.
    """

    def __init__(self, ask: Callable[[str], Grant | None], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._good: dict[str, tuple[float, Grant]] = {}
        self._unknown: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[Grant | None]] = {}

    def known(self, name: str) -> Grant | Missing | None:
        """What is known for certain at this moment: a Grant, or None for nobody's; MISSING: `get` has to be asked."""
        good = self._good.get(name)
        if good is not None:
            return good[1] if good[0] > self._clock() else MISSING
        if self._unknown and self._unknown.get(name, 0.0) > self._clock():
            return None
        return MISSING

    async def get(self, name: str) -> Grant | None:
        """Whose it is, or None. Raises Unavailable only if the database is away and the secret was not known to be good."""
        if not name or len(name) > MAX_SECRET or "\x00" in name:
            return None
        known = self.known(name)
        if known is not MISSING:
            return known
        try:
            grant = await asyncio.wait_for(asyncio.shield(self._asked(name)), PATIENCE)
        except (SQLAlchemyError, CdpError, TimeoutError) as error:
            if name not in self._good:
                raise Unavailable("The definitions database does not answer.", "Try again; see /readyz.") from error
            grant = self._good[name][1]
        self._keep(name, grant)
        return grant

    def _asked(self, name: str) -> "asyncio.Task[Grant | None]":
        """The running question, if somebody else has just asked it: one read a second is enough for all requests of a key."""
        task = self._asking.get(name)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[name] = asyncio.create_task(asyncio.to_thread(self._ask, name))
            task.add_done_callback(partial(self._answered, name))
        return task

    def _answered(self, name: str, task: "asyncio.Task[Grant | None]") -> None:
        if self._asking.get(name) is task:
            del self._asking[name]
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; nobody else needs to hear of it

    def _keep(self, name: str, grant: Grant | None) -> None:
        until = self._clock() + TTL
        if grant is not None:
            self._good[name] = (until, grant)
            self._unknown.pop(name, None)
            return
        self._good.pop(name, None)
        if len(self._unknown) >= MAX_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[name] = until
