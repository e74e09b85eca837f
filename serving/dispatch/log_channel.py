"""The log channel: a line of JSON for each action, in a file that rotates. Personal values in it are masked."""

import logging
from collections.abc import Callable
from copy import copy
from logging.handlers import RotatingFileHandler
from pathlib import Path

from cdp.events import Action, encode
from cdp.reveal import Reveal
from serving.dispatch.outcome import Sent, opened

MAX_BYTES = 16 << 20
FILES = 5


class LogChannel:
    """Writes to one file. `masked` gives what is to be shown of what is sealed."""

    def __init__(self, path: Path, masked: Callable[[], Reveal]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=FILES, encoding="utf-8")
        path.chmod(0o600)  # texts to people are nobody else's business
        self._masked = masked
        self._note = ""

    def noting(self, note: str) -> "LogChannel":
        """The same file, with a note in the delivery of why an action ended here."""
        other = copy(self)
        other._note = note
        return other

    async def send(self, action: Action, attempt: int) -> Sent:
        """Write one line. `attempt` makes no difference: writing succeeds or raises OSError."""
        self._handler.handle(logging.makeLogRecord({"msg": encode(opened(action, self._masked())).decode()}))
        return Sent("delivered", self._note)
