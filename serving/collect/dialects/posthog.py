"""PostHog's capture API: the classic one (`/batch/`, `/e/`, `/capture/` ...) and v1, which answers for each event.

Source of the format: PostHog's documentation of its API, and what posthog (Python), posthog-node and posthog-js send.
docs/dialects/posthog.md tells users what becomes of what.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import ORDER_EVENTS
from cdp.seal import HASHED
from serving.collect.body import field_in, split, unpack
from serving.collect.dialects.posthog_fields import (
    DROPPED,
    EMAILS,
    NOBODY,
    OPERATIONS,
    OPTIONS,
    PHONES,
    SET,
    TOP_LEVEL,
    UNSET,
    WHO,
    channel_of,
    context_of,
    first_said,
)
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
from serving.collect.finish import text, too_deep

MAX_UNPACKED = 20 * 1024 * 1024
MAX_REPORTED = 100
SUCCESS = Answer(b'{"status":"Ok"}')

ALIASES = ("$create_alias", "$merge_dangerously")
PYTHON = "posthog-python"
GROUP = "$groupidentify"

# What posthog-js gives a visitor: a UUID of version 7 or, until 2023, five groups of hex digits of other lengths.
_GIVEN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|[0-9a-f]{13,16}-[0-9a-f]{13,16}-[0-9a-f]{6,8}-[0-9a-f]{5,7}-[0-9a-f]{13,16}",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

Ids = list[tuple[str, Any, str]]


class PostHog:
    """One path of the API. `v1`: the answer tells the result of each event. `event`: the name of messages without one."""

    name = "posthog"

    def __init__(self, *, v1: bool = False, event: str = "") -> None:
        self._v1 = v1
        self._event = event

    def open(self, incoming: Incoming) -> Opened:
        """One event, a list of events, or a batch; a message that does several things to a person becomes several."""
        query = incoming.query
        outer, messages = _take_apart(_payload(incoming))
        if outer.get("historical_migration") is True:
            messages = [_past(message) for message in messages]
        if self._event:
            messages = [{"event": self._event, **one} if isinstance(one, dict) else one for one in messages]
        sent_at = outer.get("sent_at") or incoming.headers.get("posthog-request-timestamp") or _number(query.get("_"))
        library, _, version = incoming.headers.get("posthog-sdk-info", "").partition("/")
        return Opened(
            key=_key(outer, messages) or query.get("token") or query.get("api_key") or incoming.key,
            messages=[part for message in messages for part in _parts(message)],
            sent_at=_stamp(sent_at),
            context={"library": {"name": library, "version": version}} if library else {},
        )

    def read(self, message: Any, opened: Opened) -> Draft | ItemDraft:
        """One event."""
        if type(message) is not dict:
            raise InvalidEvent("wrong_type", "", "An event must be an object.")
        event = message.get("event")
        if event is not None and not isinstance(event, str):
            raise InvalidEvent("wrong_type", "event", "event must be a text.")
        if not event:
            raise InvalidEvent("missing_event", "event", "The event has no name.", 'Send "event".')
        properties = _properties(message)
        library = opened.context.get("library", {})
        if event == GROUP:
            return _group(message, properties, opened)
        draft = Draft(
            kind="track",
            event=event,
            message_id=_message_id(message, properties),
            timestamp=_timestamp(message, properties, opened),
            corrected=properties.get("$ignore_sent_at") is True,
            sent_at=_stamp(message.get("sent_at")),
            properties={name: value for name, value in properties.items() if name not in DROPPED},
            traits=_operation(message, properties, SET),
            context=context_of(properties),
            channel=properties.get("channel") or channel_of(properties.get("$lib")),
            store=properties.get("store_id"),
            library=text(properties.get("$lib")) or library.get("name", ""),
            version=text(properties.get("$lib_version")) or library.get("version", ""),
        )
        _interpret(draft, message, properties)
        draft.ids = _ids(event, message, properties, draft)
        return draft

    def id_of(self, message: Any) -> str:
        """uuid, `$insert_id`, or a hash of the content."""
        if isinstance(message, Broken):
            return field_in(message.text, "uuid", "$insert_id") or ""
        if not isinstance(message, dict):
            return ""
        properties = message.get("properties")
        try:
            return _message_id(message, properties if isinstance(properties, dict) else {})
        except InvalidEvent:
            return ""

    def answer(self, opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
        """Ok in any case; v1: for each event, where `drop` means that it became a dead letter."""
        if not self._v1:
            return _listed(opened, refused) if refused or opened.corrected else SUCCESS
        results = {uuid: {"result": "ok"} for message in opened.messages if (uuid := _uuid(message))}
        for index, error in refused:
            uuid = _uuid(opened.messages[index])
            if uuid:
                results[uuid] = {"result": "drop", "details": f"{error.reason}: {error}"}
        return with_corrected({"results": results}, opened)


def _both(path: str) -> tuple[str, str]:
    return path, f"{path}/"


_CLASSIC, _ENGAGE, _V1 = PostHog(), PostHog(event="$identify"), PostHog(v1=True)

# Each path by POST; those of BY_GET by GET as well, with ?data=.
ROUTES: dict[str, PostHog] = {
    path: dialect
    for dialect, names in (
        (_CLASSIC, ("/batch", "/e", "/i/v0/e", "/capture", "/track", "/i/v0/ai/batch")),
        (_ENGAGE, ("/engage",)),
        (_V1, ("/i/v1/analytics/events",)),
    )
    for name in names
    for path in _both(name)
}
BY_GET = frozenset(path for name in ("/e", "/i/v0/e", "/capture", "/track", "/engage") for path in _both(name))


def static_answers() -> dict[str, Answer]:
    """What SDKs ask besides, for GET and POST and without a key: no flags, no remote configuration. `{key}` is any write key."""
    flags = msgspec.json.encode(
        {
            "flags": {}, "featureFlags": {}, "featureFlagPayloads": {}, "errorsWhileComputingFlags": False,
            **_NOTHING_REMOTE,
        }
    )  # fmt: skip
    answers = {path: Answer(flags) for name in ("/flags", "/decide") for path in _both(name)}
    answers |= dict.fromkeys(_both("/array/{key}/config"), Answer(msgspec.json.encode(_NOTHING_REMOTE)))
    # Without a configuration in the script, posthog-js asks for the JSON above.
    answers["/array/{key}/config.js"] = Answer(b"", "application/javascript")
    return answers


_NOTHING_REMOTE = {
    "config": {"enable_collect_everything": True}, "supportedCompression": ["gzip", "gzip-js"], "defaultIdentifiedOnly": True,
    "isAuthenticated": False, "toolbarParams": {}, "siteApps": [], "sessionRecording": False, "surveys": False, "heatmaps": False,
    "capturePerformance": False, "autocaptureExceptions": False, "captureDeadClicks": False,
}  # fmt: skip


# --- From a request to its messages -------------------------------------------------------------------------------------------


def _payload(incoming: Incoming) -> bytes:
    """The JSON of a request: its body, or `data` in a form or in the query, in base64 or not."""
    compression = incoming.query.get("compression", "")
    if compression not in ("", "gzip", "gzip-js", "base64"):
        raise RefusedError(
            400, "unsupported_encoding", f"compression={compression[:20]} is not understood.", "Use gzip-js or base64."
        )
    body = incoming.body.strip()
    if not body:
        body = incoming.query.get("data", "").encode("utf-8", "replace")
    elif body.startswith(b"data=") or b"&data=" in body[:500]:
        fields = parse_qs(body.decode("utf-8", "replace"))
        body = fields.get("data", [""])[-1].encode("utf-8", "replace")
    body = unpack(body, "", MAX_UNPACKED)  # a mark may stand before it
    if not body or body.startswith((b"{", b"[")):
        return body
    try:
        plain = base64.b64decode(body.replace(b" ", b"+") + b"==")  # an unescaped + is a space in forms and queries
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, "invalid_request", "The data is neither JSON nor base64.", "Send JSON, plain or gzip.") from error
    return unpack(plain, "", MAX_UNPACKED).strip()


def _take_apart(body: bytes) -> tuple[Object, list[Any]]:
    """The outer fields and the messages; a single event is both."""
    if body.startswith(b"["):
        return {}, split(b'{"batch":' + body + b"}", "batch").messages
    if b'"batch"' in body:
        try:
            content = split(body, "batch")
        except RefusedError as error:
            if error.code != "invalid_request":
                raise
        else:
            return content.outer, content.messages
    content = split(body, "")  # a single event may have a property of that name
    return content.outer, content.messages


def _key(outer: Object, messages: list[Any]) -> str:
    """The write key: of the request, or of the first event that has one."""
    for one in (outer, *messages):
        if isinstance(one, dict):
            properties = one.get("properties")
            inside = properties.get("token") if isinstance(properties, dict) else None
            for key in (one.get("api_key"), one.get("token"), one.get("$token"), inside):
                if isinstance(key, str) and key:
                    return key
    return ""


def _past(message: Any) -> Any:
    """A message of a historical migration: its time is final, whatever the clock of the machine that sends it."""
    if not isinstance(message, dict):
        return message
    properties = message.get("properties")
    if properties is None or properties == [] or isinstance(properties, dict):
        return {**message, "properties": {**(properties or {}), "$ignore_sent_at": True}}
    return message


def _parts(message: Any) -> list[Any]:
    """A message as messages that do one thing each: what is set once or taken away is a message of its own, in PostHog's terms.

    `$set` stays with an event; the first part keeps the message's id, the others add to it what they do.
    """
    if not isinstance(message, dict) or message.get("event") == GROUP:
        return [message]
    properties = message.get("properties")
    inside = properties if isinstance(properties, dict) else {}
    asked = [one for one in OPERATIONS if _wanted(message.get(one)) or _wanted(inside.get(one))]
    event = message.get("event")
    if not asked:
        return [message]
    if event not in OPERATIONS:
        return [message, *(_part(message, inside, one) for one in asked if one != SET)]
    first = event if event in asked else asked[0]  # posthog-js sends a lone $unset in an event $set
    return [{**message, "event": first}, *(_part(message, inside, one) for one in asked if one != first)]


def _wanted(operation: Any) -> bool:
    """Whether there is something to do; values of None are posthog-js's way to say that it does not know."""
    if isinstance(operation, dict):
        return any(value is not None for value in operation.values())
    return isinstance(operation, list) and bool(operation)


