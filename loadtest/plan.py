"""Plan what a simulated shop's visitors will do: timed messages in Segment's format, and what must come out of them.

Pure: the same seed, run, start and size give the same plan. What makes the answers certain whatever the order of arrival:
orders that may be the first of someone carry an identifier that is never merged into someone else who has ordered, and
birthdays are today or far away.
"""

import re
from dataclasses import dataclass
from random import Random

from cdp.clock import DAY, HOUR, MINUTE, SECOND
from cdp.errors import CdpError
from loadtest.catalogue import CAMPAIGNS, CURRENCY, NOBODYS_PHONE, PAGES, STORES, Campaign, Device, Product
from loadtest.shop import PRODUCT_ADDED, SIGNED_UP, Expected, Message, Person, Placed, Shop, Timed, context_of, yuan

EVENTS_PER_VISIT = 6.0  # about, members' history included
RUN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
DUPLICATED = 0.02
INVALID = 0.005
BIRTHDAY_TODAY = 0.15

# What a visit is like, and how often. Tuples instead of code: change the mix here.
VISITS = (
    ("browse", 40),
    ("member", 22),
    ("sign_up", 14),
    ("guest_order", 6),
    ("newsletter", 4),
    ("shared_tablet", 2),
    ("left_cart", 5),
    ("till", 7),
    ("walk_in", 3),
    ("told_twice", 4),
)

FOR_ANYBODY = {"browse", "sign_up", "guest_order", "newsletter", "walk_in", "told_twice"}
IMPORTED_BY, MEMBERS_FROM = 0.15, 0.25  # shares of the time: members come after their history was imported

# Ages of old members' orders, in days: never near the edge of a 30-day window, so that midnight changes nothing.
HISTORY_AGES = (2, 5, 9, 12, 16, 20, 24, 35, 38, 41, 45)


@dataclass(frozen=True)
class Plan:
    """What will happen, in order of sending, and what must come out. `start` in microseconds since the epoch."""

    run: str
    seed: int
    start: int
    messages: tuple[Timed, ...]
    expected: Expected


