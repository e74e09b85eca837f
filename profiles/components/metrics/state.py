"""What is kept of events for the metrics of rules."""

from typing import Any

import msgspec

from profiles.slots import Slot

TOTAL = -1  # key of the all-time total beside the daily buckets


class Moment(msgspec.Struct, array_like=True):
    """First and last time of something, with the value it had; ties go by digest of the message."""

    first: int
    first_digest: int
    first_value: Any
    last: int
    last_digest: int
    last_value: Any


class Metrics(msgspec.Struct, array_like=True):
    """All metrics over events, by `rules.language.syntax.Metric.id`.

    Attributes:
        days: local day number to amount: the daily buckets that windows are summed from.
        moments: first and last.
    """

    days: dict[int, dict[int, int]] = {}
    moments: dict[int, Moment] = {}


METRICS = Slot("metrics", Metrics)
