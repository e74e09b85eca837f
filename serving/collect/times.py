"""Decide when an event happened, from what an SDK with a wrong clock says."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from cdp.clock import DAY, SECOND, from_datetime
from cdp.values.times import read_instant

Stamp = str | int | float | None

EARLIEST = 946_684_800 * SECOND  # 2000-01-01: older stamps are broken clocks, not history
LATEST_AHEAD = DAY
SMALLEST_SKEW = 2 * SECOND  # SDKs cut sentAt to whole seconds, and requests travel a while
USUAL = len("2026-01-31T08:00:00")
MILLIS_FROM, MILLIS_BEFORE = 10**12, 4 * 10**12  # numbers that count milliseconds, from 2001 on


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


def event_time(stamp: Any, corrected: bool, skew: int, received_at: int) -> tuple[int, bool]:
    """When it happened, in microseconds, and whether the given time was unusable and had to be replaced.

    A device's stamp is moved by the skew of its clock, unless that was done before (`corrected`). No stamp at all means: now.
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
    return received_at, True
