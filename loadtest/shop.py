"""Keep the books of a simulated shop: who did what, which messages said so, and what must come out of them."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from cdp.clock import DAY, MINUTE, Calendar, date_of, to_iso
from cdp.events import ORDER_CANCELLED, ORDER_COMPLETED, ORDER_REFUNDED
from loadtest.catalogue import CURRENCY, DEVICES, GIVEN_NAMES, PRODUCTS, SURNAMES, Campaign, Device, Product

Message = dict[str, Any]
Answer = str | int | bool | Decimal

ABANDONED_AFTER = 30 * MINUTE
WINDOW_DAYS = 30
PRODUCT_ADDED = "Product Added"
SIGNED_UP = "Signed Up"


@dataclass(frozen=True)
class Timed:
    """A message and when to send it, in microseconds from the start."""

    at: int
    message: Message


@dataclass
class Placed:
    """An order as the shop knows it; money in fen."""

    order_id: str
    time: int
    lines: list[tuple[Product, int]]
    refunded: int = 0
    cancelled: bool = False

    @property
    def total(self) -> int:
        """What the order cost."""
        return sum(product.price * quantity for product, quantity in self.lines)

    @property
    def stands(self) -> bool:
        """Whether it still is an order: neither cancelled nor given back completely."""
        return not self.cancelled and self.refunded < self.total


@dataclass(eq=False)
class Person:
    """Someone real. Times in microseconds."""

    user_id: str = ""
    traits: dict[str, str] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    orders: list[Placed] = field(default_factory=list)
    introduced: int = 0
    signed_up: bool = False
    last_added: int = 0
    seen: bool = False

    def introduction(self) -> dict[str, str]:
        """The traits that an identify message carries."""
        return dict(self.traits)


@dataclass(frozen=True)
class Expected:
    """What must come out of a plan.

    Attributes:
        sent, applied, duplicates, dead_lettered: messages; the last three add up to the first.
        people: persons behind all devices, logins, phones and mail addresses.
        devices: cookies and app installations that sent something.
        recognised: how many of these turned out to belong to someone who is known by another device already.
        orders: how many were placed, however many systems told of each.
        refunds, cancellations: events of each kind, repeats not counted.
        revenue: of the orders that were not cancelled, less refunds.
        actions: by rule.
        tagged: tag to the number of people who have it.
        tags: user_id to that member's tags.
    """

    sent: int
    applied: int
    duplicates: int
    dead_lettered: int
    people: int
    devices: int
    recognised: int
    orders: int
    refunds: int
    cancellations: int
    revenue: Decimal
    actions: dict[str, int]
    tagged: dict[str, int]
    tags: dict[str, dict[str, Answer]]


def yuan(fen: int) -> Decimal:
    """An amount of money as it is sent."""
    return Decimal(fen) / 100


def is_birthday(birthday: str, today: date) -> bool:
    """Whether a birthday (YYYY-MM-DD) is celebrated today; 29 February is on the 28th in common years."""
    born = date.fromisoformat(birthday)
    if (born.month, born.day) == (2, 29) and (today + timedelta(days=1)).day == 1:
        return today.month == 2
    return (born.month, born.day) == (today.month, today.day)


class Shop:
    """The shop's memory while a plan is made. `start` in microseconds; every `at` counts from there."""

    def __init__(self, rng: Random, run: str, start: int, zone: str) -> None:
        self.rng, self.run, self.start = rng, run, start
        self.calendar = Calendar(zone)
        self.people: list[Person] = []
        self.messages: list[Timed] = []
        self.said: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()
        self._phone = rng.randrange(10**8)

    # --- who ---

    def number(self, what: str) -> str:
        """The next name of something, unlike those of any other run."""
        self._numbers[what] += 1
        return f"{self.run}-{what}{self._numbers[what]}"

    def visitor(self) -> Person:
        """Someone nobody knows yet."""
        person = Person()
        self.people.append(person)
        return person

    def member(self, at: int, *, birthday_today: bool) -> Person:
        """Someone with a member number, who may not have been seen yet."""
        person = self.visitor()
        self.enrol(person, at, birthday_today=birthday_today)
        return person

    def enrol(self, person: Person, at: int, *, birthday_today: bool) -> None:
        """Give someone a member number and the traits that go with it."""
        person.user_id = self.number("u")
        created = self.start + at - (0 if person.devices else self.rng.randrange(100, 800) * DAY)
        person.traits = {
            "name": f"{self.rng.choice(GIVEN_NAMES)} {self.rng.choice(SURNAMES)}",
            "email": f"{person.user_id}@example.com",
            "phone": self.phone(),
            "birthday": self._birthday(at, today=birthday_today),
            "created_at": to_iso(created),
        }

    def phone(self) -> str:
        """A phone number that nobody had before."""
        self._phone += 1
        return f"+8613{self._phone % 10**9:09d}"

    def _birthday(self, at: int, *, today: bool) -> str:
        """A date of birth whose anniversary is today, or at least a hundred days away."""
        now = date_of(self.calendar.day(self.start + at))
        year = self.rng.randrange(1960, 2006)
        if today:
            leap = (now.month, now.day) == (2, 28) and not _is_leap(now.year) and self.rng.random() < 0.5
            return f"{year - year % 4}-02-29" if leap else _in_year(now, year).isoformat()
        return _in_year(now + timedelta(days=self.rng.randrange(100, 260)), year).isoformat()

    def device(self) -> tuple[str, Device]:
        """A new cookie or app installation."""
        return self.number("d"), self.rng.choice(DEVICES)

    # --- what they say ---

    def say(self, at: int, person: Person | None, message: Message, *, ago: int = 0) -> Message:
        """Put a message into the plan: sent at `at`, about something that happened `ago` microseconds before."""
        message = {**message, "messageId": self.number("m"), "timestamp": to_iso(self.start + at - ago)}
        self.messages.append(Timed(at, message))
        if person is not None:
            person.seen = True
            if message.get("anonymousId"):
                person.devices.add(message["anonymousId"])
            if message["type"] == "identify" and not person.introduced:
                person.introduced = self.start + at - ago
            person.signed_up |= message.get("event") == SIGNED_UP
            if message.get("event") == PRODUCT_ADDED:
                person.last_added = max(person.last_added, self.start + at - ago)
            self.said[str(message.get("event", message["type"]))] += 1
        return message

    def basket(self) -> list[tuple[Product, int]]:
        """One to four products, each once or more."""
        return [
            (product, self.rng.choice((1, 1, 1, 2, 3))) for product in self.rng.sample(PRODUCTS, self.rng.choice((1, 1, 2, 3, 4)))
        ]

    def order(self, at: int, person: Person, lines: list[tuple[Product, int]], who: Message, *, ago: int = 0) -> Placed:
        """An order is placed."""
        placed = Placed(self.number("o"), self.start + at - ago, lines)
        person.orders.append(placed)
        self.say(
            at,
            person,
            {**who, "type": "track", "event": ORDER_COMPLETED, **_merge(who, order_properties(placed, lines, 1))},
            ago=ago,
        )
        return placed

    def tell_of(self, at: int, person: Person, placed: Placed, who: Message) -> None:
        """Another system tells of an order that was placed."""
        properties = {**order_properties(placed, placed.lines, 1), "version": 1}
        self.say(at, person, {**who, "type": "track", "event": ORDER_COMPLETED, **_merge(who, properties)})

    def refund(
        self, at: int, person: Person, placed: Placed, lines: list[tuple[Product, int]], who: Message, *, ago: int = 0
    ) -> None:
        """Some of an order's lines come back: quantities and total are negative."""
        placed.refunded += sum(product.price * quantity for product, quantity in lines)
        self.say(
            at,
            person,
            {**who, "type": "track", "event": ORDER_REFUNDED, **_merge(who, order_properties(placed, lines, -1))},
            ago=ago,
        )

    def cancel(self, at: int, person: Person, placed: Placed, who: Message, *, ago: int = 0) -> None:
        """An order is called off."""
        placed.cancelled = True
        properties = {"order_id": placed.order_id, "currency": CURRENCY, "reason": "changed my mind"}
        self.say(at, person, {**who, "type": "track", "event": ORDER_CANCELLED, **_merge(who, properties)}, ago=ago)

    def say_again(self, at: int, message: Message) -> None:
        """The same message once more, as a device on a bad network does."""
        self.messages.append(Timed(at, message))

    # --- what must come out ---

    def expected(self, end: int) -> Expected:
        """The answers at `end` microseconds after the start."""
        seen = [person for person in self.people if person.seen]
        orders = [order for person in seen for order in person.orders]
        ids = Counter(item.message["messageId"] for item in self.messages)
        applied = self.said.total()
        now = self.start + end
        by_person = [(person, self._tags(person, now)) for person in seen]
        tagged: dict[str, int] = defaultdict(int)
        for _, tags in by_person:
            for name in tags:
                tagged[name] += 1
        return Expected(
            sent=len(self.messages),
            applied=applied,
            duplicates=len(self.messages) - len(ids),
            dead_lettered=len(ids) - applied,
            people=len(seen),
            devices=len(set().union(*(person.devices for person in seen))),
            recognised=sum(max(0, len(person.devices) - 1) for person in seen),
            orders=len(orders),
            refunds=self.said[ORDER_REFUNDED],
            cancellations=self.said[ORDER_CANCELLED],
            revenue=yuan(sum(order.total - order.refunded for order in orders if not order.cancelled)),
            actions={
                "signup_welcome": sum(person.signed_up for person in seen),
                "first_order_thanks": sum(self._thanked(person) for person in seen),
                "birthday_greeting": sum(self._greeted(person) for person in seen),
            },
            tagged=dict(tagged),
            tags={person.user_id: tags for person, tags in by_person if person.user_id},
        )

    def _thanked(self, person: Person) -> bool:
        """Whether the first order is news: members' old orders are history, and not thanked for."""
        return bool(person.orders) and person.orders[0].time >= self.start - DAY

    def _greeted(self, person: Person) -> bool:
        if not person.introduced or "birthday" not in person.traits:
            return False
        return is_birthday(person.traits["birthday"], date_of(self.calendar.day(person.introduced)))

    def _tags(self, person: Person, now: int) -> dict[str, Answer]:
        today = self.calendar.day(now)
        standing = [order for order in person.orders if order.stands]
        not_cancelled = [order for order in person.orders if not order.cancelled]
        recent = [order for order in not_cancelled if today - self.calendar.day(order.time) < WINDOW_DAYS]
        categories: Counter[str] = Counter()
        for order in standing:
            for product, quantity in order.lines:
                categories[product.category] += product.price * quantity
        ordered_since = any(order.time >= person.last_added for order in not_cancelled)
        answers: dict[str, Answer] = {
            "order_count": len(standing),
            "order_count_30d": sum(order.stands for order in recent),
            "order_amount_30d": yuan(sum(order.total - order.refunded for order in recent)),
            "favourite_category": min(categories, key=lambda name: (-categories[name], name), default=""),
            "cart_abandoned": bool(person.last_added) and now - person.last_added >= ABANDONED_AFTER and not ordered_since,
            "birthday_month": int(person.traits["birthday"][5:7]) if person.introduced and person.traits else 0,
        }
        return {name: answer for name, answer in answers.items() if answer}


