"""An event's effect on a profile's figures. Every figure is mergeable: the order of events makes no difference."""

from dataclasses import dataclass
from typing import Any

import msgspec
import xxhash

from cdp.clock import DAY, Calendar
from cdp.errors import InvalidEvent
from cdp.events import ORDER_ID
from cdp.money import MONEY
from cdp.operations import check_operation
from cdp.orders import MAX_AMOUNT, OrderEvent, read_order
from cdp.profile import FINAL, FULL_REFUND, ID_DIGEST, MARK, PAYLOAD_DIGEST, Moment, Order, Placed, Profile, newer_seal
from cdp.values.times import BIRTHDAY
from rules.definitions.book import CompiledRules
from rules.language.evaluate import TOTAL
from rules.language.values import parse_date
from streams import attributes
from streams.records import Resolved

MARK_DAYS = 28
SILENT_KINDS = frozenset({"group", "unbind", "decision"})  # facts that change nobody

Touched = int
"""What an event touched: attributes whose values changed, orders, the calendar (a figure's first event of a day)."""
NOTHING, ATTRIBUTES, ORDERS, CALENDAR = 0, 1, 2, 4
_NO_OBJECT = (b"", b"{}", b"null")

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Reading:
    """What an event will change, decoded. `operation`: what is done with the traits; "": nothing is changed at all."""

    traits: dict[str, Any]
    order: OrderEvent | None
    properties: dict[str, Any]
    operation: str = "set"


SILENT = Reading({}, None, {}, "")
"""An event that changes nobody: a bot's, or of a kind that is only kept."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A metric, with what is asked of it for each event at hand. `horizon`: its longest window in days."""

    key: str
    is_moment: bool
    field: str
    where: tuple[tuple[str, Any], ...]
    horizon: int | None


class Measure:
    """Applies events. Built once for a rule book."""

    def __init__(self, rules: CompiledRules, calendar: Calendar) -> None:
        self._calendar = calendar
        self._horizon = {key: windows[-1] for key, windows in rules.bucket_windows.items()}
        prepared = {
            m: _Prepared(m.key, m.function in ("first", "last"), m.field, m.where, self._horizon.get(m.key))
            for m in rules.metrics
        }
        self._any = [ready for metric, ready in prepared.items() if metric.source == "any"]
        self._by_event = {
            name: [ready for metric, ready in prepared.items() if metric.source in ("any", name)]
            for name in {metric.source for metric in rules.metrics}
        }
        self._reads_properties = {
            name for name, metrics in self._by_event.items() if any(m.where or m.field not in ("", "time") for m in metrics)
        }

    def read(self, event: Resolved) -> "Reading":
        """Decode what the event will change. Raises InvalidEvent or msgspec.DecodeError; nothing is changed yet."""
        if event.bot or event.kind in SILENT_KINDS:
            return SILENT
        traits = {} if bytes(event.traits) in _NO_OBJECT else _object(event.traits, "traits")
        order = read_order(event.kind, event.event, event.properties)
        properties = _object(event.properties, "properties") if event.name in self._reads_properties else {}
        operation = _operation(event, traits)
        kept = {name: _storable(value) for name, value in traits.items()}
        if isinstance(written := kept.get(BIRTHDAY), str):
            kept[BIRTHDAY] = self._day(written)
        return Reading(kept, order, properties, operation)

    def _day(self, birthday: str) -> str:
        """A birthday as a day of the workspace's zone; what is none stays as it was sent, and no rule sees a date in it."""
        day = parse_date(birthday, self._calendar.zone)
        return birthday if day is None else day.isoformat()

    def apply(self, profile: Profile, event: Resolved, reading: "Reading", digest: int, today: int) -> Touched:
        """Count one event in, and say what it touched besides its name: see `Touched`.

        Args:
            today: day number of the profile's clock; buckets that no window reaches from there are not opened.
        """
        touched = NOTHING
        record_identifiers(profile, event)
        profile.events += 1
        if profile.first_seen == 0 or event.time < profile.first_seen:
            profile.first_seen = event.time
        profile.last_seen = max(profile.last_seen, event.time)
        if (reading.traits or reading.operation == "delete") and attributes.change(
            profile, reading.operation, reading.traits, (event.time, digest)
        ):
            touched |= ATTRIBUTES
        if reading.order is not None:
            apply_order(profile, reading.order, event.time, digest)
            touched |= ORDERS
        return touched | self._count(profile, event, reading.properties, digest, today)

    def _count(self, profile: Profile, event: Resolved, properties: dict[str, Any], digest: int, today: int) -> Touched:
        touched = NOTHING
        day = self._calendar.day(event.time)
        for metric in self._by_event.get(event.name, self._any):
            if metric.where and any(properties.get(name) != value for name, value in metric.where):
                continue
            if metric.is_moment:
                value = event.time if metric.field == "time" else _storable(properties.get(metric.field))
                record_moment(profile.moments, metric.key, event.time, digest, value)
                continue
            amount = _number(properties.get(metric.field)) if metric.field else 1
            buckets = profile.days.get(metric.key)
            if buckets is None:
                buckets = profile.days[metric.key] = {}
            if metric.horizon is not None and day > today - metric.horizon:
                if day in buckets:
                    buckets[day] += amount
                else:
                    buckets[day] = amount
                    touched = CALENDAR
            buckets[TOTAL] = buckets.get(TOTAL, 0) + amount
        return touched

    def prune(self, profile: Profile, today: int) -> None:
        """Forget buckets that no window can reach any more."""
        for key, buckets in profile.days.items():
            oldest = today - self._horizon.get(key, 0)
            for day in [day for day in buckets if TOTAL < day <= oldest]:
                del buckets[day]


