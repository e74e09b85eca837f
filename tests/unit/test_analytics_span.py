"""Times and windows of requests: whatever the document allows has a meaning."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from cdp.clock import DAY, HOUR, SECOND
from serving.analytics.span import EARLIEST, LATEST, UNITS, WINDOW_PATTERN, When, instant, window
from serving.errors import ApiError

WHEN = TypeAdapter(When)
NOON = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-01-31T12:00:00Z", NOON), ("2026-01-31t12:00:00z", NOON), ("2026-01-31T20:00:00+08:00", NOON),
        ("2026-01-31T12:00:00.5Z", NOON + SECOND // 2), ("2026-01-31T12:00:00.123456789Z", NOON + 123_456),
        ("2026-01-31T12:00:60Z", NOON + 59 * SECOND), ("2026-01-31T12:00:00", NOON), ("2026-01-31", NOON - 20 * HOUR),
        ("0000-01-01T00:00:00Z", EARLIEST), ("0001-01-01T00:00:00+23:59", EARLIEST), ("0001-01-01", EARLIEST),
        ("9999-12-31T23:59:59-23:59", LATEST), ("9999-12-31", LATEST), ("0000-01-01", EARLIEST),
    ],
)  # fmt: skip
def test_dates_and_times(text: str, micros: int) -> None:
    assert WHEN.validate_python(text) == text
    assert instant(text, "from", "Asia/Shanghai") == micros


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-02-30", "2026-13-01", "2026-01-31T25:00:00Z", "0" * 39, "2026-01-31T", "\x00"]
)
def test_what_is_neither_a_date_nor_a_time(text: str) -> None:
    with pytest.raises(ValidationError, match="not a date such as"):
        WHEN.validate_python(text)
    with pytest.raises(ApiError) as caught:
        instant(text, "from", "UTC")
    assert (caught.value.status, caught.value.field) == (422, "from")


def test_windows() -> None:
    assert (window("30m"), window("7d"), window("1w")) == (30 * UNITS["m"], 7 * DAY, 7 * DAY)
    longest = max(window(text) for text in ("99999999h", "9999w"))
    assert LATEST + longest < 2**63
    for unlimited in ("unlimited", "no limit", "No limit"):
        assert re.match(WINDOW_PATTERN, unlimited)
        assert window(unlimited) == LATEST - EARLIEST
    for wrong in ("", "7", "d", "0d", "07d", "7 d", "7y", "10000d", "100000000s", "-1d", "7d7d", "unlimited7d", "limit", "none"):
        assert not re.match(WINDOW_PATTERN, wrong), wrong
