"""What is kept of orders."""

import msgspec

from cdp.orders import FULL_REFUND
from profiles.slots import Slot


class Placed(msgspec.Struct, array_like=True):
    """An order as placed: the highest (version, time, digest) wins. A source that counts no versions sends 0."""

    time: int
    digest: int
    amount: int
    quantity: int
    currency: str
    categories: dict[str, int]
    version: int = 0


class Order(msgspec.Struct, array_like=True):
    """What is known of one order, whatever came first.

    Attributes:
        placed: as placed.
        refunds: by digest of the refund's own id, or else of its message's: time, amount and currency. A full refund has
            FULL_REFUND less its version: it stands as long as no higher version was placed; without a version it is final.
        cancelled: the highest version that a cancellation has, FINAL if one has none; None: there is no cancellation.
        unpaid: the highest version in which it is not paid; 0: there is none.
    """

    placed: Placed | None = None
    refunds: dict[int, tuple[int, int, str]] = {}
    cancelled: int | None = None
    unpaid: int = 0

    @property
    def version(self) -> int:
        """The highest version of the order itself, paid or not; 0: none has a version."""
        return max(self.placed.version if self.placed is not None else 0, self.unpaid)

    @property
    def is_cancelled(self) -> bool:
        """Whether the order is cancelled, and was not placed again by a higher version."""
        return self.cancelled is not None and self.cancelled >= self.version

    @property
    def is_unpaid(self) -> bool:
        """Whether its highest version is not paid. Of one version that is both, the paid one stands."""
        return self.unpaid > (self.placed.version if self.placed is not None else 0)

    @property
    def stands(self) -> bool:
        """Whether anything of it is money: it is neither cancelled nor unpaid."""
        return not self.is_cancelled and not self.is_unpaid

    @property
    def refunded_by_name(self) -> int:
        """What the refunds that name an amount give back: all that a refund without its order says."""
        return sum(amount for _, amount, _ in self.refunds.values() if amount > FULL_REFUND)

    @property
    def refunded(self) -> int | None:
        """What was given back, in 1/10,000; None: everything.

        Only refunds in the order's own currency (or in none) count: there is no subtracting euros from yuan.
        """
        if any(self._is_everything(amount) for _, amount, _ in self.refunds.values()):
            return None
        return sum(amount for _, amount, currency in self.refunds.values() if amount >= 0 and self._is_own(currency))

    @property
    def other_currencies(self) -> dict[str, int]:
        """What was given back in other currencies than the order's, in 1/10,000 by currency: it is not subtracted."""
        found: dict[str, int] = {}
        for _, amount, currency in self.refunds.values():
            if amount >= 0 and not self._is_own(currency):
                found[currency] = found.get(currency, 0) + amount
        return found

    def _is_own(self, currency: str) -> bool:
        own = self.placed.currency if self.placed is not None else ""
        return not own or not currency or own == currency

    def _is_everything(self, amount: int) -> bool:
        version = FULL_REFUND - amount
        return version == 0 or (version > 0 and (self.placed is None or version >= self.placed.version))


class Orders(msgspec.Struct, array_like=True):
    """All orders of a person, by order id."""

    by_id: dict[str, Order] = {}


ORDERS = Slot("orders", Orders)
