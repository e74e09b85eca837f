"""Whatever a value is written like, every way in reads the same; and what no table has is read as nothing."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdp.clock import from_datetime, to_iso
from cdp.errors import InvalidEvent
from cdp.events import decode_event
from cdp.orders import OrderEvent, parse_order
from cdp.values.amounts import read_amount, round_places
from cdp.values.currencies import CURRENCIES
from cdp.values.identifiers import read_identifier
from cdp.values.times import read_day, read_instant
from profiles.components.attributes.component import attribute
from profiles.components.attributes.state import ATTRIBUTES
from profiles.context import Context, is_anniversary, month_of
from serving.collect.dialects.segment import Segment
from serving.collect.draft import Incoming
from serving.collect.finish import Arrival, Finish
from serving.collect.times import parse
from serving.imports.apply import Mapper
from serving.imports.mapping import parse_mapping
from serving.imports.orders import member_messages, order_messages
from serving.imports.readers import examine, read
from tests.sealing import sealer
from tests.shop import CALENDAR, NOW, Harness, make_event, make_person

SHANGHAI = ZoneInfo("Asia/Shanghai")
TODAY = date(2026, 11, 20)
FINISH = Finish("events", "items", 100_000, sealer)
MAPPING = """
name: t
timezone: Asia/Shanghai
events:
  - event: Order Completed
    message_id: "t:{number}"
    time: time
    ids: [{type: user_id, path: member, required: true}]
    properties:
      order_id: {path: number, as: text}
      total: {path: amount, as: number}
      day: {path: day, as: date}
"""
POINT, COMMA = (Mapper(parse_mapping(head + MAPPING, "t.yaml")) for head in ("", "decimal: comma"))
RECORD: dict[str, Any] = {"number": "A1", "amount": "1", "time": "2026-06-01T12:00:00Z", "day": "2026-06-01", "member": "M"}
ORDER = {
    "order_id": "A1",
    "status": "paid",
    "placed_at": "2026-06-01T12:00:00Z",
    "currency": "CNY",
    "customer": {"member_id": "M"},
}
HARNESS = Harness()

# -- ways in: what they make of a value, or the reason why they make nothing --------------------------------------------------


class Way:
    """A way in: from an order's number, its amount, its time and its member to what is counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sdk(self, number: Any, amount: Any, member: Any) -> tuple[OrderEvent, str]:
        return _counted(_order(number, amount, member))

    def orders(self, number: Any, amount: Any, member: Any) -> tuple[OrderEvent, str]:
        (made,) = order_messages({**ORDER, "order_id": number, "total": amount, "customer": {"member_id": member}})
        return _counted(made)

    def mapping(self, number: Any, amount: Any, member: Any) -> tuple[OrderEvent, str]:
        (made,) = POINT.map(RECORD | {"number": number, "amount": amount, "member": member})
        return _counted(made)

    def file(self, number: Any, amount: Any, member: Any) -> tuple[OrderEvent, str]:
        record = _through_csv(self.folder, RECORD | {"number": number, "amount": amount, "member": member})
        (made,) = POINT.map(record)
        return _counted(made)

    def all(self) -> Iterator[Callable[..., tuple[OrderEvent, str]]]:
        return iter((self.sdk, self.orders, self.mapping, self.file))


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Way:
    return Way(tmp_path_factory.mktemp("files"))


def _order(number: Any, amount: Any, member: Any) -> dict[str, Any]:
    properties = {"order_id": number, "total": amount}
    return {"type": "track", "event": "Order Completed", "messageId": "m", "userId": member, "properties": properties}


def _counted(message: dict[str, Any]) -> tuple[OrderEvent, str]:
    """What PROFILE counts of a message, and whose it is."""
    body = json.dumps({"batch": [message]}).encode()
    dialect = Segment("")
    opened = dialect.open(Incoming("POST", "/v1/batch", {}, {}, "", body))
    (only,) = opened.messages
    event = decode_event(FINISH(dialect.read(only, opened), Arrival("shop", NOW)).value)
    return parse_order(event.event, bytes(event.properties)), event.ids[0].value


def _through_csv(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    path = folder / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, list(record))
        writer.writeheader()
        writer.writerow(record)
    (row,) = read(examine(path))
    assert row.record is not None
    return row.record


WIDE = "".join(chr(ord(sign) + 0xFEE0) for sign in "0123456789.")

# -- amounts ---------------------------------------------------------------------------------------------------------------


def groups(whole: str, sizes: tuple[int, int], sign: str) -> str:
    """Digits in groups from the right: the last of one size, the others of another."""
    parts, rest = [whole[-sizes[0] :]], whole[: -sizes[0]]
    while rest:
        parts.insert(0, rest[-sizes[1] :])
        rest = rest[: -sizes[1]]
    return sign.join(parts)


