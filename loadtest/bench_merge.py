"""Bench the time until two people are one: under steady traffic, members log in on devices that have a history.

A probe is a device with three product views and a trait of its own, and a member who is known from elsewhere. Seconds later
the member logs in on the device. Time counts from right before that request to (a) the API's answer for the member that holds
the device's trait, (b) the one that holds the tag that the device's views earn, and (c) ClickHouse's answer that the device's
events and the member's are one person's.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cdp.clickhouse import connect
from cdp.clock import Clock, to_iso
from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.wall_clock import wall_clock
from loadtest.bench_latency import LIBRARY, WARM_UP, Load, make_traffic, send_traffic
from loadtest.measure import cpu_per_event, cpu_seconds, summary
from loadtest.send import Connection, Pacer, Sender, batch, encode
from loadtest.stack import Access
from loadtest.watch import GIVE_UP, ProfileReader, Watcher
from sinks.owner import owner

TAG = "browsing_7d"  # three product views or more
VIEWS = 3
LEAD = 4.0  # seconds between a probe's history and its login
BETWEEN_LOOKS = 0.2
BETWEEN_LESSONS = 0.5

# Those who were two people before: whose the facts of the device and of the member are today.
OWNERS = f"""
SELECT message_id, person, {owner("part", "'person_overrides'")} AS today
FROM events WHERE message_id IN {{messages:Array(String)}}"""  # noqa: S608 - constants
OWNERS_OF_KNOWN = f"{OWNERS} AND person IN {{people:Array(UInt32)}}"


@dataclass
class Probe:
    """A member and a device, before and after they are one.

    Attributes:
        user_id, device: their identifiers; `member_message` and `device_message` are events of either, sent before the login.
        began: when the login's request began, in microseconds; 0: it has not.
        people: message id to the person that ClickHouse says wrote it, both once known.
    """

    number: int
    run: str
    began: int = 0
    people: dict[str, int] = field(default_factory=dict)

    @property
    def user_id(self) -> str:
        """The member's user id."""
        return f"{self.run}-mu{self.number}"

    @property
    def device(self) -> str:
        """The device on which the member will log in."""
        return f"{self.run}-md{self.number}"

    @property
    def member_message(self) -> str:
        """A message of the member, from elsewhere."""
        return f"{self.run}-mm{self.number}"

    @property
    def device_message(self) -> str:
        """A message of the device, of before the login."""
        return f"{self.run}-mv{self.number}"

    @property
    def trait(self) -> str:
        """What only the device has said."""
        return f"{self.run}-trait-{self.number}"

    def history(self, now: int) -> list[dict[str, Any]]:
        """The messages of before the login. Of every other probe the device is the older of the two."""
        at = to_iso(now)
        member = [
            {"type": "identify", "messageId": self.member_message, "userId": self.user_id, "anonymousId": f"{self.device}-home",
             "traits": {"name": "Probe"}, "timestamp": at},
        ]  # fmt: skip
        device: list[dict[str, Any]] = [
            {"type": "identify", "messageId": self.device_message, "anonymousId": self.device, "traits": {"probe": self.trait},
             "timestamp": at},
            *(
                {"type": "track", "event": "Product Viewed", "messageId": f"{self.device_message}-{view}", "timestamp": at,
                 "anonymousId": self.device, "properties": {"sku": f"p-{view}", "category": "Shoes"}}
                for view in range(VIEWS)
            ),
        ]  # fmt: skip
        return device + member if self.number % 2 else member + device

    def login(self, now: int) -> dict[str, Any]:
        """The message that says that both are one."""
        return {
            "type": "identify", "messageId": f"{self.run}-ml{self.number}", "userId": self.user_id, "anonymousId": self.device,
            "traits": {}, "timestamp": to_iso(now),
        }  # fmt: skip


Ask = Callable[[list[Probe]], dict[str, tuple[int, int]]]
"""For messages of probes: who wrote each, and whose it is today. Messages that are not there yet are missing. May raise."""


def ask_clickhouse(settings: Settings) -> Ask:
    """Asks ClickHouse; for one thread."""
    client = connect(settings)

    def ask(probes: list[Probe]) -> dict[str, tuple[int, int]]:
        people = sorted({person for probe in probes for person in probe.people.values()})
        is_known = all(len(probe.people) == 2 for probe in probes)
        messages = [message for probe in probes for message in (probe.member_message, probe.device_message)]
        answer = client.query(OWNERS_OF_KNOWN if is_known else OWNERS, parameters={"messages": messages, "people": people})
        return {message: (int(person), int(owner)) for message, person, owner in answer.result_rows}

    return ask


