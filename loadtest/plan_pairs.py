"""Pairs of people who are two and become one by a login, and what must be known of each pair afterwards. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from cdp.clock import to_iso


@dataclass(frozen=True)
class Known:
    """What is known of a person: how many events and orders were counted, and the orders' amount in the currency's unit."""

    events: int
    orders: int
    amount: float


@dataclass(frozen=True)
class Pair:
    """A device that looks at products, and a member who orders elsewhere; the member logs in on the device.

    Attributes:
        views, carts: how many products the device looks at, and puts into the cart.
        amounts: of the member's orders, in the currency's unit.
        device_first: whether the device is the older person of the two: the older one stays.
    """

    run: str
    number: int
    views: int
    carts: int
    amounts: tuple[int, ...]
    device_first: bool

    @property
    def user_id(self) -> str:
        """The member's."""
        return f"{self.run}-u{self.number}"

    @property
    def device(self) -> str:
        """The device's anonymous id."""
        return f"{self.run}-a{self.number}"

    @property
    def prefix(self) -> str:
        """What the ids of the pair's messages begin with, and those of no other pair."""
        return f"{self.run}-m{self.number}-"

    @property
    def expected(self) -> Known:
        """What must be known once the two are one; the login is an event, too."""
        return Known(self.views + self.carts + len(self.amounts) + 1, len(self.amounts), float(sum(self.amounts)))

    def history(self, now: int) -> list[dict[str, Any]]:
        """The messages of before the login, at a moment in microseconds."""
        device = [
            self._track("Product Viewed", f"v{n}", now, {"sku": f"p-{n}"}, anonymousId=self.device) for n in range(self.views)
        ]
        device += [
            self._track("Product Added", f"c{n}", now, {"sku": f"p-{n}"}, anonymousId=self.device) for n in range(self.carts)
        ]
        member = [
            self._track(
                "Order Completed", f"o{n}", now, {"order_id": f"{self.prefix}{n}", "total": amount, "currency": "CNY"},
                userId=self.user_id,
            )
            for n, amount in enumerate(self.amounts)
        ]  # fmt: skip
        return device + member if self.device_first else member + device

    def login(self, now: int) -> dict[str, Any]:
        """The message that makes one person of the two."""
        return {
            "type": "identify", "messageId": f"{self.prefix}login", "userId": self.user_id, "anonymousId": self.device,
            "traits": {}, "timestamp": to_iso(now),
        }  # fmt: skip

    def _track(self, event: str, name: str, now: int, properties: dict[str, Any], **ids: str) -> dict[str, Any]:
        return {
            "type": "track", "event": event, "messageId": f"{self.prefix}{name}", "timestamp": to_iso(now),
            "properties": properties, **ids,
        }  # fmt: skip


def plan_pairs(count: int, seed: int, run: str) -> list[Pair]:
    """So many pairs. In every other one the device is the older person."""
    random = Random(seed)
    return [
        Pair(
            run, number, views=random.randint(1, 5), carts=random.randint(1, 3),
            amounts=tuple(random.randint(10, 900) for _ in range(random.randint(1, 3))), device_first=number % 2 == 0,
        )
        for number in range(count)
    ]  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What was found of a pair.

    Attributes:
        people: the OneIDs that the member's and the device's identifiers lead to.
        profile: what the member's profile has counted; None: there is none.
        rows, messages, owners: rows and message ids in ClickHouse's events, and whose they are today: how many people's.
    """

    people: frozenset[str]
    profile: Known | None
    rows: int
    messages: int
    owners: int


def amiss(pair: Pair, found: Found) -> str:
    """What is wrong with a pair, in words; empty if it is one person that has everything exactly once."""
    wrong = []
    if len(found.people) != 1:
        wrong.append(f"{len(found.people)} people")
    if found.profile != pair.expected:
        wrong.append(f"the profile knows {found.profile}, not {pair.expected}")
    if (found.rows, found.messages, found.owners) != (pair.expected.events, pair.expected.events, 1):
        wrong.append(
            f"ClickHouse has {found.rows} rows of {found.messages} messages of {found.owners} people, "
            f"not {pair.expected.events} of one"
        )
    return "; ".join(wrong)


def total(pairs: Iterable[Pair]) -> int:
    """How many events some pairs send in all."""
    return sum(pair.expected.events for pair in pairs)
