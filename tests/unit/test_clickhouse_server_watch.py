"""A statement is cancelled when its client hangs up, and only then."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cdp.clickhouse import PLATFORM_USER
from infra.clickhouse.execute import Summary
from infra.clickhouse.protocol import Query
from infra.clickhouse.server import Server


class Engine:
    """Answers in two pieces; the second one comes when it may, or when the statement was cancelled."""

    version, host, timezone = "25.1", "here", "UTC"

    def __init__(self) -> None:
        self.killed: list[str] = []
        self.go_on = threading.Event()

    def execute(self, query: Query, summary: Summary, *, readonly: bool) -> Iterator[bytes]:
        yield b"1\n"
        self.go_on.wait(10)
        yield b"2\n"

    def kill(self, query_id: str) -> None:
        self.killed.append(query_id)
        self.go_on.set()


async def ask(engine: Engine, format_: str, *, hangs_up: bool) -> bytes:
    """A client as uvicorn shows it: whether it has gone or has got everything, the next that comes from it is the end."""
    server = Server(engine, {PLATFORM_USER: "secret"}, None)  # type: ignore[arg-type]
    ended, asked, body = asyncio.Event(), asyncio.Event(), bytearray()

    async def receive() -> dict[str, Any]:
        if not asked.is_set():
            asked.set()
            return {"type": "http.request", "body": f"SELECT 1 FORMAT {format_}".encode(), "more_body": False}
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            body.extend(message["body"])
            if not message.get("more_body", False):
                ended.set()

    credentials = [(b"x-clickhouse-user", PLATFORM_USER.encode()), (b"x-clickhouse-key", b"secret")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"query_id=q", "headers": credentials}
    if hangs_up:
        asyncio.get_running_loop().call_later(0.05, ended.set)
    else:
        engine.go_on.set()
    await asyncio.wait_for(server(scope, receive, send), 20)
    await asyncio.sleep(0.05)
    return bytes(body)


@pytest.mark.parametrize("format_", ["TSV", "JSON"])  # streamed, and in one piece
def test_a_client_that_has_its_answer_has_not_hung_up(format_: str) -> None:
    engine = Engine()
    assert asyncio.run(ask(engine, format_, hangs_up=False)) == b"1\n2\n"
    assert engine.killed == []


@pytest.mark.parametrize("format_", ["TSV", "JSON"])
def test_the_statement_of_a_client_that_hangs_up_is_cancelled(format_: str) -> None:
    engine = Engine()
    asyncio.run(ask(engine, format_, hangs_up=True))
    assert engine.killed == ["q"]
