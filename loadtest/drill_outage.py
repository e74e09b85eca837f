"""Drill: the broker is killed and held down under load, the spool fills up, the collector is killed again and again.

Clients behave as SDKs do: every message has an id of its own, and a batch that was not acknowledged is sent again as it was.
At the end what was acknowledged is looked for in ClickHouse, and the events that the people's profiles have counted are added
up: lost 0, applied twice 0, in neither of the two.
"""

import asyncio
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cdp.clickhouse import connect
from cdp.clock import to_iso
from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.wall_clock import wall_clock
from infra import supervise
from loadtest.bad_requests import Request, basic
from loadtest.measure import summary
from loadtest.raw_http import Hung, RawConnection
from loadtest.send import batch, encode
from loadtest.stack import Access, read_ledger

BATCH = 20
CONNECTIONS = 16
PEOPLE = 500
LIBRARY = "streamcdp-drill"
QUIET = 0.08  # of the time at the beginning passes before anything is done
PAUSE, LONGEST_PAUSE = 0.2, 2.0
GIVE_UP = 180.0  # seconds after the last event was due until everything must be acknowledged
STUCK_SECONDS = 120.0
TRY_AGAIN = frozenset({429, 503})


@dataclass(frozen=True)
class Outage:
    """What is to happen.

    Attributes:
        rate: events per second, for `seconds` seconds.
        down: seconds for which the broker is held down.
        kills: of the collector, spread over the whole time.
        fills: whether the spool must fill up meanwhile, so that the collector answers 503.
    """

    rate: int
    seconds: float
    down: float
    kills: int
    run: str
    fills: bool = False


@dataclass
class Tally:
    """What the clients saw; `acknowledged` has a byte for each event, 1 once its batch was answered with 200."""

    acknowledged: bytearray
    statuses: Counter[str] = field(default_factory=Counter)
    without_retry_after: int = 0
    milliseconds: list[float] = field(default_factory=list)
    refused: str = ""