def order_properties(placed: Placed, lines: list[tuple[Product, int]], sign: int) -> dict[str, Any]:
    """The properties of an order event; `sign` -1 for what comes back."""
    return {
        "order_id": placed.order_id,
        "currency": CURRENCY,
        "total": yuan(sign * sum(product.price * quantity for product, quantity in lines)),
        "products": [
            {
                "line": line,
                "sku": product.sku,
                "name": product.name,
                "category": product.category,
                "quantity": sign * quantity,
                "price": yuan(product.price),
            }
            for line, (product, quantity) in enumerate(lines, start=1)
        ],
    }


def context_of(device: Device, campaign: Campaign | None, page: tuple[str, str] | None) -> dict[str, Any]:
    """The context that an SDK adds by itself."""
    context: dict[str, Any] = {
        "channel": device.channel,
        "userAgent": device.user_agent,
        "device": {"type": device.kind},
        "screen": {"width": device.width, "height": device.height},
        "locale": "zh-CN",
        "timezone": "Asia/Shanghai",
        "ip": "203.0.113.7",
    }
    if campaign is not None:
        context["campaign"] = {key: value for key, value in vars(campaign).items() if value}
    if page is not None:
        context["page"] = {"title": page[0], "path": page[1], "url": f"https://shop.example.com{page[1]}"}
    return context


def _merge(who: Message, properties: dict[str, Any]) -> Message:
    """Properties of a message, with those that everything of this till or device carries."""
    return {"properties": {**properties, **who.get("properties", {})}}


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _in_year(day: date, year: int) -> date:
    """The same month and day of another year; 29 February moves to a leap year nearby."""
    return day.replace(year=year - year % 4 if (day.month, day.day) == (2, 29) else year)
