"""The collector as an ASGI application, for whatever server runs it."""

from starlette.types import Receive, Scope, Send

from serving.collect.body import too_large
from serving.collect.collector import Collector, Header, Reply, Request, refusal
from serving.collect.draft import Dialect, RefusedError

METHODS = frozenset({"POST", "GET", "OPTIONS"})


class Collect:
    """The endpoint of one path.

    Args:
        gets: whether the dialect takes messages by GET as well, as image pixels do.
    """

    def __init__(self, collector: Collector, dialect: Dialect, *, gets: bool = False) -> None:
        self.collector = collector
        self.dialect = dialect
        self.methods = METHODS if gets else METHODS - {"GET"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        request = Request(
            scope["method"], scope["path"], scope["query_string"], scope["headers"], b"", (scope.get("client") or ("",))[0]
        )
        if request.method not in self.methods:
            await _send(not_allowed(self.methods), send)
            return
        try:
            body = await _read(receive, request, self.collector.max_batch_bytes)
        except RefusedError as error:
            await self.collector.count_rejected(error.code)
            await _send(refusal(error, request), send)
            return
        if body is not None:
            await _send(await self.collector.handle(self.dialect, request._replace(body=body)), send)


def not_allowed(methods: frozenset[str]) -> Reply:
    """The answer to another method than a path takes."""
    allowed = ", ".join(sorted(methods - {"OPTIONS"}))
    body = f'{{"code":"method_not_allowed","message":"Send events with {allowed}."}}'
    return Reply(405, "application/json", body.encode(), ((b"allow", allowed.encode()),))


async def _read(receive: Receive, request: Request, limit: int) -> bytes | None:
    """The body; None if the client went away. Raises RefusedError."""
    for name, value in request.headers:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _send(reply: Reply, send: Send) -> None:
    headers: list[Header] = [
        (b"content-type", reply.content_type.encode()), (b"content-length", b"%d" % len(reply.body)), *reply.headers,
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
