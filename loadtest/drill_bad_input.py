"""Drill: many malformed requests. No server error, no restart, and every message that was sent is accounted for."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import urlsplit

from cdp.errors import CdpError
from cdp.settings import Settings
from infra import supervise
from loadtest.bad_requests import Bad, Keys, Maker, generate, kinds
from loadtest.progress import Shown
from loadtest.raw_http import Hung, RawConnection, Reply
from loadtest.stack import Access, Ledger, read_ledger

CONNECTIONS = 16
EACH = 3  # of a kind, when kinds are compared one by one
MOST_TRIES = 60
LONGEST_PAUSE = 1.0
STUCK_SECONDS = 120.0
MOST_EXAMPLES = 20
TRY_AGAIN = frozenset({429, 503})


@dataclass
class Sent:
    """What the requests came to.

    Attributes:
        expected: what the ledger must have counted.
        statuses: answers by status; 0: none.
        amiss: requests answered by a server error, or not at all, as examples.
    """

    requests: int = 0
    expected: int = 0
    repeated: int = 0
    unavailable: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: set[str] = field(default_factory=set)
    amiss: list[dict[str, Any]] = field(default_factory=list)

    def take(self, bad: Bad, reply: Reply | None) -> None:
        """Count an answer."""
        status = reply.status if reply else 0
        self.requests += 1
        self.statuses[status] += 1
        self.kinds.add(bad.kind)
        if reply is not None:
            self.expected += bad.counts(status, reply.content_type)
        if (status >= 500 or (reply is None and not bad.hangs_up)) and len(self.amiss) < MOST_EXAMPLES:
            self.amiss.append(
                {"kind": bad.kind, "status": status, "answer": (reply.body if reply else b"")[:200].decode(errors="replace")}
            )


async def send_all(port: int, requests: Iterator[Bad], connections: int = CONNECTIONS) -> Sent:
    """Send requests over some connections, each repeated as long as the collector asks for that."""
    sent = Sent()

    async def worker() -> None:
        connection = RawConnection(port)
        try:
            for bad in requests:
                sent.take(bad, await _send(connection, bad, sent))
        finally:
            await connection.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    return sent


async def _send(connection: RawConnection, bad: Bad, sent: Sent) -> Reply | None:
    if bad.hangs_up:
        await connection.hang_up(bad.wire)
        return None
    for attempt in range(MOST_TRIES):
        try:
            reply = await connection.exchange(bad.wire, keeps_alive=bad.keeps_alive)
        except Hung:
            return None
        if reply.status not in TRY_AGAIN or attempt == MOST_TRIES - 1:
            break
        sent.repeated += 1
        sent.unavailable += reply.status == 503
        await asyncio.sleep(min(reply.retry_after or 0.2, LONGEST_PAUSE))
    return reply


def wait_until_settled(count: Callable[[], Ledger], stuck: float = STUCK_SECONDS) -> Ledger:
    """Count until nothing is under way, or until nothing has moved for `stuck` seconds."""
    last, moved = count(), time.monotonic()
    while (last.difference or last.dead_letters_in_flight) and time.monotonic() - moved < stuck:
        time.sleep(0.5)
        now = count()
        if now != last:
            last, moved = now, time.monotonic()
    return last


def pids(settings: Settings) -> dict[str, int]:
    """The process id of every supervised program; empty if none is supervised here."""
    return {name: program.pid for name, program in supervise.programs(settings.data_dir).items()}


def drill_bad_input(
    settings: Settings, access: Access, keys: Keys, requests: int, seed: int, *, by_kind: bool = False
) -> dict[str, Any]:
    """Run the drill on a running platform that nothing else sends to; ``passed`` says how it went.

    Args:
        by_kind: compare the kinds one by one as well, so that two that are counted wrongly cannot make up for each other.
    """
    before, running = read_ledger(access), pids(settings)
    if before.difference:
        raise CdpError(f"{before.difference:,} events are still under way.", "Wait until `cdp ledger` balances.")
    started = time.monotonic()
    port = urlsplit(access.api_url).port or 80
    bads = generate(seed, requests, keys, f"bad-{seed}-{time.time_ns() % 10**9}")
    with Shown("requests", requests) as shown:
        sent = asyncio.run(send_all(port, _counted(bads, shown)))
    seconds = time.monotonic() - started
    ledger = wait_until_settled(lambda: read_ledger(access)).since(before)
    restarted = sorted(name for name, pid in pids(settings).items() if running.get(name) != pid)
    result = judge(sent, ledger, restarted) | {"seed": seed, "seconds": round(seconds, 1)}
    if not by_kind:
        return result
    maker = Maker(Random(seed), keys, f"kinds-{seed}-{time.time_ns() % 10**9}")
    with Shown("kinds", len(kinds())) as shown:
        wrong = differing_kinds(
            maker,
            lambda bads: asyncio.run(send_all(port, iter(bads), connections=1)),
            lambda: wait_until_settled(lambda: read_ledger(access)),
            shown.update,
        )
    return result | {"passed": result["passed"] and not wrong, "wrong_kinds": wrong}


def _counted(bads: Iterator[Bad], shown: Shown) -> Iterator[Bad]:
    for number, bad in enumerate(bads):
        shown.update(number)
        yield bad


def differing_kinds(
    maker: Maker, send: Callable[[list[Bad]], Sent], settled: Callable[[], Ledger], tell: Callable[[int], None]
) -> dict[str, dict[str, int]]:
    """Kinds of which another number was counted than its maker says: expected and counted, by kind.

    Args:
        settled: the ledger, once nothing is under way.
        tell: told how many kinds are done.
    """
    wrong = {}
    before = settled()
    for number, (name, (_, make)) in enumerate(kinds().items()):
        tell(number)
        sent = send([replace(make(maker), kind=name) for _ in range(EACH)])
        after = settled()
        found = counted(after.since(before))
        if found != sent.expected or sent.amiss:
            wrong[name] = {"expected": sent.expected, "counted": found}
        before = after
    return wrong


def counted(ledger: Ledger) -> int:
    """How many messages and refused requests the ledger accounts for."""
    return ledger.applied + ledger.duplicates + ledger.dead_lettered + ledger.rejected


def judge(sent: Sent, ledger: Ledger, restarted: list[str]) -> dict[str, Any]:
    """The drill's result. Pure."""
    server_errors = sum(number for status, number in sent.statuses.items() if status >= 500)
    difference = sent.expected - counted(ledger)
    return {
        "passed": not (
            sent.amiss
            or server_errors
            or sent.unavailable
            or restarted
            or difference
            or ledger.difference
            or ledger.dead_letters_in_flight
        ),
        "requests": sent.requests,
        "kinds": len(sent.kinds),
        "statuses": {str(status): number for status, number in sorted(sent.statuses.items())},
        "server_errors": server_errors,
        "restarted": restarted,
        "repeated": sent.repeated,
        "unavailable": sent.unavailable,
        "sent": sent.expected,
        "applied": ledger.applied,
        "duplicates": ledger.duplicates,
        "dead_lettered": ledger.dead_lettered,
        "rejected": ledger.rejected,
        "difference": difference,
        "in_flight": ledger.difference,
        "amiss": sent.amiss,
    }
