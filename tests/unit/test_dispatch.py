"""The dispatcher's logic, without Kafka, Redis or a network."""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from cdp import keyring
from cdp.errors import Unavailable
from cdp.events import Action
from cdp.reveal import Reveal
from cdp.seal import TEXT, embed
from serving.dispatch.deliver import Deliverer
from serving.dispatch.log_channel import LogChannel
from serving.dispatch.offsets import Offsets
from serving.dispatch.outcome import Sent, opened
from serving.dispatch.retry import MAX_ATTEMPTS, pause
from serving.dispatch.together import Together
from serving.dispatch.webhook import Webhook, client, judge, proxy_of, signature
from tests.sealing import REVEAL, RING

NOW = 1_795_380_000_000_000
ACTION = Action(
    action_id="a1", rule="welcome", rule_version=1, one_id="P0000000001", person=1, occasion="ever", channel="webhook",
    content={"text": "hello"}, time=NOW, received_at=NOW, message_id="m1", p=3, o=4, seq=0,
)  # fmt: skip


class FakeFence:
    def __init__(self) -> None:
        self.final: dict[str, bytes] = {}
        self.tries: dict[str, int] = {}
        self.away = 0

    async def look(self, action_id: str) -> tuple[bytes | None, int]:
        if self.away:
            self.away -= 1
            raise Unavailable("Redis does not answer.")
        return self.final.get(action_id), self.tries.get(action_id, 0)

    async def failed(self, action_id: str, attempts: int) -> None:
        self.tries[action_id] = attempts

    async def done(self, action_id: str, delivery: bytes) -> None:
        self.final[action_id] = delivery


class FakeChannel:
    def __init__(self, *outcomes: Sent | Exception) -> None:
        self.outcomes = list(outcomes)
        self.attempts: list[int] = []

    async def send(self, action: Action, attempt: int) -> Sent:
        self.attempts.append(attempt)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Bench:
    def __init__(self, *outcomes: Sent | Exception) -> None:
        self.fence, self.channel = FakeFence(), FakeChannel(*outcomes)
        self.reports: list[dict[str, object]] = []
        self.slept: list[float] = []

    async def report(self, one_id: str, delivery: bytes) -> None:
        self.reports.append(json.loads(delivery))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def deliver(self, action: Action = ACTION) -> list[tuple[object, object]]:
        deliverer = Deliverer(
            {"webhook": self.channel}, self.fence, self.report, lambda: NOW, asyncio.Semaphore(2), self.sleep, lambda: 1.0
        )  # fmt: skip
        asyncio.run(deliverer.deliver(action, 5, 6))
        return [(r["attempt"], r["status"]) for r in self.reports]


def test_a_delivery_says_the_actions_position() -> None:
    bench = Bench(Sent("delivered", "HTTP 200"))
    assert bench.deliver() == [(1, "delivered")]
    assert (bench.reports[0]["p"], bench.reports[0]["o"], bench.reports[0]["action_id"]) == (5, 6, "a1")


def test_failures_are_tried_again_and_then_given_up() -> None:
    assert Bench(Sent("failed", "HTTP 500"), Sent("delivered")).deliver() == [(1, "failed"), (2, "delivered")]
    bench = Bench(*[Sent("failed", "HTTP 500")] * MAX_ATTEMPTS)
    assert [status for _, status in bench.deliver()] == ["failed"] * (MAX_ATTEMPTS - 1) + ["gave_up"]
    assert bench.slept == [0.5, 1.0, 2.0, 4.0]
    assert Bench(Sent("gave_up", "HTTP 404")).deliver() == [(1, "gave_up")]


def test_what_was_done_is_not_done_again_but_reported_again() -> None:
    bench = Bench(Sent("delivered"))
    bench.deliver()
    bench.deliver()
    assert bench.channel.attempts == [1]
    assert bench.reports[0] == bench.reports[1]


def test_a_restart_goes_on_counting() -> None:
    bench = Bench(Sent("failed"), Sent("delivered"))
    bench.fence.tries["a1"] = 3
    assert bench.deliver() == [(4, "failed"), (5, "delivered")]


def test_redis_away_is_waited_for_and_a_channels_bug_costs_one_attempt() -> None:
    bench = Bench(RuntimeError("bug"), Sent("delivered"))
    bench.fence.away = 2
    assert bench.deliver() == [(1, "failed"), (2, "delivered")]
    assert bench.slept[:2] == [1.0, 1.0]


def test_an_unknown_channel_is_given_up() -> None:
    other = Action(**{**{f: getattr(ACTION, f) for f in ACTION.__struct_fields__}, "channel": "pigeon"})
    assert Bench().deliver(other) == [(1, "gave_up")]


