"""The fast lane: uvicorn's HTTP protocol, in which requests to the collector skip ASGI.

Between the parser and an ASGI application uvicorn makes a scope, an event, two messages and a task with its bookkeeping: more
work than a whole event costs us. Here a request to a path of the collector, of the plain kind that SDKs send (with a
content length, not pipelined), goes from the parser to the collector and its answer back in one write; a single plain message
without even a task. Every other request takes the ordinary way; `endpoint` serves the same paths there.
"""

from collections.abc import Awaitable
from functools import lru_cache, partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.collect.collector import Reply, Request
from serving.collect.endpoint import Collect
from serving.collect.publish import Record


class _Turn:
    """A request in the lane. It has what the protocol expects of its current cycle."""

    __slots__ = (
        "body", "disconnected", "endpoint", "keep_alive", "message_event", "method", "more_body", "path", "query",
        "response_complete",
    )  # fmt: skip

    def __init__(self, endpoint: Collect, method: str, path: str, query: bytes, keep_alive: bool) -> None:
        self.endpoint = endpoint
        self.method = method
        self.path = path
        self.query = query
        self.keep_alive = keep_alive
        self.body: list[bytes] = []
        self.response_complete = False
        self.disconnected = False
        self.more_body = True
        self.message_event = _NoEvent()


class _NoEvent:
    """Nobody waits for a part of the body."""

    def set(self) -> None:
        """Nothing happens."""


class LaneProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the lane; needs an application with `collect`, a mapping of paths to endpoints."""

    cycle: Any
    idle_since: float | None = None

    def on_message_begin(self) -> None:
        """A request begins. The scope is made for those only that need one."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """The head is read: into the lane, or the ordinary way."""
        turn = self._turn()
        if turn is not None:
            self.cycle = turn
            return
        url, headers, expected = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expected
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if isinstance(self.cycle, _Turn):
            self.cycle.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        turn = self.cycle
        if not isinstance(turn, _Turn):
            super().on_message_complete()
            return
        body = turn.body[0] if len(turn.body) == 1 else b"".join(turn.body)
        turn.body.clear()
        request = Request(turn.method, turn.path, turn.query, self.headers, body, self.client[0] if self.client else "")
        collector, dialect = turn.endpoint.collector, turn.endpoint.dialect
        record = collector.plain(dialect, request)
        if record is None or not collector.publisher.hand_over([record], partial(self._handed_over, turn, request, record)):
            self._start(turn, collector.handle(dialect, request))

    def _handed_over(self, turn: _Turn, request: Request, record: Record, error: str) -> None:
        collector, dialect = turn.endpoint.collector, turn.endpoint.dialect
        if error:
            self._start(turn, collector.save(dialect, request, record, error))
        else:
            self._reply(turn, collector.taken(dialect, request))

    def _start(self, turn: _Turn, work: Awaitable[Reply]) -> None:
        """Answer when some work is done that has to wait for something."""
        task = self.loop.create_task(self._reply_after(turn, work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _turn(self) -> _Turn | None:
        cycle: RequestResponseCycle | _Turn | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return None
        path, _, query = self.url.partition(b"?")
        try:
            name = path.decode("ascii")
        except UnicodeDecodeError:
            return None
        endpoint, parser = self.app.collect.get(name), self.parser
        if endpoint is None or self.expect_100_continue or parser.should_upgrade():
            return None
        method = parser.get_method().decode("ascii")
        if method not in endpoint.methods or not self._fits(method, endpoint.collector.max_batch_bytes):
            return None
        return _Turn(endpoint, method, name, query, parser.get_http_version() != "1.0" and parser.should_keep_alive())

    def _fits(self, method: str, limit: int) -> bool:
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and int(value) <= limit
            if name == b"transfer-encoding":
                return False
        return method == "GET"

    async def _reply_after(self, turn: _Turn, work: Awaitable[Reply]) -> None:
        self._reply(turn, await work)

    def _reply(self, turn: _Turn, reply: Reply) -> None:
        turn.response_complete = True
        if not self.transport.is_closing():
            self.transport.write(_encode(reply, turn.keep_alive))
            if not turn.keep_alive:
                self.transport.close()
        self.on_response_complete()

    # uvicorn makes a timer for each pause between requests. Here a connection keeps one, which looks when the pause began.

    def on_response_complete(self) -> None:
        """Go on with the next request if it is there already; else the pause begins."""
        if self.timeout_keep_alive_task is None or self.pipeline:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.flow.resume_reading()
        self.idle_since = self.loop.time()

    def _unset_keepalive_if_required(self) -> None:
        """The pause is over."""
        self.idle_since = None

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if the pause was too long; look again later if it was not."""
        self.timeout_keep_alive_task = None
        if self.idle_since is None:
            return
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)


@lru_cache(maxsize=256)
def _encode(reply: Reply, keep_alive: bool) -> bytes:
    content_type, length = reply.content_type.encode(), len(reply.body)
    head = [STATUS_LINE[reply.status], b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, length)]
    for name, value in reply.headers:
        head += (name, b": ", value, b"\r\n")
    head.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    head.append(reply.body)
    return b"".join(head)
