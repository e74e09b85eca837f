"""Decide when an event happened, from what an SDK with a wrong clock says.

The clock of a device may show anything: what it says of the years before 2000 is no history. What a server, a file or an order
system says is: an order of 1997 counts in 1997.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

from cdp.clock import DAY, SECOND, from_datetime
from cdp.errors import InvalidEvent
from cdp.values.times import read_instant

Stamp = str | int | float | None

EARLIEST = 946_684_800 * SECOND  # 2000-01-01: older stamps of devices are broken clocks, not history
FIRST = DAY  # the first day of 1970 is what a computer says that does not know the time; ClickHouse's days begin with it
LATEST_AHEAD = DAY
SMALLEST_SKEW = 2 * SECOND  # SDKs cut sentAt to whole seconds, and requests travel a while
USUAL = len("2026-01-31T08:00:00")
MILLIS_FROM, MILLIS_BEFORE = 10**12, 4 * 10**12  # numbers that count milliseconds, from 2001 on

# Words in the names of SDKs, such as analytics-node, posthog-python or snowplow-andr.
SERVERS = frozenset(
    [
        "cdp",
        "elixir",
        "go",
        "golang",
        "import",
        "java",
        "net",
        "nodejs",
        "node",
        "dotnet",
        "perl",
        "php",
        "py",
        "python",
        "rb",
        "ruby",
        "rust",
        "scala",
        "server",
    ]
)
DEVICES = frozenset(
    [
        "andr",
        "android",
        "browser",
        "cocoa",
        "dart",
        "flutter",
        "harmony",
        "harmonyos",
        "ios",
        "javascript",
        "js",
        "kotlin",
        "miniprogram",
        "mini",
        "mob",
        "next",
        "objc",
        "quickapp",
        "react",
        "roku",
        "swift",
        "tvos",
        "unity",
        "web",
        "wechat",
    ]
)
_WORDS = re.compile(r"[a-z0-9]+")


def parse(stamp: Any) -> int | None:
    """Microseconds of an ISO 8601 text (UTC if it names no zone) or of epoch seconds or milliseconds; None of all else.

    What nearly all senders write is read at once, and the rest as every way in reads times.
    """
    if type(stamp) is str and len(stamp) >= USUAL:
        with suppress(ValueError):
            return from_datetime(datetime.fromisoformat(stamp))
    elif type(stamp) is int and MILLIS_FROM <= stamp < MILLIS_BEFORE:
        return stamp * 1_000
    try:
        return read_instant(stamp)
    except ValueError:
        return None


def skew_of(sent_at: Any, received_at: int) -> int | None:
    """How far the sender's clock is behind ours, in microseconds; 0 if it is near enough, None if the sender did not say."""
    sent = parse(sent_at) if sent_at is not None else None
    if sent is None:
        return None
    skew = received_at - sent
    return skew if abs(skew) > SMALLEST_SKEW else 0


def event_time(
    stamp: Any, corrected: bool, skew: int, received_at: int, of_server: Callable[[], bool] = lambda: False
) -> tuple[int, bool]:
    """When it happened, in microseconds, and whether the given time was unusable and had to be replaced.

    A device's stamp is moved by the skew of its clock, unless that was done before (`corrected`). No stamp at all means: now.

    Args:
        of_server: whether no device's clock made the stamp; asked only if it makes a difference.

    Raises InvalidEvent for a time that is meant, and cannot be kept.
    """
    if stamp is None:
        return received_at, False
    time = parse(stamp)
    if time is None:
        return received_at, True
    if not corrected:
        time += skew
    if EARLIEST <= time <= received_at + LATEST_AHEAD:
        return time, False
    if time < EARLIEST and (corrected or of_server()):
        if time >= FIRST:
            return time, False
        if corrected or time <= -FIRST:
            raise InvalidEvent(
                "invalid_time", "timestamp", "The time is before 1970-01-02.", "Send such a time as a property or a trait."
            )
    return received_at, True


@lru_cache(maxsize=4096)
def clock_of(library: str) -> str:
    """Whose clock an SDK goes by, from its name: ``server``, ``device``, or "" if it does not say."""
    words = set(_WORDS.findall(library.lower()))
    return "server" if words & SERVERS else "device" if words & DEVICES else ""
