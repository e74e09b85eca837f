"""Locust users on the collector: someone browsing, a member, a till.

    CDP_WRITE_KEY=wk_... locust -f loadtest/locustfile.py --host http://127.0.0.1:8400 --headless

The load's shape is the table STAGES: change it there. It ends by itself. CDP_LOAD_SHAPE chooses another table.
"""

import os
from base64 import b64encode
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

from locust import FastHttpUser, LoadTestShape, between, task

from cdp.clock import to_iso
from cdp.errors import CdpError
from cdp.events import ORDER_COMPLETED
from cdp.wall_clock import wall_clock
from loadtest.catalogue import DEVICES, PAGES, PRODUCTS, STORES
from loadtest.send import encode
from loadtest.shop import PRODUCT_ADDED, Message, Placed, context_of, order_properties, yuan


class Stage(NamedTuple):
    """Until `until` seconds from the start there are `users` users, `spawn_rate` more or fewer each second."""

    until: int
    users: int
    spawn_rate: float


SHAPES: dict[str, tuple[Stage, ...]] = {
    "smoke": (Stage(20, 5, 5),),
    "day": (Stage(30, 20, 2), Stage(90, 60, 4), Stage(120, 20, 4)),
    "sale": (Stage(20, 20, 5), Stage(30, 200, 50), Stage(90, 200, 50), Stage(110, 20, 20)),
    "steps": (Stage(30, 25, 10), Stage(60, 50, 10), Stage(90, 100, 10), Stage(120, 200, 20)),
}
STAGES = SHAPES[os.environ.get("CDP_LOAD_SHAPE", "smoke")]


def stage_at(stages: tuple[Stage, ...], seconds: float) -> tuple[int, float] | None:
    """Users and spawn rate at a time; None when it is over."""
    return next(((stage.users, stage.spawn_rate) for stage in stages if seconds < stage.until), None)


class Shape(LoadTestShape):  # type: ignore[misc]
    """Follows the table."""

    def tick(self) -> tuple[int, float] | None:
        """What Locust asks every second."""
        return stage_at(STAGES, self.get_run_time())


def write_key() -> str:
    """The write key of CDP_WRITE_KEY. Raises CdpError if there is none."""
    key = os.environ.get("CDP_WRITE_KEY", "")
    if not key:
        raise CdpError("CDP_WRITE_KEY is not set.", "Make a write key with `cdp key create` and set it.")
    return key


class Shopper(FastHttpUser):  # type: ignore[misc]
    """What all users have in common: who they are, and how they send."""

    abstract = True
    wait_time = between(0.2, 1.5)

    def on_start(self) -> None:
        """Become someone."""
        self.rng = Random()
        self.anonymous_id, self.user_id = str(uuid4()), ""
        self.device = self.rng.choice(DEVICES)
        token = b64encode(f"{write_key()}:".encode()).decode()
        self.headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}

    def send(self, kind: str, message: dict[str, Any]) -> None:
        """One message to its own endpoint; anything but 200 counts as a failure."""
        now = to_iso(wall_clock())
        who: Message = {"anonymousId": self.anonymous_id, "messageId": str(uuid4()), "timestamp": now, "sentAt": now}
        if self.user_id:
            who["userId"] = self.user_id
        context = context_of(self.device, None, self.rng.choice(PAGES))
        self.client.post(
            f"/v1/{kind}", data=encode({**who, "context": context, **message}), headers=self.headers, name=f"/v1/{kind}"
        )

    def product(self, event: str) -> None:
        """Something happens with a product."""
        product = self.rng.choice(PRODUCTS)
        properties = {"sku": product.sku, "name": product.name, "category": product.category, "price": yuan(product.price)}
        self.send("track", {"event": event, "properties": properties})

    def order(self, **more: object) -> None:
        """An order of one product."""
        lines = [(self.rng.choice(PRODUCTS), 1)]
        properties = order_properties(Placed(str(uuid4()), 0, lines), lines, 1)
        self.send("track", {"event": ORDER_COMPLETED, "properties": {**properties, **more}})


class Visitor(Shopper):
    """Looks around without saying who they are."""

    weight = 7

    @task(4)  # type: ignore[untyped-decorator]
    def look(self) -> None:
        """A page."""
        self.send("page", {"name": self.rng.choice(PAGES)[0]})

    @task(5)  # type: ignore[untyped-decorator]
    def view(self) -> None:
        """A product."""
        self.product("Product Viewed")

    @task(1)  # type: ignore[untyped-decorator]
    def add(self) -> None:
        """Into the cart."""
        self.product(PRODUCT_ADDED)


class Member(Visitor):
    """Logs in first, and buys now and then."""

    weight = 2

    def on_start(self) -> None:
        """Log in as one of ten thousand members, on a new device."""
        super().on_start()
        self.user_id = f"locust-{self.rng.randrange(10_000)}"
        self.send("identify", {"traits": {"email": f"{self.user_id}@example.com"}})

    @task(1)  # type: ignore[untyped-decorator]
    def buy(self) -> None:
        """An order."""
        self.order()


class Till(Shopper):
    """A store's till: orders only, in batches of ten, of members or of nobody known."""

    weight = 1
    wait_time = between(1, 3)

    @task  # type: ignore[untyped-decorator]
    def close_receipts(self) -> None:
        """Send ten receipts."""
        receipts = [self._receipt() for _ in range(10)]
        self.client.post("/v1/batch", data=encode({"batch": receipts}), headers=self.headers, name="/v1/batch")

    def _receipt(self) -> Message:
        lines = [(self.rng.choice(PRODUCTS), self.rng.choice((1, 1, 2)))]
        properties = order_properties(Placed(str(uuid4()), 0, lines), lines, 1) | {"store_id": self.rng.choice(STORES)}
        who = {"userId": f"locust-{self.rng.randrange(10_000)}"} if self.rng.random() < 0.6 else {}
        return {"type": "track", "event": ORDER_COMPLETED, "messageId": str(uuid4()), "properties": properties, **who}
