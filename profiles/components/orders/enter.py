"""What an order event does to an order: whichever of an order's events comes first, the end is the same."""

import xxhash

from cdp.orders import FINAL, FULL_REFUND, OrderEvent
from profiles.components.orders.state import Order, Placed


def enter(orders: dict[str, Order], order: OrderEvent, time: int, digest: int) -> None:
    """Enter one order event."""
    entry = orders.setdefault(order.order_id, Order(refunds={}))
    match order.status:
        case "completed":
            current = entry.placed
            if current is None or (order.version, time, digest) > _precedence(current):
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


def merge_order(into: Order, other: Order) -> None:
    """Both say something of one order."""
    if other.placed is not None:
        placed = into.placed
        if placed is None or _precedence(other.placed) > _precedence(placed):
            into.placed = other.placed
    for key, refund in other.refunds.items():
        _add_refund(into, key, refund)
    into.unpaid = max(into.unpaid, other.unpaid)
    if other.cancelled is not None:
        into.cancelled = other.cancelled if into.cancelled is None else max(into.cancelled, other.cancelled)


def _apply_refund(entry: Order, order: OrderEvent, time: int, digest: int) -> None:
    """A refund with an id of its own counts once, whatever its messages are called; of several the latest stands."""
    refund = (time, FULL_REFUND - order.version if order.amount is None else -order.amount, order.currency)
    if not order.refund_id:
        entry.refunds[digest] = refund
        return
    entry.refunds.pop(digest, None)  # older profiles have it under its message
    _add_refund(entry, xxhash.xxh3_64_intdigest(order.refund_id.encode()), refund)


def _add_refund(entry: Order, key: int, refund: tuple[int, int, str]) -> None:
    """Of one refund that was told several times, the latest stands; of one time, the larger."""
    entry.refunds[key] = max(refund, entry.refunds.get(key, refund))


def _precedence(placed: Placed) -> tuple[int, int, int]:
    """Of two versions of an order the one with the higher precedence stands."""
    return placed.version, placed.time, placed.digest
