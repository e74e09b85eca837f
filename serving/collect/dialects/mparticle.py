"""mParticle's server-to-server Events API: batches of one person's events.

Source of the format: mParticle's documentation of its JSON and of its Events API. docs/dialects/mparticle.md is for users.
A message, as `read` takes it, is a batch with one event, or with none: then it says who the person is.
"""

from collections.abc import Callable, Sequence
from typing import Any

from cdp.errors import InvalidEvent
from cdp.events import is_order
from serving.collect.body import field_in, split
from serving.collect.dialects.posthog import content_hash
from serving.collect.draft import Answer, Broken, Draft, Incoming, Object, Opened, RefusedError, object_of, with_corrected
from serving.collect.finish import text

MAX_REPORTED = 100
ACCEPTED = Answer(b"", status=202)

IDENTITIES = {
    "customer_id": "user_id", "customerid": "user_id", "email": "email", "mobile_number": "phone", "phone_number_2": "phone",
    "phone_number_3": "phone",
}  # fmt: skip
# What tells devices apart, the best first; used only if nothing names a person.
DEVICES = ("device_application_stamp", "ios_idfv", "android_uuid", "ios_advertising_id", "android_advertising_id")
ATTRIBUTES = {
    "$firstname": "first_name", "$lastname": "last_name", "$mobile": "phone", "$email": "email", "$gender": "gender",
    "$age": "age", "$address": "address", "$city": "city", "$state": "state", "$zip": "zip", "$country": "country",
}  # fmt: skip
ACTIONS = {
    "add_to_cart": "Product Added", "remove_from_cart": "Product Removed", "checkout": "Checkout Started",
    "checkout_option": "Checkout Step Completed", "click": "Product Clicked", "view_detail": "Product Viewed",
    "view": "Product Viewed", "purchase": "Order Completed", "refund": "Order Refunded",
    "add_to_wishlist": "Product Added to Wishlist", "remove_from_wishlist": "Product Removed from Wishlist",
    "remove_from_wish_list": "Product Removed from Wishlist",
}  # fmt: skip
PROMOTIONS = {"view": "Promotion Viewed", "click": "Promotion Clicked"}
ORDER = {
    "order_id": "transaction_id", "total": "total_amount", "tax": "tax_amount", "shipping": "shipping_amount",
    "coupon": "coupon_code", "affiliation": "affiliation", "step": "checkout_step", "payment_method": "checkout_options",
    "list": "product_list_name",
}  # fmt: skip
PRODUCT = {
    "product_id": "id", "name": "name", "brand": "brand", "category": "category", "variant": "variant", "position": "position",
    "price": "price", "quantity": "quantity", "coupon": "coupon_code", "total": "total_product_amount",
}  # fmt: skip
# Events without a name of their own.
NAMES = {
    "session_start": "Session Started", "session_end": "Session Ended", "first_run": "Application Installed",
    "uninstall": "Application Uninstalled", "push_message": "Push Notification Received",
    "push_registration": "Push Notification Registered", "push_reaction": "Push Notification Tapped", "opt_out": "Opted Out",
    "crash_report": "Application Crashed", "breadcrumb": "Breadcrumb", "network_performance": "Network Performance",
    "user_identity_change": "User Identity Changed", "media": "Media", "profile": "Profile Changed",
}  # fmt: skip
TRANSITIONS = {
    "application_initialized": "Application Opened", "application_foreground": "Application Foregrounded",
    "application_background": "Application Backgrounded", "application_exit": "Application Closed",
}  # fmt: skip
DEVICE = {
    "manufacturer": "device_manufacturer", "model": "device_model", "type": "platform", "id": "device_application_stamp",
    "advertisingId": "ios_advertising_id",
}  # fmt: skip
APP = {"name": "application_name", "version": "application_version", "build": "application_build_number", "namespace": "package"}
SCREEN = {"width": "screen_width", "height": "screen_height", "density": "screen_dpi"}
CAMPAIGN = {"name": "campaign", "source": "publisher"}
WEB, APPS = frozenset(("web", "mobile_web", "mobileweb")), frozenset(("ios", "android", "tvos", "androidtv", "firetv"))
WHO = ("user_attributes", "user_identities", "deleted_user_attributes")

Ids = list[tuple[str, Any, str]]


