"""What the preset fields of Sensors Analytics are called in the event contract."""

import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from serving.collect.draft import Object
from serving.collect.finish import text

IDENTITIES = {
    "$identity_login_id": "user_id",
    "$identity_mobile": "phone",
    "$identity_email": "email",
    "$identity_cookie_id": "anonymous_id",
    "$identity_anonymous_id": "anonymous_id",
    "$identity_mp_id": "anonymous_id",
    "$identity_mp_openid": "wechat_openid",
    "$identity_mp_unionid": "wechat_unionid",
    "$identity_unionid": "wechat_unionid",
    "$identity_android_id": "device_id",
    "$identity_android_uuid": "device_id",
    "$identity_oaid": "device_id",
    "$identity_idfv": "device_id",
    "$identity_ios_uuid": "device_id",
    "$identity_harmony_uuid": "device_id",
}

TRAITS = {
    "$name": "name", "$nickname": "nickname", "$gender": "gender", "$birthday": "birthday", "$phone": "phone",
    "$email": "email", "$city": "city", "$province": "province", "$country": "country", "$signup_time": "created_at",
}  # fmt: skip

CHANNELS = {
    "js": "web", "android": "app", "ios": "app", "harmonyos": "app", "harmony": "app", "flutter": "app",
    "miniprogram": "wechat_mini_program", "alipaymini": "alipay_mini_program", "baidumini": "baidu_mini_program",
    "bytedancemini": "douyin_mini_program", "qqmini": "qq_mini_program", "quickapp": "quick_app",
}  # fmt: skip

PARTS: dict[str, dict[str, str]] = {
    "page": {"$url": "url", "$url_path": "path", "$referrer": "referrer", "$title": "title", "$url_query": "search"},
    "campaign": {
        "$utm_campaign": "name", "$utm_source": "source", "$utm_medium": "medium", "$utm_term": "term", "$utm_content": "content",
    },
    "device": {"$device_id": "id", "$manufacturer": "manufacturer", "$model": "model", "$brand": "brand"},
    "os": {"$os": "name", "$os_version": "version"},
    "app": {"$app_name": "name", "$app_version": "version", "$app_id": "namespace"},
    "screen": {"$screen_width": "width", "$screen_height": "height"},
    "network": {"$carrier": "carrier", "$network_type": "type", "$wifi": "wifi"},
    "location": {"$latitude": "latitude", "$longitude": "longitude"},
}  # fmt: skip
WHOLE = {
    "$ip": "ip", "$user_agent": "userAgent", "$userAgent": "userAgent", "$language": "locale", "$browser_language": "locale",
}  # fmt: skip
LATEST = "$latest_"

_BARRED = re.compile(r"[^A-Za-z0-9_.\-]+")
_decode = msgspec.json.Decoder().decode


@lru_cache(maxsize=1024)
def custom_type(key: str) -> str:
    """The type of an identity that is not one of Sensors' own, in our letters; "" if none of it can be used."""
    return _BARRED.sub("_", key.removeprefix("$").removeprefix("identity_"))[:64].strip("_")


def library_of(message: Object, properties: Object) -> tuple[str, str]:
    """The SDK's name and version, as it says them."""
    lib = message.get("lib")
    lib = lib if isinstance(lib, dict) else {}
    name = text(lib.get("$lib")) or text(properties.get("$lib"))
    return name[:64], (text(lib.get("$lib_version")) or text(properties.get("$lib_version")))[:64]


def channel_of(library: str) -> str:
    """The sales channel that an SDK stands for; "" for SDKs of servers."""
    return CHANNELS.get(library.lower(), "")


def context_of(properties: Object) -> Object:
    """What the preset properties say about page, campaign, device and so on, under the contract's names."""
    context: Object = {}
    for part, names in PARTS.items():
        found = {ours: properties[theirs] for theirs, ours in names.items() if properties.get(theirs) not in (None, "")}
        if found:
            context[part] = found
    for theirs, ours in WHOLE.items():
        if isinstance(properties.get(theirs), str) and properties[theirs]:
            context.setdefault(ours, properties[theirs])
    _complete(context.get("page"))
    latest = {name.removeprefix(LATEST): value for name, value in properties.items() if name.startswith(LATEST)}
    if latest:
        context["sensors"] = {"latest": latest}
    return context


def _complete(page: Any) -> None:
    """Take the path out of the URL where the SDK did not."""
    if page and "path" not in page and isinstance(page.get("url"), str):
        try:
            page["path"] = urlsplit(page["url"]).path
        except ValueError:
            return


def traits_of(properties: Object, operation: str) -> Object:
    """The traits: preset ones also by their plain names. A sum or a list must not be made twice, so theirs stay as they are."""
    if operation in ("increment", "append"):
        return properties
    plain = {TRAITS[name]: value for name, value in properties.items() if name in TRAITS}
    return {**plain, **properties}


def products_of(properties: Object) -> Object:
    """Lines of an order: a Sensors property may be a list of texts only, so each may be an object written as JSON."""
    products = properties.get("products")
    if not isinstance(products, list) or not any(isinstance(one, str) and one.lstrip()[:1] == "{" for one in products):
        return properties
    return {**properties, "products": [_line(one) for one in products]}


def _line(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        line = _decode(given)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return given
    return line if isinstance(line, dict) else given
