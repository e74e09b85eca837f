"""Quotas of write keys: a bucket of tokens for each, in this process. Pure but for the clock, which is given."""

import time
from collections.abc import Callable


class Quota:
    """How much each key has left. One key's excess never touches another's bucket.

    A bucket holds at most `burst` tokens and gains `rate` a second; an event takes one. A batch larger than the bucket is
    granted when the bucket is full, and the tokens that it owes are paid back before the next: so the rate holds in the long
    run, and no batch is refused for ever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, rate: float | None, burst: float | None, n: int) -> float:
        """Take n tokens from a key's bucket.

        Args:
            rate: tokens gained a second, above 0; None for no limit.
            burst: most tokens that the bucket holds; None: as many as it gains in a second, at least 1.

        Returns:
            0.0 if granted; otherwise, with nothing taken, the seconds until it would be.
        """
        if rate is None:
            return 0.0
        size = max(1.0, rate if burst is None else burst)
        now = self._clock()
        left, at = self._buckets.get(name, (size, now))
        left = min(size, left + max(0.0, now - at) * rate)
        wanted = min(float(n), size)
        granted = left >= wanted - 1e-9  # what rounding took
        self._buckets[name] = (left - n if granted else left, now)
        return 0.0 if granted else (wanted - left) / rate
