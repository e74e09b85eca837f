"""Decide when an event happened, from what an SDK with a wrong clock says."""

from datetime import datetime
from typing import Any

from cdp.clock import DAY, SECOND, from_datetime

Stamp = str | int | float | None

EARLIEST = 946_684_800 * SECOND  # 2000-01-01: older stamps are broken clocks, not history
LATEST_AHEAD = DAY
SMALLEST_SKEW = 2 * SECOND  # SDKs cut sentAt to whole seconds, and requests travel a while
MILLIS_FROM = 100_000_000_000  # a number this large counts milliseconds, a smaller one seconds


def parse(stamp: Any) -> int | None:
    """Microseconds of an ISO 8601 text (UTC if it names no zone) or of epoch seconds or milliseconds; None of all else."""
    try:
        if type(stamp) is str:
            return from_datetime(datetime.fromisoformat(stamp))
        if not isinstance(stamp, int | float):
            return None
        return int(stamp * (1_000 if abs(stamp) >= MILLIS_FROM else SECOND))
    except (ValueError, OverflowError):
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