class MParticle:
    """`many`: the body is a list of batches."""

    name = "mparticle"

    def __init__(self, *, many: bool) -> None:
        self._many = many

    def open(self, incoming: Incoming) -> Opened:
        """The batches, each taken apart: who the person is first, then the events."""
        body = incoming.body.strip()
        if body.startswith(b"["):
            batches = split(b'{"batches":' + body + b"}", "batches").messages
        elif self._many:
            raise RefusedError(400, "invalid_request", "The body is not a list of batches.", "Send one batch to /v2/events.")
        else:
            batches = split(body, "").messages
        key = next((one["api_key"] for one in batches if isinstance(one, dict) and isinstance(one.get("api_key"), str)), "")
        return Opened(incoming.key or key, [message for batch in batches for message in _messages(batch)])

    def read(self, message: Any, opened: Opened) -> Draft:
        """A batch of one event, or of none."""
        if type(message) is not dict:
            raise InvalidEvent("wrong_type", "", "A batch must be an object.")
        events = message.get("events") or []
        if not isinstance(events, list) or len(events) > 1:
            raise InvalidEvent("wrong_type", "events", "events must be a list.")
        device, app = _object(message, "device_info"), _object(message, "application_info")
        draft = _event(message, events[0]) if events else _person(message)
        draft.ids = _ids(message, device, is_order(draft.kind, draft.event))
        draft.context = _context(message, device, app)
        platform = text(device.get("platform")).lower().replace(" ", "_")
        draft.channel = draft.properties.get("channel") or ("web" if platform in WEB else "app" if platform in APPS else "")
        draft.store = draft.properties.get("store_id")
        draft.library, draft.version = "mparticle", text(message.get("mp_sdk_version")) or text(app.get("sdk_version"))
        return draft

    def id_of(self, message: Any) -> str:
        """The event's own id, the request's, or a hash of the content."""
        if isinstance(message, Broken):
            return field_in(message.text, "event_id", "source_message_id") or ""
        if not isinstance(message, dict):
            return ""
        events = message.get("events")
        try:
            return _id_of_event(message, events[0]) if isinstance(events, list) and events else _id_of_person(message)
        except InvalidEvent:
            return ""

    def answer(self, opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
        """202 in any case, as mParticle; the events that became dead letters are listed."""
        if not refused and not opened.corrected:
            return ACCEPTED
        letters = [
            {"index": index, "reason": error.reason, "field": error.field, "message": str(error)}
            for index, error in refused[:MAX_REPORTED]
        ]
        return with_corrected({"dead_lettered": letters}, opened, status=202)


_ONE, _MANY = MParticle(many=False), MParticle(many=True)
# All by POST.
ROUTES: dict[str, MParticle] = {"/v2/events": _ONE, "/v2/events/": _ONE, "/v2/bulkevents": _MANY, "/v2/bulkevents/": _MANY}


def _messages(batch: Any) -> list[Any]:
    """A batch as batches of one event each; what it says about the person comes first, as batches without an event.

    Every event needs an id that a retry repeats: its own, or the request's with the event's place in it.
    """
    if not isinstance(batch, dict):
        return [batch]
    events = batch.get("events")
    if events is not None and not isinstance(events, list):
        return [batch]
    shared = {name: value for name, value in batch.items() if name not in ("events", "api_key", *WHO)}
    who = {**shared, "user_identities": batch.get("user_identities")}
    messages: list[Any] = []
    deleted = batch.get("deleted_user_attributes")
    if batch.get("user_attributes") or not (events or deleted):
        messages.append({**who, "user_attributes": batch.get("user_attributes")})
    if deleted:
        messages.append({**who, "deleted_user_attributes": deleted})
    request = text(batch.get("source_request_id"))
    for place, event in enumerate(events or ()):
        messages.append({**who, "events": [_numbered(event, f"{request}:{place}") if request else event]})
    return messages


def _numbered(event: Any, id_: str) -> Any:
    """The event with an id, if it has none of its own."""
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict) or _own_id(data):
        return event
    return {**event, "data": {**data, "source_message_id": id_}}


def _own_id(data: Object) -> str:
    return text(data.get("event_id")) or text(data.get("source_message_id"))


def _person(batch: Object) -> Draft:
    """What a batch says about its person."""
    deleted = batch.get("deleted_user_attributes")
    id_, stamp = _id_of_person(batch), _stamp(batch.get("timestamp_unixtime_ms"))
    if not deleted:
        return Draft(kind="identify", message_id=id_, timestamp=stamp, traits=_traits(batch))
    if not isinstance(deleted, list) or not all(isinstance(name, str) for name in deleted):
        raise InvalidEvent("wrong_type", "deleted_user_attributes", "deleted_user_attributes must be a list of names.")
    names: Object = {_attribute(name): True for name in deleted}
    return Draft(kind="profile", event="unset", message_id=id_, timestamp=stamp, traits=names)


