"""Serve ClickHouse's HTTP protocol on 127.0.0.1: ``python -m infra.clickhouse.server``."""

import asyncio
import logging
import secrets
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import uvicorn

from cdp import logs
from cdp.errors import CdpError
from cdp.settings import CLICKHOUSE, Settings, settings
from infra.clickhouse.authenticate import Account, authenticate, ensure_passwords
from infra.clickhouse.execute import MAX_QUERIES, Engine, Summary
from infra.clickhouse.fail import BAD_REQUEST, QUERY_TOO_LARGE, UNKNOWN_EXCEPTION, ClickHouseError
from infra.clickhouse.guard import Guard
from infra.clickhouse.kill import killed_query
from infra.clickhouse.native import MARKED_SINCE, mark
from infra.clickhouse.protocol import MAX_BODY_BYTES, Query, Request, parse, parse_params
from infra.clickhouse.respond import (
    Headers,
    answer_headers,
    body_of,
    encode,
    encoding_of,
    error_body,
    error_headers,
    packed,
)
from infra.clickhouse.sessions import Sessions

SHUTDOWN_SECONDS = 20

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("infra.clickhouse")


class Server:
    """An ASGI application: the engine, its users and the threads that statements run in."""

    def __init__(self, engine: Engine, passwords: Mapping[str, str], guard: Guard) -> None:
        self._engine = engine
        self._passwords = passwords
        self._guard = guard
        self._sessions = Sessions()
        self._running: set[tuple[str, str]] = set()  # who asked, and the id, of each statement under way
        # A thread more for each of: cancelling, and refusing what is too much.
        self._threads = ThreadPoolExecutor(MAX_QUERIES + 8, thread_name_prefix="query")
        self._common = encode({"X-ClickHouse-Server-Display-Name": engine.host, "X-ClickHouse-Timezone": engine.timezone})

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], parse_params(scope["query_string"]), headers)
        if request.path in ("/ping", "/replicas_status"):
            await self._send(send, 200, [], b"Ok.\n")
        elif request.path != "/" or request.method not in ("GET", "POST", "HEAD"):
            await self._send(send, 404, [], f"There is no handle {request.path}\n\nUse / or /ping.\n".encode())
        elif request.method != "POST" and "query" not in request.params:
            await self._send(send, 200, [], b"Ok.\n")
        else:
            await self._answer(request, receive, send)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        query_id = request.params.get("query_id", "")
        try:
            account = authenticate(self._passwords, request.headers, request.params)
            body = await _read(receive, request.headers)
            request = Request(request.method, request.path, request.params, request.headers, body)
            query = await self._in_thread(self._prepare, request, account)
            query_id = query.query_id
            await self._run(request, query, account, receive, send)
        except ClickHouseError as error:
            await self._fail(send, error, request, query_id)
        except (_DisconnectedError, _BrokenError):
            raise
        except Exception:
            log.exception("A request failed in a way that nobody foresaw")
            unforeseen = ClickHouseError(UNKNOWN_EXCEPTION, "Internal error: see the server's log.")
            await self._fail(send, unforeseen, request, query_id)

    async def _fail(self, send: Send, error: ClickHouseError, request: Request, query_id: str) -> None:
        body = error_body(error, self._engine.version, request.params)
        await self._send(send, error.status, error_headers(error, query_id), body)

    def _prepare(self, request: Request, account: Account) -> Query:
        query = parse(request, str(uuid.uuid4()))
        if (killed := killed_query(query.sql)) is not None:
            if not account.reader or (account.name, killed) in self._running:
                self._engine.kill(killed)
            return replace(query, sql="SELECT 1", format="Null", answers=False)
        if not account.reader:
            return query
        kept = self._sessions.settings(account.name, request.params)
        query = self._guard.restrict(replace(query, settings={**kept, **query.settings}))
        self._sessions.keep(account.name, request.params, {**kept, **query.changes})
        return query

    async def _run(self, request: Request, query: Query, account: Account, receive: Receive, send: Send) -> None:
        summary = Summary()
        chunks = self._engine.execute(query, summary, readonly=account.reader)
        if query.format.lower() == "native" and query.revision >= MARKED_SINCE:
            chunks = mark(chunks)
        watch = asyncio.create_task(self._kill_when_gone(query, receive))
        self._running.add((account.name, query.query_id))
        try:
            if query.streams:
                await self._stream(request, query, summary, chunks, send)
            else:
                encoding = encoding_of(query, request)
                body = await self._in_thread(_whole, chunks, query, encoding)
                await self._send(send, 200, answer_headers(query, summary.header(), encoding if body else ""), body)
        finally:
            self._running.discard((account.name, query.query_id))
            watch.cancel()

    async def _stream(self, request: Request, query: Query, summary: Summary, chunks: Iterator[bytes], send: Send) -> None:
        encoding, tag = encoding_of(query, request), secrets.token_hex(8)
        try:
            # An error before the first block still gets its own status line.
            first = await self._in_thread(next, chunks, b"")
            headers = answer_headers(query, summary.header(), encoding) + encode({"X-ClickHouse-Exception-Tag": tag})
            await send({"type": "http.response.start", "status": 200, "headers": self._common + headers})
            body = body_of(_chain(first, chunks), query, encoding, tag, self._engine.version)
            while (chunk := await self._in_thread(_next_or_error, body)) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            await self._in_thread(_close, chunks)
        # Last of all: once an answer is whole, whoever watches for the client's end is told that it has come.
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _kill_when_gone(self, query: Query, receive: Receive) -> None:
        """Cancel a reading statement when its client hangs up; what writes goes on to its end."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if query.answers:
            await self._in_thread(self._engine.kill, query.query_id)

    async def _send(self, send: Send, status: int, headers: Headers, body: bytes) -> None:
        length = [(b"Content-Length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": self._common + headers + length})
        await send({"type": "http.response.body", "body": body})

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def close(self) -> None:
        """Wait for what still runs, then stop the engine."""
        self._threads.shutdown(wait=True)
        self._engine.close()


class _DisconnectedError(Exception):
    """The client hung up before its request was whole."""


class _BrokenError(Exception):
    """An answer broke off: the connection must not look finished."""


async def _read(receive: Receive, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise ClickHouseError(BAD_REQUEST, "The Content-Length is not a number.")
    size, parts = int(length), []
    received = 0
    while size <= MAX_BODY_BYTES and received <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        parts.append(message.get("body", b""))
        received += len(parts[-1])
        if not message.get("more_body", False):
            return b"".join(parts)
    raise ClickHouseError(QUERY_TOO_LARGE, f"The request's body is larger than {MAX_BODY_BYTES} bytes.")


def _whole(chunks: Iterator[bytes], query: Query, encoding: str) -> bytes:
    body = b"".join(chunks)
    return b"".join(packed([body], query, encoding)) if body else body


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _next_or_error(body: Iterator[bytes]) -> bytes | None:
    try:
        return next(body, None)
    except ClickHouseError as error:
        raise _BrokenError(error.message) from error


def _close(chunks: Iterator[bytes]) -> None:
    with suppress(Exception):
        chunks.close()  # type: ignore[attr-defined]


def serve(config: Settings) -> None:
    """Serve until SIGTERM or SIGINT: running statements end, new connections are refused."""
    engine = Engine(config.data_dir / "clickhouse")
    application = Server(engine, ensure_passwords(config), Guard(engine.ask, config.clickhouse_database))
    # uvicorn raises the signal again after it has stopped: that must not kill us before the engine is closed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    port = config.port(CLICKHOUSE)
    log.info(
        "ClickHouse %s (chDB) listens on http://127.0.0.1:%d, data in %s", engine.version, port, config.data_dir / "clickhouse"
    )
    try:
        uvicorn.run(
            application,
            host="127.0.0.1",
            port=port,
            http="httptools",
            loop="uvloop",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    finally:
        application.close()


def main() -> None:
    """Run the server; an error that a user can mend is one sentence on stderr, exit 1."""
    config = settings()
    logs.configure(config.log_level)
    logging.getLogger("uvicorn.access").disabled = True
    try:
        serve(config)
    except CdpError as error:
        sys.stderr.write(f"clickhouse: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
