"""The readers of values do what the tables of docs/values.md say, row by row."""

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cdp.clock import from_datetime
from cdp.values.amounts import read_amount, round_places
from cdp.values.identifiers import read_identifier, read_part
from cdp.values.texts import read_text
from cdp.values.times import check_format, read_birthday, read_day, read_instant

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "values.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SHANGHAI = ZoneInfo("Asia/Shanghai")
REFUSED = "refused"


def rows(section: str) -> list[list[str]]:
    """The rows of a section's table: what is written, and what it is."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [[row[0].strip("`"), *row[1:]] for row in cells]


def told(read: Any, *args: Any, **options: Any) -> Any:
    try:
        return read(*args, **options)
    except ValueError as error:
        assert len(str(error)) > 5
        return REFUSED


def amount(cell: str) -> Any:
    return REFUSED if cell == REFUSED else Decimal(cell)


@pytest.mark.parametrize("row", rows("Amounts"), ids=lambda row: row[0])
def test_amounts(row: list[str]) -> None:
    assert told(read_amount, row[0]) == amount(row[1])
    assert told(read_amount, row[0], decimal="comma") == amount(row[2])
    assert told(read_amount, f"\ufeff\t{row[0]}\u00a0\u200b") == amount(row[1])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, Decimal(5)),
        (14.309999999999999, Decimal("14.309999999999999")),
        (Decimal("1.10"), Decimal("1.10")),
        (-0.0, 0),
        (1e-40, 0),
        (True, REFUSED),
        (None, REFUSED),
        (math.nan, REFUSED),
        (math.inf, REFUSED),
        ([1], REFUSED),
        (10**40, REFUSED),
        (b"1", REFUSED),
        ("9" * 500, REFUSED),
        ("1\u202f234", 1234),
        ("EUR 1,234.5", Decimal("1234.5")),
        ("-¥3", -3),
        ("¥-3", -3),
        ("--3", REFUSED),
    ],
)
def test_amounts_of_other_kinds(value: Any, expected: Any) -> None:
    assert told(read_amount, value) == expected


def test_places_are_rounded_to_the_even_neighbour() -> None:
    assert [round_places(Decimal(text)) for text in ("14.309999999999999", "0.00005", "0.00015")] == [
        Decimal("14.31"), Decimal(0), Decimal("0.0002"),
    ]  # fmt: skip


@pytest.mark.parametrize("row", rows("Times"), ids=lambda row: row[0])
def test_times(row: list[str]) -> None:
    wanted = REFUSED if row[1] == REFUSED else from_datetime(datetime.fromisoformat(row[1]))
    assert told(read_instant, row[0]) == wanted
    assert told(read_instant, f"\t'{row[0]}\u00a0") == wanted
    if re.fullmatch(r"[0-9]+", row[0]):
        assert told(read_instant, int(row[0])) == wanted
    if re.fullmatch(r"[0-9]+(?:[.][0-9]+)?", row[0]):
        assert told(read_instant, float(row[0])) == wanted


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("32994", {"unit": "serial"}, date(1990, 5, 1)), (32994.0, {"unit": "serial"}, date(1990, 5, 1)),
        ("1990-05-01", {"unit": "serial"}, date(1990, 5, 1)), ("19900501", {"unit": "serial"}, date(1990, 5, 1)),
        ("1990", {"unit": "serial"}, REFUSED), ("0", {"unit": "serial"}, REFUSED), ("60", {"unit": "serial"}, REFUSED),
        ("641491200", {"unit": "serial"}, REFUSED), ("0", {"unit": "s"}, REFUSED), (-620611200000, {}, date(1950, 5, 3)),
        ("2026112010", {"formats": ["%Y%m%d%H"]}, date(2026, 11, 20)), (19900501.0, {"formats": ["%Y%m%d"]}, date(1990, 5, 1)),
        (19900501, {"formats": ["%Y%m%d"]}, date(1990, 5, 1)), ("19900501", {"formats": ["%Y-%m-%d"]}, REFUSED),
        ("01.05.1990", {"formats": ["%Y-%m-%d", "%d.%m.%Y"]}, date(1990, 5, 1)), (True, {}, REFUSED), (None, {}, REFUSED),
        (math.nan, {}, REFUSED), ({}, {}, REFUSED), (date(1990, 5, 1), {}, date(1990, 5, 1)), (date(9999, 1, 1), {}, REFUSED),
        ("9" * 5000, {}, REFUSED), (10**400, {}, REFUSED), (1e300, {"unit": "s"}, REFUSED), ("00000000", {}, REFUSED),
    ],
)  # fmt: skip
def test_days_by_unit_and_format(value: Any, options: dict[str, Any], expected: Any) -> None:
    assert told(read_day, value, zone=SHANGHAI, **options) == expected


def test_serials_have_a_time() -> None:
    assert read_instant("45981.75", unit="serial") == from_datetime(datetime(2025, 11, 20, 18))


@pytest.mark.parametrize(("section", "read"), [("Days", read_day), ("Birthdays", read_birthday)])
def test_days_and_birthdays(section: str, read: Any) -> None:
    for written, expected, *_ in rows(section):
        assert told(read, written, zone=SHANGHAI) == (REFUSED if expected == REFUSED else date.fromisoformat(expected)), written


@pytest.mark.parametrize("value", [19900501, 641491200, 641491200.0, 0, True, None, Decimal(1), [1]])
def test_numbers_are_no_birthdays(value: Any) -> None:
    assert told(read_birthday, value, zone=SHANGHAI) == REFUSED


def test_birthdays_are_past() -> None:
    assert told(read_birthday, "2026-11-21", today=date(2026, 11, 20)) == REFUSED
    assert read_birthday("2026-11-20", today=date(2026, 11, 20)) == date(2026, 11, 20)
    assert read_birthday(datetime(1990, 4, 30, 16, tzinfo=UTC), zone=SHANGHAI) == date(1990, 5, 1)


@pytest.mark.parametrize("row", rows("Ids"), ids=lambda row: row[0])
def test_ids(row: list[str]) -> None:
    assert told(read_identifier, row[0]) == row[1]
    assert told(read_identifier, f"\ufeff{row[0]}\t") == row[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7.0, "7"),
        (7, "7"),
        (2**53 - 1.0, "9007199254740991"),
        (2.0**53, REFUSED),
        (2**70, str(2**70)),
        (5.5, "5.5"),
        (1e-7, REFUSED),
        (True, REFUSED),
        (None, REFUSED),
        (math.nan, REFUSED),
        (math.inf, REFUSED),
        ({}, REFUSED),
        (date(2026, 3, 4), REFUSED),
        ("", REFUSED),
        (" \u200b", REFUSED),
        (Decimal("7.00"), "7"),
        ("'til tomorrow", "'til tomorrow"),
        ("`SO-1", "SO-1"),
        ("-1.0", "-1"),
        ("2,98877E+18", REFUSED),
        ("1.00E+15", REFUSED),
        ("1e-5", "1e-5"),
        ("a b", "a b"),
        ("=1+1", "=1+1"),
    ],
)
def test_ids_of_other_kinds(value: Any, expected: str) -> None:
    assert told(read_identifier, value) == expected


def test_parts_of_ids_may_be_dates() -> None:
    assert [read_part(value) for value in (date(2026, 3, 4), True, 7.0, "7.0")] == ["2026-03-04", "true", "7", "7"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'til tomorrow", "'til tomorrow"),
        ("'13900019003", "13900019003"),
        ('="a b"', "a b"),
        ("2.98877E+18", "2.98877E+18"),
        ("32994.0", "32994.0"),
        (5.0, "5"),
        (True, "true"),
        ("'tis", "'tis"),
        ([], REFUSED),
        (math.nan, REFUSED),
        (" a\u00a0", "a"),
    ],
)
def test_texts(value: Any, expected: str) -> None:
    assert told(read_text, value) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%Y-%m-%d %H:%M %p", "go together"),  # 3:05 PM would be 3:05 in the night
        ("%Y-%m-%d %I:%M", "go together"),
        ("%Y-%m-%d %H:%M %Z", "names of zones"),  # 10:00 GMT would be 10:00 of the mapping's zone
        ("%m-%d", "year, a month and a day"),  # of 1900
        ("%H:%M", "year, a month and a day"),
        ("%Y", "year, a month and a day"),
        ("%Y-%m", "year, a month and a day"),
        ("%Y-W%W", "year, a month and a day"),  # strptime passes over the week
        ("%G-W%V", "no format|year, a month"),
        ("%Y-%m-%d %Q", "no format"),
        ("%Y-%m-%d %Y", "no format"),
        ("%Y-%m-%", "no format"),
        ("%%Y-%m-%d", "year, a month and a day"),
        ("yyyy-MM-dd", "year, a month and a day"),
    ],
)
def test_formats_that_would_make_another_time_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_format(text)


@pytest.mark.parametrize(
    ("text", "written", "expected"),
    [
        ("%d.%m.%Y", "20.11.2026", datetime(2026, 11, 20)),
        ("%m/%d/%y %I:%M %p", "11/20/26 03:05 PM", datetime(2026, 11, 20, 15, 5)),
        ("%d %b %Y", "20 Nov 2026", datetime(2026, 11, 20)),
        ("%a, %d %b %Y %H:%M:%S GMT", "Fri, 20 Nov 2026 10:00:00 GMT", datetime(2026, 11, 20, 10)),
        ("%G-W%V-%u", "2026-W47-5", datetime(2026, 11, 20)),
        ("%Y-%j", "2026-324", datetime(2026, 11, 20)),
        ("%Y-%m-%dT%H:%M:%S%z", "2026-11-20T10:00:00-0500", datetime(2026, 11, 20, 15)),
        ("%Y年%m月%d日%H时%M分", "2026年11月20日10时05分", datetime(2026, 11, 20, 10, 5)),
        ("100%% %Y%m%d", "100% 20261120", datetime(2026, 11, 20)),
    ],
)
def test_formats_that_say_a_time(text: str, written: str, expected: datetime) -> None:
    check_format(text)
    assert read_instant(written, formats=[text]) == from_datetime(expected)
