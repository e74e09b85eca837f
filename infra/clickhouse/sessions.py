"""What SET says within a session: `session_id` names it, and it ends when nobody has used it for a while."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from infra.clickhouse.fail import INVALID_SESSION_TIMEOUT, SESSION_NOT_FOUND, ClickHouseError
from infra.clickhouse.protocol import is_set

_SECONDS = 60
_MOST_SECONDS = 3600
_MOST_SESSIONS = 1000


@dataclass(frozen=True)
class _Session:
    until: float
    settings: Mapping[str, str]


class Sessions:
    """The settings of each session. Safe for many threads; the sessions unused for longest go first when there are too many."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str], _Session] = OrderedDict()
        self._lock = threading.Lock()

    def settings(self, user: str, params: Mapping[str, str]) -> Mapping[str, str]:
        """The settings of a request's session. Raises ClickHouseError (372) if it should be there and is not."""
        name = params.get("session_id", "")
        if not name:
            return {}
        with self._lock:
            session = self._sessions.get((user, name))
        if session is not None and session.until > time.monotonic():
            return session.settings
        if is_set(params, "session_check"):
            raise ClickHouseError(SESSION_NOT_FOUND, "Session not found.")
        return {}

    def keep(self, user: str, params: Mapping[str, str], settings: Mapping[str, str]) -> None:
        """Keep the session's settings for its later requests. Raises ClickHouseError (374) for a timeout that is none."""
        name, seconds = params.get("session_id", ""), params.get("session_timeout", str(_SECONDS))
        if not seconds.isdecimal() or int(seconds) > _MOST_SECONDS:
            raise ClickHouseError(INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{seconds}' (at most {_MOST_SECONDS}).")
        if not name:
            return
        with self._lock:
            self._sessions.pop((user, name), None)
            if not is_set(params, "close_session"):
                self._sessions[user, name] = _Session(time.monotonic() + int(seconds), settings)
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
