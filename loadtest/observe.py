"""Observe what came out of one run: counts from ClickHouse, and some members' tags as the API tells them."""

# ruff: noqa: S608 - the queries are put together from constants

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec
from clickhouse_connect.driver.client import Client

from cdp.errors import CdpError
from cdp.settings import Settings
from loadtest.shop import PRODUCT_ADDED
from loadtest.stack import Access
from sinks.owner import dictionary, owner

PERSON, OWNER = (owner(by, "{dictionary:String}") for by in ("person", "part"))
OF_RUN = "startsWith(message_id, {prefix:String})"
PEOPLE_OF_RUN = f"(SELECT DISTINCT {OWNER} FROM events WHERE {OF_RUN})"

EVENTS = f"""
SELECT count(), uniqExact(p), uniqExactIf(device, device != ''), countIf(kind = 'identify')
FROM (SELECT {OWNER} AS p, device, kind FROM events WHERE {OF_RUN})"""
RECOGNISED = f"""
SELECT sum(devices - 1) FROM (
    SELECT {OWNER} AS p, uniqExact(device) AS devices FROM events WHERE {OF_RUN} AND device != '' GROUP BY p)"""
ORDERS = f"""
SELECT status, if(status = 'completed', uniqExact(order_id), count()) FROM orders WHERE {OF_RUN} GROUP BY status"""
REVENUE = f"SELECT sum(net_amount) FROM order_states WHERE order_id IN (SELECT order_id FROM orders WHERE {OF_RUN})"
ITEMS = f"SELECT count() FROM order_items WHERE {OF_RUN}"
# A record that Kafka gave twice (after a crash) may be among the duplicates as well: it stands in events already.
DUPLICATES = f"""
SELECT uniqExact(origin_partition, origin_offset) FROM duplicates WHERE {OF_RUN}
AND (origin_partition, origin_offset) NOT IN (SELECT origin_partition, origin_offset FROM events WHERE {OF_RUN})"""
DEAD_LETTERS = f"SELECT reason, count() FROM dead_letters WHERE {OF_RUN} GROUP BY reason ORDER BY reason"
# Parts that never had an event of their own were nobody before.
MERGES = f"""
SELECT uniqExact(loser_person) FROM merges
WHERE {PERSON} IN {PEOPLE_OF_RUN} AND loser_person IN (SELECT person FROM events WHERE {OF_RUN})"""
ACTIONS = f"""
SELECT DISTINCT action_id, rule FROM actions WHERE channel = 'webhook' AND {PERSON} IN {PEOPLE_OF_RUN} ORDER BY rule"""
DELIVERED = f"""
SELECT rule, uniqExact(action_id) FROM deliveries WHERE channel = 'webhook' AND status = 'delivered'
AND {PERSON} IN {PEOPLE_OF_RUN} GROUP BY rule ORDER BY rule"""
# A person who was merged away keeps rows of their own: only the survivor's tell what they have.
TAGGED = f"""
SELECT tag, countIf(value != '') AS people FROM (
    SELECT person, tag, argMax(new, (source_partition, source_offset, source_seq)) AS value FROM tag_changes
    WHERE person = {PERSON} AND person IN {PEOPLE_OF_RUN} GROUP BY person, tag)
GROUP BY tag HAVING people > 0 ORDER BY people DESC, tag"""
FUNNEL = f"""
SELECT countIf(level >= 1), countIf(level >= 2), countIf(level >= 3) FROM (
    SELECT {OWNER} AS p, windowFunnel(86400000000)(toUInt64(toUnixTimestamp64Micro(event_time)),
        event = 'Product Viewed', event = '{PRODUCT_ADDED}', event = 'Order Completed') AS level
    FROM events WHERE {OF_RUN} GROUP BY p)"""
