"""Requests full of phones and e-mail addresses that are easy to find again: for the drill of privacy, and its tests. Pure.

All phones of a run begin with the same seven digits, and all addresses with the same word, so that a handful of patterns
finds any of them, however it is written.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

MOST = 10_000
LETTERS = "bcdfghjklmnpqrstvwxz"
DOMAIN = "planted.example.com"


@dataclass(frozen=True)
class Sent:
    """A request. `dialect`: which wire format, or which endpoint, it is of."""

    dialect: str
    method: str
    target: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)


@dataclass(frozen=True)
class Planted:
    """A run's people.

    Attributes:
        head: seven digits, with which all phones begin.
        word: with which all addresses begin.
        run: is in ids that are not personal: it must be found wherever events are.
    """

    head: str
    word: str
    run: str

    def phone(self, number: int) -> str:
        """A Chinese mobile number, without country code."""
        return f"{self.head}{number:04d}"

    def email(self, number: int) -> str:
        """An e-mail address."""
        return f"{self.word}{number:04d}@{DOMAIN}"


def plant(seed: int) -> Planted:
    """The people of a seed."""
    rng = Random(f"planted-{seed}")
    head = f"19{rng.randrange(3, 10)}{rng.randrange(10**4):04d}"
    return Planted(head, "".join(rng.choice(LETTERS) for _ in range(9)), f"run-{rng.randrange(36**6):06x}")


def requests(planted: Planted, number: int) -> Iterator[Sent]:
    """What one person's apps, shops and servers send: every dialect, its good messages and its broken ones."""
    phone, email, run = planted.phone(number), planted.email(number), f"{planted.run}-{number}"
    maker = MAKERS[number % len(MAKERS)]
    yield from maker(phone, email, run)


def _json(dialect: str, target: str, body: Any, **headers: str) -> Sent:
    named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(dialect, "POST", target, json.dumps(body).encode(), tuple(named.items()))


def _properties(phone: str, email: str) -> dict[str, Any]:
    """Properties in which personal values stand in every way."""
    address = quote(email, safe="")
    inner = quote(f"/x?mobile=+86{phone}&m={address}", safe="")
    return {
        "sku": "S-1", "name": "Boots", "phone": phone, "Mobile": int(phone), "e-mail": email.upper(),
        "receiver_phone": f"+86 {phone[:3]} {phone[3:7]} {phone[7:]}",
        "shipping_address": {"tel": phone, "lines": [email, phone]},
        "customer_id": phone, "query": f"orders of {email}", "note": {"deep": [{"text": f"<{email}>"}]},
        "url": f"https://shop.example.com/p?a=1&phone={phone}&email={address}",
        "back": f"https://s.example.com/?u={inner}",
        email: True,
    }  # fmt: skip


def _traits(phone: str, email: str) -> dict[str, Any]:
    return {
        "name": f"Li {email}", "phone": phone, "email": email, "address": {"street": f"c/o {phone}", "city": "Rome"},
        "birthday": "1990-05-01", "mobile": [phone, f"+86{phone}"], "nickname": email.upper(),
    }  # fmt: skip


