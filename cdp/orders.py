"""Orders as they stand in an event's properties (Segment's e-commerce names), read once and the same everywhere.

PROFILE counts it, or refuses what cannot be read; FACTS writes it down.
"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import ORDER_CANCELLED, ORDER_COMPLETED, ORDER_PLACED, ORDER_REFUNDED, is_order
from cdp.money import MONEY
from cdp.values.amounts import read_amount, round_places
from cdp.values.currencies import name_currency
from cdp.values.identifiers import read_identifier
from cdp.values.lists import read_list
from cdp.values.texts import is_error, trim

Status = Literal["placed", "completed", "refunded", "cancelled"]

STATUS: dict[str, Status] = {
    ORDER_PLACED: "placed", ORDER_COMPLETED: "completed", ORDER_REFUNDED: "refunded", ORDER_CANCELLED: "cancelled",
}  # fmt: skip
MAX_AMOUNT = 10**13 * MONEY  # what a Decimal(18, 4) column holds, with room for sums
MAX_LINES = 10_000
MAX_VERSION = 2**63 - 2
FINAL = MAX_VERSION + 1  # version of a cancellation that names none: whatever version is placed, it stands
FULL_REFUND = -1  # amount of a refund that names none: everything; less its version, if it has one

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order. Quantity, price and amount are integers of 1/10,000; returned lines are negative."""

    line: int
    sku: str
    name: str
    category: str
    quantity: int
    unit_price: int
    amount: int


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What an order event says.

    Attributes:
        status: ``placed``: the order is not paid, whatever an older version says.
        amount: signed, 1/10,000: refunds are negative; None: the event does not say.
        version: the source's count of the order's versions, of which the highest stands; 0: it counts none.
        refund_id: the source's own number of a refund: the same refund of an order counts once; "": it has none.
    """

    order_id: str
    status: Status
    customer_id: str
    amount: int | None
    quantity: int
    currency: str
    lines: tuple[Line, ...]
    version: int = 0
    refund_id: str = ""


def read_order(kind: str, event: str, properties: bytes | msgspec.Raw) -> OrderEvent | None:
    """What an event says about an order; None if that is nothing. Raises InvalidEvent as `parse_order` does.

    An order that was placed says something only by its version: that it is not paid any more. Without one, or without a
    number, it is an event like any other.
    """
    if not is_order(kind, event):
        return None
    return _parse_placed(properties) if event == ORDER_PLACED else parse_order(event, properties)


def parse_order(event: str, properties: bytes | msgspec.Raw) -> OrderEvent:
    """Read the event of an order that was paid, refunded or cancelled. Raises InvalidEvent with the field's name.

    The amount is `total` (or `revenue`, or `value`); if none is given, the sum of the lines. Lines of refunds and
    cancellations count negative, whichever sign the source sends; lines of completed orders are kept as sent.
    """
    values = _decode(properties)
    if not isinstance(values, dict):
        raise InvalidEvent("invalid_properties", "properties", "properties must be an object.")
    order_id = _id(values.get("order_id"), "properties.order_id")
    if not order_id:
        raise InvalidEvent("missing_order_id", "properties.order_id", f"{event} has no order_id.", "Send properties.order_id.")
    version = values.get("version")
    if version is not None and not _is_version(version):
        raise InvalidEvent("invalid_number", "properties.version", "properties.version must be an integer, 0 or more.")
    status = STATUS[event]
    products = read_list(values.get("products") or [])
    if not isinstance(products, list) or len(products) > MAX_LINES:
        raise InvalidEvent("invalid_products", "properties.products", f"products must be a list of at most {MAX_LINES} lines.")
    back = status != "completed"
    lines = tuple(_line(index, product, back) for index, product in enumerate(products, start=1))
    total = next((values[name] for name in ("total", "revenue", "value") if values.get(name) is not None), None)
    if total is not None:
        amount: int | None = _amount(total, "properties.total")
    else:
        amount = sum(line.amount for line in lines) if lines else None
    if back and amount is not None:
        amount = -abs(amount)
    return OrderEvent(
        order_id=order_id,
        status=status,
        customer_id=_text(values.get("customer_id")),
        amount=amount,
        quantity=sum(line.quantity for line in lines),
        currency=name_currency(values.get("currency")),
        lines=lines,
        version=version or 0,
        refund_id=_id(values.get("refund_id"), "properties.refund_id") if status == "refunded" else "",
    )


def _parse_placed(properties: bytes | msgspec.Raw) -> OrderEvent | None:
    values = _decode(properties)
    if not isinstance(values, dict):
        return None
    version = values.get("version")
    if not version or not _is_version(version):
        return None
    try:
        order_id = _id(values.get("order_id"), "properties.order_id")
    except InvalidEvent:
        return None
    if not order_id:
        return None
    return OrderEvent(
        order_id, "placed", _text(values.get("customer_id")), None, 0, name_currency(values.get("currency")), (), version
    )


def _is_version(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_VERSION


def _line(index: int, product: Any, back: bool) -> Line:
    field = f"properties.products[{index - 1}]"
    if product == []:  # an empty object, as PHP writes it
        product = {}
    if not isinstance(product, dict):
        raise InvalidEvent("invalid_products", field, "a product must be an object.")
    quantity = _amount(_given(product, "quantity", 1), f"{field}.quantity")
    if back:
        quantity = -abs(quantity)
    price = _amount(_given(product, "price", 0), f"{field}.price")
    number = product.get("line", product.get("position", index))
    return Line(
        line=number if type(number) is int and 0 <= number < 2**32 else index,
        sku=_id(product.get("sku") or product.get("product_id"), f"{field}.sku"),
        name=_text(product.get("name")),
        category=_text(product.get("category")),
        quantity=quantity,
        unit_price=price,
        amount=(quantity * price) // MONEY if (quantity * price) % MONEY == 0 else round(quantity * price / MONEY),
    )


def _given(values: dict[str, Any], name: str, default: int) -> Any:
    """A value; null says as little as nothing does."""
    value = values.get(name)
    return default if value is None else value


def _id(value: Any, field: str) -> str:
    """The text of an id; "" if there is none."""
    if value is None or isinstance(value, list | dict) or is_error(value) or (isinstance(value, str) and not trim(value)):
        return ""
    try:
        return read_identifier(value)
    except ValueError as error:
        raise InvalidEvent("invalid_id", field, f"{field} cannot be used: {error}.", "Send it as a text.") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def _amount(value: Any, field: str) -> int:
    """A number, or a text with a number, as an integer of 1/10,000."""
    try:
        scaled = int(round_places(read_amount(value)) * MONEY)
    except ValueError as error:
        raise InvalidEvent("invalid_number", field, f"{field} cannot be used: {error}.") from None
    if abs(scaled) >= MAX_AMOUNT:
        raise InvalidEvent("invalid_number", field, f"{field} is too large: {str(value)[:50]}.")
    return scaled
