"""Play a planned run through the collector, each message at its time."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cdp.clock import SECOND
from cdp.errors import CdpError
from loadtest.plan import Plan
from loadtest.progress import Shown
from loadtest.send import Limits, Sender, Tally, encode, pack
from loadtest.shop import Message, Timed

LIBRARY = "streamcdp-shop"
GATHER = SECOND // 20  # messages due within this time travel in one request
BATCH = 100

Watch = Callable[[Sequence[Message]], None]


@dataclass(frozen=True)
class Played:
    """The end of a run; `failure` is empty when everything was acknowledged."""

    tally: Tally
    seconds: float
    failure: str = ""


def gather(messages: Sequence[Timed], width: int = GATHER) -> Iterator[tuple[int, list[Message]]]:
    """Groups of messages that are sent together, with the time of the last of each: nothing is sent before its time."""
    group: list[Message] = []
    since = 0
    last = 0
    for item in messages:
        if group and (item.at >= since + width or len(group) == BATCH):
            yield last, group
            group = []
        if not group:
            since = item.at
        group.append(item.message)
        last = item.at
    if group:
        yield last, group


def play(
    plan: Plan,
    sender: Sender,
    limits: Limits,
    *,
    quiet: bool = False,
    watch: Watch | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Played:
    """Send a plan's messages at their times. Blocks until all are acknowledged or one is not.

    Args:
        watch: called with each group of messages right before it is sent.
    """
    started, done, failure = clock(), 0, ""
    with Shown("The shop is open", len(plan.messages), quiet=quiet) as shown:
        try:
            with sender:
                for at, group in gather(plan.messages):
                    ahead = started + at / SECOND - clock()
                    if ahead > 0:
                        sleep(ahead)
                    if watch is not None:
                        watch(group)
                    encoded = (encode(message) for message in group)
                    for item in pack(encoded, limits, LIBRARY):
                        sender.send(item)
                    done += len(group)
                    shown.update(done)
        except CdpError as error:
            failure = str(error)
    return Played(sender.tally, clock() - started, failure or str(sender.failure or ""))
