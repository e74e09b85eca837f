"""Sensors Analytics (神策): requests with ``data`` or ``data_list``, as its SDKs send them.

Source of the format: the vendor's documentation of its data format and of ID-Mapping 1 to 3, and what SensorsAnalyticsSDK
(Python), sa-sdk-node and sa-sdk-javascript were seen to send.
"""

import base64
import binascii
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import Kind
from cdp.seal import HASHED
from serving.collect.body import split, unpack
from serving.collect.dialects.pixel import PIXEL
from serving.collect.dialects.sensors_fields import (
    IDENTITIES,
    channel_of,
    context_of,
    custom_type,
    library_of,
    products_of,
    traits_of,
)  # fmt: skip
from serving.collect.dialects.shop_names import shop_name
from serving.collect.draft import (
    Answer,
    Broken,
    Draft,
    Incoming,
    ItemDraft,
    Object,
    Opened,
    RefusedError,
    object_of,
    with_corrected,
)
from serving.collect.finish import text

MAX_UNPACKED = 16 * 1024 * 1024
MAX_FIELDS = 100
MAX_REPORTED = 100
KEY_PREFIX = "wk_"
KEY_FIELDS = ("token", "key", "writeKey", "api_key")
VOLATILE = ("_flush_time", "token")  # differ between two deliveries of the same message

OPERATIONS = {
    "profile_set_once": "set_once", "profile_increment": "increment", "profile_append": "append", "profile_unset": "unset",
    "profile_delete": "delete",
}  # fmt: skip
TRACKS = frozenset({"track", "track_signup", "track_id_bind"})
UNBIND = "track_id_unbind"
SCREENS = frozenset({"$AppViewScreen", "$MPViewScreen"})
TYPES = ("track", "track_signup", "track_id_bind", UNBIND, "profile_set", *OPERATIONS, "item_set", "item_delete")
WITHOUT_TIME = ("$is_login_id", "$lib", "$lib_version")  # in a profile's properties, but not about the person

NOBODY = (None, "", "00000000-0000-0000-0000-000000000000")  # the last: advertising ids of people who refused

IMAGE, DEBUG, ONE = "image", "debug", "one"
TAKEN = Answer(b"{}")

Ids = list[tuple[str, Any, str]]


class Sensors:
    """One path: `debug` for those that answer what is wrong with a message."""

    name = "sensors"

    def __init__(self, *, debug: bool = False) -> None:
        self._debug = debug

    def open(self, incoming: Incoming) -> Opened:
        """The messages of a form, of a query, or of a JSON body."""
        fields = incoming.query if incoming.method == "GET" else {**incoming.query, **_form(incoming.body)}
        messages = [_checked(message) for message in _messages(fields, incoming)]
        if not messages:
            raise RefusedError(400, "invalid_request", "The request holds no data.", "Send data or data_list.")
        key = next((fields[name] for name in KEY_FIELDS if fields.get(name)), "") or _first(messages, "token")
        app = fields.get("project") or _first(messages, "project")
        for message in messages:
            if isinstance(message, dict):
                message.pop("token", None)  # a secret, which no dead letter needs to hold
        return Opened(
            key or (app if app.startswith(KEY_PREFIX) else ""),
            messages,
            app=app,
            dry_run=self._debug and incoming.headers.get("dry-run", "").lower() == "true",
            note=self._note(incoming, fields),
        )

    def _note(self, incoming: Incoming, fields: dict[str, str]) -> str:
        if self._debug:
            return DEBUG
        return IMAGE if incoming.method == "GET" else ONE if "data" in fields else ""

    def read(self, message: Any, opened: Opened) -> Draft | ItemDraft:
        """One message."""
        if type(message) is not dict:
            raise InvalidEvent("wrong_type", "", "A message must be an object.")
        type_ = message.get("type")
        if not isinstance(type_, str) or type_ not in TYPES:
            reason = "unsupported_type" if type_ else "missing_type"
            raise InvalidEvent(
                reason, "type", f"Messages of type {text(type_)[:40]!r} are not taken.", f"Use {', '.join(TYPES)}."
            )
        properties = _object(message, "properties")
        if type_.startswith("item_"):
            return _item(message, type_, properties)
        return _draft(message, type_, properties, opened)

    def id_of(self, message: Any) -> str:
        """A hash of the content."""
        try:
            return _message_id(message) if isinstance(message, dict) else ""
        except InvalidEvent:
            return ""

    def answer(self, opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
        """An image to who asked for one; in debug mode a 400 that says what is wrong; else a success."""
        if opened.note == DEBUG:
            return _verdict(refused[0][1]) if refused else TAKEN
        if opened.note == IMAGE:
            return PIXEL
        if not refused and not opened.corrected:
            return TAKEN
        letters = [
            {"index": index, "reason": error.reason, "field": error.field, "message": str(error)}
            for index, error in refused[:MAX_REPORTED]
        ]
        return with_corrected({"accepted": len(opened.messages) - len(refused), "dead_lettered": letters}, opened)


_COLLECT, _DEBUG = Sensors(), Sensors(debug=True)
ROUTES: dict[str, Sensors] = {
    **dict.fromkeys(("/sa", "/sa/", "/sa.gif", "/sa.gif/"), _COLLECT),
    **dict.fromkeys(("/debug", "/debug/", "/sa/debug", "/sa/debug/"), _DEBUG),
}
BY_GET = frozenset(ROUTES)


def _verdict(error: InvalidEvent) -> Answer:
    said = {"code": error.reason, "message": error.message, "remedy": error.remedy, "field": error.field}
    return Answer(msgspec.json.encode({name: value for name, value in said.items() if value}), status=400)


# --- from a request to messages


def _form(body: bytes) -> dict[str, str]:
    """The fields of a form, whatever the body is called; none if it is JSON."""
    if not body or body.lstrip()[:1] in (b"{", b"["):
        return {}
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise RefusedError(400, "invalid_request", f"The form has more than {MAX_FIELDS} fields.", "Send data_list.") from error


def _messages(fields: dict[str, str], incoming: Incoming) -> list[Any]:
    found: list[Any] = []
    for name in ("data", "data_list"):
        if fields.get(name):
            found += _parsed(_decoded(fields[name], name))
    if not found and incoming.method != "GET" and incoming.body.lstrip()[:1] in (b"{", b"["):
        found = _parsed(incoming.body)
    return found


def _decoded(value: str, field: str) -> bytes:
    """JSON out of base64, of either alphabet, with or without gzip in it; or JSON as it is."""
    value = value.lstrip("\ufeff")
    if value.lstrip()[:1] in ("{", "["):
        return value.encode("utf-8", "replace")
    digits = "".join(value.replace(" ", "+").split()).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        plain = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, "invalid_base64", f"{field} is not base64.", "Send base64 of JSON, plain or gzip.") from error
    return unpack(plain, "", MAX_UNPACKED)


