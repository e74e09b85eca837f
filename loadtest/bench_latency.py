"""Bench the time to an answer: steady traffic through the collector, and probes that are timed.

A probe is a new person who is identified and signs up, in one request. Time counts from right before that request to
(a) the API's answer that holds the probe's attribute, and (b) the arrival of the welcome webhook at a receiver of ours.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cdp.clock import to_iso
from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.wall_clock import wall_clock
from loadtest.measure import cpu_per_event, cpu_seconds, summary
from loadtest.mix import Mix, as_segment
from loadtest.receive import Receiver
from loadtest.send import Batch, Connection, Pacer, Sender, batch, encode
from loadtest.shop import SIGNED_UP
from loadtest.stack import Access
from loadtest.watch import ProfileReader, Watcher

LIBRARY = "streamcdp-bench"
BATCH = 10
PEOPLE = 20_000
WARM_UP = 20.0  # seconds of traffic before anything is measured: a platform that has just started compiles its way through
WEBHOOK_WAIT = 15.0


@dataclass(frozen=True)
class Load:
    """Traffic: events per second for `seconds` seconds, and `probes` timed people per second."""

    rate: int
    seconds: float
    probes: float
    seed: int
    run: str


@dataclass
class Probes:
    """The probes sent: message id of the sign-up to when its request began, in microseconds."""

    began: dict[str, int] = field(default_factory=dict)
    failure: str = ""


def probe_messages(run: str, number: int, now: int) -> tuple[str, str, list[dict[str, Any]]]:
    """User id, message id of the sign-up, and the two messages of a probe."""
    user_id, sign_up = f"{run}-p{number}", f"{run}-s{number}"
    common = {"userId": user_id, "anonymousId": f"{run}-pd{number}", "timestamp": to_iso(now)}
    traits = {"name": "Probe", "probe": f"{run}-value-{number}"}
    return user_id, sign_up, [
        {**common, "type": "identify", "messageId": f"{run}-i{number}", "traits": traits},
        {**common, "type": "track", "event": SIGNED_UP, "messageId": sign_up},
    ]  # fmt: skip


def send_probes(access: Access, load: Load, watcher: Watcher, probes: Probes, stop: threading.Event) -> None:
    """Send probes at their rate until told to stop; to be run in a thread."""
    connection = Connection(access.api_url, access.write_key)
    pacer = Pacer(load.probes)
    number = 0
    try:
        while not stop.is_set():
            pacer.wait(1)
            number += 1
            now = wall_clock()
            user_id, sign_up, messages = probe_messages(load.run, number, now)
            body = batch([encode(message) for message in messages], LIBRARY).body
            probes.began[sign_up] = began = wall_clock()
            connection.deliver("/v1/batch", body, patience=20)
            watcher.want(f"user_id:{user_id}", {"profile": f"{load.run}-value-{number}"}, began)
    except CdpError as error:
        probes.failure = str(error)
    finally:
        connection.close()


def make_traffic(load: Load) -> Iterator[Batch]:
    """Batches of ten events, dated as they will be sent from now on: to be made before, since making costs as much as sending."""
    total = int(load.rate * (load.seconds + WARM_UP))
    began = wall_clock()
    drawn = Mix(load.seed, load.run, PEOPLE).draw(total)
    messages = [as_segment(one, load.run, began + one.number * 1_000_000 // load.rate) for one in drawn]
    for start in range(0, total, BATCH):
        yield batch(messages[start : start + BATCH], LIBRARY)


def send_traffic(sender: Sender, rate: int, batches: Iterable[Batch]) -> int:
    """Send batches steadily; how many events."""
    pacer = Pacer(rate)
    total = 0
    for one in batches:
        pacer.wait(one.events)
        sender.send(one)
        total += one.events
    return total


def webhook_milliseconds(receiver: Receiver, probes: Probes, seconds: float) -> list[float]:
    """How long each probe's webhook took; waits at most `seconds` for the last ones."""
    until = time.monotonic() + seconds
    while True:
        arrivals = {a.message_id: a.at for a in receiver.arrivals().values() if a.message_id in probes.began}
        if len(arrivals) == len(probes.began) or time.monotonic() > until:
            return [(at - probes.began[message_id]) / 1000 for message_id, at in arrivals.items()]
        time.sleep(0.05)


def bench_latency(settings: Settings, access: Access, load: Load, receiver: Receiver) -> dict[str, Any]:
    """Run the bench on a running platform whose webhooks come to `receiver`."""
    probes, stop = Probes(), threading.Event()
    batches = list(make_traffic(load))
    before = cpu_seconds(settings)
    started = time.monotonic()
    with Watcher(ProfileReader(access.api_url, access.token)) as watcher:
        thread = threading.Thread(target=_after_warm_up, args=(access, load, watcher, probes, stop), name="probes", daemon=True)
        thread.start()
        sender = Sender(access.api_url, access.write_key, connections=4)
        try:
            with sender:
                total = send_traffic(sender, load.rate, batches)
        finally:
            stop.set()
            thread.join(30)
    seconds = time.monotonic() - started
    after = cpu_seconds(settings)
    if sender.failure or probes.failure:
        raise sender.failure or CdpError(probes.failure)
    webhooks = webhook_milliseconds(receiver, probes, WEBHOOK_WAIT)
    return {
        "rate": load.rate,
        "events": total + 2 * len(probes.began),
        "events_per_second": round(total / seconds),
        "seconds": round(seconds, 2),
        "warm_up_seconds": WARM_UP,
        "probes": len(probes.began),
        "profile_ms": summary(watcher.milliseconds.get("profile", [])) | {"missed": watcher.missed["profile"]},
        "webhook_ms": summary(webhooks) | {"missed": len(probes.began) - len(webhooks)},
        "cpu_us_per_event": cpu_per_event(before, after, total + 2 * len(probes.began)),
    }


def _after_warm_up(access: Access, load: Load, watcher: Watcher, probes: Probes, stop: threading.Event) -> None:
    if not stop.wait(WARM_UP):
        send_probes(access, load, watcher, probes, stop)
