"""Snowplow's tracker protocol: lists of events by POST to ``tp2``, single ones by GET of the pixel ``/i``.

Source of the format: Snowplow's documentation of its tracker protocol, and what snowplow-tracker (Python) and
@snowplow/node-tracker were seen to send. The values of an event's parameters are texts, numbers too.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from cdp.errors import InvalidEvent
from serving.collect.body import field_in, split
from serving.collect.dialects.pixel import PIXEL
from serving.collect.dialects.shop_names import shop_name
from serving.collect.dialects.snowplow_entities import Described, context_of, described, entities_of, ids_of, listed, number
from serving.collect.dialects.snowplow_shop import action_of, known_event, line_of, order_of
from serving.collect.draft import Answer, Broken, Draft, Incoming, Object, Opened, RefusedError, with_corrected
from serving.collect.finish import text

KEY_PREFIX = "wk_"
KEY_FIELDS = ("key", "token", "writeKey", "api_key")
MAX_REPORTED = 100
TAKEN = Answer(b"ok", "text/plain; charset=utf-8")
IMAGE = "image"

EVENTS = {"pv": "page view", "pp": "page ping", "se": "structured", "ue": "self-describing", "tr": "transaction", "ti": "item"}
CHANNELS = {"mob": "app"}
ECOMMERCE_ACTION = "snowplow_ecommerce_action"

_VERSION = re.compile(r"^(.*?)-(\d.*)$")
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|[^\W_]+")


class Snowplow:
    """Both paths; a GET is the pixel."""

    name = "snowplow"

    def open(self, incoming: Incoming) -> Opened:
        """The event in a query, or those in the list `data` of a body."""
        image = incoming.method == "GET"
        key = next((incoming.query[name] for name in KEY_FIELDS if incoming.query.get(name)), "")
        if image:
            event = {name: value for name, value in incoming.query.items() if name not in KEY_FIELDS}
            if not event:
                raise RefusedError(
                    400, "invalid_request", "The request holds no event.", "Send the event's parameters: e, p, tv."
                )
            messages = [event]
        else:
            messages = split(incoming.body, "data").messages
            _join_transactions(messages)
        apps = (text(message.get("aid")) for message in messages if isinstance(message, dict))
        app = next((one for one in apps if one), "")
        return Opened(key or (app if app.startswith(KEY_PREFIX) else ""), messages, app=app, note=IMAGE if image else "")

    def read(self, message: Any, opened: Opened) -> Draft:
        """One event."""
        if type(message) is not dict:
            raise InvalidEvent("wrong_type", "", "An event must be an object.")
        said = message.get("e")
        read = _READERS.get(said) if isinstance(said, str) else None
        if read is None:
            raise InvalidEvent(
                "unsupported_type" if said else "missing_type", "e", f"Events of type {text(said)[:40]!r} are not taken.",
                f"Use {', '.join(_READERS)}.",
            )  # fmt: skip
        entities = entities_of(message)
        draft = Draft(
            kind="track",
            message_id=text(message.get("eid")),
            ids=ids_of(message, entities),
            context=context_of(message, entities),
            channel=CHANNELS.get(text(message.get("p")), text(message.get("p"))),
        )
        _set_times(draft, message)
        _set_library(draft, text(message.get("tv")))
        read(draft, message, entities)
        return draft

    def id_of(self, message: Any) -> str:
        """`eid`."""
        if isinstance(message, Broken):
            return field_in(message.text, "eid") or ""
        return text(message.get("eid")) if isinstance(message, dict) else ""

    def answer(self, opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
        """An image to who asked for one; else a success, which lists the events that were not usable."""
        if opened.note == IMAGE:
            return PIXEL
        if not refused and not opened.corrected:
            return TAKEN
        letters = [
            {"index": index, "reason": error.reason, "field": error.field, "message": str(error)}
            for index, error in refused[:MAX_REPORTED]
        ]
        return with_corrected({"accepted": len(opened.messages) - len(refused), "dead_lettered": letters}, opened)


_SNOWPLOW = Snowplow()
POST_PATH = "/com.snowplowanalytics.snowplow/tp2"
BY_GET = frozenset({"/i", "/i/"})
ROUTES: dict[str, Snowplow] = dict.fromkeys((POST_PATH, f"{POST_PATH}/", *BY_GET), _SNOWPLOW)


def _join_transactions(messages: list[Any]) -> None:
    """Give a transaction those of its items that are in the same request: it is one order in the event contract."""
    events = [message for message in messages if isinstance(message, dict)]
    orders = {text(event.get("tr_id")): event for event in events if event.get("e") == "tr" and event.get("tr_id")}
    for event in events:
        if event.get("e") == "ti" and (order := orders.get(text(event.get("ti_id")))) is not None:
            order.setdefault("items", [])
            if isinstance(order["items"], list):
                order["items"].append(line_of(event))


def _set_times(draft: Draft, message: Object) -> None:
    """`ttm` is true and needs no correction; `dtm` is by the device's clock, and so is `stm`, by which it is corrected."""
    true = number(message.get("ttm"))
    draft.corrected = true not in (None, "")
    draft.timestamp = true if draft.corrected else number(message.get("dtm"))
    draft.sent_at = number(message.get("stm"))


