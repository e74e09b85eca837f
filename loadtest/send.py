"""Send Segment messages to the collector in batches, several requests in flight, until each batch is acknowledged."""

import http.client
import random
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

from cdp.errors import CdpError

ENVELOPE = 256  # bytes of a batch's body beside its messages and their commas
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 5.0
UNAUTHORISED = frozenset({401, 403})

# Amounts are sent as JSON numbers with the digits they have: 2.55 stays 2.55.
encode = msgspec.json.Encoder(decimal_format="number").encode


class Verdict(msgspec.Struct):
    """What the collector says of a request it took: how many messages it had to put among the dead letters."""

    rejected: int = 0


@dataclass(frozen=True)
class Batch:
    """A request body for `/v1/batch` and the number of messages in it."""

    body: bytes
    events: int


@dataclass(frozen=True)
class Tally:
    """What became of the messages so far.

    Attributes:
        sent: handed over by us, counted once however often a request was repeated.
        acked: of these, acknowledged by the collector (including those it put among the dead letters).
        dead_lettered: of the acknowledged, refused with a reason and kept as dead letters.
        requests, retries: requests answered with 200, and requests repeated.
    """

    sent: int = 0
    acked: int = 0
    dead_lettered: int = 0
    requests: int = 0
    retries: int = 0


@dataclass(frozen=True)
class Limits:
    """What fits into a request: `messages`, `batch_bytes` in all, and `event_bytes` in one message."""

    messages: int
    batch_bytes: int
    event_bytes: int


def pack(messages: Iterable[bytes], limits: Limits, library: str) -> Iterator[Batch]:
    """Cut encoded messages into batches within the limits.

    Raises CdpError for a message that is too large by itself: the collector would refuse it for ever.
    """
    waiting: list[bytes] = []
    room = limits.batch_bytes - ENVELOPE
    largest = min(limits.event_bytes, room)
    for message in messages:
        if len(message) > largest:
            raise CdpError(
                f"A message is too large for the collector ({len(message):,} bytes): {message[:80].decode(errors='replace')} ...",
                "Raise CDP_MAX_EVENT_BYTES and CDP_MAX_BATCH_BYTES, for the platform too.",
            )
        if waiting and (len(waiting) == limits.messages or len(message) + 1 > room):
            yield batch(waiting, library)
            waiting, room = [], limits.batch_bytes - ENVELOPE
        waiting.append(message)
        room -= len(message) + 1
    if waiting:
        yield batch(waiting, library)


def batch(messages: list[bytes], library: str) -> Batch:
    """One body. It has no sentAt on purpose: these clocks need no correction, and times stay as they are."""
    head = b'{"context":{"library":{"name":' + encode(library) + b',"version":"1"}},"batch":['
    return Batch(head + b",".join(messages) + b"]}", len(messages))


class Refused(CdpError):
    """The collector will never take this request."""


class Connection:
    """One keep-alive connection to the collector; for one thread at a time."""

    def __init__(self, url: str, write_key: str, *, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._url = url
        self._http = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)
        token = b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}

    def post(self, path: str, body: bytes) -> tuple[int, bytes, float]:
        """Status, body, and the seconds the collector wants us to wait (0: it does not say). Raises OSError, HTTPException."""
        try:
            self._http.request("POST", path, body, self._headers)
            answer = self._http.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            raise
        pause = answer.headers.get("Retry-After", "")
        return answer.status, content, float(pause) if pause.isdigit() else 0.0

    def deliver(
        self,
        path: str,
        body: bytes,
        *,
        patience: float,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> tuple[Verdict, int]:
        """Post until acknowledged: the verdict, and how often it had to be repeated.

        Blocks for at most about `patience` seconds. Raises Refused for an answer that repeating cannot change, CdpError when
        patience ends.
        """
        started, attempt = clock(), 0
        while True:
            wait, trouble = 0.0, ""
            try:
                status, content, wait = self.post(path, body)
                if status == http.client.OK:
                    return _verdict(content), attempt
                trouble = f"answers {status}: {_detail(content)}"
                if status not in RETRIED:
                    raise Refused(f"The collector at {self._url} {trouble}.", _remedy(status))
            except (OSError, http.client.HTTPException) as error:
                trouble = f"does not answer ({error or type(error).__name__})"
            pause = max(wait, min(LONGEST_PAUSE, 0.05 * 2**attempt) * random.uniform(0.5, 1.0))
            if clock() - started + pause > patience:
                raise CdpError(f"The collector at {self._url} {trouble}.", "Is the platform up? See `cdp status`.")
            sleep(pause)
            attempt += 1

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def _verdict(content: bytes) -> Verdict:
    try:
        return msgspec.json.decode(content, type=Verdict)
    except msgspec.MsgspecError:
        return Verdict()


def _detail(content: bytes) -> str:
    return " ".join(content.decode(errors="replace").split())[:200] or "nothing more"


def _remedy(status: int) -> str:
    return "Give a valid write key with --write-key or CDP_WRITE_KEY." if status in UNAUTHORISED else ""


class Sender:
    """Several connections that send batches; a context manager: leaving it waits for everything in flight.

    `send` blocks while twice as many batches as connections are waiting, and raises the first failure of an earlier batch.
    """

    def __init__(self, url: str, write_key: str, *, connections: int = 4, patience: float = 60.0) -> None:
        self._url, self._write_key, self._patience = url, write_key, patience
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="sender")
        self._free = threading.BoundedSemaphore(2 * connections)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[Connection] = []
        self._failure: CdpError | None = None
        self._tally = Tally()

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        for connection in self._open:
            connection.close()

    @property
    def tally(self) -> Tally:
        """What became of the messages so far."""
        with self._lock:
            return self._tally

    @property
    def failure(self) -> CdpError | None:
        """The first failure; None while all is well. After one, nothing more is sent."""
        return self._failure

    def send(self, item: Batch) -> None:
        """Hand over a batch. Raises the failure of an earlier one."""
        self._free.acquire()
        if self._failure is not None:
            self._free.release()
            raise self._failure
        with self._lock:
            self._tally = replace(self._tally, sent=self._tally.sent + item.events)
        future: Future[None] = self._pool.submit(self._deliver, item)
        future.add_done_callback(lambda _: self._free.release())

    def _deliver(self, item: Batch) -> None:
        if self._failure is not None:
            return
        try:
            verdict, retries = self._connection().deliver("/v1/batch", item.body, patience=self._patience)
        except CdpError as error:
            self._failure = self._failure or error
            return
        with self._lock:
            done = self._tally
            self._tally = replace(
                done,
                acked=done.acked + item.events,
                dead_lettered=done.dead_lettered + verdict.rejected,
                requests=done.requests + 1,
                retries=done.retries + retries,
            )

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = Connection(self._url, self._write_key)
            with self._lock:
                self._open.append(connection)
        return connection


class Pacer:
    """Hold a rate: `wait(n)` returns when `n` more events may go. Blocks the caller; rate 0 never waits."""

    def __init__(
        self, rate: float, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._started = clock()
        self._events = 0

    def wait(self, events: int) -> None:
        """Wait for the turn of the next `events` events."""
        if self._rate > 0:
            ahead = self._started + self._events / self._rate - self._clock()
            if ahead > 0:
                self._sleep(ahead)
        self._events += events