def test_pauses_double_and_respect_the_receiver() -> None:
    assert [pause(n, None, lambda: 0.0) for n in (1, 2, 3, 9)] == [0.25, 0.5, 1.0, 15.0]
    assert pause(1, 7.0, lambda: 0.0) == 7.0
    assert pause(1, 1e9, lambda: 0.0) == 60.0


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        (204, "", Sent("delivered", "HTTP 204")),
        (500, "", Sent("failed", "HTTP 500", None)),
        (429, "3", Sent("failed", "HTTP 429", 3.0)),
        (503, "Sun, 22 Nov 2026 20:40:10 GMT", Sent("failed", "HTTP 503", 10.0)),
        (503, "soon", Sent("failed", "HTTP 503", None)),
        (301, "", Sent("gave_up", "HTTP 301")),
        (404, "", Sent("gave_up", "HTTP 404")),
    ],
)
def test_answers_are_judged(status: int, header: str, expected: Sent) -> None:
    assert judge(status, header, NOW) == expected


class Receiver:
    """A real webhook receiver on a port of its own. Answers with `status`; 302 leads to itself."""

    def __init__(self, status: int = 200, seconds: float = 0.0) -> None:
        self.status, self.seconds = status, seconds
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.callers: set[object] = set()

    async def take(self, request: web.Request) -> web.Response:
        self.seen.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        self.callers.add(request.transport and request.transport.get_extra_info("peername"))
        await asyncio.sleep(self.seconds)
        headers = {"Retry-After": "7", "Location": "/elsewhere", "Set-Cookie": "a=b"}
        return web.Response(status=self.status, body=b"x" * 300_000, headers=headers)

    def post(self, times: int = 1, secret: str = "s", timeout: float = 10.0, action: Action = ACTION) -> list[Sent]:
        async def run() -> list[Sent]:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.take)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
            await site.start()
            host, port = runner.addresses[0][:2]
            try:
                return await send(f"http://{host}:{port}/hook?key=hidden", times, secret, timeout, action)
            finally:
                await runner.cleanup()

        return asyncio.run(run())


async def send(url: str, times: int = 1, secret: str = "s", timeout: float = 10.0, action: Action = ACTION) -> list[Sent]:
    async with client(timeout) as http:
        webhook = Webhook(http, url, secret, lambda: NOW, lambda: REVEAL)
        return [await webhook.send(action, attempt) for attempt in range(1, times + 1)]


