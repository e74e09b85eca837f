"""Receive webhooks, as a shop's own system would: count actions by id and note when each came first."""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import msgspec

from cdp.clock import Clock
from cdp.errors import CdpError
from cdp.wall_clock import wall_clock

LARGEST = 1 << 20


class Body(msgspec.Struct):
    """What the receiver reads of a webhook's body."""

    action_id: str = ""
    rule: str = ""
    one_id: str = ""
    message_id: str = ""
    received_at: int = 0


class Arrival(msgspec.Struct, frozen=True):
    """The first arrival of an action, at `at` microseconds; `received_at`: when the collector took the event that caused it."""

    action_id: str
    rule: str
    one_id: str
    message_id: str
    received_at: int
    at: int


class Receiver:
    """A webhook receiver on 127.0.0.1; a context manager."""

    def __init__(self, port: int, *, clock: Clock = wall_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._arrivals: dict[str, Arrival] = {}
        self.requests = 0
        try:
            self._server = _Server(("127.0.0.1", port), _handler(self.take))
        except OSError as error:
            raise CdpError(
                f"Port {port} of 127.0.0.1 is taken, and the webhook receiver needs it.", "Set CDP_PORT_BASE to another hundred."
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="receiver", daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where webhooks are posted to."""
        return f"http://127.0.0.1:{self.port}/webhook"

    def take(self, body: bytes, key: str) -> int:
        """Note one request: the status to answer with. The same action again changes nothing but the number of requests."""
        try:
            found = msgspec.json.decode(body, type=Body)
        except msgspec.MsgspecError:
            return http.client.BAD_REQUEST
        action_id = found.action_id or key
        now = self._clock()
        with self._lock:
            self.requests += 1
            if action_id not in self._arrivals:
                self._arrivals[action_id] = Arrival(action_id, found.rule, found.one_id, found.message_id, found.received_at, now)
        return http.client.OK

    def arrivals(self) -> dict[str, Arrival]:
        """The actions that came, by id."""
        with self._lock:
            return dict(self._arrivals)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(take: Callable[[bytes, str], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", "0")), LARGEST)
            status = take(self.rfile.read(length), self.headers.get("Idempotency-Key", ""))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: every request is counted instead."""

    return Handler
