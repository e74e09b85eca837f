"""What the fields of PostHog's events are called in the event contract."""

from typing import Any

from serving.collect.draft import Object
from serving.collect.finish import text

SET, SET_ONCE, UNSET = "$set", "$set_once", "$unset"
OPERATIONS = (SET, SET_ONCE, UNSET)
PHONES = ("phone", "$phone", "phone_number")
EMAILS = ("email", "$email")
DIRECT = "$direct"  # PostHog's word for: no referrer
WEB, MOBILE = ("web", "js"), ("posthog-ios", "posthog-android", "posthog-react-native", "posthog-flutter")

# Values that stand for nobody; the first two are one value for all visitors.
NOBODY = frozenset(("$posthog_cookieless", "distinct_id", "distinctid", "not_authenticated", "[object object]", "true", "false"))
# What a part of a message that is only about the person keeps of the message's properties.
WHO = (
    "distinct_id", "$device_id", "$is_identified", "$user_state", "$process_person_profile", "$ignore_sent_at", "$lib",
    "$lib_version",
)  # fmt: skip
# Not kept among the properties: the write key, and what goes to the traits.
DROPPED = frozenset(("token", "api_key", *OPERATIONS))
# v1 carries some properties in places of their own.
OPTIONS = {
    "process_person_profile": "$process_person_profile", "disable_skew_correction": "$ignore_sent_at",
    "cookieless_mode": "$cookieless_mode", "product_tour_id": "$product_tour_id",
}  # fmt: skip
TOP_LEVEL = {"session_id": "$session_id", "window_id": "$window_id"}

CAMPAIGN = {"name": "utm_campaign", "source": "utm_source", "medium": "utm_medium", "term": "utm_term", "content": "utm_content"}
PAGE = {"url": "$current_url", "path": "$pathname", "host": "$host", "referring_domain": "$referring_domain"}
APP = {"name": "$app_name", "version": "$app_version", "build": "$app_build", "namespace": "$app_namespace"}
DEVICE = {
    "id": "$device_id", "type": "$device_type", "manufacturer": "$device_manufacturer", "model": "$device_model",
    "name": "$device_name",
}  # fmt: skip
SYSTEM = {"name": "$os", "version": "$os_version"}
SCREEN = {"width": "$screen_width", "height": "$screen_height"}
NETWORK = {"wifi": "$network_wifi", "cellular": "$network_cellular", "carrier": "$network_carrier"}
OWN = {
    "session_id": "$session_id", "window_id": "$window_id", "browser": "$browser", "browser_version": "$browser_version",
    "groups": "$groups",
}  # fmt: skip


def context_of(properties: Object) -> Object:
    """The event's context."""
    context: Object = {}
    page = _picked(properties, PAGE)
    title, referrer = properties.get("title") or properties.get("$title"), properties.get("$referrer")
    if page and isinstance(title, str):
        page["title"] = title
    if isinstance(referrer, str) and referrer and referrer != DIRECT:
        page["referrer"] = referrer
    if page.get("referring_domain") == DIRECT:
        del page["referring_domain"]
    parts: list[tuple[str, Object]] = [("page", page), ("campaign", _campaign(properties)), ("app", _picked(properties, APP))]
    if properties.get("$is_server") is not True:  # else it is the server's machine, not the customer's
        parts += (
            ("device", _picked(properties, DEVICE)), ("os", _picked(properties, SYSTEM)), ("screen", _picked(properties, SCREEN)),
            ("network", _picked(properties, NETWORK)),
        )  # fmt: skip
    parts.append(("posthog", _picked(properties, OWN)))
    context |= {name: part for name, part in parts if part}
    for name, value in (
        ("userAgent", properties.get("$raw_user_agent") or properties.get("$user_agent")), ("ip", properties.get("$ip")),
        ("locale", properties.get("$locale") or properties.get("$browser_language")), ("timezone", properties.get("$timezone")),
    ):  # fmt: skip
        if isinstance(value, str) and value:
            context[name] = value
    return context


def _campaign(properties: Object) -> Object:
    """The visit's campaign: posthog-js repeats the last campaign ever seen in every event, so the visit's entry counts more."""
    prefix = "$session_entry_" if "$session_entry_url" in properties else ""
    return _picked(properties, {name: prefix + parameter for name, parameter in CAMPAIGN.items()})


def _picked(properties: Object, names: dict[str, str]) -> Object:
    return {name: value for name, source in names.items() if (value := properties.get(source)) is not None and value != ""}


def channel_of(library: Any) -> str:
    """The channel that a library stands for; "" if it could be any."""
    return "web" if library in WEB else "app" if library in MOBILE else ""


def first_said(values: Object, names: tuple[str, ...]) -> str:
    """The first of some fields that says something."""
    return next((found for name in names if (found := text(values.get(name)))), "")
