"""The small parts of the load tests: figures, receiver, watcher, comparison, report, mix, shapes."""

import http.client
import io
import time
from dataclasses import asdict, replace
from decimal import Decimal

import msgspec
import pytest
from rich.console import Console

from cdp.errors import CdpError
from cdp.events import decode_event, encode
from cdp.settings import Settings
from loadtest.bench_latency import probe_messages
from loadtest.bench_merge import OwnerWatcher, Probe
from loadtest.bench_pipeline import Size, spool, unspool, wait_for_all
from loadtest.compare import compare
from loadtest.demo import Run, as_json, judge, watch_introductions
from loadtest.measure import cpu_per_event, percentile, read_pids, summary
from loadtest.mix import Mix, as_contract, as_segment
from loadtest.observe import Observed
from loadtest.plan import plan
from loadtest.progress import Shown, line
from loadtest.receive import Arrival, Receiver
from loadtest.report import write_addresses, write_report
from loadtest.send import Tally
from loadtest.stack import Ledger
from loadtest.watch import Watcher

NOTHING = Ledger()
STORY = plan(1, "run-a", 1_790_000_000_000_000, visits=60)


def as_expected(story=STORY):
    """An observation that is just as the plan says."""
    expected = story.expected
    actions = {f"{rule}-{n}": rule for rule, count in expected.actions.items() for n in range(count)}
    same = {name: value for name, value in asdict(expected).items() if name in Observed.__dataclass_fields__}
    some = dict(list(expected.tags.items())[:5])
    return replace(Observed(**same | {"tags": some}), actions=actions, delivered=expected.actions, funnel=(40, 20, 10))


def arrivals(observed):
    return {a: Arrival(a, rule, "P1", "m", 1_000_000, 1_250_000) for a, rule in observed.actions.items()}


def test_percentiles():
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([], 0.5)) == (50, 99, None)
    assert summary([3.14159]) == {"p50": 3.1, "p99": 3.1, "max": 3.1, "samples": 1}
    assert summary([]) == {"p50": None, "p99": None, "max": None, "samples": 0}


def test_cpu_per_event():
    before = {("kafka", 1): 10.0, ("api", 2): 1.0}
    after = {("kafka", 1): 11.0, ("api", 9): 0.5, ("python resolve", 3): 2.0}
    assert cpu_per_event(before, after, 100_000) == {"python resolve": 20.0, "kafka": 10.0, "api": 5.0, "total": 35.0}


def test_pid_files():
    assert read_pids('12\n13\n\nx\n{"pid": 14, "started": 1.5}\n[]\n') == [12, 13, 14]


def test_progress(capsys):
    assert line("Going", 250, 1000, 10) == "Going: 250 of 1,000 (25 %), 25/s, 0:30 left"
    assert line("Going", 0, 0, 0).endswith("unknown left")
    now = [0.0]
    with Shown("Going", 100, clock=lambda: now[0]) as shown:
        for now[0] in (1.0, 4.0, 6.0, 7.0, 12.0):
            shown.update(int(now[0]))
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_receiver_counts_an_action_once():
    ticks = iter(range(100, 200))
    with Receiver(0, clock=lambda: next(ticks)) as receiver:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
        statuses = []
        named = b'{"action_id":"a1","rule":"r","message_id":"m"}'
        for body in (named, b'{"action_id":"a1","rule":"r"}', b'{"rule":"r"}', b"nonsense"):
            connection.request("POST", "/webhook", body, {"Idempotency-Key": "key"})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
    assert statuses == [200, 200, 200, 400]
    found = receiver.arrivals()
    assert set(found) == {"a1", "key"} and found["a1"].at == 100 and found["a1"].message_id == "m" and receiver.requests == 3


def test_receiver_names_a_taken_port():
    with Receiver(0) as receiver, pytest.raises(CdpError, match=f"Port {receiver.port}"):
        Receiver(receiver.port)