def _segment(phone: str, email: str, run: str) -> Iterator[Sent]:
    page = {"url": f"https://s.example.com/?email={quote(email, safe='')}", "search": f"?tel={phone}", "path": f"/u/{email}"}
    context = {
        "page": page, "traits": _traits(phone, email),
        "externalIds": [{"type": "phone", "id": phone}, {"type": "email", "id": email}],
        "campaign": {"name": "spring", "term": email}, "locale": "zh-CN",
    }  # fmt: skip
    properties = _properties(phone, email)
    good = [
        {"type": "identify", "userId": run, "messageId": f"i-{run}", "traits": _traits(phone, email)},
        {"type": "identify", "userId": phone, "anonymousId": email, "messageId": f"p-{phone}", "traits": {"email": email}},
        {"type": "track", "event": "Product Viewed", "userId": run, "messageId": f"t-{run}", "properties": properties},
        {"type": "track", "event": f"Mailed {email}", "userId": run, "messageId": f"n-{email}", "properties": {"plain": 1}},
        {"type": "page", "name": "Home", "anonymousId": f"a-{run}", "messageId": f"g-{run}", "context": context},
        {"type": "track", "event": "Signed Up", "userId": run, "messageId": f"u-{run}", "context": context},
        {"type": "track", "event": "Planned", "userId": run, "messageId": f"v-{run}", "properties": {"phone": phone, "n": email}},
        {"type": "track", "event": "Blocked", "userId": run, "messageId": f"b-{run}", "properties": {"phone": phone, "n": email}},
    ]  # fmt: skip
    broken = [
        {"type": "track", "messageId": f"x-{run}", "userId": run, "properties": properties},
        {"type": phone, "userId": email, "messageId": f"y-{phone}"},
        {"type": "track", "event": "Order Completed", "userId": run, "messageId": f"o-{run}",
         "properties": {"order_id": run, "total": f"call {phone} or {email}"}},
    ]  # fmt: skip
    outer = {"context": {"traits": {"phone": phone}}}
    yield _json("segment", "/v1/batch", {"batch": good})
    yield _json("segment", "/v1/batch", {"batch": broken, **outer})
    cut = json.dumps({"batch": [{"type": "track", "userId": email, "properties": {"phone": phone}}]}).replace('"}}', '"}, NaN}')
    yield Sent("segment", "POST", "/v1/batch", cut.encode())
    yield _json("segment", "/v1/track", {"userId": phone, "event": "x" * 600, "properties": {"email": email}})
    yield _json("segment", "/v1/alias", {"userId": phone, "previousId": email, "messageId": f"a-{run}"})
    hidden = email.replace("@", r"\u0040")
    escaped = f'{{"userId":"{run}","event":"Escaped","properties":{{"\\u0070hone":"{phone}","m":"{hidden}"}}}}'
    yield Sent("segment", "POST", "/v1/track", escaped.encode())


def _jitsu(phone: str, email: str, run: str) -> Iterator[Sent]:
    message = {"userId": phone, "anonymousId": f"a-{run}", "messageId": f"j-{run}", "traits": _traits(phone, email)}
    yield _json("jitsu", "/api/s/identify", {"type": "identify", **message})
    yield _json("jitsu", "/api/s/track", {"type": "track", "event": 5, "userId": email, "properties": _properties(phone, email)})


def _sensors(phone: str, email: str, run: str) -> Iterator[Sent]:
    def data(message: dict[str, Any]) -> str:
        return base64.b64encode(json.dumps(message).encode()).decode()

    form = (("content-type", "application/x-www-form-urlencoded"),)
    who = {"distinct_id": f"$identity_mobile+{phone}", "identities": {"$identity_mobile": phone, "$identity_email": email}}
    preset = {"$url": f"https://s.example.com/?phone={phone}", "$latest_search_keyword": email, "$is_login_id": True}
    messages: list[dict[str, Any]] = [
        {"type": "track", "event": "ViewProduct", "time": 1795380000000, **who, "properties": preset | _properties(phone, email)},
        {"type": "profile_set", "time": 1795380000000, **who, "properties": {"$name": email, "$phone": phone, "$email": email}},
        {"type": "profile_set_once", "time": 1795380000000, "distinct_id": run, "properties": {"mobile": phone}},
        {"type": "profile_append", "time": 1795380000000, "distinct_id": run, "properties": {"email": [email, email.upper()]}},
        {"type": "profile_increment", "time": 1795380000000, "distinct_id": run, "properties": {"phone": int(phone)}},
        {"type": "track_id_unbind", "time": 1795380000000, **who, "properties": {}},
        {"type": "item_set", "item_type": "contact", "item_id": phone, "properties": {"email": email, "tel": phone}},
        {"type": email, "distinct_id": phone},
    ]  # fmt: skip
    for message in messages:
        yield Sent("sensors", "POST", "/sa", urlencode({"data": data(message)}).encode(), form)
    yield Sent("sensors", "GET", f"/sa.gif?{urlencode({'data': data(messages[0])})}")
    yield Sent("sensors", "POST", "/debug", urlencode({"data": data(messages[-1])}).encode(), form)
    yield Sent("sensors", "POST", "/sa", urlencode({"data": "%%" + phone}).encode(), form)