def _id_of_person(batch: Object) -> str:
    """The id of what a batch says about its person. Raises InvalidEvent if it cannot be written as JSON."""
    request = text(batch.get("source_request_id"))
    if request:
        return f"{request}:{'unset' if batch.get('deleted_user_attributes') else 'user'}"
    return content_hash(batch) if _stamp(batch.get("timestamp_unixtime_ms")) is not None else ""


def _traits(batch: Object) -> Object:
    given = {_attribute(name): value for name, value in _object(batch, "user_attributes").items()}
    identities = _object(batch, "user_identities")
    for trait, name in (("email", "email"), ("phone", "mobile_number")):
        if text(identities.get(name)):
            given.setdefault(trait, identities[name])
    return given


def _attribute(name: str) -> str:
    """The trait that an attribute is: mParticle's reserved ones have names of their own."""
    return ATTRIBUTES.get(name.lower(), name)


def _event(batch: Object, event: Any) -> Draft:
    if not isinstance(event, dict):
        raise InvalidEvent("wrong_type", "events[0]", "An event must be an object.")
    type_, data = event.get("event_type"), _object(event, "data", "events[0].data")
    if not type_ or not isinstance(type_, str):
        raise InvalidEvent("missing_type", "events[0].event_type", "The event does not say its type.", "Send event_type.")
    understand = _UNDERSTAND.get(type_)
    if understand is None:
        raise InvalidEvent("unsupported_type", "events[0].event_type", f"Events of type {type_[:40]!r} are not taken.")
    draft = understand(type_, data)
    draft.timestamp = _time_of(batch, data)
    draft.message_id = _id_of_event(batch, event)
    return draft


def _time_of(batch: Object, data: Object) -> Any:
    stamp = data.get("timestamp_unixtime_ms")
    return _stamp(batch.get("timestamp_unixtime_ms") if stamp is None else stamp)


def _id_of_event(batch: Object, event: Any) -> str:
    """The id of an event of a batch. Raises InvalidEvent if it cannot be written as JSON."""
    given = event.get("data") if isinstance(event, dict) else None
    data: Object = given if isinstance(given, dict) else {}
    hashed = {name: batch.get(name) for name in ("mpid", "user_identities")} | {"event": event}
    return _own_id(data) or (content_hash(hashed) if _time_of(batch, data) is not None else "")


def _custom(type_: str, data: Object) -> Draft:
    name = data.get("event_name")
    if not name or not isinstance(name, str):
        raise InvalidEvent("missing_event", "events[0].data.event_name", "The event has no name.", "Send event_name.")
    extra = {"event_type": data.get("custom_event_type")} if data.get("custom_event_type") else {}
    return Draft(kind="track", event=name, properties={**extra, **_attributes(data)})


def _screen(type_: str, data: Object) -> Draft:
    return Draft(kind="screen", event=text(data.get("screen_name")), properties=_attributes(data))


def _other(type_: str, data: Object) -> Draft:
    return Draft(kind="track", event=NAMES[type_], properties={**_plain(data), **_attributes(data)})


def _transition(type_: str, data: Object) -> Draft:
    said = text(data.get("application_transition_type"))
    name = TRANSITIONS.get(said, "Application State Changed")
    return Draft(kind="track", event=name, properties={**_plain(data), **_attributes(data)})


def _attribute_change(type_: str, data: Object) -> Draft:
    name = data.get("user_attribute_name")
    if not name or not isinstance(name, str):
        field = "events[0].data.user_attribute_name"
        raise InvalidEvent("missing_event", field, "The change does not say which attribute.", "Send user_attribute_name.")
    name = _attribute(name)
    if data.get("deleted") is True:
        return Draft(kind="profile", event="unset", traits={name: True})
    return Draft(kind="identify", traits={name: data.get("new")})


def _commerce(type_: str, data: Object) -> Draft:
    """A commerce event by its product action, else its promotions, else the products that were shown."""
    where = "events[0].data"
    action = _object(data, "product_action", f"{where}.product_action")
    promotion = _object(data, "promotion_action", f"{where}.promotion_action")
    properties: Object = {"currency": data["currency_code"]} if data.get("currency_code") else {}
    if action:
        name = _named(ACTIONS, action, f"{where}.product_action.action")
        properties |= _picked(action, ORDER)
        products = _products(action.get("products"), f"{where}.product_action.products")
        if len(products) == 1 and name.startswith("Product "):
            properties = {**products[0], **properties}
    elif promotion:
        name = _named(PROMOTIONS, promotion, f"{where}.promotion_action.action")
        promotions = promotion.get("promotions")
        first = promotions[0] if isinstance(promotions, list) and len(promotions) == 1 else {}
        if isinstance(first, dict):
            properties |= _picked(first, {"promotion_id": "id", "name": "name", "creative": "creative", "position": "position"})
        properties["promotions"] = promotions
        products = []
    else:
        name, products = "Product List Viewed", _impressions(data, properties)
    if products:
        properties["products"] = products
    return Draft(kind="track", event=name, properties={**_attributes(data), **properties})


