"""The drills' own parts: what bad requests count as, how results are judged, what the bench's client sends."""

import asyncio
import gzip
from collections import Counter
from dataclasses import replace
from random import Random

import msgspec
import pytest

from cdp.errors import CdpError
from loadtest.bad_requests import Bad, Keys, Maker, Request, generate, kinds
from loadtest.bench_collect import figures, speed_reference
from loadtest.drill_bad_input import Sent, differing_kinds, judge, send_all, wait_until_settled
from loadtest.drill_outage import Outage, Tally
from loadtest.drill_outage import judge as judge_outage
from loadtest.drill_stuck import Round, metric
from loadtest.drill_stuck import judge as judge_stuck
from loadtest.drive import SERIAL, Driven, Task, content_length, requests, templates
from loadtest.lose_record import Logged, choose
from loadtest.plan_pairs import Found, Known, amiss, plan_pairs, total
from loadtest.raw_http import Hung, RawConnection
from loadtest.stack import Ledger, free_port_base
from streams.commands import (
    Bundle,
    Command,
    ExpectFragments,
    FragmentState,
    ReassignRange,
    TransferFragments,
    encode_command,
)
from streams.records import decode_record

KEYS = Keys("wk_good", "wk_disabled")


def test_the_generator_is_seeded_and_makes_every_kind_first():
    first = list(generate(3, len(kinds()) + 50, KEYS, "r"))
    assert [bad.kind for bad in first[: len(kinds())]] == list(kinds())
    assert len(kinds()) >= 60
    again = list(generate(3, len(kinds()) + 50, KEYS, "r"))
    assert [bad.wire for bad in first] == [bad.wire for bad in again]
    assert [bad.wire for bad in generate(4, 400, KEYS, "r")] != [bad.wire for bad in first[:400]]


@pytest.mark.parametrize(
    ("bad", "status", "content_type", "count"),
    [
        (Bad("k", b"", messages=7), 200, "application/json", 7),
        (Bad("k", b"", messages=7), 204, "", 7),
        (Bad("k", b"", messages=7), 400, "application/json", 1),
        (Bad("k", b"", messages=7), 401, "application/json; charset=utf-8", 1),
        (Bad("k", b"", messages=7), 400, "text/plain; charset=utf-8", 0),  # the HTTP server's own: it was no request
        (Bad("k", b"", messages=7), 404, "application/json", 0),
        (Bad("k", b"", messages=7), 405, "application/json", 0),
        (Bad("k", b"", counts_as=1), 400, "text/plain", 1),
        (Bad("k", b"", counts_as=0), 401, "application/json", 0),
        (Bad("k", b"", hangs_up=True), 0, "", 0),
    ],
)
def test_what_a_request_counts_as(bad, status, content_type, count):
    assert bad.counts(status, content_type) == count


def test_judging_bad_input():
    sent = Sent(requests=3, expected=5, statuses=Counter({200: 2, 400: 1}), kinds={"a"})
    whole = Ledger(received=5, applied=2, duplicates=1, dead_lettered=1, rejected=1)
    assert judge(sent, whole, [])["passed"]
    assert not judge(sent, whole, ["api"])["passed"]
    assert judge(sent, Ledger(applied=2), [])["difference"] == 3
    assert not judge(Sent(expected=0, statuses=Counter({500: 1})), Ledger(), [])["passed"]
    assert not judge(Sent(expected=0, amiss=[{"status": 0}]), Ledger(), [])["passed"]


def test_kinds_that_make_up_for_each_other_are_found():
    total, names = Ledger(), list(kinds())
    told: list[int] = []
    off = {names[0]: 1, names[1]: -1}

    def send(bads):
        nonlocal total
        assert len({bad.kind for bad in bads}) == 1 and len(bads) == 3
        sent = Sent(expected=7)
        total = Ledger(applied=total.applied + 4, rejected=total.rejected + 3 + off.get(bads[0].kind, 0))
        return sent

    wrong = differing_kinds(Maker(Random(1), KEYS, "r"), send, lambda: total, told.append)
    assert told == list(range(len(names)))
    assert wrong == {names[0]: {"expected": 7, "counted": 8}, names[1]: {"expected": 7, "counted": 6}}


def test_waiting_until_nothing_moves():
    counts = iter([Ledger(difference=2), Ledger(difference=1), Ledger(dead_letters_in_flight=1), Ledger(applied=9)])
    assert wait_until_settled(lambda: next(counts)).applied == 9
    assert wait_until_settled(lambda: Ledger(difference=1), stuck=0.1).difference == 1


