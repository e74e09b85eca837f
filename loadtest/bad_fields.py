"""Kinds of malformed requests: messages in Segment's format whose fields are wrong, missing, huge or absurd."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from cdp.clock import to_iso
from cdp.events import ORDER_CANCELLED, ORDER_COMPLETED, ORDER_REFUNDED
from cdp.wall_clock import wall_clock
from loadtest.bad_requests import Bad, Maker, Message, Request, kind, text

WRONG: tuple[Any, ...] = (
    None, True, False, 0, 3, -1.5, 10**30, -(10**400), 1e308, float("nan"), float("inf"), "", " ", "\t\n", "x" * 5000, "\0",
    "a\0b", "\ud800", "\u202e\u200b", "NaN", "null", "undefined", "-", "' OR 1=1 --", "{{7*7}}", "../../etc", [], [1], [[]],
    [None], {}, {"a": 1}, {"": ""}, {"a": {"b": [{"c": None}]}}, ["x"] * 300,
)  # fmt: skip
ENVELOPE = (
    "type", "event", "userId", "anonymousId", "messageId", "timestamp", "sentAt", "originalTimestamp", "properties", "traits",
    "context", "integrations", "channel", "store",
)  # fmt: skip
CONTEXT = (
    "page",
    "campaign",
    "device",
    "externalIds",
    "library",
    "userAgent",
    "ip",
    "locale",
    "traits",
    "screen",
    "consent",
    "os",
)
ORDER = ("order_id", "total", "revenue", "currency", "products", "version", "coupon", "tax", "shipping", "quantity", "store")
PRODUCT = ("sku", "product_id", "name", "category", "quantity", "price", "line", "currency")
Change = Callable[[Maker, Message], object]


def order(maker: Maker, event: str = ORDER_COMPLETED, **properties: Any) -> Message:
    """A sound order, with other `properties`."""
    lines = [{"sku": "p-1", "name": "Boots", "category": "Shoes", "quantity": 1, "price": 10.5}]
    return maker.message(
        event=event, properties={"order_id": maker.id(), "total": 10.5, "currency": "CNY", "products": lines} | properties
    )


def _wrong(name: str, make: Callable[[Maker], Message], change: Change) -> None:
    """A kind: a sound message with one change."""

    @kind(name)
    def _(maker: Maker) -> Bad:
        message = make(maker)
        change(maker, message)
        return maker.either(message)


def _put(*path: str | int) -> Change:
    """Put a wrong value somewhere."""

    def change(maker: Maker, message: Message) -> None:
        target: Any = message
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = deepcopy(maker.rng.choice(WRONG))

    return change


def _of_type(type_: str, more: Message) -> Callable[[Maker], Message]:
    return lambda maker: maker.message(type=type_, **deepcopy(more))


for _field in ENVELOPE:
    _wrong(f"field {_field}", Maker.message, _put(_field))
for _field in CONTEXT:
    _wrong(f"field context.{_field}", lambda maker: maker.message(context={}), _put("context", _field))
for _field in ORDER:
    _wrong(f"field of an order: {_field}", order, _put("properties", _field))
for _field in PRODUCT:
    _wrong(f"field of a product: {_field}", order, _put("properties", "products", 0, _field))
_TYPES: dict[str, Message] = {
    "identify": {"traits": {}}, "page": {"name": "Home", "properties": {}}, "screen": {"name": "Home"}, "group": {"groupId": "g"},
    "alias": {"previousId": "a"},
}  # fmt: skip
for _kind, _more in _TYPES.items():
    for _field in ("traits", "name", "groupId", "previousId", "userId"):
        _wrong(f"field of {_kind}: {_field}", _of_type(_kind, _more), _put(_field))


def _message(name: str, *, heavy: bool = False, **fields: Any) -> None:
    """A kind: a message with wrong fields, always the same."""

    @kind(name, heavy=heavy)
    def _(maker: Maker) -> Bad:
        return maker.either(maker.message(**fields))


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


_message("an event's name of 10,000 characters", event="x" * 10_000)
_message("control characters in a name", event="View\x01\x02\x1b[31med\r\n")
_message("NUL in a name", event="Viewed\0Product")
_message("a lone surrogate in a name", event="Viewed \ud83d")
_message("a lone surrogate as a property's name", properties={"\udfff": 1})
_message("a name of blanks", event="   ")
_message("an id of 5,000 characters", userId="u" * 5000)
_message("an id of blanks", userId=" \u3000 ")
_message("an id with NUL", userId="u\0u")
_message("an id with line ends", userId="u\r\nx: y")
_message("ids that are null", userId=None, anonymousId=None)
_message("ids that are blocked words", userId="null", anonymousId="undefined")
_message("a message id of 1,000 characters", messageId="m" * 1000)
_message("a message id with NUL", messageId="m\0")
_message("no message id", messageId=None)
_message("a time in a million years", timestamp="1000000-01-01T00:00:00Z")
_message("the year 0", timestamp="0000-01-01T00:00:00Z")
_message("the 31st of February", timestamp="2026-02-31T00:00:00Z")
_message("a time before 1970", timestamp="1901-12-13T20:45:52Z")
_message("a negative time", timestamp=-(10**15))
_message("an enormous time", timestamp=10**300)
_message("a time that is not a number", timestamp=float("nan"))
_message("a time in words", timestamp="yesterday afternoon")
_message("a time zone of 99 hours", timestamp="2026-01-01T00:00:00+99:99")
_message("sent before 1970", sentAt="1960-01-01T00:00:00Z", timestamp="1960-01-01T00:00:00Z")
_message("a clock 3 years ahead", timestamp=to_iso(wall_clock() + 3 * 365 * 86_400_000_000))
_message("depth 40", properties={"a": _nested(40)})
_message("depth 900", properties={"a": _nested(900)})
_message("10,000 properties", heavy=True, properties={f"p{number}": number for number in range(10_000)})
_message("a property's name of 20,000 characters", properties={"n" * 20_000: 1})
_message("a property's empty name", properties={"": 1})
_message("names that languages know", properties={"__proto__": {"x": 1}, "constructor": 1, "__class__": 1})
_message("an event too large", heavy=True, properties={"a": "x" * 300_000})
_message("an integer of 400 digits", properties={"price": 10**400})
_message("NaN and Infinity", properties={"a": float("nan"), "b": float("-inf")})
_message(
    "traits that overflow", type="identify", traits={"age": 10**25, "birthday": "0000-00-00", "email": "@", "phone": "+" * 99}
)
_message("a birthday in the year 9999", type="identify", traits={"birthday": "9999-12-31"})
_message("an empty message", type=None, event=None, userId=None, messageId=None)
_message(
    "addresses that are none", context={"ip": "999.1.1.1", "userAgent": "\0", "page": {"url": "http://[::1", "referrer": ":"}}
)


def _order(name: str, event: str = ORDER_COMPLETED, **properties: Any) -> None:
    """A kind: an order with wrong properties, always the same."""

    @kind(f"an order: {name}")
    def _(maker: Maker) -> Bad:
        return maker.either(order(maker, event, **properties))


def _line(**fields: Any) -> dict[str, Any]:
    return {"sku": "p-1", "quantity": 1, "price": 1} | fields


_order("an absurd amount", total=1e300)
_order("an amount beyond the tables", total=10**15, products=[_line(price=10**15)])
_order("an amount of 100 digits as text", total="9" * 100)
_order("a negative amount", total=-5)
_order("an amount with 30 decimals", total="0.123456789012345678901234567890")
_order("an amount that is not a number", total=float("nan"), products=[_line(price=float("inf"))])
_order("an amount in words", total="a lot", products=[_line(price="free")])
_order("a negative quantity", products=[_line(quantity=-3)])
_order("an absurd quantity", products=[_line(quantity=10**20)])
_order("a tiny price", products=[_line(price=1e-300)])
_order("5,000 lines", products=[_line() for _ in range(5000)])
_order("lines that are no objects", products=[1, None, "x", []])
_order("lines twice the same", products=[_line(line=1), _line(line=1)])
_order("line numbers beyond everything", products=[_line(line=-1), _line(line=2**40)])
_order("no id", order_id=None)
_order("an id of 3,000 characters", order_id="o" * 3000)
_order("an id that is a list", order_id=[1])
_order("a currency that is none", currency="\U0001f4b0\U0001f4b0\U0001f4b0")
_order("a version that is text", version="latest")
_order("a version beyond 64 bits", version=2**80)
_order("a negative version", version=-1)
_order("a refund of nothing", ORDER_REFUNDED, total=0, products=[])
_order("a refund larger than any order", ORDER_REFUNDED, total=-(10**12))
_order("cancelled without an id", ORDER_CANCELLED, order_id="")


@kind("a batch that is no list")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/batch", text({"batch": maker.rng.choice([{}, "x", 3, True])})))


@kind("a batch that is null")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/batch", text({"batch": None})))


@kind("no batch")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/batch", text({"messages": [maker.message()]})))


@kind("an empty batch")
def _(maker: Maker) -> Bad:
    return maker.batch()


@kind("a batch of things that are no messages")
def _(maker: Maker) -> Bad:
    return maker.batch(None, 1, "x", [], True, {})


@kind("a batch of 3,000", heavy=True)
def _(maker: Maker) -> Bad:
    return maker.batch(*({"type": "track", "event": "e", "userId": maker.person(), "messageId": maker.id()} for _ in range(3000)))


@kind("good and bad in one batch")
def _(maker: Maker) -> Bad:
    bad = [maker.message(**{maker.rng.choice(ENVELOPE): deepcopy(maker.rng.choice(WRONG))}) for _ in range(6)]
    messages = [*bad, *(maker.message() for _ in range(6)), None, order(maker, total="x")]
    maker.rng.shuffle(messages)
    return maker.batch(*messages)


@kind("a batch with a wrong context")
def _(maker: Maker) -> Bad:
    return maker.send(
        Request("/v1/batch", text({"batch": [maker.message()], "context": maker.rng.choice([1, [], "x", {"a": []}])}))
    )


@kind("a batch with a wrong time")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/batch", text({"batch": [maker.message()], "sentAt": maker.rng.choice([[], {}, "x", 1e300])})))


@kind("a batch with a wrong write key field")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/batch", text({"batch": [maker.message()], "writeKey": maker.rng.choice([[], {}, 3, "\0"])})))


@kind("one message twice in a batch")
def _(maker: Maker) -> Bad:
    return maker.batch(message := maker.message(), message)


@kind("one id for two messages")
def _(maker: Maker) -> Bad:
    first = maker.message()
    return maker.batch(first, {**first, "event": "Something Else", "properties": {"other": True}})


@kind("one id for two people")
def _(maker: Maker) -> Bad:
    first = maker.message()
    return maker.batch(first, {**first, "userId": maker.person()})


@kind("a key written twice")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", b'{"event":"a",' + text(maker.message())[1:-1] + b',"userId":"","event":"b"}'))


@kind("a raw NUL in a text")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", text(maker.message(event="View@d")).replace(b"@", b"\0")))


@kind("a raw line end in a text")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", text(maker.message(event="View@d")).replace(b"@", b"\n")))


@kind("half a character")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", text(maker.message(event="View@d")).replace(b"@", b"\xe7\xba")))


@kind("an escape that is none")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", text(maker.message(event="View@d")).replace(b"@", b"\\x41\\u12")))


@kind("numbers as JSON does not write them")
def _(maker: Maker) -> Bad:
    number = maker.rng.choice([b"01", b"+1", b"0x10", b"1.", b".5", b"1e", b"1_000", b"--1", b"1e999", b"-0"])
    return maker.send(Request("/v1/track", text(maker.message(properties={"price": 77})).replace(b"77", number)))


@kind("a comma too many")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", text(maker.message())[:-1] + b",}"))