class Clients:
    """Clients that send `plan.rate` events a second and keep what is not acknowledged yet."""

    def __init__(self, access: Access, plan: Outage) -> None:
        self._plan = plan
        self._port = urlsplit(access.api_url).port or 80
        self._headers = basic(access.write_key) | {"Content-Type": "application/json"}
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._ended = False
        self.tally = Tally(bytearray(int(plan.rate * plan.seconds) // BATCH * BATCH))

    async def run(self) -> None:
        """Send everything until it is acknowledged. Raises TimeoutError if it does not come to that."""
        async with asyncio.timeout(self._plan.seconds + GIVE_UP):
            await asyncio.gather(self._offer(), *(self._deliver_all() for _ in range(CONNECTIONS)))

    async def _offer(self) -> None:
        """Batches come at their rate, whether those before have been taken or not."""
        started = time.monotonic()
        for first in range(0, len(self.tally.acknowledged), BATCH):
            await asyncio.sleep(started + first / self._plan.rate - time.monotonic())
            self._waiting.append((first, self._request(first)))
        self._ended = True

    def _request(self, first: int) -> bytes:
        now = to_iso(wall_clock())
        messages = [
            encode(
                {
                    "type": "track", "event": "Product Viewed", "messageId": f"{self._plan.run}-{number}", "timestamp": now,
                    "userId": user_id(self._plan.run, number), "properties": {"number": number, "note": "x" * 300},
                }
            )
            for number in range(first, first + BATCH)
        ]  # fmt: skip
        return Request("/v1/batch", batch(messages, LIBRARY).body, self._headers).wire()

    async def _deliver_all(self) -> None:
        connection = RawConnection(self._port)
        while not self.tally.refused:
            if self._waiting:
                first, wire = self._waiting.popleft()
                started = time.monotonic()
                if await self._deliver(connection, wire):
                    self.tally.acknowledged[first : first + BATCH] = b"\1" * BATCH
                    self.tally.milliseconds.append((time.monotonic() - started) * 1000)
            elif self._ended:
                break
            else:
                await asyncio.sleep(0.01)
        await connection.close()

    async def _deliver(self, connection: RawConnection, wire: bytes) -> bool:
        """Send one batch, again and again, until it is acknowledged; False if it is refused for good."""
        while True:
            pause = PAUSE
            try:
                reply = await connection.exchange(wire)
            except (Hung, OSError):
                self.tally.statuses["no answer"] += 1
            else:
                self.tally.statuses[str(reply.status)] += 1
                if reply.status == 200 and b'"rejected"' not in reply.body:
                    return True
                if reply.status not in TRY_AGAIN:
                    self.tally.refused = f"{reply.status}: {reply.body[:300].decode(errors='replace')}"
                    return False
                self.tally.without_retry_after += reply.retry_after == 0
                pause = min(reply.retry_after, LONGEST_PAUSE) or PAUSE
            await asyncio.sleep(pause)


def hold_down(settings: Settings, name: str) -> None:
    """End a supervised program with kill -9; it then stays down."""
    if not kill(settings, name):
        raise CdpError(f"{name} does not run under the supervisor of {settings.data_dir}.", "`cdp status` shows the parts.")
    until = time.monotonic() + 60
    with ThreadPoolExecutor(1) as stopper:
        while supervise.programs(settings.data_dir)[name].state != "STOPPED":
            if time.monotonic() > until:
                raise CdpError(f"{name} does not stay down.", "See the supervisor's log.")
            stopping = stopper.submit(supervise.stop_program, settings.data_dir, name)
            while not stopping.done():  # what the supervisor has started again meanwhile gets no time to end in good order
                kill(settings, name)
                time.sleep(0.1)
            stopping.result()


def kill(settings: Settings, name: str) -> bool:
    """End a supervised program with kill -9; the supervisor starts it again. False if it was not running just then."""
    program = supervise.programs(settings.data_dir).get(name)
    if program is None or not program.pid:
        return False
    try:
        os.kill(program.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


async def _break_things(settings: Settings, plan: Outage, report: Callable[[str], None]) -> dict[str, Any]:
    """Kill the broker and the collector at their times, which are counted from now."""
    done = {"broker_down_seconds": 0.0, "collector_kills": 0}
    started = time.monotonic()

    async def broker() -> None:
        await asyncio.sleep(QUIET * plan.seconds)
        await asyncio.to_thread(hold_down, settings, "kafka")
        report(f"{time.monotonic() - started:5.1f} s: the broker is killed and held down")
        fell = time.monotonic()
        await asyncio.sleep(plan.down)
        done["broker_down_seconds"] = round(time.monotonic() - fell, 1)
        report(f"{time.monotonic() - started:5.1f} s: the broker is started again")
        await asyncio.to_thread(supervise.start_program, settings.data_dir, "kafka")

    async def collector() -> None:
        for number in range(plan.kills):
            at = started + QUIET * plan.seconds / 2 + number * plan.seconds / plan.kills
            await asyncio.sleep(at - time.monotonic())
            while not await asyncio.to_thread(kill, settings, "api"):
                await asyncio.sleep(0.2)
            done["collector_kills"] += 1
            report(f"{time.monotonic() - started:5.1f} s: the collector is killed")

    await asyncio.gather(collector(), *([broker()] if plan.down else []))
    return dict(done)


def drill_outage(settings: Settings, access: Access, plan: Outage, report: Callable[[str], None]) -> dict[str, Any]:
    """Run the drill on a running platform of this machine; ``passed`` says how it went."""
    clients = Clients(access, plan)

    async def both() -> dict[str, Any]:
        things = asyncio.create_task(_break_things(settings, plan, report))
        await clients.run()
        return await things

    started = time.monotonic()
    try:
        done = asyncio.run(both())
    except TimeoutError as error:
        raise CdpError("Not everything was acknowledged in time.", "`cdp status` shows the parts.") from error
    if clients.tally.refused:
        raise CdpError(f"The collector refused a batch: {clients.tally.refused}.", "See the API's log.")
    sent = time.monotonic()
    report(f"{sent - started:5.1f} s: everything is acknowledged; waiting until it is in ClickHouse")
    applied, doubled = wait_for_all(settings, plan.run, clients.tally.acknowledged)
    ledger = _settled(access)
    counted = counted_by_profiles(access, {user_id(plan.run, number) for number in applied})
    result = judge(plan, clients.tally, applied, doubled, counted) | done | {
        "seconds": round(sent - started, 1), "drained_seconds": round(time.monotonic() - sent, 1), "ledger_difference": ledger,
    }  # fmt: skip
    whole = result["acknowledged"] == result["events"] and result["collector_kills"] == plan.kills and not ledger
    return result | {"passed": result["passed"] and whole}


def judge(plan: Outage, tally: Tally, applied: set[int], doubled: int, counted: int) -> dict[str, Any]:
    """The drill's result. Pure.

    Args:
        applied, doubled: which events are in ClickHouse, and how many rows are there too many.
        counted: how many events the profiles have counted.
    """
    lost = sum(1 for number, taken in enumerate(tally.acknowledged) if taken and number not in applied)
    return {
        "passed": not (
            lost or doubled or counted != len(applied) or tally.without_retry_after or (plan.fills and not tally.statuses["503"])
        ),
        "rate": plan.rate,
        "events": len(tally.acknowledged),
        "acknowledged": sum(tally.acknowledged),
        "applied": len(applied),
        "lost": lost,
        "doubled": doubled,
        "counted_by_profiles": counted,
        "answers": dict(tally.statuses),
        "answers_without_retry_after": tally.without_retry_after,
        "acknowledged_ms": summary(tally.milliseconds),
    }


def user_id(run: str, number: int) -> str:
    """Whose event a number is; nobody but this run knows these people."""
    return f"{run}-u{number % PEOPLE}"


def counted_by_profiles(access: Access, user_ids: set[str]) -> int:
    """How many events the profiles of some people have counted. Each is counted there before it is in ClickHouse."""
    pages = (access.get(f"/v1/profiles?id=user_id:{one}&events=0") for one in sorted(user_ids))
    return sum(msgspec.json.decode(page)["events"] for page in pages)


def wait_for_all(settings: Settings, run: str, acknowledged: bytearray) -> tuple[set[int], int]:
    """Which events are in ClickHouse, and how many are there twice; waits until all are, or nothing has moved for long."""
    client = connect(settings)
    prefix = {"prefix": f"{run}-"}
    where = "FROM events WHERE startsWith(message_id, {prefix:String})"
    wanted, seen, moved = sum(acknowledged), -1, time.monotonic()
    while time.monotonic() - moved < STUCK_SECONDS:
        found = int(client.query(f"SELECT uniqExact(message_id) AS n {where}", parameters=prefix).first_item["n"])
        if found >= wanted:
            break
        if found > seen:
            seen, moved = found, time.monotonic()
        time.sleep(0.5)
    time.sleep(3 * settings.facts_bundle_ms / 1000)  # what would come twice comes in a later batch
    rows = client.query(f"SELECT message_id, count() AS n {where} GROUP BY message_id", parameters=prefix).result_rows
    return {int(name.rpartition("-")[2]) for name, _ in rows}, sum(count - 1 for _, count in rows)


def _settled(access: Access) -> int:
    """The ledger's difference, once nothing moves any more."""
    until = time.monotonic() + STUCK_SECONDS
    while (difference := read_ledger(access).difference) and time.monotonic() < until:
        time.sleep(0.5)
    return difference