def _part(message: Object, properties: Object, operation: str) -> Object:
    part: Object = {
        name: message[name] for name in ("distinct_id", "timestamp", "offset", "sent_at", "options") if name in message
    }
    for where, key in ((message, "uuid"), (properties, "$insert_id")):
        given = where.get(key)
        if isinstance(given, str) and given:
            part["uuid"] = f"{given}:{operation[1:]}"
            break
    if "timestamp" not in part and "$time" in properties:
        part["timestamp"] = properties["$time"]
    part["event"] = operation
    part["properties"] = {name: properties[name] for name in WHO if name in properties}
    for where in (message, properties):
        if operation in where:
            part.setdefault(operation, where[operation])
    return part


# --- From a message to a draft ------------------------------------------------------------------------------------------------


def _properties(message: Object) -> Object:
    """The properties, with those that v1 sends elsewhere in their usual places."""
    properties = object_of(message.get("properties"), "properties")
    options = message.get("options")
    moved = {OPTIONS[name]: value for name, value in options.items() if name in OPTIONS} if isinstance(options, dict) else {}
    moved |= {name: message[field] for field, name in TOP_LEVEL.items() if message.get(field) is not None}
    return {**properties, **moved} if moved else properties


def _operation(message: Object, properties: Object, operation: str) -> Object:
    """What is done to the person, wherever it is said; the properties' word counts more. `$unset` is a list of names."""
    found: Object = {}
    for field, values in ((operation, message.get(operation)), (f"properties.{operation}", properties.get(operation))):
        if operation == UNSET and isinstance(values, list):
            found |= {name: True for name in values if isinstance(name, str)}
        else:
            found |= object_of(values, field, operation)
    return found


