"""What can be done with a profile (events of kind ``profile``), checked once and the same everywhere."""

import math
from typing import Any

from cdp.errors import InvalidEvent
from cdp.events import PROFILE_OPERATIONS
from cdp.money import MONEY

MAX_INCREMENT = 10**9 * MONEY  # in 1/10,000; a million of the largest can be summed in 64 bits


def check_operation(operation: str, values: dict[str, Any]) -> None:
    """Raises InvalidEvent if there is no such operation, or if its values cannot be used.

    Args:
        operation: the event's name.
        values: its traits.
    """
    if operation not in PROFILE_OPERATIONS:
        raise InvalidEvent(
            "unknown_operation", "event", f"{operation[:50]!r} cannot be done with a profile.",
            f"Use one of {', '.join(sorted(PROFILE_OPERATIONS))}, or identify.",
        )  # fmt: skip
    if operation != "increment":
        return
    for name, value in values.items():
        field = f"traits.{name}"[:200]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidEvent("invalid_number", field, "An increment must be a number.")
        if abs(value) * MONEY > MAX_INCREMENT:
            raise InvalidEvent("invalid_number", field, "An increment is at most a thousand million.")