def record_identifiers(profile: Profile, event: Resolved) -> None:
    """Keep when each identifier was first seen, and what a personal one is, sealed."""
    for identifier in event.ids:
        if identifier.type == ORDER_ID and len(event.ids) > 1:
            continue  # there may be thousands; the orders themselves are kept
        key = f"{identifier.type}:{identifier.value}"
        seen = profile.identifiers.get(key)
        if seen is None or event.time < seen:
            profile.identifiers[key] = event.time
        if identifier.sealed:
            known = profile.sealed.get(key)
            profile.sealed[key] = identifier.sealed if known is None else newer_seal(known, identifier.sealed)


def note_silent(profile: Profile, event: Resolved) -> None:
    """Keep of a message that changes nobody that it came, when, and whom it named."""
    count, first, last = profile.silent
    profile.silent = count + 1, min(first, event.time) if count else event.time, max(last, event.time)
    if event.kind != "decision":  # it speaks of other people's identifiers as well
        record_identifiers(profile, event)


def apply_order(profile: Profile, order: OrderEvent, time: int, digest: int) -> None:
    """Enter one order event; whichever of an order's events comes first, the end is the same."""
    entry = profile.orders.setdefault(order.order_id, Order(refunds={}))
    match order.status:
        case "completed":
            current = entry.placed
            if current is None or (order.version, time, digest) > precedence(current):
                categories: dict[str, int] = {}
                for line in order.lines:
                    if line.category:
                        categories[line.category] = categories.get(line.category, 0) + line.amount
                entry.placed = Placed(time, digest, order.amount or 0, order.quantity, order.currency, categories, order.version)
        case "refunded":
            _apply_refund(entry, order, time, digest)
        case "cancelled":
            entry.cancelled = max(entry.cancelled or 0, order.version or FINAL)
        case "placed":
            entry.unpaid = max(entry.unpaid, order.version)


def _apply_refund(entry: Order, order: OrderEvent, time: int, digest: int) -> None:
    """A refund with an id of its own counts once, whatever its messages are called; of several the latest stands."""
    refund = (time, FULL_REFUND - order.version if order.amount is None else -order.amount, order.currency)
    if not order.refund_id:
        entry.refunds[digest] = refund
        return
    entry.refunds.pop(digest, None)  # older profiles have it under its message
    add_refund(entry, xxhash.xxh3_64_intdigest(order.refund_id.encode()), refund)


def add_refund(entry: Order, key: int, refund: tuple[int, int, str]) -> None:
    """Of one refund that was told several times, the latest stands; of one time, the larger."""
    entry.refunds[key] = max(refund, entry.refunds.get(key, refund))


def precedence(placed: Placed) -> tuple[int, int, int]:
    """Of two versions of an order the one with the higher precedence stands."""
    return placed.version, placed.time, placed.digest


def record_moment(moments: dict[str, Moment], key: str, time: int, digest: int, value: Any) -> None:
    """Keep first and last by time; ties go by digest."""
    moment = moments.get(key)
    if moment is None:
        moments[key] = Moment(time, digest, value, time, digest, value)
        return
    if (time, digest) < (moment.first, moment.first_digest):
        moment.first, moment.first_digest, moment.first_value = time, digest, value
    if (time, digest) > (moment.last, moment.last_digest):
        moment.last, moment.last_digest, moment.last_value = time, digest, value


def mark_of(event: Resolved) -> bytes:
    """A message's mark: a digest of its id, and one of what it says; a retry may have another time and context."""
    said = b"\0".join((event.kind.encode(), event.event.encode(), event.properties, event.traits))
    return xxhash.xxh3_64_digest(event.message_id.encode()) + xxhash.xxh3_64_digest(said)[:PAYLOAD_DIGEST]


def digest_of(mark: bytes) -> int:
    """The number that breaks ties between events of one time, out of a message's mark."""
    return int.from_bytes(mark[:ID_DIGEST])


def find_mark(profile: Profile, mark: bytes) -> bytes | None:
    """The mark of the message that was applied under the same id, if there is one."""
    wanted = mark[:ID_DIGEST]
    for marks in profile.marks.values():
        found = marks.find(wanted)
        while found >= 0:
            if found % MARK == 0:
                return marks[found : found + MARK]
            found = marks.find(wanted, found + 1)
    return None


def add_mark(profile: Profile, mark: bytes, received_at: int) -> None:
    """Mark a message as applied. Marks are kept for 28 days of 24 hours at least, and not much longer."""
    day = received_at // DAY
    opened = day not in profile.marks
    profile.marks[day] = profile.marks.get(day, b"") + mark
    if opened:
        newest = max(profile.marks)
        for old in [d for d in profile.marks if d < newest - MARK_DAYS]:
            del profile.marks[old]


def _number(value: Any) -> int:
    """A property as 1/10,000; what is not a number, or larger than any amount, counts nothing."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) * MONEY < MAX_AMOUNT:
        return 0
    return round(value * MONEY)


def _operation(event: Resolved, traits: dict[str, Any]) -> str:
    """What an event does with its traits. Raises InvalidEvent."""
    if event.kind != "profile":
        return "set"
    check_operation(event.event, traits)
    return event.event


def _object(raw: msgspec.Raw, field: str) -> dict[str, Any]:
    values = _decode(raw)
    if not isinstance(values, dict):
        raise InvalidEvent(f"invalid_{field}", field, f"{field} must be an object.")
    return values


def _storable(value: Any) -> Any:
    """A trait's value as the profile can hold it: integers beyond 64 bits become text, as do objects that hold such."""
    if isinstance(value, str | float | bool | None):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    try:
        msgspec.msgpack.encode(value)
    except (OverflowError, msgspec.MsgspecError):
        return str(value)
    return value