def _interpret(draft: Draft, message: Object, properties: Object) -> None:
    """PostHog's special events in the platform's terms. The draft's traits are those of `$set`."""
    match draft.event:
        case "$pageview":
            draft.kind, draft.event = "page", text(properties.get("title") or properties.get("$title"))
        case "$screen":
            draft.kind, draft.event = "screen", text(properties.get("$screen_name"))
        case "$identify" | "$set":
            draft.kind, draft.event = "identify", ""
        case "$set_once" | "$unset":
            done = _operation(message, properties, draft.event)
            draft.traits = {name: value for name, value in done.items() if value is not None}
            draft.kind, draft.event = "profile", draft.event[1:]
        case "$create_alias" | "$merge_dangerously":
            draft.kind, draft.event = "alias", ""


def _group(message: Object, properties: Object, opened: Opened) -> ItemDraft:
    """A group is a thing, not a person: SDKs draw a `distinct_id` for it, such as ``$company_acme``, which is nobody's."""
    type_, key = text(properties.get("$group_type")), text(properties.get("$group_key"))
    for name, value in (("$group_type", type_), ("$group_key", key)):
        if not value:
            raise InvalidEvent("invalid_item", f"properties.{name}", "A group needs a type and a key.", f'Send "{name}".')
    library = opened.context.get("library", {})
    return ItemDraft(
        item_type=type_,
        item_id=key,
        properties=_operation({}, properties, "$group_set"),
        message_id=_message_id(message, properties),
        timestamp=_timestamp(message, properties, opened),
        library=text(properties.get("$lib")) or library.get("name", ""),
        version=text(properties.get("$lib_version")) or library.get("version", ""),
    )


