"""Mix events as a busy shop sends them, quickly: for benches, where the answers need not be known.

Seven in ten are page and product views; a fifth of the people are members, and a tenth of the people buy. Contexts and
properties are drawn from pools that were encoded once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import msgspec

from cdp.clock import to_iso
from cdp.events import ORDER_COMPLETED, ORDER_REFUNDED, Event, Identifier, Kind, Source
from loadtest.catalogue import CAMPAIGNS, DEVICES, GIVEN_NAMES, PAGES, PRODUCTS, SURNAMES, Device, Product
from loadtest.send import encode
from loadtest.shop import PRODUCT_ADDED, SIGNED_UP, Placed, context_of, order_properties, yuan

POOL = 400
NOTHING = msgspec.Raw(b"{}")

# What is drawn, and how often in a thousand.
MIX = (
    ("page", 330),
    ("view", 380),
    ("cart", 130),
    ("login", 106),
    ("order", 48),
    ("refund", 2),
    ("sign_up", 4),
)
MEMBERS, BUYERS = 5, 10  # one in so many people


@dataclass(frozen=True)
class Drawn:
    """One event before it has a wire format."""

    number: int
    kind: Kind
    event: str
    user_id: str
    device: str
    channel: str
    properties: msgspec.Raw
    traits: msgspec.Raw
    context: msgspec.Raw


class Mix:
    """Draws events of `people` people; the same seed and run draw the same ones."""

    def __init__(self, seed: int, run: str, people: int) -> None:
        self._rng = Random(f"{seed}:{run}")
        self._run, self._people = run, max(people, 2 * BUYERS)
        self._kinds, weights = zip(*MIX, strict=True)
        self._weights = tuple(sum(weights[: place + 1]) for place in range(len(weights)))
        self._contexts = [self._context() for _ in range(POOL)]
        self._products = [msgspec.Raw(encode(_product_properties(self._rng))) for _ in range(POOL)]
        self._pages = [
            (name, msgspec.Raw(encode({"path": path, "title": name, "referrer": "https://www.baidu.com/"})))
            for name, path in PAGES
        ]
        self._drawers: dict[str, Callable[[int, int], Drawn]] = {
            "page": self._page, "view": self._view, "cart": self._cart, "login": self._login,
            "order": self._order, "refund": self._refund, "sign_up": self._sign_up,
        }  # fmt: skip

    def draw(self, count: int) -> Iterator[Drawn]:
        """The next `count` events."""
        choices = self._rng.choices
        for number in range(count):
            (kind,) = choices(self._kinds, cum_weights=self._weights)
            yield self._drawers[kind](number, int(self._rng.random() * self._people))

    def _context(self) -> tuple[str, msgspec.Raw]:
        device: Device = self._rng.choice(DEVICES)
        campaign = self._rng.choice(CAMPAIGNS) if self._rng.random() < 0.5 else None
        return device.channel, msgspec.Raw(encode(context_of(device, campaign, self._rng.choice(PAGES))))

    def _drawn(
        self,
        number: int,
        person: int,
        kind: Kind,
        event: str,
        properties: msgspec.Raw,
        *,
        known: bool = False,
        traits: msgspec.Raw = NOTHING,
    ) -> Drawn:
        """An event of a person; members are on a second device now and then, and say who they are on every third event."""
        member = person % MEMBERS == 0
        second = member and number % 7 == 0
        channel, context = self._contexts[person % POOL]
        user_id = f"{self._run}-u{person}" if known or (member and number % 3 == 0) else ""
        device = f"{self._run}-d{person}{'b' if second else ''}"
        return Drawn(number, kind, event, user_id, device, channel, properties, traits, context)

    def _page(self, number: int, person: int) -> Drawn:
        name, properties = self._pages[number % len(self._pages)]
        return self._drawn(number, person, "page", name, properties)

    def _view(self, number: int, person: int) -> Drawn:
        return self._drawn(number, person, "track", "Product Viewed", self._products[self._rng.randrange(POOL)])

    def _cart(self, number: int, person: int) -> Drawn:
        return self._drawn(number, person, "track", PRODUCT_ADDED, self._products[self._rng.randrange(POOL)])

    def _login(self, number: int, person: int) -> Drawn:
        member = person - person % MEMBERS
        return self._drawn(number, member, "identify", "", NOTHING, known=True, traits=self._traits(member))

    def _sign_up(self, number: int, person: int) -> Drawn:
        member = person - person % MEMBERS
        return self._drawn(number, member, "track", SIGNED_UP, msgspec.Raw(b'{"method":"phone"}'), known=True)

    def _order(self, number: int, person: int) -> Drawn:
        properties = msgspec.Raw(encode(order_properties(self._placed(number), _lines(self._rng), 1)))
        return self._drawn(number, person - person % BUYERS, "track", ORDER_COMPLETED, properties, known=True)

    def _refund(self, number: int, person: int) -> Drawn:
        properties = msgspec.Raw(encode(order_properties(self._placed(number), _lines(self._rng)[:1], -1)))
        return self._drawn(number, person - person % BUYERS, "track", ORDER_REFUNDED, properties, known=True)

    def _placed(self, number: int) -> Placed:
        return Placed(f"{self._run}-o{number}", 0, [])

    def _traits(self, member: int) -> msgspec.Raw:
        name = f"{GIVEN_NAMES[member % len(GIVEN_NAMES)]} {SURNAMES[member % len(SURNAMES)]}"
        user_id = f"{self._run}-u{member}"
        birthday = f"{1960 + member % 45}-{1 + member % 12:02d}-{1 + member % 28:02d}"
        return msgspec.Raw(encode({"name": name, "email": f"{user_id}@example.com", "birthday": birthday, "city": "Shanghai"}))


def _lines(rng: Random) -> list[tuple[Product, int]]:
    return [(product, rng.choice((1, 1, 2))) for product in rng.sample(PRODUCTS, rng.choice((1, 2, 3)))]


def _product_properties(rng: Random) -> dict[str, object]:
    product = rng.choice(PRODUCTS)
    return {
        "product_id": product.sku,
        "sku": product.sku,
        "name": product.name,
        "category": product.category,
        "price": yuan(product.price),
        "quantity": rng.choice((1, 1, 2)),
        "currency": "CNY",
        "position": rng.randrange(40),
    }


def as_contract(drawn: Drawn, run: str, now: int, encode_event: Callable[[Event], bytes]) -> tuple[bytes, bytes]:
    """Key and value as the collector writes them to its topic. `now` in microseconds."""
    ids = [Identifier("user_id", drawn.user_id)] if drawn.user_id else []
    if drawn.kind == "identify":
        ids.append(Identifier("email", f"{drawn.user_id}@example.com"))
    ids.append(Identifier("anonymous_id", drawn.device))
    event = Event(
        message_id=f"{run}-m{drawn.number}",
        kind=drawn.kind,
        event=drawn.event,
        time=now,
        received_at=now,
        ids=ids,
        channel=drawn.channel,
        properties=drawn.properties,
        traits=drawn.traits,
        context=drawn.context,
        source=Source("bench", "streamcdp-bench", "1"),
    )
    return f"{ids[0].type}:{ids[0].value}".encode(), encode_event(event)


def as_segment(drawn: Drawn, run: str, now: int) -> bytes:
    """The message as an SDK sends it. `now` in microseconds."""
    message: dict[str, object] = {
        "type": drawn.kind,
        "messageId": f"{run}-m{drawn.number}",
        "timestamp": to_iso(now),
        "anonymousId": drawn.device,
        "context": drawn.context,
    }
    if drawn.user_id:
        message["userId"] = drawn.user_id
    if drawn.kind == "track":
        message["event"] = drawn.event
    elif drawn.kind == "page":
        message["name"] = drawn.event
    message["traits" if drawn.kind == "identify" else "properties"] = (
        drawn.traits if drawn.kind == "identify" else drawn.properties
    )
    return encode(message)