def _parsed(plain: bytes) -> list[Any]:
    stripped = plain.lstrip()
    return split(b'{"data_list":' + stripped + b"}", "data_list").messages if stripped[:1] == b"[" else split(plain, "").messages


def _checked(message: Any) -> Any:
    """A message that is none becomes `Broken`."""
    if isinstance(message, dict) and "ekey" in message and "type" not in message:
        error = InvalidEvent(
            "encrypted", "ekey", "The message is encrypted.", "Switch the SDK's encryption plugin off, and use HTTPS."
        )
        return Broken(msgspec.json.encode(message), error)
    return message


def _first(messages: list[Any], name: str) -> str:
    """The first text under this name in any message; "" if there is none."""
    given = (message.get(name) for message in messages if isinstance(message, dict))
    return next((value for value in given if isinstance(value, str) and value), "")


# --- from a message to a draft


def _draft(message: Object, type_: str, properties: Object, opened: Opened) -> Draft:
    kind, event = _kind(message, type_, properties)
    library, version = library_of(message, properties)
    draft = Draft(
        kind=kind,
        event=event,
        message_id=_message_id(message),
        ids=_unbound(message) if kind == "unbind" else _ids(message, type_, properties),
        timestamp=message.get("time"),
        corrected=message.get("time_free") is True,
        sent_at=_sent_at(message, library, opened),
        context=context_of(properties),
        channel=properties.get("channel") or channel_of(library),
        store=properties.get("store_id"),
        library=f"sensors-{library}" if library else "sensors",
        version=version,
    )
    if type_ in TRACKS or kind == "unbind":
        draft.properties = products_of(properties)
        _note(draft, message)
        return draft
    draft.traits = traits_of({name: value for name, value in properties.items() if name not in WITHOUT_TIME}, event)
    if kind == "identify":
        draft.ids += ((name, text(draft.traits.get(name)), f"properties.{name}") for name in ("phone", "email"))
    return draft


def _note(draft: Draft, message: Object) -> None:
    """What the draft does not say any more: a name that was changed; from whom an identity was taken."""
    name = message.get("event")
    if draft.kind == "track" and name and name != draft.event:
        draft.context.setdefault("sensors", {})["event"] = name
    if draft.kind == "unbind" and message.get("distinct_id") is not None:
        draft.context.setdefault("sensors", {})["distinct_id"] = message["distinct_id"]


def _kind(message: Object, type_: str, properties: Object) -> tuple[Kind, str]:
    """The kind, and the event's name."""
    if type_ == "profile_set":
        return "identify", ""
    if type_ in OPERATIONS:
        return "profile", OPERATIONS[type_]
    name = message.get("event")
    if name is None and type_ != "track":
        name = {"track_signup": "$SignUp", "track_id_bind": "$BindID"}.get(type_, "$UnbindID")
    if not isinstance(name, str) or not name:
        reason = "wrong_type" if name else "missing_event"
        raise InvalidEvent(reason, "event", "A track message needs the event's name, a text.", 'Send "event".')
    if type_ == UNBIND:
        return "unbind", name
    if name == "$pageview":
        return "page", text(properties.get("$title"))
    if name in SCREENS:
        titles = (text(properties.get(field)) for field in ("$screen_name", "$title", "$url_path"))
        return "screen", next((title for title in titles if title), "")
    return "track", shop_name(name, properties)


