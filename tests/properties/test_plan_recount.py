"""What a plan expects, counted again from its messages alone, by somebody who knows nothing of the shop's books."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.clock import SECOND, from_datetime
from loadtest.plan import plan
from loadtest.send import encode

ZONE = "Asia/Shanghai"
NOBODYS = "13800138000"  # what the till sends for everybody
KNOWN = {"track", "identify", "page", "screen"}


def usable(message):
    return (
        message["type"] in KNOWN
        and bool(identifiers(message))
        and isinstance(message.get("properties", {}), dict)
        and (message["type"] != "track" or bool(message.get("event")))
    )


def identifiers(message):
    traits = message.get("traits", {}) if message["type"] == "identify" else {}
    traits = {**message.get("context", {}).get("traits", {}), **traits}
    phone = traits.get("phone")
    found = [("user_id", message.get("userId")), ("phone", phone if phone != NOBODYS else None), ("email", traits.get("email"))]
    properties = message.get("properties")
    order = properties.get("order_id") if isinstance(properties, dict) else None  # the weakest of all
    found += [("anonymous_id", message.get("anonymousId")), ("order_id", order)]
    return [(kind, value) for kind, value in found if value]


class People:
    """Union of identifiers, one event after the other; two member numbers never become one person."""

    def __init__(self):
        self.of = {}
        self.users = defaultdict(set)
        self.numbers = count()

    def resolve(self, ids):
        person = None
        for key in ids:  # strongest first
            known = self.of.get(key)
            users = {key} if key[0] == "user_id" else set()
            if known is not None:
                users |= self.users[known]
            if person is None:
                person = known if known is not None else next(self.numbers)
                self.users[person] |= users
                self.of[key] = person
            elif len(self.users[person] | users) <= 1:
                self.users[person] |= users
                if known is None:
                    self.of[key] = person
                elif known != person:
                    self.merge(known, person)
        return person

    def merge(self, loser, survivor):
        for key, person in self.of.items():
            if person == loser:
                self.of[key] = survivor

    def final(self, ids):
        return self.of[ids[0]]


def celebrated(birthday, today):
    born = date.fromisoformat(birthday)
    try:
        return born.replace(year=today.year) == today
    except ValueError:
        return today == date(today.year, 2, 28)


def recount(story, end):
    seen, applied, dead, duplicates = set(), [], 0, 0
    for item in story.messages:
        message = item.message
        if message["messageId"] in seen:
            duplicates += 1
            continue
        seen.add(message["messageId"])
        if usable(message):
            applied.append(message)
        else:
            dead += 1
    people = People()
    for message in applied:
        people.resolve(identifiers(message))
    by_person = defaultdict(list)
    for message in applied:
        by_person[people.final(identifiers(message))].append(message)
    facts = [Facts(messages, story.start, end) for messages in by_person.values()]
    devices = [{m["anonymousId"] for m in messages if m.get("anonymousId")} for messages in by_person.values()]
    tagged = Counter(name for fact in facts for name, value in fact.tags.items() if value)
    return {
        "sent": len(story.messages),
        "applied": len(applied),
        "duplicates": duplicates,
        "dead_lettered": dead,
        "people": len(by_person),
        "devices": len(set().union(*devices)),
        "recognised": sum(max(0, len(found) - 1) for found in devices),
        "orders": len({m["properties"]["order_id"] for m in applied if m.get("event") == "Order Completed"}),
        "refunds": sum(m.get("event") == "Order Refunded" for m in applied),
        "cancellations": sum(m.get("event") == "Order Cancelled" for m in applied),
        "revenue": sum((fact.revenue for fact in facts), Decimal(0)),
        "actions": {
            "signup_welcome": sum(fact.signed_up for fact in facts),
            "first_order_thanks": sum(fact.thanked for fact in facts),
            "birthday_greeting": sum(fact.greeted for fact in facts),
        },
        "tagged": dict(tagged),
        "tags": {fact.user_id: {name: value for name, value in fact.tags.items() if value} for fact in facts if fact.user_id},
    }


class Facts:
    """One person's figures, from their messages in the order of sending."""

    def __init__(self, messages, start, end):
        zone = ZoneInfo(ZONE)
        times = [from_datetime(datetime.fromisoformat(m["timestamp"])) for m in messages]
        self.user_id = next((m["userId"] for m in messages if m.get("userId")), "")
        self.signed_up = any(m.get("event") == "Signed Up" for m in messages)
        orders, refunded, cancelled, first = {}, Counter(), set(), None
        added, birthday, self.greeted = 0, "", False
        for message, time in zip(messages, times, strict=True):
            properties = message.get("properties", {})
            match message.get("event"):
                case "Order Completed":
                    first = time if first is None else first
                    orders[properties["order_id"]] = (time, properties["total"], properties["products"])
                    assert properties["total"] == sum(p["quantity"] * p["price"] for p in properties["products"])
                case "Order Refunded":
                    assert properties["total"] < 0
                    refunded[properties["order_id"]] -= properties["total"]
                case "Order Cancelled":
                    cancelled.add(properties["order_id"])
                case "Product Added":
                    added = max(added, time)
            if "birthday" in message.get("traits", {}):
                birthday = message["traits"]["birthday"]
                today = datetime.fromtimestamp(time / SECOND, UTC).astimezone(zone).date()
                self.greeted |= celebrated(birthday, today)
        # Orders older than a day when they come are history: they fire nothing, and later ones are not the first.
        self.thanked = first is not None and first >= start - 24 * 3600 * SECOND
        kept = {number: order for number, order in orders.items() if number not in cancelled}
        self.revenue = sum((total - refunded[number] for number, (_, total, _) in kept.items()), Decimal(0))
        standing = {number: order for number, order in kept.items() if refunded[number] < order[1]}
        now = datetime.fromtimestamp((start + end) / SECOND, UTC).astimezone(zone).date()
        oldest = from_datetime(datetime.combine(now - timedelta(days=29), datetime.min.time(), tzinfo=zone).astimezone(UTC))
        categories = Counter()
        for _, _, products in standing.values():
            for product in products:
                categories[product["category"]] += product["quantity"] * product["price"]
        last_order = max((time for time, _, _ in kept.values()), default=0)
        self.tags = {
            "order_count": len(standing),
            "order_count_30d": sum(time >= oldest for time, _, _ in standing.values()),
            "order_amount_30d": sum(total - refunded[n] for n, (time, total, _) in kept.items() if time >= oldest),
            "favourite_category": min(sorted(categories), key=lambda name: -categories[name], default=""),
            "cart_abandoned": 0 < added <= start + end - 30 * 60 * SECOND and not last_order >= added,
            "birthday_month": date.fromisoformat(birthday).month if birthday else 0,
        }


