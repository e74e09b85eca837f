"""Two profiles, or parts of them, become one: the union of what happened, as if it had always been one person."""

from collections.abc import Callable
from typing import TypeVar

from cdp.profile import Moment, Order, Profile, newer_seal
from streams.attributes import combine
from streams.measure import add_refund, precedence, record_moment

K = TypeVar("K")
V = TypeVar("V")


def merge(survivor: Profile, loser: Profile) -> None:
    """Put one's state into the other's, which may hold on to it. Both must have applied different messages."""
    survivor.as_of = max(survivor.as_of, loser.as_of)
    survivor.first_seen = min(filter(None, (survivor.first_seen, loser.first_seen)), default=0)
    survivor.last_seen = max(survivor.last_seen, loser.last_seen)
    survivor.events += loser.events
    _union(survivor.identifiers, loser.identifiers, min)
    _union(survivor.sealed, loser.sealed, newer_seal)
    combine(survivor, loser)
    _union(survivor.occasions, loser.occasions, min)
    for key, buckets in loser.days.items():
        _union(survivor.days.setdefault(key, {}), buckets, int.__add__)
    for key, moment in loser.moments.items():
        _merge_moment(survivor.moments, key, moment)
    for order_id, order in loser.orders.items():
        _merge_order(survivor.orders.setdefault(order_id, Order(refunds={})), order)
    _union(survivor.marks, loser.marks, bytes.__add__)
    _union(survivor.fact_at, loser.fact_at, max)
    survivor.silent = _merge_silent(survivor.silent, loser.silent)


def _union(into: dict[K, V], other: dict[K, V], both: Callable[[V, V], V]) -> None:
    for key, value in other.items():
        into[key] = both(into[key], value) if key in into else value


def _merge_silent(one: tuple[int, int, int], two: tuple[int, int, int]) -> tuple[int, int, int]:
    if not one[0] or not two[0]:
        return max(one, two)
    return one[0] + two[0], min(one[1], two[1]), max(one[2], two[2])


def _merge_moment(moments: dict[str, Moment], key: str, moment: Moment) -> None:
    record_moment(moments, key, moment.first, moment.first_digest, moment.first_value)
    record_moment(moments, key, moment.last, moment.last_digest, moment.last_value)


def _merge_order(into: Order, other: Order) -> None:
    if other.placed is not None:
        placed = into.placed
        if placed is None or precedence(other.placed) > precedence(placed):
            into.placed = other.placed
    for key, refund in other.refunds.items():
        add_refund(into, key, refund)
    into.unpaid = max(into.unpaid, other.unpaid)
    if other.cancelled is not None:
        into.cancelled = other.cancelled if into.cancelled is None else max(into.cancelled, other.cancelled)
