"""Send batches to the collector and wait for its acknowledgement, again and again until it comes."""

import http.client
import random
import time
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from cdp.errors import CdpError

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 300.0  # a collector that asks for more is waited for in several pauses
ENVELOPE = 256
TIMEOUT = 30.0


class DeadLettered(msgspec.Struct):
    """A message of a batch that the collector could not use."""

    index: int
    reason: str = ""
    field: str = ""
    message: str = ""


class Taken(msgspec.Struct):
    """The collector's answer: how many of the messages became dead letters, and which (of the first hundred).

    `corrected`: how many have the time of their arrival, since their own could not be used.
    """

    rejected: int = 0
    corrected: int = 0
    dead_lettered: list[DeadLettered] = []


class Refused(CdpError):
    """The collector will never take this request."""


class Link:
    """A keep-alive connection to the collector."""

    def __init__(
        self, url: str, write_key: str, *, patience: float = 300.0,
        sleep: Callable[[float], object] = time.sleep, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`patience`: how many seconds a batch is tried for, at least, before giving up."""
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        if not parts.hostname:
            raise CdpError(f"{url!r} is not an address.", "Set CDP_API_URL to something like http://127.0.0.1:8400.")
        self._url, self._patience, self._sleep, self._clock = url, patience, sleep, clock
        self._path = f"{parts.path.rstrip('/')}/v1/batch"
        self._http = kind(parts.hostname, parts.port, timeout=TIMEOUT)
        token = b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        self.retries = 0

    def send(self, messages: list[bytes]) -> Taken:
        """Send encoded messages; returns when they are acknowledged. Raises Refused, or CdpError when patience ends."""
        body = b'{"batch":[' + b",".join(messages) + b"]}"
        started, attempt = self._clock(), 0
        while True:
            wait = 0.0
            try:
                status, content, wait = self._post(body)
                if status == http.client.OK:
                    return _taken(content)
                trouble = f"answers {status}: {' '.join(content.decode(errors='replace').split())[:200]}"
                if status not in RETRIED:
                    raise Refused(f"The collector at {self._url} {trouble}.", _remedy(status))
            except (OSError, http.client.HTTPException) as error:
                self._http.close()
                trouble = f"does not answer ({error or type(error).__name__})"
            pause = max(min(wait, LONGEST_WAIT), min(LONGEST_PAUSE, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))
            if self._clock() - started > self._patience:
                raise CdpError(f"The collector at {self._url} {trouble}.", "Is the platform up? See `cdp status`; then go on.")
            self._sleep(pause)
            attempt = min(attempt + 1, 20)
            self.retries += 1

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _post(self, body: bytes) -> tuple[int, bytes, float]:
        self._http.request("POST", self._path, body, self._headers)
        answer = self._http.getresponse()
        content = answer.read()
        pause = answer.headers.get("Retry-After", "")
        return answer.status, content, float(pause) if pause.isdecimal() else 0.0


class Batch:
    """Messages that wait to be sent together, within the collector's limits."""

    def __init__(self, messages: int, max_bytes: int) -> None:
        self._most, self._room = messages, max_bytes - ENVELOPE
        self.messages: list[bytes] = []
        self._bytes = 0

    def fits(self, more: list[bytes]) -> bool:
        """Whether the messages of one more record fit in."""
        size = sum(len(message) + 1 for message in more)
        return not self.messages or (len(self.messages) + len(more) <= self._most and self._bytes + size <= self._room)

    def add(self, more: list[bytes]) -> None:
        """Put the messages of a record in."""
        self.messages += more
        self._bytes += sum(len(message) + 1 for message in more)

    def clear(self) -> None:
        """Begin anew."""
        self.messages, self._bytes = [], 0


def _taken(content: bytes) -> Taken:
    try:
        return msgspec.json.decode(content, type=Taken)
    except msgspec.MsgspecError:
        return Taken()


def _remedy(status: int) -> str:
    return "Give a valid write key with --write-key or CDP_WRITE_KEY." if status in (401, 403) else ""
