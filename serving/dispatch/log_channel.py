"""The log channel: a line of JSON for each action, in a file that rotates."""

import logging
from copy import copy
from logging.handlers import RotatingFileHandler
from pathlib import Path

from cdp.events import Action, encode
from serving.dispatch.outcome import Sent

MAX_BYTES = 16 << 20
FILES = 5


class LogChannel:
    """Writes to one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=FILES, encoding="utf-8")
        path.chmod(0o600)  # texts to people are nobody else's business
        self._note = ""

    def noting(self, note: str) -> "LogChannel":
        """The same file, with a note in the delivery of why an action ended here."""
        other = copy(self)
        other._note = note
        return other

    async def send(self, action: Action, attempt: int) -> Sent:
        """Write one line. `attempt` makes no difference: writing succeeds or raises OSError."""
        self._handler.handle(logging.makeLogRecord({"msg": encode(action).decode()}))
        return Sent("delivered", self._note)