def plan(seed: int, run: str, start: int, *, seconds: float = 60, visits: int = 300, zone: str = "Asia/Shanghai") -> Plan:
    """Plan a run.

    Args:
        seed, run: everything random follows from them; identifiers begin with the run's name.
        start: when it begins, in microseconds since the epoch; it decides whose birthday is today.
        seconds: how long it takes.
        visits: how many visits are played; about a fifth as many old members are imported with their orders.

    Raises CdpError for a run's name that could not be part of an identifier.
    """
    if not RUN_NAME.fullmatch(run):
        raise CdpError(f"{run!r} is not a name for a run.", "Use up to 40 small letters, digits and hyphens.")
    story = _Story(Shop(Random(f"{seed}:{run}"), run, start, zone), int(seconds * SECOND))
    story.import_members(max(5, visits // 5))
    names, weights = zip(*VISITS, strict=True)
    rng = story.shop.rng
    for at in sorted(int(rng.uniform(0.02, 0.85) * story.length) for _ in range(visits)):
        (kind,) = rng.choices(names, weights)
        getattr(story, kind if at > MEMBERS_FROM * story.length or kind in FOR_ANYBODY else "browse")(at)
    story.spoil()
    messages = tuple(sorted(story.shop.messages, key=lambda item: item.at))
    return Plan(run, seed, start, messages, story.shop.expected(story.length))


@dataclass(frozen=True)
class _Session:
    """Someone on a device; `login` once they have said who they are."""

    person: Person
    anonymous_id: str
    device: Device
    campaign: Campaign | None
    login: bool = False

    def who(self, page: tuple[str, str] | None = None) -> Message:
        known = {"userId": self.person.user_id} if self.login else {}
        return {"anonymousId": self.anonymous_id, **known, "context": context_of(self.device, self.campaign, page)}

    def logged_in(self) -> "_Session":
        return _Session(self.person, self.anonymous_id, self.device, self.campaign, login=True)


class _Story:
    """The visits, one method for each kind in VISITS; each begins at `at`, in microseconds from the start."""

    def __init__(self, shop: Shop, length: int) -> None:
        self.shop, self.length = shop, length
        self.members: list[Person] = []  # whoever may log in somewhere
        self.card_holders: list[Person] = []  # known at the till by their phone, and buying only there
        self.sleepers: list[Person] = []  # have bought before, and only leave carts now
        self._clock = 0

    # --- time ---

    def _step(self, low: float = 0.2, high: float = 1.2) -> int:
        """A moment later; nothing is later than the end."""
        self._clock = min(self.length, self._clock + int(self.shop.rng.uniform(low, high) * SECOND))
        return self._clock

    # --- pieces of visits ---

    def _arrive(self, at: int, person: Person) -> _Session:
        self._clock = at
        anonymous_id, device = self.shop.device()
        campaign = self.shop.rng.choice(CAMPAIGNS) if self.shop.rng.random() < 0.6 else None
        return _Session(person, anonymous_id, device, campaign)

    def _look(self, session: _Session, pages: int, *, ago: int = 0) -> None:
        kind = "screen" if session.device.channel == "app" else "page"
        for name, path in self.shop.rng.choices(PAGES, k=pages):
            self.shop.say(self._step(), session.person, {**session.who((name, path)), "type": kind, "name": name}, ago=ago)

    def _browse_products(self, session: _Session, lines: list[tuple[Product, int]], *, ago: int = 0) -> None:
        for product, _ in lines:
            self._track(session, "Product Viewed", product, 1, ago=ago)

    def _fill_cart(self, session: _Session, lines: list[tuple[Product, int]], *, ago: int = 0) -> None:
        for product, quantity in lines:
            self._track(session, PRODUCT_ADDED, product, quantity, ago=ago)

    def _track(self, session: _Session, event: str, product: Product, quantity: int, *, ago: int) -> None:
        properties = {
            "product_id": product.sku,
            "sku": product.sku,
            "name": product.name,
            "category": product.category,
            "price": yuan(product.price),
            "quantity": quantity,
            "currency": CURRENCY,
        }
        page = (product.name, f"/products/{product.sku.lower()}")
        message = {**session.who(page), "type": "track", "event": event, "properties": properties}
        self.shop.say(self._step(), session.person, message, ago=ago)

    def _log_in(self, session: _Session) -> _Session:
        known = session.logged_in()
        self.shop.say(self._step(), session.person, {**known.who(), "type": "identify", "traits": session.person.introduction()})
        return known

    def _check_out(self, session: _Session, lines: list[tuple[Product, int]]) -> None:
        placed = self.shop.order(self._step(), session.person, lines, session.who())
        self._regret(session.person, placed, session.who())

    def _regret(self, person: Person, placed: Placed, who: Message) -> None:
        """Some orders come back in part or as a whole, and some are called off."""
        draw = self.shop.rng.random()
        if draw < 0.06:
            self.shop.refund(self._step(), person, placed, placed.lines[:1], who)
        elif draw < 0.10:
            self.shop.refund(self._step(), person, placed, placed.lines, who)
        elif draw < 0.14:
            self.shop.cancel(self._step(), person, placed, who)

    # --- members from before ---

    def import_members(self, count: int) -> None:
        """Old members with their orders, as the shop's other systems send them."""
        for number in range(count):
            self._clock = int(self.shop.rng.uniform(0, IMPORTED_BY) * self.length)
            birthday = number == 0 or self.shop.rng.random() < BIRTHDAY_TODAY
            person = self.shop.member(self._clock, birthday_today=birthday)
            who = {"userId": person.user_id, "context": {"channel": "crm"}}
            self.shop.say(self._clock, person, {**who, "type": "identify", "traits": person.introduction()})
            if number % 5 == 1:
                self.card_holders.append(person)
                continue
            (self.sleepers if number % 5 == 2 else self.members).append(person)
            for age in sorted(self.shop.rng.sample(HISTORY_AGES, self.shop.rng.choice((0, 1, 1, 2, 3, 5))), reverse=True):
                ago = age * DAY + self.shop.rng.randrange(HOUR)
                self.shop.order(self._step(0.01, 0.1), person, self.shop.basket(), who, ago=ago)

    # --- visits ---

    def browse(self, at: int) -> None:
        """Someone looks around and leaves."""
        session = self._arrive(at, self.shop.visitor())
        self._look(session, self.shop.rng.randrange(1, 4))
        lines = self.shop.basket()
        if self.shop.rng.random() < 0.7:
            self._browse_products(session, lines)
            if self.shop.rng.random() < 0.3:
                self._fill_cart(session, lines[:1])

    def member(self, at: int) -> None:
        """A member on one more device: looks around unknown, logs in, and often buys."""
        session = self._arrive(at, self.shop.rng.choice(self.members))
        self._look(session, self.shop.rng.randrange(1, 3))
        lines = self.shop.basket()
        self._browse_products(session, lines)
        self._fill_cart(session, lines)
        session = self._log_in(session)
        self._look(session, 1)
        if self.shop.rng.random() < 0.6:
            self._check_out(session, lines)

    def sign_up(self, at: int) -> None:
        """A visitor becomes a member; some buy at once."""
        person = self.shop.visitor()
        session = self._arrive(at, person)
        self._look(session, self.shop.rng.randrange(1, 3))
        lines = self.shop.basket()
        self._browse_products(session, lines)
        person.devices.add(session.anonymous_id)
        self.shop.enrol(person, self._clock, birthday_today=self.shop.rng.random() < BIRTHDAY_TODAY)
        session = self._log_in(session)
        message = {
            **session.who(),
            "type": "track",
            "event": SIGNED_UP,
            "properties": {"method": self.shop.rng.choice(("phone", "wechat"))},
        }
        self.shop.say(self._step(), person, message)
        self.members.append(person)
        if self.shop.rng.random() < 0.5:
            self._fill_cart(session, lines)
            self._check_out(session, lines)

    def guest_order(self, at: int) -> None:
        """Someone buys without an account, and never logs in on this device."""
        session = self._arrive(at, self.shop.visitor())
        lines = self.shop.basket()
        self._browse_products(session, lines)
        self._fill_cart(session, lines)
        self._check_out(session, lines)

    def newsletter(self, at: int) -> None:
        """Someone leaves a mail address on two devices, and is one person by that."""
        person = self.shop.visitor()
        email = f"{self.shop.number('mail')}@example.com"
        for _ in range(2):
            session = self._arrive(at, person)
            self._look(session, self.shop.rng.randrange(1, 3))
            self.shop.say(self._step(), person, {**session.who(), "type": "identify", "traits": {"email": email}})

    def shared_tablet(self, at: int) -> None:
        """Two members use one device, one after the other: they stay two people."""
        anonymous_id, device = self.shop.device()
        self._clock = at
        for person in self.shop.rng.sample(self.members, 2):
            session = self._log_in(_Session(person, anonymous_id, device, None))
            self._look(session, 2)

    def left_cart(self, at: int) -> None:
        """A member's phone was without a network: its cart of some hours ago arrives only now."""
        session = self._arrive(at, self.shop.rng.choice(self.sleepers)).logged_in()
        ago = self.shop.rng.randrange(45 * MINUTE, 5 * HOUR)
        lines = self.shop.basket()
        self._browse_products(session, lines, ago=ago)
        self._fill_cart(session, lines, ago=ago)

    def till(self, at: int) -> None:
        """A card holder buys in a store; the till knows the phone number and nothing else."""
        self._clock = at
        person = self.shop.rng.choice(self.card_holders)
        who = {
            "context": {"channel": "store", "traits": {"phone": person.traits["phone"]}},
            "properties": {"store_id": self.shop.rng.choice(STORES)},
        }
        placed = self.shop.order(self._step(), person, self.shop.basket(), who)
        self._regret(person, placed, who)

    def walk_in(self, at: int) -> None:
        """Someone buys in a store and gives no number: the till sends its own for everybody, which is nobody's."""
        self._clock = at
        person = self.shop.visitor()
        who = {
            "context": {"channel": "store", "traits": {"phone": NOBODYS_PHONE}},
            "properties": {"store_id": self.shop.rng.choice(STORES)},
        }
        placed = self.shop.order(self._step(), person, self.shop.basket(), who)
        self._regret(person, placed, who)

    def told_twice(self, at: int) -> None:
        """The browser tells of a guest's order, and so does the shop's server, which knows the phone; a refund names only it."""
        session = self._arrive(at, self.shop.visitor())
        lines = self.shop.basket()
        self._browse_products(session, lines)
        server = {"context": {"channel": "web", "traits": {"phone": self.shop.phone()}}}
        browser_first = self.shop.rng.random() < 0.5
        first, second = (session.who(), server) if browser_first else (server, session.who())
        placed = self.shop.order(self._step(), session.person, lines, first)
        self.shop.tell_of(self._step(), session.person, placed, second)
        self._regret(session.person, placed, {"context": {"channel": "web"}})

    # --- what goes wrong ---

    def spoil(self) -> None:
        """Some messages are sent twice, and some cannot be used."""
        valid = list(self.shop.messages)
        rng = self.shop.rng
        for item in rng.sample(valid, max(1, int(len(valid) * DUPLICATED))):
            self.shop.say_again(min(self.length, item.at + rng.randrange(3 * SECOND)), item.message)
        unusable: tuple[Message, ...] = (
            {"type": "track", "event": "Product Viewed"},
            {"type": "track", "anonymousId": self.shop.number("d")},
            {"type": "purchase", "anonymousId": self.shop.number("d")},
            {
                "type": "track",
                "event": "Product Viewed",
                "anonymousId": self.shop.number("d"),
                "properties": ["not", "an", "object"],
            },
        )
        for number in range(max(2, int(len(valid) * INVALID))):
            self.shop.say(rng.randrange(self.length + 1), None, unusable[number % len(unusable)])