def test_watcher_times_what_appears():
    appears = time.monotonic() + 0.1

    def look(identifier):
        if identifier == "user_id:gone":
            raise ConnectionError
        return b'{"probe":"v1"}' if time.monotonic() > appears else None

    with Watcher(look) as watcher:
        watcher.want("user_id:a", {"one": "v1", "other": "probe"}, time.time_ns() // 1000)
        watcher.want("user_id:gone", {"one": "v1"}, 0)
        watcher._wanted[2].until = time.monotonic()
    assert all(90 < milliseconds < 1000 for (milliseconds,) in watcher.milliseconds.values())
    assert (set(watcher.milliseconds), watcher.missed) == ({"one", "other"}, {"one": 1})


def test_owners_are_watched_from_the_login_until_they_are_one():
    one, never, late = Probe(0, "r"), Probe(1, "r"), Probe(2, "r")
    people = {one.member_message: 5, one.device_message: 3, never.member_message: 7, never.device_message: 7}
    owners = dict(people)
    now = [1_000_000]
    watcher = OwnerWatcher(lambda _: {message: (people[message], owners[message]) for message in people}, clock=lambda: now[0])
    for probe in (one, never, late):
        watcher.want(probe)
    late.began = 1
    watcher.look([one, never, late])
    assert one.people == {one.member_message: 5, one.device_message: 3} and watcher.never_two == {1}
    one.began = 1_000_000
    watcher.look([one, late])
    assert watcher.found == {}
    owners[one.member_message], now[0] = 3, 1_400_000
    watcher.look([one, late])
    assert watcher.found == {0: 400.0} and watcher.missed == set()
    now[0] = 40_000_000
    watcher.look([late])
    assert watcher.missed == {2} and watcher._probes == []


def test_owners_tell_what_went_wrong():
    def ask(probes):
        raise ConnectionError("nobody there")

    with pytest.raises(CdpError, match="nobody there"), OwnerWatcher(ask) as watcher:
        watcher.want(Probe(0, "r", began=1))


def test_a_probe_is_two_people_until_its_login():
    for number in (0, 1):
        probe = Probe(number, "r")
        messages = probe.history(1_000_000)
        assert [m["messageId"] for m in messages][0 if number == 0 else -1] == probe.member_message
        assert not any(m.get("userId") and m["anonymousId"] == probe.device for m in messages)
        assert sum(m.get("event") == "Product Viewed" for m in messages) == 3
        login = probe.login(2_000_000)
        assert (login["userId"], login["anonymousId"]) == (probe.user_id, probe.device)


def test_introductions_are_watched_once():
    class Notes:
        def __init__(self):
            self.wanted = []

        def want(self, *what):
            self.wanted.append(what[:2])

    notes = Notes()
    watch = watch_introductions(notes)
    watch([item.message for item in STORY.messages])
    introduced = {m.message["userId"] for m in STORY.messages if m.message["type"] == "identify" and "userId" in m.message}
    assert {identifier for identifier, _ in notes.wanted} == {f"user_id:{user}" for user in introduced}
    assert len(notes.wanted) == len(introduced)


def test_comparison_names_every_difference():
    observed = as_expected()
    assert compare(STORY.expected, observed, STORY.expected.actions) == []
    user_id = next(iter(observed.tags))
    wrong = replace(observed, people=1, revenue=Decimal("1.5"), tags={user_id: {}})
    found = compare(STORY.expected, wrong, STORY.expected.actions | {"signup_welcome": 0, "surprise": 3})
    text = "\n".join(found)
    assert f"people: 1 instead of {STORY.expected.people}" in text and "revenue: 1.5 instead" in text
    assert "webhooks of signup_welcome: 0 instead" in text and "webhooks of surprise: 3 instead of 0" in text
    assert f"of {user_id}: nothing instead" in text


def test_numbers_are_compared_by_value():
    observed = as_expected()

    def inexact(tags):
        return {name: float(value) if isinstance(value, Decimal) else value for name, value in tags.items()}

    floats = {user: inexact(tags) for user, tags in observed.tags.items()}
    assert compare(STORY.expected, replace(observed, tags=floats), STORY.expected.actions) == []


def findings(observed, ledger=NOTHING, **tally):
    expected = STORY.expected
    sent = Tally(**{"sent": expected.sent, "acked": expected.sent, **tally})
    return judge(Run(STORY, sent, Ledger(), [100.0, 200.0]), observed, ledger, arrivals(observed))


def test_judgement():
    good = findings(as_expected())
    assert good.differences == [] and good.webhook["p50"] == 250.0 and good.freshness["p99"] == 200.0
    bad = findings(as_expected(), Ledger(difference=3), acked=1)
    assert [sentence.split(":")[0] for sentence in bad.differences] == ["acknowledged", "the ledger does not balance"]
    answer = as_json(good)
    assert {
        "events_sent", "acked", "applied", "duplicates", "dead_lettered", "rejected", "people", "actions", "freshness_ms",
    } <= set(answer)  # fmt: skip
    assert answer["freshness_ms"] == {"p50": 100.0, "p99": 200.0} and answer["actions"] == sum(STORY.expected.actions.values())


def test_report_is_plain_without_a_terminal():
    out = io.StringIO()
    console = Console(file=out, width=140, highlight=False)
    weeks = {"2026-07-06": {0: 10, 1: 5, 3: 2}, "2026-07-13": {0: 4}, "2026-07-27": {0: 3}}
    observed = replace(as_expected(), retention=weeks)
    write_report(console, findings(observed))
    write_addresses(console, Settings(data_dir="/tmp/x"), "run-a-u1")
    text = out.getvalue()
    assert "\x1b" not in text
    for words in (
        "turned out to be",
        "welcome after signing up",
        "put one into the cart",
        "50 %",
        "Ledger",
        "as the shop's seed says",
    ):
        assert words in text
    out.truncate(0)
    write_report(console, findings(replace(observed, people=1)))
    assert "people: 1 instead of" in out.getvalue()


def test_mix_is_seeded_and_plausible():
    size = Size(5000, 1, "bench-a")
    one, two = ([as_segment(d, "bench-a", 1) for d in Mix(1, "bench-a", size.people).draw(2000)] for _ in range(2))
    assert one == two
    drawn = list(Mix(1, "bench-a", size.people).draw(size.events))
    views = sum(d.kind == "page" or d.event == "Product Viewed" for d in drawn)
    orders = sum(d.event.startswith("Order") for d in drawn)
    assert 0.66 < views / len(drawn) < 0.76 and 0.03 < orders / len(drawn) < 0.07
    sizes = [len(message) for message in one]
    assert 400 < sum(sizes) / len(sizes) < 800


def test_mix_in_contract_form_is_an_event(tmp_path):
    for drawn in Mix(2, "bench-b", 500).draw(500):
        key, value = as_contract(drawn, "bench-b", 1_790_000_000_000_000, encode)
        event = decode_event(value)
        assert key.decode() == f"{event.ids[0].type}:{event.ids[0].value}" and event.message_id.startswith("bench-b-m")
        assert (event.kind == "identify") == (bytes(event.traits) != b"{}")
    with (tmp_path / "spool").open("w+b") as file:
        total = spool(Size(200, 2, "bench-b"), file)
        records = list(unspool(file))
    assert len(records) == 200 and sum(len(value) for _, value in records) == total


def test_waiting_for_a_backlog():
    counts = iter([0, 50, 100])
    wait_for_all(lambda: next(counts), 100, Shown("x", 100, quiet=True))
    with pytest.raises(CdpError, match="Only 7 of 100"):
        wait_for_all(lambda: 7, 100, Shown("x", 100, quiet=True), stuck=0.1)


def test_probes_are_new_people():
    user, sign_up, messages = probe_messages("bench-c", 4, 1_790_000_000_000_000)
    assert {m["userId"] for m in messages} == {user} and messages[1]["messageId"] == sign_up
    assert messages[1]["event"] == "Signed Up" and msgspec.json.encode(messages)


def test_load_shapes_end(tmp_path):
    # Locust patches the interpreter (gevent) when it is imported: read its table in a process of its own.
    import subprocess
    import sys

    code = (
        "from loadtest.locustfile import SHAPES, stage_at\n"
        "for stages in SHAPES.values():\n"
        "    assert [s.until for s in stages] == sorted({s.until for s in stages})\n"
        "    assert stage_at(stages, 0) == (stages[0].users, stages[0].spawn_rate)\n"
        "    assert stage_at(stages, stages[-1].until) is None and stages[-1].until <= 600\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