def _posthog(phone: str, email: str, run: str) -> Iterator[Sent]:
    properties = _properties(phone, email) | {"distinct_id": phone, "$current_url": f"https://s.example.com/?tel={phone}"}
    stamp = "2026-11-22T20:00:00Z"
    events = [
        {"event": "$identify", "distinct_id": phone, "uuid": f"ph-{run}", "timestamp": stamp,
         "properties": {"$anon_distinct_id": email, "$set": _traits(phone, email), "$set_once": {"email": email}}},
        {"event": "viewed", "distinct_id": email, "timestamp": stamp, "properties": properties},
        {"event": "$unset", "distinct_id": phone, "properties": {"$unset": ["phone"]}},
        {"event": phone, "distinct_id": {"a": email}},
    ]  # fmt: skip
    yield _json("posthog", "/batch/", {"batch": events})
    data = base64.b64encode(json.dumps(events[1]).encode()).decode()
    yield Sent("posthog", "GET", f"/e/?{urlencode({'data': data})}")


def _snowplow(phone: str, email: str, run: str) -> Iterator[Sent]:
    user = {
        "schema": "iglu:com.snowplowanalytics.snowplow.ecommerce/user/jsonschema/1-0-0",
        "data": {"id": phone, "email": email},
    }
    contexts = {"schema": "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0", "data": [user]}
    encoded = base64.urlsafe_b64encode(json.dumps(contexts).encode()).decode().rstrip("=")
    page = {
        "e": "pv", "url": f"https://s.example.com/?email={quote(email, safe='')}&mobile={phone}", "page": f"Hello {email}",
        "uid": phone, "duid": f"d-{run}", "eid": f"sp-{run}", "tv": "js-3.0", "p": "web", "cx": encoded, "refr": f"https://x.cn/?tel={phone}",
    }  # fmt: skip
    inner = {"schema": "iglu:com.shop/sign_up/jsonschema/1-0-0", "data": _properties(phone, email)}
    outer = {"schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0", "data": inner}
    more = {"e": "ue", "ue_pr": json.dumps(outer), "uid": email, "eid": f"su-{run}", "p": "srv"}
    broken = {"e": "ue", "ue_px": f"!{email}", "uid": phone, "eid": f"sb-{run}"}
    payload = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
    yield _json("snowplow", "/com.snowplowanalytics.snowplow/tp2", {"schema": payload, "data": [page, more, broken]})
    yield Sent("snowplow", "GET", f"/i?{urlencode(page | {'eid': f'sg-{run}'})}")


def _mparticle(phone: str, email: str, run: str) -> Iterator[Sent]:
    change = {"identity_type": "mobile_number", "identity": phone, "email": email}
    batch = {
        "user_identities": {"customer_id": phone, "email": email, "mobile_number": phone, "other": email}, "mpid": 5,
        "user_attributes": {"$FirstName": email, "$Mobile": phone, "notes": email}, "source_request_id": f"mp-{run}-{phone}",
        "events": [
            {"event_type": "custom_event", "data": {"event_name": "Called", "custom_attributes": _properties(phone, email)}},
            {"event_type": "user_identity_change", "data": {"new": change, "old": change}},
            {"event_type": email, "data": {"phone": phone}},
        ],
    }  # fmt: skip
    yield _json("mparticle", "/v2/events", batch)


def _orders(phone: str, email: str, run: str) -> Iterator[Sent]:
    order = {
        "order_id": run, "status": "paid", "placed_at": "2026-11-20T10:00:00Z", "currency": "CNY", "total": 99,
        "customer": {"member_id": phone, "phone": phone, "email": email}, "lines": [{"sku": "S-1", "price": 99, "name": "Boots"}],
        "properties": {"receiver_name": email, "receiver_mobile": phone, "shipping_address": {"street": phone}, "memo": email},
    }  # fmt: skip
    wrong = {**order, "order_id": f"{run}-w", "currency": phone, "total": email}
    yield _json("orders", "/v1/orders", {"orders": [order, wrong]}, idempotency_key=f"key of {phone}, {email}")
    yield _json("orders", "/v1/orders", {"orders": [order, wrong]}, idempotency_key=f"key of {phone}, {email}")


