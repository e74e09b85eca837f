"""Drive the collector from a process of its own: ``python -m loadtest.drive``, a `Task` as JSON on stdin, a `Driven` on stdout.

Every connection sends its next request as soon as the last one is answered. Requests are whole byte strings made
beforehand; only a serial number is put into each: every message id of a run is its own, and the client costs little.
"""

import asyncio
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from itertools import count, cycle
from typing import cast

import msgspec
import uvloop

from cdp.wall_clock import wall_clock
from loadtest.measure import summary
from loadtest.mix import Mix, as_segment
from loadtest.send import batch

SERIAL = b"@@@@@@@@@@"  # stands for ten digits
PEOPLE = 20_000
BATCH_TEMPLATES, SINGLE_TEMPLATES = 64, 2000
LIBRARY = "streamcdp-bench"
PATHS = {"track": "/v1/track", "page": "/v1/page", "identify": "/v1/identify"}
PAUSE = 0.05  # seconds, after an answer other than 200
GRACE = 30.0  # seconds for the answers that are still due at the end


class Task(msgspec.Struct):
    """What to do.

    Attributes:
        port: of the server, on 127.0.0.1.
        write_key: sent by Basic authentication.
        run: begins every message id.
        events: messages in each request: 1 goes to the path of its type, more to ``/v1/batch``.
        connections: each with one request under way.
        begin, measure_from, end: of sending and of what is measured, by the machine's monotonic clock, in seconds.
    """

    port: int
    write_key: str
    run: str
    seed: int
    events: int
    connections: int
    begin: float
    measure_from: float
    end: float


class Driven(msgspec.Struct):
    """What came of it.

    Attributes:
        acknowledged: messages answered with 200, from the first to the last request.
        requests: answered with 200 within the measured time.
        statuses: other answers, by status; ``lost``: connections that broke.
        latency_ms: of the measured requests.
        cpu_seconds: of this client within the measured time.
        bytes_per_request: of the bodies, on average.
    """

    acknowledged: int
    requests: int
    statuses: dict[str, int]
    latency_ms: dict[str, float | int | None]
    cpu_seconds: float
    bytes_per_request: int


def templates(task: Task) -> list[bytes]:
    """Whole requests, with `SERIAL` where the serial number goes."""
    drawn = Mix(task.seed, task.run, PEOPLE).draw(BATCH_TEMPLATES * task.events if task.events > 1 else SINGLE_TEMPLATES)
    run = f"{task.run}-{SERIAL.decode()}"
    if task.events == 1:
        return [_request(task, PATHS[one.kind], as_segment(one, run, wall_clock())) for one in drawn]
    messages = [as_segment(one, run, wall_clock()) for one in drawn]
    return [
        _request(task, "/v1/batch", batch(messages[start : start + task.events], LIBRARY).body)
        for start in range(0, len(messages), task.events)
    ]


def _request(task: Task, path: str, body: bytes) -> bytes:
    key = b64encode(f"{task.write_key}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{task.port}\r\nUser-Agent: {LIBRARY}/1\r\nContent-Type: application/json\r\n"
        f"Authorization: Basic {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def requests(made: list[bytes]) -> Iterator[bytes]:
    """Requests without end, no message id twice."""
    serials = count()
    for template in cycle(made):
        yield template.replace(SERIAL, b"%010d" % next(serials))


class Results:
    """What all connections count together."""

    def __init__(self, task: Task) -> None:
        made = templates(task)
        self.task = task
        self.bytes_per_request = sum(len(one.partition(b"\r\n\r\n")[2]) for one in made) // len(made)
        self.requests = requests(made)
        self.acknowledged = 0
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()

    def answered(self, status: str, body: bytes, sent: float, now: float) -> None:
        """Count an answer that came at `now` to a request sent at `sent`."""
        if status != "200":
            self.statuses[status] += 1
            return
        refused = msgspec.json.decode(body).get("rejected", 0) if b'"rejected"' in body else 0
        self.statuses["dead letters"] += refused
        self.acknowledged += self.task.events
        if self.task.measure_from <= now < self.task.end:
            self.seconds.append(now - sent)


class Connection(asyncio.Protocol):
    """One keep-alive connection; `done` is set when its last answer has come."""

    def __init__(self, results: Results, loop: asyncio.AbstractEventLoop) -> None:
        self._results, self._loop = results, loop
        self._buffer = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is one without saying so
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer; when it is whole, send the next request."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or len(rest) < (length := content_length(head)):
            return
        self._buffer = rest[length:]
        status = head[9:12].decode()
        self._results.answered(status, rest[:length], self._sent, time.monotonic())
        if status == "200":
            self._send()
        else:
            self._loop.call_later(PAUSE, self._send)

    def connection_lost(self, error: Exception | None) -> None:
        """The server hung up in the middle of it."""
        if not self.done.done():
            self._results.statuses["lost"] += 1
            self.done.set_result(None)

    def _send(self) -> None:
        if self.done.done():
            return
        now = time.monotonic()
        if now >= self._results.task.end:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent = now
        self._transport.write(next(self._results.requests))


def content_length(head: bytes) -> int:
    """The length of the body that an answer's head announces; 0 without one."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def drive(task: Task) -> Driven:
    """Send until the task's end. Raises OSError if the server does not listen, TimeoutError if it stops answering."""
    loop = asyncio.get_running_loop()
    results = Results(task)
    cpu: list[float] = []
    for moment in (task.measure_from, task.end):
        loop.call_at(loop.time() + moment - time.monotonic(), lambda: cpu.append(time.process_time()))
    await asyncio.sleep(task.begin - time.monotonic())
    made = [
        (await loop.create_connection(lambda: Connection(results, loop), "127.0.0.1", task.port))[1]
        for _ in range(task.connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(one.done for one in made)), task.end - time.monotonic() + GRACE)
    return Driven(
        results.acknowledged,
        len(results.seconds),
        {status: number for status, number in results.statuses.items() if number},
        summary([seconds * 1000 for seconds in results.seconds]),
        cpu[-1] - cpu[0],
        results.bytes_per_request,
    )


def main() -> int:
    """Read the task, do it, say what came of it."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    driven = uvloop.run(drive(task))
    sys.stdout.buffer.write(msgspec.json.encode(driven))
    return 0


if __name__ == "__main__":
    sys.exit(main())
