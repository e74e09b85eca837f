"""Watch people become readable: ask the API for a profile again and again until what was sent is in it."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import quote, urlsplit

from cdp.clock import Clock
from cdp.wall_clock import wall_clock

FIRST_LOOK = 0.02
BETWEEN_LOOKS = 0.008
GIVE_UP = 30.0
PATIENCE = 0.1  # of the time that was waited already

Look = Callable[[str], bytes | None]
"""The profile of an identifier (``type:value``) as the API answers it; None if there is none yet. May raise OSError."""


class ProfileReader:
    """Reads profiles through the API over one keep-alive connection; for one thread at a time."""

    def __init__(self, api_url: str, token: str) -> None:
        parts = urlsplit(api_url)
        self._http = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=10)
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, identifier: str) -> bytes | None:
        """The answer's body; None for a status other than 200. Raises OSError or HTTPException if nobody answers."""
        try:
            self._http.request("GET", f"/v1/profiles?events=0&id={quote(identifier, safe='')}", headers=self._headers)
            answer = self._http.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            raise
        return content if answer.status == http.client.OK else None


@dataclass
class _Wanted:
    identifier: str
    needle: bytes
    since: int
    series: str
    next_look: float
    until: float


class Watcher:
    """A thread that looks for each wanted value until it is there; a context manager: leaving it waits for the last one.

    `milliseconds`: from the given moment to the answer that held the value, for each found, by series; `missed`: how many of a
    series were given up on. The looks at one profile are `every` seconds apart, or a tenth of the time that was waited, whichever
    is more: an answer is late by half of that on average, and those who are behind are not asked all the more.
    """

    def __init__(self, look: Look, *, clock: Clock = wall_clock, every: float = BETWEEN_LOOKS) -> None:
        self._look, self._clock, self._every = look, clock, every
        self._wanted: list[_Wanted] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self.milliseconds: dict[str, list[float]] = {}
        self.missed: Counter[str] = Counter()

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        if error is None:
            self._thread.join(GIVE_UP + 5)

    def want(self, identifier: str, needles: Mapping[str, str], since: int) -> None:
        """Watch for the needle of each series in the profile of `identifier`; time counts from `since`, in microseconds."""
        now = time.monotonic()
        for series, needle in needles.items():
            wanted = _Wanted(identifier, needle.encode(), since, series, now + FIRST_LOOK, now + GIVE_UP)
            with self._lock:
                self._wanted.append(wanted)

    def _run(self) -> None:
        while True:
            with self._lock:
                wanted = list(self._wanted)
            if not wanted:
                if self._ending.is_set():
                    return
                time.sleep(BETWEEN_LOOKS)
                continue
            for identifier in {item.identifier: None for item in wanted if time.monotonic() >= item.next_look}:
                self._check(identifier, [item for item in wanted if item.identifier == identifier])
            pause = min(item.next_look for item in wanted) - time.monotonic()
            time.sleep(min(max(pause, 0.001), BETWEEN_LOOKS))

    def _check(self, identifier: str, items: Sequence[_Wanted]) -> None:
        """One look for all that is wanted of a profile."""
        try:
            found = self._look(identifier)
        except (OSError, http.client.HTTPException):
            found = None
        now = time.monotonic()
        for item in items:
            if found is not None and item.needle in found:
                self.milliseconds.setdefault(item.series, []).append((self._clock() - item.since) / 1000)
            elif now < item.until:
                waited = now - (item.until - GIVE_UP)
                item.next_look = now + max(self._every, waited * PATIENCE)
                continue
            else:
                self.missed[item.series] += 1
            with self._lock:
                self._wanted.remove(item)