RETENTION = f"""
SELECT toString(cohort), intDiv(dateDiff('day', cohort, week), 7) AS age, uniqExact(p) FROM (
    SELECT p, week, min(week) OVER (PARTITION BY p) AS cohort FROM (
        SELECT {OWNER} AS p, toMonday(event_time, {{zone:String}}) AS week FROM orders WHERE {OF_RUN} AND status = 'completed'))
GROUP BY cohort, age ORDER BY cohort, age"""


@dataclass(frozen=True)
class Observed:
    """What came out of a run; the names are those of `loadtest.shop.Expected`, and more.

    Attributes:
        dead_letters: reason to count.
        actions: action id to rule, on the webhook channel.
        delivered: rule to count, on the webhook channel.
        tagged: tag to the number of people who have it, the most frequent first.
        funnel: people who viewed a product, then put one into the cart, then ordered, within a day.
        retention: week of the first order to week after it to the number of people who ordered then.
        tags: user_id to that member's tags, of the members asked for.
    """

    applied: int = 0
    people: int = 0
    devices: int = 0
    recognised: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    orders: int = 0
    refunds: int = 0
    cancellations: int = 0
    items: int = 0
    merges: int = 0
    revenue: Decimal = Decimal(0)
    dead_letters: dict[str, int] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    tagged: dict[str, int] = field(default_factory=dict)
    funnel: tuple[int, int, int] = (0, 0, 0)
    retention: dict[str, dict[int, int]] = field(default_factory=dict)
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def fired(self) -> dict[str, int]:
        """Rule to the number of actions."""
        return dict(Counter(self.actions.values()))


class Observer:
    """Asks about one run. `prefix`: what the run's message ids begin with."""

    def __init__(self, client: Client, settings: Settings, access: Access, prefix: str) -> None:
        self._client, self._access = client, access
        self._parameters = {
            "prefix": prefix,
            "dictionary": dictionary(settings.clickhouse_database),
            "zone": settings.timezone,
        }

    def look(self, members: Iterable[str]) -> Observed:
        """Everything as it is now, with the tags of some members."""
        applied, people, devices, _ = self._rows(EVENTS)[0]
        by_status = self._counts(ORDERS)
        letters = self._counts(DEAD_LETTERS)
        viewed, added, ordered = self._rows(FUNNEL)[0]
        return Observed(
            applied=applied,
            people=people,
            devices=devices,
            recognised=self._number(RECOGNISED),
            duplicates=self._number(DUPLICATES),
            dead_lettered=sum(letters.values()),
            orders=by_status.get("completed", 0),
            refunds=by_status.get("refunded", 0),
            cancellations=by_status.get("cancelled", 0),
            items=self._number(ITEMS),
            merges=self._number(MERGES),
            revenue=Decimal(self._rows(REVENUE)[0][0] or 0),
            dead_letters=letters,
            actions={str(action_id): str(rule) for action_id, rule in self._rows(ACTIONS)},
            delivered=self._counts(DELIVERED),
            tagged=self._counts(TAGGED),
            funnel=(viewed, added, ordered),
            retention=self._retention(),
            tags={user_id: self.tags_of(user_id) for user_id in members},
        )

    def tags_of(self, user_id: str) -> dict[str, Any]:
        """A member's tags by name; empty if nobody has that number."""
        try:
            body = self._access.get(f"/v1/profiles?events=0&id={quote(f'user_id:{user_id}', safe='')}")
        except CdpError:
            return {}
        tags = msgspec.json.decode(body).get("tags", {})
        return {name: tag["value"] for name, tag in tags.items()}

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return list(self._client.query(query, parameters=self._parameters).result_rows)

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0] or 0)

    def _counts(self, query: str) -> dict[str, int]:
        return {str(name): int(count) for name, count in self._rows(query)}

    def _retention(self) -> dict[str, dict[int, int]]:
        table: dict[str, dict[int, int]] = {}
        for cohort, age, people in self._rows(RETENTION):
            table.setdefault(str(cohort), {})[int(age)] = int(people)
        return table
