"""Snowplow's parameters and entities (contexts), and what they say about person, page, device and so on."""

import base64
import binascii
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cdp.errors import InvalidEvent
from serving.collect.body import decode_message
from serving.collect.draft import Broken, Object
from serving.collect.finish import text

_URI = re.compile(r"iglu:([^/\s]+)/([^/\s]+)/[^/\s]+/([\d-]+)")
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,2})?")
LONGEST_NUMBER = 40  # characters: a longer one is a text
NOBODY = "00000000-0000-0000-0000-000000000000"  # what trackers send for people who do not want to be tracked

Ids = list[tuple[str, Any, str]]


class Described(NamedTuple):
    """A self-describing JSON. `raw` is its data as it came; `data` is that if it is an object, else ``{"data": raw}``."""

    uri: str
    name: str
    raw: Any
    field: str

    @property
    def data(self) -> Object:
        """The data, as an object."""
        return self.raw if isinstance(self.raw, dict) else {} if self.raw in (None, []) else {"data": self.raw}


MOBILE = {
    "device": {"deviceManufacturer": "manufacturer", "deviceModel": "model", "appleIdfv": "id"},
    "os": {"osType": "name", "osVersion": "version"},
    "network": {"carrier": "carrier", "networkType": "type", "networkTechnology": "technology"},
}
ENTITY_IDS = {
    "mobile_context": {"appleIdfv": "device_id", "appleIdfa": "idfa", "androidIdfa": "gaid"},
    "client_session": {"userId": "anonymous_id"},
}
PLAIN = {"ua": "userAgent", "ip": "ip", "lang": "locale", "tz": "timezone"}
SESSION = {"sid": "id", "vid": "index"}
OTHERS = {"tna": "namespace", "aid": "app_id", "vp": "viewport", "ds": "document", "cd": "color_depth", "cs": "charset"}
OWN_PLACE = frozenset({"mobile_context", "application", "geolocation_context"})  # of what is told in other words


def number(value: Any) -> Any:
    """A number that came as a text; all else as it is."""
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    return int(value) if value.lstrip("-").isdecimal() else float(value)


def described(value: Any, field: str, *, encoded: bool) -> Described:
    """A self-describing JSON out of a parameter: base64 if `encoded`, else JSON, or already an object."""
    if isinstance(value, str):
        value = _json(_unbase64(value, field) if encoded else value.encode("utf-8", "surrogatepass"), field)
    return listed(value, field)


def listed(value: Any, field: str) -> Described:
    """A self-describing JSON that is decoded already."""
    if not isinstance(value, dict) or not isinstance(value.get("schema"), str):
        raise InvalidEvent("wrong_type", field, f"{field} must be a self-describing JSON, with schema and data.")
    found = _URI.fullmatch(value["schema"])
    if not found:
        raise InvalidEvent("invalid_schema", f"{field}.schema", f"{value['schema'][:80]!r} does not name a schema.")
    return Described(value["schema"], found[2], value.get("data"), field)


def entities_of(message: Object) -> list[Described]:
    """The entities (contexts) that an event carries."""
    found: list[Described] = []
    for field in ("cx", "co"):
        if message.get(field):
            outer = described(message[field], field, encoded=field == "cx")
            if not isinstance(outer.raw, list):
                raise InvalidEvent("wrong_type", f"{field}.data", f"{field} must hold a list of entities.")
            found += (listed(one, f"{field}.data[{index}]") for index, one in enumerate(outer.raw))
    return found


def _unbase64(value: str, field: str) -> bytes:
    digits = value.translate({ord("-"): "+", ord("_"): "/", ord(" "): "+"}).rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEvent("invalid_base64", field, f"{field} is not base64.") from error


def _json(plain: bytes, field: str) -> Any:
    value = decode_message(plain)
    if isinstance(value, Broken):
        raise InvalidEvent(value.error.reason, field, f"{field}: {value.error.message}", value.error.remedy)
    return value


def ids_of(message: Object, entities: list[Described]) -> Ids:
    """Everyone the event names."""
    ids: Ids = [("user_id", message.get("uid"), "uid")]
    for entity in entities:
        if entity.name == "user" and ".ecommerce/" in entity.uri:
            guest = entity.data.get("is_guest") is True
            ids.append(("anonymous_id" if guest else "user_id", entity.data.get("id"), f"{entity.field}.data.id"))
            ids.append(("email", text(entity.data.get("email")), f"{entity.field}.data.email"))
        for name, type_ in ENTITY_IDS.get(entity.name, {}).items():
            ids.append((type_, text(entity.data.get(name)), f"{entity.field}.data.{name}"))
    ids.append(("anonymous_id", message.get("duid"), "duid"))
    ids += (("cookie", message.get(name), name) for name in ("tnuid", "nuid"))
    return [one for one in ids if one[1] not in (None, "", NOBODY)]


def context_of(message: Object, entities: list[Described]) -> Object:
    """Page, device and so on, under the contract's names; the rest, and the entities, under ``snowplow``."""
    context: Object = {ours: message[theirs] for theirs, ours in PLAIN.items() if isinstance(message.get(theirs), str)}
    page = _page(message)
    if page:
        context["page"] = page
    size = _SIZE.fullmatch(text(message.get("res")))
    if size:
        context["screen"] = {"width": int(size[1]), "height": int(size[2])}
    rest: Object = {ours: message[theirs] for theirs, ours in OTHERS.items() if message.get(theirs) not in (None, "")}
    session = {ours: message[theirs] for theirs, ours in SESSION.items() if message.get(theirs) not in (None, "")}
    if "index" in session:
        session["index"] = number(session["index"])
    if session:
        rest["session"] = session
    for entity in entities:
        _place(entity, context, rest)
    if rest:
        context["snowplow"] = rest
    return context


def _page(message: Object) -> Object:
    fields = {"url": "url", "title": "page", "referrer": "refr"}
    page: Object = {ours: message[theirs] for ours, theirs in fields.items() if isinstance(message.get(theirs), str)}
    if page.get("url"):
        try:
            parts = urlsplit(page["url"])
        except ValueError:
            return page
        page["path"] = parts.path
        if parts.query:
            page["search"] = f"?{parts.query}"
    return page


def _place(entity: Described, context: Object, rest: Object) -> None:
    """Put an entity where the contract has a place for it; else beside the others of its name."""
    data = entity.data
    if entity.name == "mobile_context":
        for part, names in MOBILE.items():
            found = {ours: data[theirs] for theirs, ours in names.items() if data.get(theirs) not in (None, "")}
            if found:
                context[part] = found
    elif entity.name == "application":
        context["app"] = data
    elif entity.name == "geolocation_context":
        context["location"] = data
    elif entity.name == "client_session":
        rest["session"] = {"id": data.get("sessionId"), "index": data.get("sessionIndex"), **rest.get("session", {})}
    elif entity.name == "web_page" and "page" in context:
        context["page"]["id"] = data.get("id")
    if entity.name == "gdpr":
        context["consent"] = {"gdpr": data}
    if entity.name not in OWN_PLACE:
        rest.setdefault("entities", {}).setdefault(entity.name, []).append(entity.raw)