def test_the_webhook_is_signed_and_idempotent() -> None:
    receiver = Receiver()
    assert receiver.post() == [Sent("delivered", "HTTP 200")]
    headers, body = receiver.seen[0]
    assert (headers["idempotency-key"], headers["x-cdp-attempt"]) == ("a1", "1")
    assert headers["content-type"] == "application/json"
    assert headers["x-cdp-signature"] == signature(b"s", NOW // 1_000_000, body)
    assert json.loads(body)["content"] == {"text": "hello"}
    receiver.post(secret="")
    assert "x-cdp-signature" not in receiver.seen[1][0]


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_connection_is_used_again_and_keeps_no_cookies(status: int) -> None:
    receiver = Receiver(status)
    assert len(receiver.post(times=3)) == 3
    assert len(receiver.callers) == 1
    assert not any("cookie" in headers for headers, _ in receiver.seen)


def test_a_redirect_is_not_followed_and_a_request_to_wait_is_heard() -> None:
    redirecting = Receiver(302)
    assert redirecting.post() == [Sent("gave_up", "HTTP 302")]
    assert len(redirecting.seen) == 1
    assert Receiver(429).post() == [Sent("failed", "HTTP 429", 7.0)]


def test_silence_and_a_closed_door_are_failures() -> None:
    assert Receiver(seconds=5.0).post(timeout=0.1) == [Sent("failed", "TimeoutError")]
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        assert asyncio.run(send(f"http://127.0.0.1:{closed.getsockname()[1]}/")) == [Sent("failed", "ClientConnectorError")]


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    writer.close()


def test_half_an_answer_is_a_failure() -> None:
    async def run() -> list[Sent]:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            return await send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")

    assert asyncio.run(run()) == [Sent("failed", "ClientPayloadError")]


@pytest.mark.parametrize("url", ["nowhere", "http://", "http://[::1", "ftp://127.0.0.1/", "http://127.0.0.1:port/"])
def test_a_url_that_cannot_be_used_is_given_up(url: str) -> None:
    assert [sent.status for sent in asyncio.run(send(url))] == ["gave_up"]


def test_a_header_cannot_be_smuggled_in() -> None:
    receiver = Receiver()
    action = Action(**{**{f: getattr(ACTION, f) for f in ACTION.__struct_fields__}, "action_id": "a\r\nX-Evil: 1"})
    assert [sent.status for sent in receiver.post(action=action)] == ["gave_up"]
    assert receiver.seen == []


def test_the_url_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # the receiver's own
    sent = [*Receiver().post(), *Receiver(500).post(), *asyncio.run(send("http://[::1/?key=hidden"))]
    assert "hidden" not in caplog.text + repr(sent)


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxy_of("https://hook.example/x") is None
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_of("https://hook.example/x") == "http://proxy.example:3128"
    assert proxy_of("https://inside.example/x") is None
    assert proxy_of("http://hook.example/x") is None
    assert proxy_of("http://[::1") is None


def test_asks_that_come_meanwhile_go_together() -> None:
    trips: list[list[int]] = []

    async def trip(asks: Sequence[int]) -> list[int]:
        trips.append(list(asks))
        await asyncio.sleep(0.01)
        if 13 in asks:
            raise Unavailable("away")
        return [-ask for ask in asks]

    async def run() -> list[int | BaseException]:
        together = Together(trip)
        first = [asyncio.create_task(together(ask)) for ask in (1, 2)]
        await asyncio.sleep(0.001)
        later = [asyncio.create_task(together(ask)) for ask in (3, 4, 5)]
        await asyncio.sleep(0.001)
        later[1].cancel()
        answers = await asyncio.gather(*first, *later, return_exceptions=True)
        return [*answers, *await asyncio.gather(together(13), together(6), return_exceptions=True), await together(7)]

    answers = asyncio.run(run())
    assert answers[:3] == [-1, -2, -3] and answers[4] == -5 and answers[7] == -7
    assert isinstance(answers[3], asyncio.CancelledError)
    assert all(isinstance(answer, Unavailable) for answer in answers[5:7])
    assert trips == [[1, 2], [3, 4, 5], [13, 6], [7]]


def test_the_log_channel_writes_a_private_line(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "actions.jsonl"
    channel = LogChannel(path, lambda: Reveal(RING, masked=True))
    run: Callable[[Awaitable[Sent]], Sent] = asyncio.run  # type: ignore[assignment]
    assert run(channel.send(ACTION, 1)) == Sent("delivered", "")
    assert run(channel.noting("no webhook configured").send(ACTION, 1)) == Sent("delivered", "no webhook configured")
    assert [json.loads(line)["action_id"] for line in path.read_text().splitlines()] == ["a1", "a1"]
    assert path.stat().st_mode & 0o777 == 0o600


def sealed_action() -> Action:
    return msgspec.structs.replace(ACTION, content={"text": f"Dear {embed(RING.seal(TEXT, 'Li Na'))}s, hello"})


def test_what_is_sealed_in_texts_is_opened_for_a_webhook_and_masked_in_the_log(tmp_path: Path) -> None:
    assert opened(sealed_action(), REVEAL).content == {"text": "Dear Li Nas, hello"}
    channel = LogChannel(tmp_path / "actions.jsonl", lambda: Reveal(RING, masked=True))
    asyncio.run(channel.send(sealed_action(), 1))
    assert json.loads((tmp_path / "actions.jsonl").read_text())["content"] == {"text": "Dear L***s, hello"}


def test_what_cannot_be_opened_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    class Sealed:
        async def send(self, action: Action, attempt: int) -> Sent:
            return Sent("delivered", opened(action, Reveal(keyring.generate())).content["text"])

    desk = Deliverer({"webhook": Sealed()}, FakeFence(), _report, lambda: NOW, asyncio.Semaphore(1))
    sent = asyncio.run(desk._try(sealed_action(), 1))
    assert (sent.status, "Li Na" in caplog.text) == ("failed", False)
    assert asyncio.run(desk._try(sealed_action(), MAX_ATTEMPTS)).status == "gave_up"


async def _report(one_id: str, delivery: bytes) -> None:
    """Nobody listens."""


def test_offsets_are_committed_up_to_the_lowest_unfinished() -> None:
    offsets = Offsets()
    assert [offsets.start(0, o) for o in (10, 11, 13)] == [True] * 3
    assert not offsets.start(0, 11)
    offsets.finish(0, 11)
    assert offsets.committable() == {0: 10}
    offsets.finish(0, 10)
    assert offsets.committable() == {0: 13}
    offsets.committed({0: 13})
    assert offsets.committable() == {}
    offsets.finish(0, 13)
    assert offsets.committable() == {0: 14}
    assert len(offsets) == 0
    offsets.drop(0)
    assert offsets.committable() == {}