class OwnerWatcher:
    """A thread that asks whose the messages of probes are, until both of a probe are one person's; a context manager.

    `milliseconds`: from a probe's login until then, for each that was two people before; `missed`: given up on; `never_two`:
    those that had no history of their own when they logged in. An answer is late by half of the pause between looks.
    """

    def __init__(self, ask: Ask, *, clock: Clock = wall_clock) -> None:
        self._ask, self._clock = ask, clock
        self._probes: list[Probe] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="owners", daemon=True)
        self._failure: Exception | None = None
        self._next_lesson = 0.0
        self.found: dict[int, float] = {}
        self.missed: set[int] = set()
        self.never_two: set[int] = set()

    def __enter__(self) -> "OwnerWatcher":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ending.set()
        if kind is None:
            self._thread.join(GIVE_UP + 10)
            if self._failure is not None:
                raise CdpError(f"ClickHouse did not answer: {self._failure}", "See its log.") from self._failure

    def want(self, probe: Probe) -> None:
        """Watch a probe, from before its login on."""
        with self._lock:
            self._probes.append(probe)

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    if self._ending.is_set():
                        self._probes = [probe for probe in self._probes if probe.began]
                    probes = list(self._probes)
                if not probes and self._ending.is_set():
                    return
                self.look(probes)
                time.sleep(BETWEEN_LOOKS)
        except Exception as error:  # of a driver: whatever it is, it ends the bench
            self._failure = error

    def look(self, probes: list[Probe]) -> None:
        """Ask about those who have logged in, and, more seldom, who those are whose history came just now."""
        now = self._clock()
        new = [probe for probe in probes if len(probe.people) < 2]
        if new and time.monotonic() >= self._next_lesson:
            self._next_lesson = time.monotonic() + BETWEEN_LESSONS
            self._learn(new, self._ask(new))
        waiting = [probe for probe in probes if probe.began and len(probe.people) == 2]
        if waiting:
            self._compare(waiting, self._ask(waiting))
        late = [probe for probe in probes if probe.began and now - probe.began > GIVE_UP * 1_000_000]
        self.missed |= {probe.number for probe in late}
        self._forget(late)

    def _learn(self, probes: list[Probe], owners: dict[str, tuple[int, int]]) -> None:
        for probe in probes:
            both = [message for message in (probe.member_message, probe.device_message) if message in owners]
            if len(both) == 2:
                probe.people = {message: owners[message][0] for message in both}
                if len(set(probe.people.values())) < 2:
                    self.never_two.add(probe.number)
                    self._forget([probe])

    def _compare(self, probes: list[Probe], owners: dict[str, tuple[int, int]]) -> None:
        now = self._clock()
        one = [p for p in probes if owners[p.member_message][1] == owners[p.device_message][1]]
        for probe in one:
            self.found[probe.number] = (now - probe.began) / 1000
        self._forget(one)

    def _forget(self, probes: list[Probe]) -> None:
        with self._lock:
            self._probes = [probe for probe in self._probes if probe not in probes]


class Prober:
    """Sends histories and, seconds later, logins, at a rate; to be run in a thread. Those of the warm-up are not timed."""

    def __init__(self, access: Access, load: Load, profiles: Watcher, owners: OwnerWatcher) -> None:
        self._access, self._load = access, load
        self._profiles, self._owners = profiles, owners
        self.stop = threading.Event()
        self.timed = 0
        self.sent = 0
        self.failure = ""

    def run(self) -> None:
        """Go on until told to stop."""
        connection = Connection(self._access.api_url, self._access.write_key)
        pacer, lead = Pacer(self._load.probes), max(1, round(LEAD * self._load.probes))
        warm = time.monotonic() + WARM_UP
        waiting: deque[tuple[Probe, bool]] = deque()
        try:
            for number in itertools.count():
                pacer.wait(1)
                if self.stop.is_set():
                    return
                probe, is_timed = Probe(number, self._load.run), time.monotonic() > warm
                self._send(connection, probe.history(wall_clock()))
                if is_timed:
                    self._owners.want(probe)
                waiting.append((probe, is_timed))
                if len(waiting) > lead:
                    self._log_in(connection, *waiting.popleft())
        except CdpError as error:
            self.failure = str(error)
        finally:
            connection.close()

    def _log_in(self, connection: Connection, probe: Probe, is_timed: bool) -> None:
        began = wall_clock()
        self._send(connection, [probe.login(began)])
        probe.began = began
        if is_timed:
            self.timed += 1
            self._profiles.want(f"user_id:{probe.user_id}", {"profile": probe.trait, "tag": f'"{TAG}"'}, began)

    def _send(self, connection: Connection, messages: list[dict[str, Any]]) -> None:
        connection.deliver("/v1/batch", batch([encode(message) for message in messages], LIBRARY).body, patience=20)
        self.sent += len(messages)


def bench_merge(settings: Settings, access: Access, load: Load) -> dict[str, Any]:
    """Run the bench on a running platform. Raises CdpError if something did not answer."""
    batches = list(make_traffic(load))
    profiles = Watcher(ProfileReader(access.api_url, access.token), every=BETWEEN_LOOKS)
    sender = Sender(access.api_url, access.write_key, connections=4)
    before, started = cpu_seconds(settings), time.monotonic()
    with OwnerWatcher(ask_clickhouse(settings)) as owners, profiles:
        prober = Prober(access, load, profiles, owners)
        thread = threading.Thread(target=prober.run, name="probes", daemon=True)
        thread.start()
        try:
            with sender:
                total = send_traffic(sender, load.rate, batches)
        finally:
            prober.stop.set()
            thread.join(30)
    seconds, after = time.monotonic() - started, cpu_seconds(settings)
    if sender.failure or prober.failure:
        raise sender.failure or CdpError(prober.failure)
    return {
        "rate": load.rate,
        "events_per_second": round(total / seconds),
        "seconds": round(seconds, 2),
        "warm_up_seconds": WARM_UP,
        "logins": prober.timed,
        **{
            f"merge_{series}_ms": summary(profiles.milliseconds.get(series, [])) | {"missed": profiles.missed[series]}
            for series in ("profile", "tag")
        },
        "merge_analytics_ms": summary(list(owners.found.values())) | {"missed": len(owners.missed)},
        "never_two": len(owners.never_two),
        "facts_bundle_ms": settings.facts_bundle_ms,
        "cpu_us_per_event": cpu_per_event(before, after, total + prober.sent),
    }
