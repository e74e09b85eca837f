"""What rules ask of orders: count, money and categories in windows of days."""

from profiles.components.orders.state import ORDERS, Order
from profiles.context import Context


class OrderFigures:
    """Count, money and categories of the orders of one window; money in 1/10,000."""

    __slots__ = ("amount", "categories", "count", "largest", "quantity", "smallest")

    def __init__(self) -> None:
        self.count = 0
        self.amount = 0
        self.quantity = 0
        self.largest: int | None = None
        self.smallest: int | None = None
        self.categories: dict[str, int] = {}

    def add(self, order: Order, net: int) -> None:
        """Count one order in. A cancelled or fully refunded order is not an order; a lone refund is only money."""
        placed = order.placed
        self.amount += net
        if placed is None or (placed.amount > 0 >= net):
            return
        self.count += 1
        self.quantity += placed.quantity
        self.largest = net if self.largest is None else max(self.largest, net)
        self.smallest = net if self.smallest is None else min(self.smallest, net)
        for name, amount in placed.categories.items():
            self.categories[name] = self.categories.get(name, 0) + amount


def orders(context: Context, days: int | None) -> OrderFigures:
    """Figures of the orders placed in a window; refunds count on the day of their order."""
    known: dict[int | None, OrderFigures] = context.known.setdefault("orders", {})
    figures = known.get(days)
    if figures is None:
        figures = known[days] = _count(context, days)
    return figures


def order_time(context: Context, last: bool) -> int | None:
    """Time of the first or last order that stands."""
    found = context.person.whole.get(ORDERS).by_id.values()
    times = [order.placed.time for order in found if order.placed is not None and order.stands]
    return (max(times) if last else min(times)) if times else None


def top_category(context: Context, days: int | None) -> str | None:
    """The category with the most money; of equals, the first by name."""
    categories = orders(context, days).categories
    return min(categories, key=lambda name: (-categories[name], name)) if categories else None


def net(order: Order) -> tuple[int, int]:
    """What an order that stands is worth after refunds, in 1/10,000, and the time under which it counts."""
    if order.placed is None:
        return -order.refunded_by_name, min(time for time, _, _ in order.refunds.values())
    refunded = order.refunded
    return (0 if refunded is None else order.placed.amount - refunded), order.placed.time


def _count(context: Context, days: int | None) -> OrderFigures:
    figures = OrderFigures()
    for amount, age, order in _nets(context):
        if days is None or 0 <= age < days:
            figures.add(order, amount)
    return figures


def _nets(context: Context) -> list[tuple[int, int, Order]]:
    """Of each order that stands its worth, and how many days ago it counts."""
    found: list[tuple[int, int, Order]] | None = context.known.get("nets")
    if found is None:
        found = context.known["nets"] = []
        for order in context.person.whole.get(ORDERS).by_id.values():
            if order.stands:
                amount, moment = net(order)
                found.append((amount, context.today - context.calendar.day(moment), order))
    return found