def _is_of_group(distinct_id: Any, properties: Object) -> bool:
    """Whether it is what SDKs write for a group that an event is about, with nobody in it."""
    groups = properties.get("$groups")
    if not isinstance(groups, dict) or not isinstance(distinct_id, str):
        return False
    return any(distinct_id == f"${type_}_{text(key)}" for type_, key in groups.items())


def _ids(event: str, message: Object, properties: Object, draft: Draft) -> Ids:
    given = message.get("distinct_id")
    field = "distinct_id"
    if given is None or given == "":
        for where, name in ((message, "$distinct_id"), (properties, "distinct_id")):
            given = where.get(name) if given is None or given == "" else given
    if (isinstance(given, str) and given.lower() in NOBODY) or _is_of_group(given, properties):
        given = None
    if event in ALIASES:
        return _alias_ids(given, properties, draft.library)
    if given is None or given == "":
        if event in ORDER_EVENTS:
            return []  # a guest's order is known by its number
        raise InvalidEvent("missing_identifier", field, "The event says nobody.", "Send distinct_id.")
    named = event == "$identify"
    ids: Ids = []
    if named or not is_anonymous(given, properties):
        ids.append(("user_id", given, field))
    if not ids or _is_given(given):  # a member's id that looks like a visitor's: other messages may not know better
        ids.append(("anonymous_id", given, field))
    if named:
        ids.append(("anonymous_id", properties.get("$anon_distinct_id"), "properties.$anon_distinct_id"))
    if draft.traits and draft.kind != "profile":
        ids += (
            ("phone", first_said(draft.traits, PHONES), "$set.phone"),
            ("email", first_said(draft.traits, EMAILS), "$set.email"),
        )
    return ids