def _item(message: Object, type_: str, properties: Object) -> ItemDraft:
    item_type, item_id = message.get("item_type"), text(message.get("item_id"))
    if not isinstance(item_type, str) or not item_type:
        raise InvalidEvent("invalid_item", "item_type", "An item needs a type, a text.", 'Send "item_type".')
    if not item_id:
        raise InvalidEvent("invalid_item", "item_id", "An item needs an id.", 'Send "item_id".')
    library, version = library_of(message, properties)
    return ItemDraft(
        item_type=item_type,
        item_id=item_id,
        operation="delete" if type_ == "item_delete" else "set",
        properties=properties,
        message_id=_message_id(message),
        timestamp=_stamp(message.get("time")),
        library=f"sensors-{library}" if library else "sensors",
        version=version,
    )


def _object(message: Object, field: str) -> Object:
    return object_of(message.get(field), field)


def _stamp(value: Any) -> Any:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _sent_at(message: Object, library: str, opened: Opened) -> Any:
    """The SDK's `_flush_time`. In the browser it is the time of queueing: only a single message is sent right then."""
    return None if library == "js" and opened.note not in (IMAGE, ONE) else _stamp(message.get("_flush_time"))


def _message_id(message: Object) -> str:
    """A hash of the content: no SDK sends an id, and a message sent again is the same to the last byte."""
    content = {name: value for name, value in message.items() if name not in VOLATILE}
    try:
        canonical = msgspec.json.encode(content, order="deterministic")
    except (msgspec.MsgspecError, UnicodeError, OverflowError) as error:
        raise InvalidEvent("invalid_json", "", f"The event cannot be written as JSON: {error}.") from error
    except RecursionError as error:
        raise InvalidEvent("too_deep", "", "The event is nested too deeply.", "Send flatter properties.") from error
    return HASHED + blake2b(canonical, digest_size=16).hexdigest()


# --- who it was


def _ids(message: Object, type_: str, properties: Object) -> Ids:
    """Everyone the message names. `distinct_id` is what the other fields say that it is; an anonymous id if they do not."""
    ids = _identities(message)
    for name, kind in (("login_id", "user_id"), ("anonymous_id", "anonymous_id"), ("original_id", "anonymous_id")):
        if name != "original_id" or type_ == "track_signup":
            ids += _typed(message.get(name), kind, name, ids)
    distinct = message.get("distinct_id")
    is_login = properties.get("$is_login_id") is True or type_ == "track_signup"
    if is_login or not any(_same(value, distinct) for _, value, _ in ids):
        ids += _typed(distinct, "user_id" if is_login else "anonymous_id", "distinct_id", ids)
    if type_ == "track_signup" and "identities" not in message and distinct not in (None, ""):
        # such a source names its members by the bare distinct_id later on, without saying that they are members
        ids.append(("anonymous_id", distinct, "distinct_id"))
    if not ids and not properties.get("order_id"):  # a guest's order is known by its number
        raise InvalidEvent("missing_identifier", "distinct_id", "The message says nobody.", "Send distinct_id or identities.")
    return ids


def _unbound(message: Object) -> Ids:
    """Only what is unbound: any other identifier beside it would be linked with it."""
    ids = _identities(message) or _typed(message.get("distinct_id"), "anonymous_id", "distinct_id", [])
    if not ids:
        raise InvalidEvent("missing_identifier", "identities", "Nothing is named to be unbound.", "Send identities.")
    return ids


def _identities(message: Object) -> Ids:
    ids: Ids = []
    for key, value in _object(message, "identities").items():
        field = f"identities.{key}"
        type_ = _type_of(key, field)
        for one in value if isinstance(value, list) else [value]:
            if one not in NOBODY:
                ids.append((type_, one, field))
    return ids


def _typed(value: Any, type_: str, field: str, known: Ids) -> Ids:
    """An identifier, of the type that it says itself (``$identity_mobile+138...``) or else of the given one."""
    if value in NOBODY:
        return []
    if isinstance(value, str):
        key, plus, rest = value.partition("+")
        if plus and rest and (key.startswith("$identity_") or any(where == f"identities.{key}" for _, _, where in known)):
            type_, value = _type_of(key, field), rest
    found = (type_, value, field)
    return [] if any(one[0] == type_ and _same(one[1], value) for one in known) else [found]


def _type_of(key: str, field: str) -> str:
    type_ = IDENTITIES.get(key) or custom_type(key)
    if not type_:
        raise InvalidEvent("invalid_identifier", field, "An identity needs a name of letters, digits, _ . or -.")
    return type_


def _same(one: Any, other: Any) -> bool:
    return text(one) == text(other) != ""