@st.composite
def amounts(draw: st.DrawFn) -> tuple[str, str, Decimal]:
    """An amount as it may be written, with a point and with a comma for decimal sign."""
    whole, places = str(draw(st.integers(0, 10**8))), draw(st.text("0123456789", max_size=6))
    grouped = draw(st.sampled_from(["plain", "thousands", "lakhs", " ", "\u00a0", "\u202f", "'"]))
    if len(whole) < 4 and grouped == "lakhs":
        grouped = "plain"
    written = []
    for sign, thousands in ((".", ","), (",", ".")):
        marks = {"plain": "", "thousands": thousands, "lakhs": thousands}.get(grouped, grouped)
        made = whole if grouped == "plain" else groups(whole, (3, 2 if grouped == "lakhs" and sign == "." else 3), marks)
        written.append(made + (sign + places if places else ""))
    frame = draw(st.sampled_from(["{}", "¥{}", "￥ {}", "{}元", "CNY {}", "{} eur", '="{}"', "'{}", "\t{}\u200b", "US${}"]))
    wide = str.maketrans("0123456789.", WIDE) if draw(st.booleans()) else {}
    point, comma = (frame.format(text).translate(wide) for text in written)
    return point, comma, round_places(Decimal(f"{whole}.{places or 0}"))


@settings(max_examples=150, deadline=None)
@given(written=amounts())
def test_an_amount_is_the_same_by_every_way_in(written: tuple[str, str, Decimal], ways: Way) -> None:
    point, comma, wanted = written
    for way in ways.all():
        order, _ = way("A1", point, "M")
        assert order.amount == wanted * 10_000, way
    (made,) = COMMA.map(RECORD | {"amount": comma})
    assert _counted(made)[0].amount == wanted * 10_000


@settings(max_examples=100, deadline=None)
@given(value=st.integers(0, 10**11) | st.floats(0, 10**9) | st.decimals(0, 10**9, places=3).map(float))
def test_a_number_is_the_same_by_every_way_in(value: float, ways: Way) -> None:
    wanted = round_places(Decimal(repr(value))) * 10_000
    assert {way("A1", value, "M")[0].amount for way in (ways.sdk, ways.orders, ways.mapping)} == {wanted}


def oracle(text: str, sign: str, thousands: str) -> Decimal | None:
    """What an amount is, told in another way than the reader does: by what stands before the digits, and behind them."""
    text = text.strip().removeprefix("'").strip()
    in_brackets = text.startswith("(") and text.endswith(")")
    core = re.search(r"[0-9.,](?:.*[0-9.,])?", text[1:-1] if in_brackets else text, re.DOTALL)
    if core is None:
        return None
    before, behind = ("".join(part.split()) for part in (core.string[: core.start()], core.string[core.end() :]))
    if before not in ("", "+", "-", "¥", "+¥", "-¥", "¥+", "¥-") or behind not in ("", "-", "¥", "¥-"):
        return None
    signs = (before + behind).replace("¥", "")
    if len(signs) > (0 if in_brackets else 1):
        return None
    if "-" in behind and core[0][-1] in ".,":
        return None  # Swiss and Dutch till slips have a dash for no cents
    value = plain(core[0], sign, thousands)
    return -value if value is not None and (in_brackets or signs == "-") else value


def plain(text: str, sign: str, thousands: str) -> Decimal | None:
    """Digits, with at most one sign between thousands and a part behind the decimal sign; or next to nothing, as 1.4e-14."""
    if re.fullmatch(r"[0-9]+(?:[.][0-9]*)?[eE]-[0-9]{1,4}", text) and (sign == "." or "." not in text):
        value = Decimal(text)
        return value if value >= Decimal("1e-30") else Decimal(0)
    whole, _, part = text.partition(sign)
    marks = set(whole) - set("0123456789")
    if not whole + part or len(marks) > 1 or set(part) - set("0123456789"):
        return None
    if marks:
        (mark,) = marks
        first, *others = map(len, whole.split(mark))
        western = 1 <= first <= 3 and set(others) == {3}
        indian = mark == thousands == "," and 1 <= first <= 2 and len(others) > 1 and others[-1] == 3 and set(others[:-1]) == {2}
        if mark not in f"{thousands} '" or whole[0] == "0" or not (western or indian):
            return None
        whole = whole.replace(mark, "")
    return Decimal(f"{whole or 0}.{part or 0}")