def _named(names: dict[str, str], action: Object, field: str) -> str:
    said = action.get("action")
    name = names.get(said.lower()) if isinstance(said, str) else None
    if name is None:
        raise InvalidEvent("unsupported_type", field, f"The action {text(said)[:40]!r} is not known.", f"Use {', '.join(names)}.")
    return name


def _impressions(data: Object, properties: Object) -> list[Object]:
    impressions = data.get("product_impressions")
    if not isinstance(impressions, list) or not impressions:
        raise InvalidEvent("missing_event", "events[0].data.product_action", "The commerce event does not say what was done.")
    products: list[Object] = []
    for place, impression in enumerate(impressions):
        field = f"events[0].data.product_impressions[{place}]"
        if not isinstance(impression, dict):
            raise InvalidEvent("wrong_type", field, f"{field} must be an object.")
        if "product_impression_list" in impression:
            properties.setdefault("list", impression["product_impression_list"])
        products += _products(impression.get("products"), f"{field}.products")
    return products


def _products(products: Any, field: str) -> list[Object]:
    if products is None:
        return []
    if not isinstance(products, list) or not all(isinstance(product, dict) for product in products):
        raise InvalidEvent("wrong_type", field, f"{field} must be a list of objects.")
    return [{**_attributes(product), **_picked(product, PRODUCT)} for product in products]


_UNDERSTAND: dict[str, Callable[[str, Object], Draft]] = {
    "custom_event": _custom, "commerce_event": _commerce, "screen_view": _screen,
    "application_state_transition": _transition, "user_attribute_change": _attribute_change,
    **dict.fromkeys(NAMES, _other),
}  # fmt: skip


def _ids(batch: Object, device: Object, of_order: bool) -> Ids:
    identities = _object(batch, "user_identities")
    ids: Ids = [
        (IDENTITIES.get(name.lower(), name.lower()), value, f"user_identities.{name}") for name, value in identities.items()
    ]
    ids.append(("mpid", batch.get("mpid"), "mpid"))
    stamp = batch.get("mp_deviceid") or device.get("device_application_stamp")
    ids.append(("anonymous_id", stamp, "device_info.device_application_stamp"))
    if any(value not in (None, "") for _, value, _ in ids):
        return ids
    for name in DEVICES:
        if text(device.get(name)):
            return [("anonymous_id", text(device[name]), f"device_info.{name}")]
    if of_order:
        return []  # a guest's order is known by its number
    raise InvalidEvent("missing_identifier", "user_identities", "The batch says nobody.", "Send user_identities or mpid.")


def _context(batch: Object, device: Object, app: Object) -> Object:
    context: Object = {}
    for name, part in (
        ("device", _picked(device, DEVICE)), ("app", _picked(app, APP)), ("screen", _picked(device, SCREEN)),
        ("os", _picked(device, {"name": "platform", "version": "os_version"})),
        ("network", _picked(device, {"carrier": "network_carrier"})),
        ("campaign", _picked(_object(batch, "attribution_info"), CAMPAIGN)), ("consent", _object(batch, "consent_state")),
        ("mparticle", _picked(batch, {name: name for name in ("mpid", "environment", "batch_id", "integration_attributes")})),
    ):  # fmt: skip
        if part:
            context[name] = part
    language, country = text(device.get("locale_language")), text(device.get("locale_country"))
    locale = f"{language}-{country}" if language and country else language
    agent = text(device.get("http_header_user_agent")) or text(batch.get("user_agent"))
    timezone = text(device.get("timezone_name"))
    for name, value in (("ip", text(batch.get("ip"))), ("userAgent", agent), ("locale", locale), ("timezone", timezone)):
        if value:
            context[name] = value
    return context


def _attributes(data: Object) -> Object:
    return _object(data, "custom_attributes", "custom_attributes")


def _plain(data: Object) -> Object:
    """The event's own fields, as they came; those that stand elsewhere left out."""
    return {
        name: value
        for name, value in data.items()
        if name not in ("custom_attributes", "event_id", "source_message_id", "timestamp_unixtime_ms")
    }


def _picked(values: Object, names: dict[str, str]) -> Object:
    return {name: value for name, source in names.items() if (value := values.get(source)) is not None and value != ""}


def _object(values: Object, name: str, field: str = "") -> Object:
    return object_of(values.get(name), field or name, name)


def _stamp(value: Any) -> Any:
    """Epoch milliseconds; texts of digits as well."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None