def _set_library(draft: Draft, tracker: str) -> None:
    """`tv`, such as ``py-1.1.0``."""
    found = _VERSION.match(tracker)
    name, draft.version = (found[1], found[2][:64]) if found else (tracker, "")
    draft.library = f"snowplow-{name[:64]}" if name else "snowplow"


# --- one function for each type of event: it completes the draft

Reader = Callable[[Draft, Object, list[Described]], None]


def _page_view(draft: Draft, message: Object, entities: list[Described]) -> None:
    draft.kind = "page"
    draft.event = text(message.get("page"))
    draft.properties = {name: value for name, value in draft.context.get("page", {}).items() if name != "id"}


def _page_ping(draft: Draft, message: Object, entities: list[Described]) -> None:
    draft.event = "Page Ping"
    offsets = {"min_x": "pp_mix", "max_x": "pp_max", "min_y": "pp_miy", "max_y": "pp_may"}
    draft.properties = {ours: number(message[theirs]) for ours, theirs in offsets.items() if theirs in message}
    draft.properties |= {name: value for name, value in draft.context.get("page", {}).items() if name in ("url", "title")}


def _structured(draft: Draft, message: Object, entities: list[Described]) -> None:
    action = text(message.get("se_ac"))
    if not action:
        raise InvalidEvent("missing_event", "se_ac", "A structured event needs its action.", 'Send "se_ac".')
    fields = {"category": "se_ca", "action": "se_ac", "label": "se_la", "property": "se_pr"}
    draft.properties = {ours: text(message[theirs]) for ours, theirs in fields.items() if theirs in message}
    if "se_va" in message:
        draft.properties["value"] = number(message["se_va"])
    draft.event = shop_name(action, draft.properties)


def _self_describing(draft: Draft, message: Object, entities: list[Described]) -> None:
    event = _inner_event(message)
    draft.context.setdefault("snowplow", {})["schema"] = event.uri
    data = event.data
    if event.name == "screen_view":
        draft.kind, draft.event, draft.properties = "screen", text(data.get("name")), data
    elif event.name == ECOMMERCE_ACTION:
        draft.event, draft.properties = action_of(data, entities)
    elif (known := known_event(event)) is not None:
        draft.event, draft.properties = known
    else:
        draft.event, draft.properties = shop_name(title(event.name), data), data
    _set_consent(draft, event, entities)


def _inner_event(message: Object) -> Described:
    field = "ue_px" if message.get("ue_px") else "ue_pr"
    outer = described(message.get(field), field, encoded=field == "ue_px")
    return listed(outer.raw, f"{field}.data") if outer.name == "unstruct_event" else outer


def _transaction(draft: Draft, message: Object, entities: list[Described]) -> None:
    draft.event, draft.properties = "Order Completed", order_of(message)


def _transaction_item(draft: Draft, message: Object, entities: list[Described]) -> None:
    """A line that came by itself: no order, since the order's own event says what it comes to."""
    draft.event, draft.properties = "Order Item", {"order_id": text(message.get("ti_id")), **line_of(message)}


_READERS: dict[str, Reader] = {
    "pv": _page_view,
    "pp": _page_ping,
    "se": _structured,
    "ue": _self_describing,
    "tr": _transaction,
    "ti": _transaction_item,
}


def title(name: str) -> str:
    """A schema's name as an event's name: ``video_started`` and ``videoStarted`` are "Video Started"."""
    return " ".join(word[:1].upper() + word[1:] for word in _WORDS.findall(name)) or name


GRANTING = {"allow_all": True, "allow_selected": True, "implicit": True, "deny_all": False, "withdrawn": False, "expired": False}


def _set_consent(draft: Draft, event: Described, entities: list[Described]) -> None:
    """What a consent event says, as Segment's `consent.categoryPreferences`."""
    if event.name == "consent_preferences":
        granted = GRANTING.get(text(event.data.get("eventType")))
        scopes = event.data.get("consentScopes")
        preferences = {text(scope): granted for scope in scopes if text(scope)} if isinstance(scopes, list) else {}
    elif event.name in ("consent_given", "consent_withdrawn"):
        granted = event.name == "consent_given"
        documents = (text(entity.data.get("id")) for entity in entities if entity.name == "consent_document")
        preferences = {"all": False} if event.data.get("all") is True else {one: granted for one in documents if one}
    else:
        return
    if granted is not None and preferences:
        draft.context["consent"] = {"categoryPreferences": preferences}
