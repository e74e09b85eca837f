"""Orders: each as its events leave it, whatever came first. A fold."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from cdp.orders import OrderEvent, read_order
from profiles.component import At, Component, Touched
from profiles.components.orders.enter import enter, merge_order
from profiles.components.orders.figures import order_time, orders, top_category
from profiles.components.orders.state import ORDERS, Order, Orders
from profiles.context import Context
from profiles.event import ProfileEvent
from profiles.slots import Slot
from profiles.state import Person
from profiles.windows import next_edge
from rules.language.dependencies import LATEST

TOUCHED: Touched = frozenset({"orders"})


class OrderComponent(Component[Orders, OrderEvent]):
    """Keeps every order for good."""

    slot: ClassVar[Slot[Orders]] = ORDERS
    vocabulary: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "orders": orders, "order_time": order_time, "top_category": top_category,
    }  # fmt: skip

    def read(self, event: ProfileEvent) -> OrderEvent | None:
        """Raises InvalidEvent: what an order needs is missing, or makes no sense."""
        return read_order(event.kind, event.event, event.properties)

    def apply(self, state: Orders, delta: OrderEvent, at: At) -> Touched:
        """Touches ``orders``."""
        enter(state.by_id, delta, at.time, at.digest)
        return TOUCHED

    def merge(self, into: Orders, other: Orders) -> None:
        """Of one order, all that either knows of it."""
        for order_id, order in other.by_id.items():
            merge_order(into.by_id.setdefault(order_id, Order(refunds={})), order)

    def next_timer(self, person: Person, context: Context, touched: Touched | None) -> int:
        """The next day on which an order comes into a window or falls out, or the moment for which rules wait after the last."""
        found = person.whole.get(ORDERS).by_id
        if not found:
            return 0
        windows = tuple(days for days in self.book.windows if days is not None)
        edge = next_edge(self._days(found.values()), windows, context.today) if windows else 0
        moments = [self.calendar.start(edge)] if edge else []
        waits = [timer.delay for timer in self.book.timers if timer.source == "orders"]
        if waits and (last := order_time(context, last=True)) is not None:
            moments += [last + delay for delay in waits if context.now < last + delay <= LATEST]
        return min(moments, default=0)

    def _days(self, found: Iterable[Order]) -> list[int]:
        """The days under which orders count; of one that was never placed, each refund's."""
        times: list[int] = []
        for order in found:
            times += [order.placed.time] if order.placed is not None else [time for time, _, _ in order.refunds.values()]
        return [self.calendar.day(time) for time in times]
