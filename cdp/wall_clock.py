"""The one place where the time of day is read."""

import time


def wall_clock() -> int:
    """Now, in microseconds since the epoch."""
    return time.time_ns() // 1_000
