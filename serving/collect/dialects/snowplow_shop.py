"""Snowplow's e-commerce, new and old, in the event contract's names."""

from typing import Any

from cdp.events import ORDER_COMPLETED, ORDER_REFUNDED
from serving.collect.dialects.snowplow_entities import Described, number
from serving.collect.draft import Object

ACTIONS = {
    "product_view": "Product Viewed", "list_view": "Product List Viewed", "list_click": "Product Clicked",
    "add_to_cart": "Product Added", "remove_from_cart": "Product Removed", "checkout_step": "Checkout Step Viewed",
    "transaction": ORDER_COMPLETED, "refund": ORDER_REFUNDED, "promo_view": "Promotion Viewed",
    "promo_click": "Promotion Clicked", "trns_error": "Transaction Error",
}  # fmt: skip
KNOWN = {
    "add_to_cart": "Product Added", "remove_from_cart": "Product Removed", "site_search": "Products Searched",
    "application_install": "Application Installed", "application_background": "Application Backgrounded",
    "application_foreground": "Application Foregrounded", "deep_link_received": "Deep Link Opened",
}  # fmt: skip
NAMES: dict[str, dict[str, str]] = {
    "product": {"id": "product_id"},
    "cart": {"total_value": "cart_value"},
    "transaction": {"transaction_id": "order_id", "revenue": "total", "discount_amount": "discount", "discount_code": "coupon"},
    "refund": {"transaction_id": "order_id", "refund_amount": "total", "refund_reason": "reason"},
    "promotion": {"id": "promotion_id", "creative_id": "creative"},
    "checkout_step": {"coupon_code": "coupon", "delivery_method": "shipping_method"},
    "transaction_error": {},
}  # what is called otherwise in the contract
CART = {"unitPrice": "price"}
TRANSACTION = {
    "order_id": "tr_id", "total": "tr_tt", "affiliation": "tr_af", "tax": "tr_tx", "shipping": "tr_sh", "city": "tr_ci",
    "state": "tr_st", "country": "tr_co", "currency": "tr_cu",
}  # fmt: skip
LINE = {"sku": "ti_sk", "name": "ti_nm", "category": "ti_ca", "price": "ti_pr", "quantity": "ti_qu", "currency": "ti_cu"}
AMOUNTS = frozenset({"total", "tax", "shipping", "price", "quantity"})
OF_LINES = frozenset({"add_to_cart", "remove_from_cart", "product_view", "list_click"})


def _renamed(data: Object, names: dict[str, str]) -> Object:
    return {names.get(name, name): value for name, value in data.items()}


def _first(entities: list[Described], name: str) -> Object:
    """The first entity of this name, renamed; {} if there is none."""
    return next((_renamed(one.data, NAMES[name]) for one in entities if one.name == name and _is_shop(one)), {})


def _is_shop(entity: Described) -> bool:
    return ".ecommerce/" in entity.uri


def action_of(data: Object, entities: list[Described]) -> tuple[str, Object]:
    """Event and properties of an e-commerce action: what it is about is told by entities beside it."""
    type_ = data.get("type")
    type_ = type_ if isinstance(type_, str) else ""
    properties: Object = {"action": type_}
    if data.get("name") is not None:
        properties["list"] = data["name"]
    products = [_renamed(one.data, NAMES["product"]) for one in entities if one.name == "product" and _is_shop(one)]
    about = {"promo_view": "promotion", "promo_click": "promotion", "checkout_step": "checkout_step"}.get(type_, "")
    if type_ == "refund":
        properties |= _first(entities, "refund")
    elif type_ in ("transaction", "trns_error"):
        properties |= _first(entities, "transaction") | _first(entities, "transaction_error")
    elif about:
        properties |= _first(entities, about)
    if type_ in ("add_to_cart", "remove_from_cart"):
        properties |= _first(entities, "cart")
    if type_ in OF_LINES and len(products) == 1:
        properties |= products[0]
    elif products:
        properties["products"] = products
    return ACTIONS.get(type_, type_ or "Ecommerce Action"), properties


def known_event(event: Described) -> tuple[str, Object] | None:
    """Event and properties of one of Snowplow's own events that the contract has a name for."""
    if event.name not in KNOWN or "iglu:com.snowplowanalytics." not in event.uri:
        return None
    data = event.data
    if event.name == "site_search":
        terms = data.get("terms")
        query = " ".join(term for term in terms if isinstance(term, str)) if isinstance(terms, list) else ""
        return KNOWN[event.name], {"query": query, **data}
    return KNOWN[event.name], _renamed(data, CART) if event.name.endswith("_cart") else data


def line_of(message: Object) -> Object:
    """A line of an order out of a legacy item event."""
    return _told(message, LINE)


def order_of(message: Object) -> Object:
    """The order out of a legacy transaction event."""
    order = _told(message, TRANSACTION)
    if isinstance(message.get("items"), list):
        order["products"] = message["items"]
    return order


def _told(message: Object, names: dict[str, str]) -> Object:
    """What a legacy event says, under the contract's names. Amounts become numbers, ids stay the texts that they are."""
    given: dict[str, Any] = {ours: message[theirs] for ours, theirs in names.items() if message.get(theirs) not in (None, "")}
    return {name: number(value) if name in AMOUNTS else value for name, value in given.items()}