def _alias_ids(given: Any, properties: Object, library: str) -> Ids:
    """Two ids of one person. One is the visitor's: the one that looks like it, else the one that was there before.

    posthog-python writes the former id into `distinct_id`, the others into `alias`.
    """
    other = properties.get("alias")
    if given is None or given == "" or other is None or other == "":
        field = "distinct_id" if given is None or given == "" else "properties.alias"
        raise InvalidEvent("missing_identifier", field, "An alias needs both distinct_id and alias.", "Send both.")
    ends = [(given, "distinct_id"), (other, "properties.alias")]
    if library == PYTHON:
        ends.reverse()
    if _is_given(ends[0][0]) and not _is_given(ends[1][0]):
        ends.reverse()
    (member, named), (visitor, formerly) = ends
    kind = "anonymous_id" if _is_given(member) and properties.get("$is_identified") is not True else "user_id"
    return [(kind, member, named), ("anonymous_id", visitor, formerly)]


def is_anonymous(distinct_id: Any, properties: Object) -> bool:
    """Whether a distinct_id is a visitor's: by what PostHog says about it, else by its form."""
    if properties.get("$is_identified") is True or properties.get("$user_state") == "identified":
        return False
    if properties.get("$is_identified") is False or properties.get("$user_state") == "anonymous":
        return True
    if not isinstance(distinct_id, str):
        return False
    if distinct_id == properties.get("$device_id") or _is_given(distinct_id):
        return True
    return properties.get("$process_person_profile") is False and _UUID.fullmatch(distinct_id) is not None


def _is_given(distinct_id: Any) -> bool:
    """Whether it has the form of what PostHog's browser and mobile SDKs give to visitors."""
    return isinstance(distinct_id, str) and _GIVEN.fullmatch(distinct_id) is not None


def _message_id(message: Object, properties: Object) -> str:
    """uuid, else what older SDKs send instead, else a hash of an event that says when it happened: a retry has the same."""
    for field, given in (("uuid", message.get("uuid")), ("properties.$insert_id", properties.get("$insert_id"))):
        if isinstance(given, str) and given:
            return given
        if field == "uuid" and given is not None and given != "":
            raise InvalidEvent("wrong_type", field, f"{field} must be a text.")
    if message.get("timestamp") is None and properties.get("$time") is None:
        return ""
    return content_hash({name: value for name, value in message.items() if name not in ("sent_at", "api_key", "token")})


def content_hash(content: Any) -> str:
    """An id for what has none: the same content has the same. Raises InvalidEvent if it cannot be written as JSON."""
    try:
        written = json.dumps(content, sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        raise too_deep() from error
    except (ValueError, TypeError) as error:  # an integer of thousands of digits
        raise InvalidEvent("number_out_of_range", "", "A number is larger than anyone can read.", "Send it as a text.") from error
    return HASHED + hashlib.blake2b(written.encode(), digest_size=16).hexdigest()


def _timestamp(message: Object, properties: Object, opened: Opened) -> Any:
    """When it happened; `offset` counts the milliseconds from then until it was sent."""
    for given in (message.get("timestamp"), properties.get("timestamp"), properties.get("$time")):
        if isinstance(given, str | int | float) and not isinstance(given, bool):
            return given
    offset = message.get("offset")
    if isinstance(offset, int | float) and isinstance(opened.sent_at, int | float) and not isinstance(offset, bool):
        return opened.sent_at - offset
    return None


def _stamp(value: Any) -> Any:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _number(value: str | None) -> int | None:
    return int(value) if value and len(value) < 20 and value.isascii() and value.isdigit() else None


# --- The answer ---------------------------------------------------------------------------------------------------------------


def _uuid(message: Any) -> str:
    """The uuid that the SDK knows an event by."""
    text_ = message.text if isinstance(message, Broken) else None
    if text_ is not None:
        found = re.search(rb'"uuid"\s*:\s*"([^"\\]{1,100})"', text_)
        return found[1].decode("utf-8", "replace") if found else ""
    given = message.get("uuid") if isinstance(message, dict) else None
    return given.partition(":")[0] if isinstance(given, str) else ""


def _listed(opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
    """Ok, and what became dead letters: SDKs do not look, people do."""
    letters = [
        {"uuid": _uuid(opened.messages[index]), "reason": error.reason, "field": error.field, "message": str(error)}
        for index, error in refused[:MAX_REPORTED]
    ]
    return with_corrected({"status": "Ok"} | ({"dead_lettered": letters} if letters else {}), opened)
