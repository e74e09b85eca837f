"""The demo: start the platform, play a shop for a minute, show what came out, and stay until Ctrl-C."""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cdp.clickhouse import connect
from cdp.clock import to_datetime
from cdp.errors import CdpError
from cdp.settings import WEBHOOK_DEMO, Settings
from cdp.wall_clock import wall_clock
from loadtest.compare import compare
from loadtest.measure import summary
from loadtest.observe import Observed, Observer
from loadtest.plan import EVENTS_PER_VISIT, Plan, plan
from loadtest.receive import Arrival, Receiver
from loadtest.report import Findings, write_addresses, write_report
from loadtest.send import Limits, Sender, Tally
from loadtest.shop import Message
from loadtest.simulate import BATCH, play
from loadtest.stack import Access, Ledger, access_to, down, read_ledger, up
from loadtest.watch import ProfileReader, Watcher

SETTLE_SECONDS = 90.0
LOOK_EVERY = 1.0
SAMPLED_MEMBERS = 20
EVENT_RULES = ("signup_welcome", "first_order_thanks")  # birthdays are fired by time: nothing was received then


@dataclass(frozen=True)
class Options:
    """How to play: seconds, events per second, seed; `leave`: stop everything after the report."""

    seconds: float
    rate: float
    seed: int
    leave: bool


def run_name(now: int) -> str:
    """A name for a run that begins now, unlike any before it."""
    return f"demo-{to_datetime(now):%Y%m%d-%H%M%S}"


def run_demo(settings: Settings, options: Options) -> int:
    """Play the demo in the folder of `settings`; the exit code. The last line of stdout is JSON if it leaves at once."""
    out = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 140)
    with _interruptible(), Receiver(settings.port(WEBHOOK_DEMO)) as receiver:
        try:
            up(settings)
            findings = _play(settings, options, receiver, out)
            write_report(out, findings)
            if not options.leave:
                write_addresses(out, settings, next(iter(findings.plan.expected.tags), ""))
                _stay(out)
        except KeyboardInterrupt:
            out.print("\nStopping ...")
            return 130
        finally:
            down(settings)
    if options.leave:
        print(json.dumps(as_json(findings)), flush=True)  # noqa: T201
    return 1 if findings.differences or findings.ledger.difference else 0


def _play(settings: Settings, options: Options, receiver: Receiver, out: Console) -> Findings:
    access = access_to(settings, "demo")
    before = read_ledger(access)
    start = wall_clock()
    visits = max(20, int(options.rate * options.seconds / EVENTS_PER_VISIT))
    story = plan(options.seed, run_name(start), start, seconds=options.seconds, visits=visits, zone=settings.timezone)
    out.print(
        f"The shop opens for {options.seconds:.0f} s: {len(story.messages):,} messages, seed {options.seed}, run {story.run}."
    )
    with Watcher(ProfileReader(access.api_url, access.token)) as watcher:
        sender = Sender(access.api_url, access.write_key, connections=2)
        played = play(
            story,
            sender,
            Limits(BATCH, settings.max_batch_bytes, settings.max_event_bytes),
            watch=watch_introductions(watcher),
        )
    if played.failure:
        raise CdpError(f"The shop had to close: {played.failure}")
    out.print("The shop is closed; waiting until everything has arrived ...")
    client = connect(settings)
    try:
        observer = Observer(client, settings, access, f"{story.run}-m")
        run = Run(story, played.tally, before, watcher.milliseconds.get("profile", []))
        return settle(run, receiver, observer, access)
    finally:
        client.close()


def watch_introductions(watcher: Watcher) -> Callable[[Sequence[Message]], None]:
    """Times how long it takes until a person's first traits are readable."""
    introduced: set[str] = set()

    def watch(messages: Sequence[Message]) -> None:
        now = wall_clock()
        for message in messages:
            user_id, traits = message.get("userId", ""), message.get("traits", {})
            if message["type"] == "identify" and user_id and user_id not in introduced:
                introduced.add(user_id)
                watcher.want(f"user_id:{user_id}", {"profile": traits["email"]}, now)

    return watch


@dataclass(frozen=True)
class Run:
    """A run that was sent: its plan, the sender's tally, the ledger before it, and how long profiles took, in ms."""

    story: Plan
    tally: Tally
    before: Ledger
    freshness: Sequence[float]


def settle(run: Run, receiver: Receiver, observer: Observer, access: Access) -> Findings:
    """Look until everything is as expected, or time is up; what was found last."""
    members = sorted(run.story.expected.tags)
    sample = members[:: max(1, len(members) // SAMPLED_MEMBERS)]
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        findings = judge(run, observer.look(sample), read_ledger(access).since(run.before), receiver.arrivals())
        if not findings.differences or time.monotonic() > until:
            return findings
        time.sleep(LOOK_EVERY)


def judge(run: Run, observed: Observed, ledger: Ledger, arrivals: Mapping[str, Arrival]) -> Findings:
    """Put together what was found; webhooks of earlier runs' people do not count. Pure."""
    ours = [arrival for arrival in arrivals.values() if arrival.action_id in observed.actions]
    webhooks = Counter(arrival.rule for arrival in ours)
    took = [(a.at - a.received_at) / 1000 for a in ours if a.rule in EVENT_RULES and a.received_at]
    differences = compare(run.story.expected, observed, webhooks)
    if run.tally.acked != run.story.expected.sent:
        differences.append(f"acknowledged: {run.tally.acked:,} instead of {run.story.expected.sent:,}")
    if ledger.difference:
        differences.append(f"the ledger does not balance: {ledger.difference:,} events are missing")
    return Findings(run.story, run.tally, observed, ledger, webhooks, summary(run.freshness), summary(took), differences)


def as_json(findings: Findings) -> dict[str, Any]:
    """The last line of the demo's output. All of it is of this run only."""
    ledger = findings.ledger
    return {
        "events_sent": findings.tally.sent,
        "acked": findings.tally.acked,
        "applied": ledger.applied,
        "duplicates": ledger.duplicates,
        "dead_lettered": ledger.dead_lettered,
        "rejected": ledger.rejected,
        "people": findings.observed.people,
        "actions": len(findings.observed.actions),
        "freshness_ms": {name: findings.freshness[name] for name in ("p50", "p99")},
        "webhook_ms": {name: findings.webhook[name] for name in ("p50", "p99")},
        "recognised": findings.observed.recognised,
        "ledger_difference": ledger.difference,
        "differences": list(findings.differences),
    }


def _stay(out: Console) -> None:
    out.print("\nEverything stays up. Ctrl-C stops it.")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
    out.print("\nStopping ...")


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: with everything stopped."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