@settings(max_examples=1500, deadline=None)
@given(
    text=st.text("0123456789.,'-+() eE¥", max_size=12)
    | st.from_regex(r"[-+(]?[0-9]{1,4}([.,' ][0-9]{1,4}){0,3}[-)]?", fullmatch=True)
)
def test_nothing_but_what_the_table_has_is_an_amount(text: str) -> None:
    for sign, thousands, name in ((".", ",", "point"), (",", ".", "comma")):
        try:
            found: Decimal | None = read_amount(text, decimal=name)  # type: ignore[arg-type]
        except ValueError:
            found = None
        assert found == oracle(text, sign, thousands), name


@given(text=st.text(max_size=12), code=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=4))
def test_only_digits_with_a_currency_are_amounts(text: str, code: str) -> None:
    if not set(text) & set("0123456789" + WIDE):
        with pytest.raises(ValueError, match=r"not a number|digits are lost|two signs"):
            read_amount(text)
    if code not in CURRENCIES | {"RMB"}:
        with pytest.raises(ValueError, match="is not a number"):
            read_amount(f"{code} 12")


# -- ids -------------------------------------------------------------------------------------------------------------------

GUARDS = ["{}", '="{}"', '=""{}""', "'{}", "`{}", "{}\t", "\ufeff{}", "\u200b{}\u00a0", " {} "]
_PHONE = re.compile(r"1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}")


@settings(max_examples=150, deadline=None)
@given(
    number=st.from_regex(r"[A-Za-z]{0,3}[-_]?[0-9]{1,19}(?:[-_][A-Za-z0-9]{1,4})?", fullmatch=True), guard=st.sampled_from(GUARDS)
)
def test_an_id_is_the_same_by_every_way_in(number: str, guard: str, ways: Way) -> None:
    assume(not _PHONE.search(number))
    written = guard.format(number)
    for way in ways.all():
        order, member = way(written, 1, written)
        assert (order.order_id, member) == (number, number), way


@settings(max_examples=100, deadline=None)
@given(number=st.integers(1, 10**10))
def test_a_number_that_is_an_id_is_the_same_by_every_way_in(number: int, ways: Way) -> None:
    assume(not _PHONE.search(str(number)))
    for written in (number, float(number), f"{number}.0", str(number)):
        found = {(order.order_id, member) for order, member in (way(written, 1, written) for way in ways.all())}
        assert found == {(str(number), str(number))}, written


few_digits, powers = st.from_regex("[1-9][.][0-9]{2,6}", fullmatch=True), st.integers(10, 30)
ruined = (
    st.builds("{}E{}{}".format, few_digits, st.sampled_from(["+", ""]), powers)
    | st.builds("{}E+{}".format, st.integers(1, 9), powers)
    | st.floats(2**53, 1e30)
    | st.integers(2**53, 2**80).map(lambda number: f"{number}.0")
    | st.booleans()
)


@settings(max_examples=150, deadline=None)
@given(value=ruined)
def test_a_ruined_id_is_nobodys_and_no_order_by_every_way_in(value: Any, ways: Way) -> None:
    for way in (ways.sdk, ways.orders, ways.mapping) if isinstance(value, bool | float) else ways.all():
        with pytest.raises(InvalidEvent):
            way(value, 1, "M")
        try:
            _, whose = way("A1", 1, value)
        except InvalidEvent:
            continue
        assert whose == "A1"  # a guest's


@settings(max_examples=500)
@given(text=st.text("0123456789eE+-.,ab'`=\"# \t", max_size=14))
def test_an_id_is_a_part_of_what_was_written(text: str) -> None:
    try:
        found = read_identifier(text)
    except ValueError:
        assert re.fullmatch(r"|#+|.*[0-9].*", text.strip(" \t'`=\"")), text
        return
    assert found in text
    assert set(text.replace(found, "", 1)) <= set("'`=\" \t.0")
    assert not re.fullmatch(r"[+-]?[0-9][.,][0-9]+[eE][+][0-9]{2,3}", found)
    assert read_identifier(found) == found or found[0] in "'`=\"" or re.fullmatch(r"-?[0-9]+[.]0+", found)


# -- times, days and birthdays ---------------------------------------------------------------------------------------------

seconds = st.integers(10**8, 1_900_000_000)


