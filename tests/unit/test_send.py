"""Sending: batches, repeats, and what is given up, against a small server that plays the collector."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from cdp.errors import CdpError
from loadtest.plan import plan
from loadtest.read_retail import COLUMNS
from loadtest.replay import Way, replay_online_retail
from loadtest.send import Batch, Limits, Pacer, Sender, pack
from loadtest.shop import Timed
from loadtest.simulate import gather, play

LIMITS = Limits(100, 1_000_000, 100_000)
OK = b'{"success":true}'


class Collector:
    """Answers each request with the next of `answers` (status, body), then with 200; "" closes the connection."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies, self.keys = [], set()
        self.lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with collector.lock:
                    status, answer = collector.answers.pop(0) if collector.answers else (200, OK)
                    if status == 200:
                        collector.bodies.append(body)
                    collector.keys.add(self.headers["Authorization"])
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def messages(self):
        return [message for body in self.bodies for message in msgspec.json.decode(body)["batch"]]


def send(collector, *batches, **options):
    sender = Sender(collector.url, "wk_1", **options)
    with sender:
        for item in batches:
            sender.send(item)
    return sender


def test_pack_keeps_within_limits():
    messages = [b'{"n":%d,"x":"%s"}' % (n, b"y" * (n % 50)) for n in range(500)]
    batches = list(pack(messages, Limits(30, 1000, 900), "lib"))
    assert all(item.events <= 30 and len(item.body) <= 1000 for item in batches)
    assert [m["n"] for item in batches for m in msgspec.json.decode(item.body)["batch"]] == list(range(500))
    assert msgspec.json.decode(batches[0].body)["context"]["library"]["name"] == "lib"
    assert list(pack([], LIMITS, "lib")) == []


def test_pack_refuses_what_the_collector_would_refuse():
    with pytest.raises(CdpError, match="too large"):
        list(pack([b"x" * 901], Limits(30, 10_000, 900), "lib"))


def test_everything_is_acknowledged():
    with Collector() as collector:
        sender = send(collector, *pack([b'{"n":%d}' % n for n in range(1000)], Limits(10, 100_000, 1000), "lib"))
    assert sender.tally.sent == sender.tally.acked == 1000 and sender.tally.requests == 100
    assert sorted(m["n"] for m in collector.messages) == list(range(1000))
    assert collector.keys == {"Basic d2tfMTo="}


def test_repeats_until_acknowledged():
    trouble = [(503, b"{}"), (0, b""), (429, b"{}"), (500, b"{}")]
    with Collector(*trouble) as collector:
        sender = send(collector, Batch(b'{"batch":[{"n":1}]}', 1), connections=1)
    assert sender.failure is None and sender.tally.acked == 1 and sender.tally.retries == 4
    assert collector.messages == [{"n": 1}]


def test_dead_letters_are_counted():
    answer = b'{"success":true,"accepted":2,"rejected":1,"dead_lettered":[{"index":0,"reason":"missing_identifier"}]}'
    with Collector((200, answer)) as collector:
        assert send(collector, Batch(b'{"batch":[{},{},{}]}', 3)).tally.dead_lettered == 1


@pytest.mark.parametrize("status", [400, 401, 413])
def test_a_refusal_is_final(status):
    with Collector((status, b'{"code":"no"}')) as collector:
        sender = send(collector, Batch(b"{}", 5), connections=1)
        with pytest.raises(CdpError, match=f"answers {status}"):
            sender.send(Batch(b"{}", 1))
    assert sender.failure is not None and sender.tally.acked == 0 and sender.tally.sent == 5


def test_patience_ends():
    with Collector() as collector:
        pass
    sender = send(collector, Batch(b"{}", 5), connections=1, patience=0.2)
    assert sender.failure is not None and "does not answer" in str(sender.failure)


def test_pacer_holds_the_rate():
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pacer = Pacer(100, clock=lambda: now[0], sleep=sleep)
    for _ in range(10):
        pacer.wait(50)
    assert now[0] == pytest.approx(4.5) and len(slept) == 9
    unlimited = Pacer(0, clock=lambda: now[0], sleep=sleep)
    unlimited.wait(1_000_000)
    assert len(slept) == 9


def test_replay_of_a_small_file(tmp_path):
    path = tmp_path / "retail.csv"
    rows = [f"{n},S{n},NAME,1.0,2010-12-01 08:26:00,2.50,{17000 + n % 7}.0,France" for n in range(300)]
    path.write_text("\n".join([",".join(COLUMNS), *rows]))
    with Collector((503, b"")) as collector:
        way = Way(collector.url, "wk_1", Limits(20, 100_000, 10_000))
        first = replay_online_retail(path, way, quiet=True)
        second = replay_online_retail(path, way, quiet=True)
    assert first.tally.sent == first.tally.acked == 307 and not first.failure
    ids = [m["messageId"] for m in collector.messages]
    assert len(ids) == 614 and len(set(ids)) == 307, "the same file again sends the same message ids"
    assert second.as_json()["acked"] == 307


def test_replay_says_what_was_not_acknowledged(tmp_path):
    path = tmp_path / "retail.csv"
    path.write_text("\n".join([",".join(COLUMNS), "1,S,N,1.0,2010-12-01 08:26:00,2.5,,France"]))
    with Collector((401, b"no")) as collector:
        done = replay_online_retail(path, Way(collector.url, "wk_1", LIMITS), quiet=True)
    assert "answers 401" in done.failure and done.tally.acked == 0


def test_gather_sends_nothing_early():
    timed = [Timed(at, {"n": at}) for at in (0, 10, 49_999, 50_000, 200_000)]
    assert [(at, len(group)) for at, group in gather(timed, 50_000)] == [(49_999, 3), (50_000, 1), (200_000, 1)]


def test_play_sends_each_message_at_its_time():
    story = plan(5, "run-a", 1_790_000_000_000_000, seconds=30, visits=40)
    now, watched = [0.0], []

    def sleep(seconds):
        now[0] += seconds

    with Collector() as collector:
        done = play(
            story, Sender(collector.url, "wk_1"), LIMITS, quiet=True, clock=lambda: now[0], sleep=sleep,
            watch=lambda group: watched.extend((now[0], m["messageId"]) for m in group),
        )  # fmt: skip
    assert done.tally.acked == story.expected.sent == len(collector.messages) and not done.failure
    times = [item.at / 1e6 for item in story.messages]
    assert all(at - 1e-6 <= sent <= at + 0.06 for at, (sent, _) in zip(times, watched, strict=True))