STARTS = st.datetimes(datetime(2024, 1, 1), datetime(2032, 12, 31)).map(lambda t: from_datetime(t.replace(microsecond=0)))
SIZES = st.integers(1, 80)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), start=STARTS, visits=SIZES, seconds=st.sampled_from([5, 60, 600]))
def test_expectations_add_up(seed, start, visits, seconds):
    story = plan(seed, "run-a", start, seconds=seconds, visits=visits, zone=ZONE)
    counted = recount(story, seconds * SECOND)
    for name, value in counted.items():
        assert getattr(story.expected, name) == value, name
    expected = story.expected
    assert expected.sent == expected.applied + expected.duplicates + expected.dead_lettered


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), start=STARTS, visits=SIZES)
def test_same_seed_same_plan(seed, start, visits):
    one, two = (plan(seed, "run-a", start, visits=visits) for _ in range(2))
    assert one == two
    assert encode([item.message for item in one.messages]) == encode([item.message for item in two.messages])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), start=STARTS)
def test_order_of_arrival_changes_no_person(seed, start):
    """The people are the same whichever identifiers meet first: nothing in a plan depends on the order."""
    story = plan(seed, "run-a", start, visits=80)
    messages = [item.message for item in story.messages if usable(item.message)]
    backwards = People()
    for message in reversed(messages):
        backwards.resolve(identifiers(message))
    assert len({backwards.final(identifiers(message)) for message in messages}) == story.expected.people


@pytest.mark.parametrize(
    "start", [datetime(2027, 2, 27, 17), datetime(2028, 2, 28, 17), datetime(2027, 2, 28, 3), datetime(2026, 12, 31, 15, 59)]
)
def test_birthdays_around_the_leap_day_and_midnight(start):
    story = plan(3, "leap", from_datetime(start), seconds=120, visits=100, zone=ZONE)
    assert story.expected.actions["birthday_greeting"] == recount(story, 120 * SECOND)["actions"]["birthday_greeting"] > 0


def test_runs_share_no_identifier():
    def names(run):
        story = plan(1, run, 1_790_000_000 * SECOND, visits=60)
        return {value for item in story.messages for _, value in identifiers(item.message)} | {
            item.message["messageId"] for item in story.messages
        }

    assert not names("run-a") & names("run-b")
