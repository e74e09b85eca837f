"""The fast lane and the ordinary way answer alike, over real sockets."""

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from cdp.topics import Names
from serving.collect.collector import Collector
from serving.collect.endpoint import Collect
from serving.collect.finish import Finish
from serving.collect.lane import LaneProtocol
from serving.collect.publish import Record
from serving.collect.quick import Quick
from serving.collect.router import endpoints
from serving.definitions.credentials import Grant
from tests.sealing import sealer

NOW = 1_795_380_000_000_000
LIMIT = 200_000
PAUSE = 2  # seconds after which an idle connection is closed
TRACK = {"userId": "u", "event": "E", "writeKey": "wk_1"}


@dataclass
class Kafka:
    """Takes records after a while. `away`: hands nothing over; `fails`: what it says of what was handed over."""

    records: list[Record] = field(default_factory=list)
    handed_over: int = 0
    delay: float = 0.0
    away: bool = False
    fails: str = ""

    async def publish(self, records: Sequence[Record]) -> None:
        await asyncio.sleep(self.delay)
        self.records += records

    def hand_over(self, records: Sequence[Record], done: Callable[[str], None]) -> bool:
        if self.away:
            return False
        self.handed_over += len(records)
        if not self.fails:
            self.records += records
        asyncio.get_running_loop().call_later(self.delay, done, self.fails)
        return True


class Keys:
    def known(self, secret: str) -> Grant | None:
        return Grant("shop", None) if secret == "wk_1" else None

    def known_app(self, name: str) -> Grant | None:
        return Grant("app", None) if name == "web-shop" else None