def test_judging_an_outage():
    plan = Outage(rate=10, seconds=1, down=1, kills=0, run="r", fills=True)
    tally = Tally(bytearray(b"\1\1\0\1"), Counter({"200": 3, "503": 2}))
    assert judge_outage(plan, tally, {0, 1, 3}, 0, 3)["passed"]
    lost = judge_outage(plan, tally, {0, 1, 2}, 0, 3)
    assert (lost["passed"], lost["lost"], lost["acknowledged"]) == (False, 1, 3)
    assert not judge_outage(plan, tally, {0, 1, 3}, 1, 3)["passed"]
    assert not judge_outage(plan, tally, {0, 1, 3}, 0, 4)["passed"]  # a profile has counted an event twice
    assert not judge_outage(plan, tally, {0, 1, 3}, 0, 2)["passed"]
    assert not judge_outage(plan, Tally(bytearray(4), Counter({"200": 1})), set(), 0, 0)["passed"]  # never full


TASK = Task(8400, "wk_x", "run", 1, 50, 4, 0.0, 1.0, 3.0)


def test_the_benchs_requests_are_whole_and_no_id_comes_twice():
    made = templates(TASK)
    some = requests(made)
    ids = set()
    for _ in range(2 * len(made)):
        head, _, body = next(some).partition(b"\r\n\r\n")
        assert content_length(head) == len(body)
        messages = msgspec.json.decode(body)["batch"]
        assert len(messages) == 50
        ids |= {message["messageId"] for message in messages}
    assert len(ids) == 2 * len(made) * 50
    single = templates(Task(8400, "wk_x", "run", 1, 1, 4, 0.0, 1.0, 3.0))
    assert {one.split(b" ")[1] for one in single} == {b"/v1/track", b"/v1/page", b"/v1/identify"}
    assert all(SERIAL in one for one in single)


def test_figures_of_the_bench():
    driven = Driven(600, 10, {}, {"p50": 1.0}, 0.1, 34_000)
    found = figures(driven, TASK, 0.01)
    assert found["events"] == 500 and found["events_per_second_per_core"] == 50_000 and found["cpu_us_per_event"] == 20
    with pytest.raises(CdpError, match="429"):
        figures(Driven(600, 10, {"429": 3}, {}, 0.1, 1), TASK, 0.01)
    assert speed_reference()["python_loops_per_second"] > 0


async def _serve(answers, act):
    """Run `act(port)` against a server that answers each connection's requests with the given bytes, then hangs up."""

    async def serve(reader, writer):
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await act(server.sockets[0].getsockname()[1])


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


def test_the_raw_client_reads_what_servers_answer():
    async def act(port):
        connection = RawConnection(port)
        wire = Request("/x", method="GET").wire()
        replies = [await connection.exchange(wire) for _ in range(4)]
        await connection.close()
        return replies

    busy = b"HTTP/1.1 503 x\r\nRetry-After: 3\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}"
    found = asyncio.run(_serve([b"HTTP/1.1 100 Continue\r\n\r\n" + OK, busy], act))
    assert [reply.status for reply in found] == [200, 503, 200, 503]
    assert found[1].retry_after == 3 and found[1].body == b"{}" and found[1].content_type == "application/json"


def test_a_silent_server_is_noticed():
    async def act(port):
        with pytest.raises(Hung):
            await RawConnection(port).exchange(b"GET / HTTP/1.1\r\n\r\n")
        return await send_all(port, iter([Bad("k", b"GET / HTTP/1.1\r\n\r\n")]), connections=1)

    assert asyncio.run(_serve([b""], act)).amiss[0]["kind"] == "k"