def _members(phone: str, email: str, run: str) -> Iterator[Sent]:
    member = {
        "member_id": phone, "phone": f"+86{phone}", "email": email, "traits": _traits(phone, email), "registered": True,
        "registered_at": "2026-11-20T10:00:00Z", "ids": [{"type": "id_card", "value": email}],
    }  # fmt: skip
    wrong = {**member, "member_id": email, "traits": {"birthday": phone}}
    yield _json("members", "/v1/members", {"members": [member, wrong]}, idempotency_key=f"member {phone}")


def _mapping(phone: str, email: str, run: str) -> Iterator[Sent]:
    number = int(run.rpartition("-")[2])
    order = {
        "id": 7_000_000 + number, "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z", "currency": "EUR",
        "financial_status": "paid", "total_price": "20.00", "email": email, "phone": f"+86{phone}", "customer": {"id": phone},
        "line_items": [{"sku": "A", "quantity": 1, "price": "20.00"}],
    }  # fmt: skip
    yield _json("mapping", "/v1/mappings/shopify", [order, {**order, "total_price": f"{phone} {email}"}])


def keyed(planted: Planted, number: int) -> Iterator[Sent]:
    """What one person's apps, shops and servers send with write keys and tokens in it, where none belongs, and where some do.

    Each secret has the form that the platform draws, and the word of all addresses in it.
    """
    email, run = planted.email(number), f"{planted.run}-k{number}"
    key, token = (f"{kind}_{email.partition('@')[0]:x<32}" for kind in ("wk", "tk"))
    inner = quote(f"/?key={key}", safe="")
    properties = {
        "token": key, "Authorization": f"Bearer {token}", "lines": f"first\n{key}", "deep": [{key: [token]}],
        "landing": f"https://shop.example.com/p?writeKey={key}&u={inner}",
    }  # fmt: skip
    context = {"writeKey": key, "api_key": token, "page": {"url": f"https://shop.example.com/?token={token}", "path": "/"}}
    for event in ("Keyed", "x" * 600):
        track = {"type": "track", "event": event, "userId": run, "messageId": f"{run}-{event[:5]}"}
        whole = {**track, "writeKey": key, "properties": properties, "context": context}
        yield _json("segment", "/v1/batch", {"batch": [whole, {**track, "properties": {"token": key}}], "context": {"key": key}})
        yield _json("jitsu", "/api/s/event", whole)
        posthog = {"event": event, "distinct_id": run, "token": key, "api_key": key, "properties": properties}
        yield _json("posthog", "/batch/", {"batch": [posthog], "api_key": key})
        sensors = {"type": "track", "event": event, "distinct_id": run, "time": 1795380000000, "token": key, "project": key}
        yield _json("sensors", f"/sa?token={key}", {**sensors, "properties": properties})
        page = {"e": "se", "se_ac": event, "aid": key, "uid": run, "url": f"https://shop.example.com/?key={key}", "p": "web"}
        yield _json("snowplow", "/com.snowplowanalytics.snowplow/tp2", {"data": [page]})
        yield Sent("snowplow", "GET", f"/i?{urlencode(page | {'key': key})}")
        custom = {"event_type": "custom_event", "data": {"event_name": event, "custom_attributes": properties}}
        yield _json("mparticle", "/v2/events", {"user_identities": {"customer_id": run}, "api_key": key, "events": [custom]})
    order = {
        "order_id": run, "status": "paid", "placed_at": "2026-11-20T10:00:00Z", "currency": "CNY", "total": 9,
        "properties": properties,
    }  # fmt: skip
    yield _json("orders", f"/v1/orders?key={key}", {"orders": [order, {**order, "order_id": key, "currency": key}]})


MAKERS = (_segment, _jitsu, _sensors, _posthog, _snowplow, _mparticle, _orders, _members, _mapping)
