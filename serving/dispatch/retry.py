"""When to try again. Pure."""

from collections.abc import Callable

MAX_ATTEMPTS = 5
FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
LONGEST_ASKED = 60.0


def pause(attempt: int, asked: float | None, random: Callable[[], float]) -> float:
    """Seconds to wait after a failed attempt (1 is the first): what the receiver asked for, or doubling, with jitter.

    Args:
        asked: the receiver's Retry-After in seconds.
        random: gives numbers from 0 to 1.
    """
    if asked is not None:
        return min(max(asked, 0.0), LONGEST_ASKED) + random() * FIRST_SECONDS
    longest = min(FIRST_SECONDS * float(1 << (attempt - 1)), LONGEST_SECONDS)
    return longest * (0.5 + random() / 2)