def test_busy_is_asked_again_and_packed_bodies_unpack():
    async def act(port):
        bad = Bad("k", b"GET / HTTP/1.1\r\n\r\n", messages=2)
        return await send_all(port, iter([bad]), connections=1)

    sent = asyncio.run(_serve([b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n", OK], act))
    assert (sent.expected, sent.repeated, sent.statuses) == (2, 1, Counter({200: 1}))
    assert free_port_base() % 100 == 0
    gzipped = next(bad for bad in generate(1, len(kinds()), KEYS, "r") if bad.kind == "segment: gzip in gzip")
    assert gzip.decompress(gzip.decompress(gzipped.wire.partition(b"\r\n\r\n")[2])).startswith(b'{"batch"')


def test_pairs_are_seeded_and_say_what_must_come_out():
    pairs = plan_pairs(6, 3, "r")
    assert pairs == plan_pairs(6, 3, "r") != plan_pairs(6, 4, "r")
    assert [pair.device_first for pair in pairs] == [True, False] * 3
    messages = [message for pair in pairs for message in [*pair.history(0), pair.login(0)]]
    assert len(messages) == len({message["messageId"] for message in messages}) == total(pairs)
    for pair in pairs:
        history = pair.history(0)
        assert all(message["messageId"].startswith(pair.prefix) for message in history)
        assert {frozenset({"userId", "anonymousId"} & message.keys()) for message in history} == {
            frozenset({"userId"}), frozenset({"anonymousId"}),
        }  # fmt: skip
        assert ("anonymousId" in history[0]) == pair.device_first
        orders = [message["properties"]["total"] for message in history if message["event"] == "Order Completed"]
        assert pair.expected == Known(len(history) + 1, len(orders), sum(orders))


def test_what_is_amiss_with_a_pair():
    (pair,) = plan_pairs(1, 1, "r")
    events, one = pair.expected.events, frozenset({"P0000000001"})
    assert amiss(pair, Found(one, pair.expected, events, events, 1)) == ""
    assert "2 people" in amiss(pair, Found(one | {"P0000000002"}, pair.expected, events, events, 1))
    assert "the profile knows None" in amiss(pair, Found(one, None, events, events, 1))
    for rows, messages, owners in ((events + 1, events, 1), (events - 1, events - 1, 1), (events, events, 2)):
        assert "ClickHouse" in amiss(pair, Found(one, pair.expected, rows, messages, owners))


def logged(partition, offset, kind=None):
    if kind is None:
        value = msgspec.json.encode({"kind": "track", "event": "", "time": 1, "person": offset})
    else:
        more = {"fragment": 1, "bundle": Bundle()} if kind is FragmentState else {"fragments": [1]}
        value = encode_command(kind(time=1, person=offset, **more))
    return Logged(partition, offset, b"", value, decode_record(value))


def test_any_command_may_be_lost_and_what_stands_before_it_is_known():
    log = [
        logged(0, 7, TransferFragments), logged(0, 4, ExpectFragments), logged(0, 5), logged(1, 9, TransferFragments),
        logged(1, 3), logged(2, 1, FragmentState),
    ]  # fmt: skip
    losses = [choose(log, TransferFragments, Random(seed)) for seed in range(20)]
    assert losses == [choose(log, TransferFragments, Random(seed)) for seed in range(20)]
    found = {(loss.lost.partition, loss.lost.offset, *(one.offset for one in loss.before)) for loss in losses if loss}
    assert found == {(0, 7, 4, 5), (1, 9, 3)} and None not in losses
    assert choose(log, ReassignRange, Random(1)) is None
    assert choose([logged(0, 1)], Command, Random(1)) is None


def test_judging_people_who_were_stuck():
    seen = Round("TransferFragments", "P0000000001", 2, 0.4, 1.0, 15.0, 66.0, 1, "P0000000001 waits 12 s")
    whole = Ledger(received=9, applied=9)
    good = judge_stuck([seen, seen], {}, whole, 9)
    assert good["passed"] and good["rounds"][0]["passed"]
    assert not judge_stuck([], {}, whole, 9)["passed"]
    assert not judge_stuck([seen], {"u": "2 people"}, whole, 9)["passed"]
    assert not judge_stuck([seen], {}, whole, 10)["passed"]
    assert not judge_stuck([seen], {}, Ledger(received=9, applied=9, duplicates=1), 9)["passed"]
    for change in (
        {"status_seconds": None}, {"metrics_seconds": 10.1}, {"healed_seconds": None}, {"healed_seconds": 120.1},
        {"people_healed": 0},
    ):  # fmt: skip
        one = replace(seen, **change)
        assert not judge_stuck([seen, one], {}, whole, 9)["passed"]


def test_a_metric_is_the_sum_of_its_samples():
    text = '# TYPE a gauge\na{for="part"} 2.0\na{for="range"} 1.0\na_seconds 12.5\n'
    assert (metric(text, "a"), metric(text, "a_seconds"), metric(text, "b")) == (3.0, 12.5, 0.0)
