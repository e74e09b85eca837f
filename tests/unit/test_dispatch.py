"""The dispatcher's logic, without Kafka, Redis or a network."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from cdp.errors import Unavailable
from cdp.events import Action
from serving.dispatch.deliver import Deliverer
from serving.dispatch.log_channel import LogChannel
from serving.dispatch.offsets import Offsets
from serving.dispatch.outcome import Sent
from serving.dispatch.retry import MAX_ATTEMPTS, pause
from serving.dispatch.webhook import Webhook, judge, signature

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


def post(handler: Callable[[httpx.Request], httpx.Response], secret: str = "s") -> Sent:
    async def run() -> Sent:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            return await Webhook(client, "http://hook/x", secret, lambda: NOW).send(ACTION, 2)

    return asyncio.run(run())


def test_the_webhook_is_signed_and_idempotent() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    assert post(handler).status == "delivered"
    request = seen[0]
    assert request.headers["idempotency-key"] == "a1"
    assert request.headers["x-cdp-signature"] == signature(b"s", NOW // 1_000_000, request.content)
    assert json.loads(request.content)["content"] == {"text": "hello"}
    post(handler, secret="")
    assert "x-cdp-signature" not in seen[1].headers


def test_silence_is_a_failure() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    assert post(handler) == Sent("failed", "ReadTimeout")


def test_the_log_channel_writes_a_private_line(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "actions.jsonl"
    channel = LogChannel(path)
    run: Callable[[Awaitable[Sent]], Sent] = asyncio.run  # type: ignore[assignment]
    assert run(channel.send(ACTION, 1)) == Sent("delivered", "")
    assert run(channel.noting("no webhook configured").send(ACTION, 1)) == Sent("delivered", "no webhook configured")
    assert [json.loads(line)["action_id"] for line in path.read_text().splitlines()] == ["a1", "a1"]
    assert path.stat().st_mode & 0o777 == 0o600


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
