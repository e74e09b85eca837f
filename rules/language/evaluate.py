"""What compiled rules ask of a profile at a moment: windows, orders, first and last, anniversaries.

Logic has two values: a comparison with nothing is false, arithmetic with nothing is nothing.
"""

from typing import Any

from cdp.clock import MINUTE, Calendar, date_of
from cdp.profile import Order, Profile, TagValue
from rules.language.values import anniversary, parse_date

TOTAL = -1  # key of the all-time total beside the daily buckets


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


class Context:
    """One profile at one moment. Made for each evaluation; figures are computed once, when first asked for."""

    __slots__ = ("_orders", "calendar", "now", "profile", "today", "windows")

    def __init__(self, profile: Profile, now: int, calendar: Calendar, windows: tuple[int | None, ...]) -> None:
        self.profile = profile
        self.now = now
        self.calendar = calendar
        self.today = calendar.day(now)
        self.windows = windows
        self._orders: dict[int | None, OrderFigures] | None = None

    def orders(self, days: int | None) -> OrderFigures:
        """Figures of the orders placed in a window; refunds count on the day of their order."""
        if self._orders is None:
            self._orders = self._count_orders()
        return self._orders[days]

    def _count_orders(self) -> dict[int | None, OrderFigures]:
        figures = {days: OrderFigures() for days in self.windows}
        for order in self.profile.orders.values():
            if not order.stands:
                continue
            refunded = order.refunded
            if order.placed is not None:
                placed = order.placed
                net, moment = (0 if refunded is None else placed.amount - refunded), placed.time
            else:
                net, moment = -order.refunded_by_name, min(time for time, _, _ in order.refunds.values())
            age = self.today - self.calendar.day(moment)
            for days, figure in figures.items():
                if days is None or 0 <= age < days:
                    figure.add(order, net)
        return figures

    def order_time(self, last: bool) -> int | None:
        """Time of the first or last order that stands."""
        times = [o.placed.time for o in self.profile.orders.values() if o.placed is not None and o.stands]
        return (max(times) if last else min(times)) if times else None

    def top_category(self, days: int | None) -> str | None:
        """The category with the most money; of equals, the first by name."""
        categories = self.orders(days).categories
        return min(categories, key=lambda name: (-categories[name], name)) if categories else None

    def total(self, key: str, days: int | None) -> int:
        """Sum of a metric's buckets in a window, or of all time."""
        buckets = self.profile.days.get(key)
        if not buckets:
            return 0
        if days is None:
            return buckets.get(TOTAL, 0)
        oldest = self.today - days
        return sum(value for day, value in buckets.items() if oldest < day <= self.today)

    def active_days(self, key: str, days: int | None) -> int:
        """In how many days of a window a metric has a bucket."""
        oldest = -1 if days is None else max(-1, self.today - days)
        return sum(1 for day in self.profile.days.get(key, ()) if oldest < day <= self.today)

    def first(self, key: str) -> Any:
        """The value at the first time."""
        moment = self.profile.moments.get(key)
        return None if moment is None else moment.first_value

    def last(self, key: str) -> Any:
        """The value at the last time."""
        moment = self.profile.moments.get(key)
        return None if moment is None else moment.last_value

    def tag(self, name: str) -> TagValue | None:
        """Another tag's value, as evaluated so far."""
        found = self.profile.tags.get(name)
        return None if found is None else found.value

    def attribute(self, name: str) -> Any:
        """A trait's value; lists and objects count as nothing."""
        found = self.profile.attributes.get(name)
        return found.value if found is not None and isinstance(found.value, TagValue) else None

    def minutes_since(self, moment: Any) -> float | None:
        """Minutes between a time and the profile's clock."""
        return (self.now - moment) / MINUTE if isinstance(moment, int) else None

    def days_since(self, moment: Any) -> int | None:
        """Calendar days between a time and the profile's clock."""
        return self.today - self.calendar.day(moment) if isinstance(moment, int) else None

    def is_anniversary(self, birthday: Any) -> bool:
        """Whether today is the day; 29 February is kept on the 28th in common years."""
        born, today = parse_date(birthday, self.calendar.zone), date_of(self.today)
        return born is not None and born <= today and anniversary(born, today.year) == today

    def month_of(self, value: Any) -> int | None:
        """The month of a date."""
        day = parse_date(value, self.calendar.zone)
        return day.month if day else None