@settings(max_examples=150, deadline=None)
@given(instant=seconds, milli=st.integers(0, 999), offset=st.integers(-48, 56))
def test_a_time_is_the_same_by_every_way_in(instant: int, milli: int, offset: int, ways: Way) -> None:
    micros = instant * 1_000_000 + milli * 1_000
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    local = moment.astimezone(timezone(timedelta(minutes=15 * offset)))
    said = local.strftime("%z")
    writings: list[Any] = [
        local.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S}.{milli:03d} {said}",
        f"{local:%Y/%m/%d} {local:%H:%M:%S},{milli:03d}{said}",
        f"{local:%Y%m%dT%H%M%S}.{milli:03d}{said}",
        f"'{local.isoformat()}",
        instant * 1_000 + milli,
        str(instant * 1_000 + milli),
        f"{instant}.{milli:03d}",
        f"{local.year}年{local.month}月{local.day}日 {local:%H:%M:%S}.{milli:03d}{said}",
    ]
    for written in writings:
        assume(not re.fullmatch("(?:19|20)[0-9]{10}", str(written)))
        assert parse(written) == micros, written
        wanted = to_iso(micros)
        (mapped,) = POINT.map(RECORD | {"time": written})
        (filed,) = POINT.map(_through_csv(ways.folder, RECORD | {"time": written}))
        (ordered,) = order_messages({**ORDER, "total": 1, "placed_at": written})
        assert {made["timestamp"] for made in (mapped, filed, ordered)} == {wanted}, written


days = st.dates(date(1900, 1, 2), TODAY)


def day_writings(day: date) -> list[str]:
    """How programs and people write a day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    return [
        day.isoformat(),
        f"{day:%Y/%m/%d}",
        f"{day.year}.{day.month}.{day.day}",
        f"{day:%Y%m%d}",
        f"{day.year}年{day.month}月{day.day}日",
        midnight.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        f"{day}T00:00:00Z",
        f"{day}T00:00:00.000+09:00",
        f"{day} 23:59:59",
        f'="{day}"',
        f"\ufeff{day}\t",
    ]


@settings(max_examples=100, deadline=None)
@given(day=days)
def test_a_birthday_is_the_same_by_every_way_in(day: date, ways: Way) -> None:
    for written in day_writings(day):
        (member, *_) = member_messages({"member_id": "M", "traits": {"birthday": written}}, zone=SHANGHAI, today=TODAY)
        (mapped,) = POINT.map(RECORD | {"day": written})
        (filed,) = POINT.map(_through_csv(ways.folder, RECORD | {"day": written}))
        profile = HARNESS.apply(make_person(), make_event("m", "Signed Up", traits={"birthday": written}))
        context = Context(profile, NOW, CALENDAR)
        found = {
            member["traits"]["birthday"],
            mapped["properties"]["day"],
            filed["properties"]["day"],
            attribute(context, "birthday"),
        }
        assert found == {day.isoformat()}, written
        assert month_of(context, written) == day.month
        assert is_anniversary(context, written) == (anniversary_is_today(day))


def anniversary_is_today(born: date) -> bool:
    today = date.fromordinal(CALENDAR.day(NOW) + date(1970, 1, 1).toordinal())
    return (born.month, born.day) == (today.month, today.day) and born <= today


numbers = (
    st.integers(-(10**14), 10**15)
    | st.floats(allow_nan=False)
    | st.integers(0, 99_999).map(str)
    | st.integers(0, 99_999).map("{}.0".format)
)


@settings(max_examples=300, deadline=None)
@given(value=numbers)
def test_a_number_is_no_birthday_and_no_day_by_accident(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="birthday"):
        member_messages({"member_id": "M", "traits": {"birthday": value}}, zone=SHANGHAI, today=TODAY)
    profile = HARNESS.apply(make_person(), make_event("m", "Signed Up", traits={"birthday": value}))
    kept = profile.whole.get(ATTRIBUTES).values["birthday"]
    assert month_of(Context(profile, NOW, CALENDAR), kept.value) is None
    try:
        day = read_day(value, zone=SHANGHAI)
    except ValueError:
        return
    digits = len(str(abs(int(float(value)))))
    assert digits in (8, 9, 10, 12, 13, 14)
    assert day.isoformat().replace("-", "") == str(int(float(value)))[:8] or digits not in (8, 14)


@settings(max_examples=1000)
@given(
    text=st.text("0123456789-/.:TZ +年月日", max_size=24)
    | st.from_regex(r"[0-9]{1,4}[-/.][0-9]{1,4}[-/.][0-9]{1,4}", fullmatch=True)
)
def test_nothing_but_what_the_table_has_is_a_time(text: str) -> None:
    try:
        found = read_instant(text)
    except ValueError:
        return
    plain = text.strip()
    number = re.fullmatch(r"-?([0-9]+)(?:[.][0-9]+)?", plain)
    if number is None:
        assert re.match(
            r"[0-9]{4}(?:[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{4}|年[0-9]{1,2}月[0-9]{1,2}日)(?:$|[T\s][0-9])", plain
        ), text
    else:
        assert len(number[1]) in (8, 9, 10, 12, 13, 14), text
    assert from_datetime(datetime(1899, 12, 31, tzinfo=UTC)) <= found < from_datetime(datetime(2100, 1, 2, tzinfo=UTC))