class App:
    def __init__(self, kafka: Kafka) -> None:
        self.rejected: list[str] = []
        finish = Finish("e", "i", 100_000, sealer)
        collector = Collector(
            Names("cdp"), kafka, Keys(), lambda: NOW, finish, self._count, LIMIT, trust_proxy=True, quick=Quick(finish)  # type: ignore[arg-type]
        )  # fmt: skip
        self.collect: dict[str, Collect] = endpoints(collector)
        self.ordinary = 0

    async def _count(self, reason: str) -> None:
        self.rejected.append(reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ordinary += 1
        endpoint = self.collect.get(scope["path"])
        if endpoint is not None:
            await endpoint(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@dataclass
class Served:
    app: App
    kafka: Kafka
    port: int

    def talk(self, *pieces: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
        """Send pieces on one connection and read so many answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            for piece in pieces:
                connection.sendall(piece)
            reader = connection.makefile("rb")
            return [_read(reader) for _ in range(answers)]


def _read(reader: "socket.SocketIO") -> tuple[int, dict[str, str], bytes]:  # type: ignore[name-defined]
    status = int(reader.readline().split()[1])
    headers: dict[str, str] = {}
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, reader.read(int(headers.get("content-length", "0")))


@pytest.fixture
def served() -> Iterator[Served]:
    kafka = Kafka()
    app = App(kafka)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(
                app, http=LaneProtocol, loop="uvloop", lifespan="off", proxy_headers=False, log_config=None,
                timeout_keep_alive=PAUSE,
            )
        )  # fmt: skip
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            pass
        yield Served(app, kafka, port)
        server.should_exit = True
        thread.join(10)


def request(body: bytes = b"", path: str = "/v1/track", method: str = "POST", version: str = "1.1", **headers: str) -> bytes:
    given = {"host": "h", "content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode() + body


def body(**fields: object) -> bytes:
    return json.dumps(TRACK | fields).encode()


def test_requests_on_one_connection_take_the_lane(served: Served) -> None:
    for number in range(3):
        ((status, headers, content),) = served.talk(request(body(messageId=str(number))))
        assert (status, headers["content-type"], json.loads(content)) == (200, "application/json", {"success": True})
    answers = served.talk(request(body()), answers=1) + served.talk(request(gzip.compress(body())), answers=1)
    assert [status for status, _, _ in answers] == [200, 200]
    assert (len(served.kafka.records), served.app.ordinary) == (5, 0)


def test_a_body_may_come_in_pieces(served: Served) -> None:
    whole = request(body(properties={"x": "y" * 100_000}))
    ((status, _, _),) = served.talk(whole[:50], whole[50:90], whole[90:80_000], whole[80_000:])
    assert (status, served.app.ordinary, len(served.kafka.records)) == (200, 0, 1)


def test_pipelined_requests_are_answered_in_their_order(served: Served) -> None:
    served.kafka.delay = 0.05
    pieces = request(body(messageId="1")) + request(b"{", path="/v1/track") + request(body(), path="/nowhere")
    statuses = [status for status, _, _ in served.talk(pieces, answers=3)]
    assert statuses == [200, 400, 404]


@pytest.mark.parametrize(("version", "connection"), [("1.0", ""), ("1.1", "close")])
def test_a_connection_is_closed_if_the_client_wants_it(served: Served, version: str, connection: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
        client.sendall(request(body(), version=version, connection=connection))
        assert client.makefile("rb").read().endswith(b'\r\nconnection: close\r\n\r\n{"success":true}')


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (request(b"{"), 400, "invalid_json"),
        (request(body(writeKey="wk_other")), 401, "unauthorised"),
        (request(b" " * (LIMIT + 1)), 413, "body_too_large"),
        (request(body(), content_encoding="br"), 400, "unsupported_encoding"),
        (request(b"", method="GET"), 405, "method_not_allowed"),
        (request(body(), path="/v1/track?" + "&".join("a=1" for _ in range(1001))), 400, "invalid_request"),
    ],
)
def test_refusals_have_one_shape(served: Served, sent: bytes, status: int, code: str) -> None:
    ((got, _, content),) = served.talk(sent)
    assert (got, json.loads(content)["code"]) == (status, code)
    assert served.app.rejected == ([] if status == 405 else [code])


def test_other_kinds_of_request_take_the_ordinary_way(served: Served) -> None:
    text = body()
    chunked = b"POST /v1/track HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
    ((status, _, _),) = served.talk(chunked)
    assert (status, served.app.ordinary) == (200, 1)
    ((status, _, _),) = served.talk(request(method="OPTIONS", content_length="", origin="https://a.b"))
    assert status == 204


def test_an_application_s_name_may_stand_for_a_key(served: Served) -> None:
    query = "e=pv&p=web&aid=web-shop&eid=6f2b9e0a-0000-4000-8000-000000000001&duid=d1&tv=js-4&url=https%3A%2F%2Fshop.example%2F"
    ((status, headers, _),) = served.talk(request(path=f"/i?{query}", method="GET", content_length=""))
    assert (status, headers["content-type"]) == (200, "image/gif")
    assert json.loads(served.kafka.records[0].value)["source"]["name"] == "app"


def test_a_client_that_goes_away_loses_nothing(served: Served) -> None:
    served.kafka.delay = 0.1
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
        client.sendall(request(body()))
    for _ in range(100):
        if served.kafka.records:
            break
        threading.Event().wait(0.02)
    assert len(served.kafka.records) == 1
    assert served.talk(request(body()))[0][0] == 200


PLAIN = {"messageId": "m1", "timestamp": "2026-11-22T20:00:00Z"}


def test_a_plain_message_is_handed_over_and_gives_what_the_ordinary_way_gives(served: Served) -> None:
    sent = request(body(**PLAIN), user_agent="A/1", x_forwarded_for="9.9.9.9, 1.2.3.4", authorization="Basic d2tfMTo=")
    quick = served.talk(sent)
    assert served.kafka.handed_over == 1
    served.kafka.away = True
    assert served.talk(sent) == quick
    assert served.kafka.handed_over == 1
    one, two = served.kafka.records
    assert (one.topic, one.key) == (two.topic, two.key) == ("e", "user_id:u")
    assert json.loads(one.value) == json.loads(two.value)


def test_a_browser_may_read_the_answer_to_a_plain_message(served: Served) -> None:
    ((status, headers, _),) = served.talk(request(body(**PLAIN), origin="https://shop.example"))
    assert (status, headers["access-control-allow-origin"], served.kafka.handed_over) == (200, "https://shop.example", 1)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(body(**PLAIN, context={"externalIds": 5})), 200), (request(body(**PLAIN, properties=5)), 200),
        (request(body(**PLAIN, userId=None)), 200), (request(body(**PLAIN, writeKey="wk_other")), 401),
        (request(json.dumps({"batch": [TRACK | PLAIN]}).encode(), path="/v1/batch?writeKey=wk_1"), 200),
        (request(b"[]"), 400), (request(body(**PLAIN), path="/v1/track?writeKey=wk_1"), 200),
    ],
)  # fmt: skip
def test_whatever_else_a_message_is_it_goes_the_general_way(served: Served, sent: bytes, status: int) -> None:
    assert served.talk(sent)[0][0] == status
    assert (served.kafka.handed_over, len(served.kafka.records)) == (0, int(status == 200))


def test_what_kafka_did_not_take_is_saved_before_the_answer(served: Served) -> None:
    served.kafka.fails = "_MSG_TIMED_OUT"
    ((status, _, content),) = served.talk(request(body(**PLAIN)))
    assert (status, json.loads(content)) == (200, {"success": True})
    assert (served.kafka.handed_over, [record.key for record in served.kafka.records]) == (1, ["user_id:u"])


def test_an_error_of_the_short_cut_is_not_the_sender_s(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("serving.collect.collector.client_of", broken)
    assert served.talk(request(body(**PLAIN)))[0][0] == 500
    monkeypatch.undo()
    assert served.talk(request(body(**PLAIN)))[0][0] == 200


def test_a_client_that_leaves_after_a_plain_message_disturbs_nobody(served: Served) -> None:
    served.kafka.delay = 0.1
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
        client.sendall(request(body(**PLAIN)))
    assert served.talk(request(body(**PLAIN)))[0][0] == 200
    assert served.kafka.handed_over == 2


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        reader = client.makefile("rb")
        client.sendall(request(body(**PLAIN)))
        assert _read(reader)[0] == 200
        served.kafka.delay = 1.5 * PAUSE
        client.sendall(request(body(**PLAIN)))
        assert _read(reader)[0] == 200
        client.sendall(request(path="/nowhere"))
        assert _read(reader)[0] == 404
        assert reader.read() == b""


def test_a_pause_is_counted_from_the_last_answer(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        reader = client.makefile("rb")
        for _ in range(5):  # longer than one pause altogether
            client.sendall(request(body(**PLAIN)))
            assert _read(reader)[0] == 200
            threading.Event().wait(0.25 * PAUSE)
        assert served.app.ordinary == 0
