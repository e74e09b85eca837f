"""The fast lane: uvicorn's HTTP protocol, in which requests to the collector skip ASGI.

Between the parser and an ASGI application uvicorn makes a scope, an event, two messages and a task with its bookkeeping: more
work than a whole event costs us. Here a request to a path of the collector, of the plain kind that SDKs send (with a
content length, not pipelined), goes from the parser to the collector and its answer back in one write. Every other
request takes the ordinary way; `endpoint` serves the same paths there.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.collect.collector import Reply, Request
from serving.collect.endpoint import Collect


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

    def on_headers_complete(self) -> None:
        """The head is read: into the lane, or the ordinary way."""
        turn = self._turn()
        if turn is None:
            super().on_headers_complete()
        else:
            self.cycle = turn

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
        task = self.loop.create_task(self._answer(turn, request))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _turn(self) -> _Turn | None:
        cycle: RequestResponseCycle | _Turn | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return None
        path, _, query = self.url.partition(b"?")
        try:
            endpoint = self.app.collect.get(path.decode("ascii"))
        except UnicodeDecodeError:
            return None
        if endpoint is None or self.expect_100_continue or self.parser.should_upgrade():
            return None
        method = self.parser.get_method().decode("ascii")
        if method not in endpoint.methods or not self._fits(method, endpoint.collector.max_batch_bytes):
            return None
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return _Turn(endpoint, method, path.decode("ascii"), query, keep_alive)

    def _fits(self, method: str, limit: int) -> bool:
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and int(value) <= limit
            if name == b"transfer-encoding":
                return False
        return method == "GET"

    async def _answer(self, turn: _Turn, request: Request) -> None:
        reply = await turn.endpoint.collector.handle(turn.endpoint.dialect, request)
        turn.response_complete = True
        if not self.transport.is_closing():
            self.transport.write(_encode(reply, turn.keep_alive))
            if not turn.keep_alive:
                self.transport.close()
        self.on_response_complete()


def _encode(reply: Reply, keep_alive: bool) -> bytes:
    content_type, length = reply.content_type.encode(), len(reply.body)
    head = [STATUS_LINE[reply.status], b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, length)]
    for name, value in reply.headers:
        head += (name, b": ", value, b"\r\n")
    head.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    head.append(reply.body)
    return b"".join(head)
