"""The shop's event names, for SDKs whose rules do not allow them as they are: `OrderCompleted` means "Order Completed"."""

from functools import lru_cache
from typing import Any

from cdp.events import ORDER_EVENTS

STANDARD = (
    "Products Searched", "Product List Viewed", "Product List Filtered", "Promotion Viewed", "Promotion Clicked",
    "Product Clicked", "Product Viewed", "Product Added", "Product Removed", "Cart Viewed", "Checkout Started",
    "Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered", "Order Completed", "Order Updated",
    "Order Refunded", "Order Cancelled", "Coupon Entered", "Coupon Applied", "Coupon Denied", "Coupon Removed",
    "Product Added to Wishlist", "Product Removed from Wishlist", "Wishlist Product Added to Cart", "Product Shared",
    "Cart Shared", "Product Reviewed",
)  # fmt: skip


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


_BY_FOLDED = {_folded(name): name for name in STANDARD}


@lru_cache(maxsize=4096)
def _standard(name: str) -> str:
    return _BY_FOLDED.get(_folded(name), name)


def shop_name(name: str, properties: dict[str, Any]) -> str:
    """The standard name that this one spells without spaces; else the name itself.

    An order without an `order_id` is no order, whatever its name: such an event keeps the name it has.
    """
    standard = _standard(name) if len(name) <= 64 else name
    return name if standard in ORDER_EVENTS and not properties.get("order_id") else standard
