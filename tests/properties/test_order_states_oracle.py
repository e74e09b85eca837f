"""Orders as profiles count them and as SQL does: the same, whatever the order in which their events come."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.clock import MINUTE
from cdp.events import Event, encode
from cdp.money import MONEY
from profiles.components.orders.figures import orders
from profiles.components.orders.state import ORDERS, Orders
from profiles.context import Context
from profiles.state import Person
from sinks.migrate import VIEWS, load
from sinks.rows import add_fact, new_rows
from sinks.tables import TABLES
from tests.shop import CALENDAR, NOW, Harness, make_event, make_person

DATABASE = "cdp"
HARNESS = Harness()

order_ids = st.sampled_from(["o1", "o2"])
times = st.integers(0, 3).map(lambda minutes: NOW - minutes * MINUTE)  # few, so that there are ties
amounts = st.sampled_from([0, 0.5, 10, 30, 100])
versions = st.sampled_from([None, 0, 1, 2, 3])
currencies = st.sampled_from(["", "CNY", "EUR"])


def of_kind(name: str, **properties: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(st.just(name), times, st.fixed_dictionaries({"order_id": order_ids, **properties}))


changes = st.one_of(
    of_kind("Order Completed", total=amounts, version=versions, currency=currencies),
    of_kind("Order Placed", total=amounts, version=versions),
    of_kind("Order Cancelled", version=versions),
    of_kind("Order Refunded", total=amounts, currency=currencies),
    of_kind("Order Refunded", total=amounts, currency=currencies, refund_id=st.sampled_from(["r1", "r2", 1])),
    of_kind("Order Refunded", version=versions, refund_id=st.sampled_from(["", "all", "r1"])),
)
histories = st.lists(changes, max_size=8)


class Engine:
    def __init__(self, session) -> None:
        self.session = session
        session.query(f"CREATE DATABASE {DATABASE}")
        for script in (*load(), *load(VIEWS)):
            for statement in script.statements(DATABASE):
                session.query(statement)

    def states(self, events: list[Event]) -> dict[str, tuple[int, int, dict[str, int]]]:
        """What SQL says of each order: whether it counts, what it is worth, and refunds in other currencies."""
        rows = new_rows()
        for offset, event in enumerate(events):
            head = {"p": 0, "o": offset, "one_id": "P0000000001", "person": 1, "part": 1, "origin": [0, offset]}
            add_fact(rows, msgspec.json.encode({**head, **json.loads(encode(event))}), 0, offset)
        self.session.query(f"TRUNCATE TABLE {DATABASE}.orders")
        if rows["orders"]:
            self.session.query(insert_of(rows["orders"]))
        answer = self.session.query(
            f"SELECT order_id, counts, net_amount * {MONEY}, toJSONString(other_currencies) FROM {DATABASE}.order_states",
            "JSONCompactEachRow",
        )
        found = [json.loads(line) for line in str(answer).splitlines() if line]
        return {
            order: (counts, int(net), {code: -int(Decimal(str(amount)) * MONEY) for code, amount in json.loads(other).items()})
            for order, counts, net, other in found
        }


def insert_of(rows: list[tuple]) -> str:
    columns = TABLES["orders"].columns
    lines = ", ".join(
        "(" + ", ".join(cell(kind, value) for (_, kind), value in zip(columns, row, strict=True)) + ")" for row in rows
    )
    return f"INSERT INTO {DATABASE}.orders ({', '.join(name for name, _ in columns)}) VALUES {lines}"


def cell(kind: str, value: object) -> str:
    if kind == "text":
        return f"'{value}'"
    if kind == "time":
        return f"fromUnixTimestamp64Micro({value})"
    return str(Decimal(str(value)) / MONEY) if kind in ("money", "quantity") else str(value)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    from chdb.session import Session

    session = Session(str(tmp_path_factory.mktemp("chdb")))
    yield Engine(session)
    session.close()


def counted(profile: Person) -> dict[str, tuple[int, int, dict[str, int]]]:
    """What the profile says of each order, one by one."""
    found = {}
    for order_id, order in profile.whole.get(ORDERS).by_id.items():
        alone = make_person(1, {ORDERS: Orders({order_id: order})})
        figures = orders(Context(alone, NOW, CALENDAR), None)
        found[order_id] = (figures.count, figures.amount, order.other_currencies)
    return found


@given(histories, st.integers(0, 2**32))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_profile_and_sql_count_orders_alike(engine: Engine, history: list, seed: int) -> None:
    events = [make_event(f"m{i}", name, properties=properties, time=time) for i, (name, time, properties) in enumerate(history)]
    shuffled = list(events)
    random.Random(seed).shuffle(shuffled)
    assert engine.states(shuffled) == counted(HARNESS.apply(make_person(), *events))


def test_what_was_stored_before_gets_its_refund_ids_and_unpaid_versions(engine: Engine) -> None:
    old = "before_versions"
    ask = engine.session.query
    ask(f"CREATE DATABASE {old}")
    scripts = load()
    for script in scripts[:9]:
        for statement in script.statements(old):
            ask(statement)
    facts = [
        ("Order Refunded", '{"order_id":"o","total":5,"refund_id":"R"}'), ("Order Refunded", '{"order_id":"o","refund_id":7}'),
        ("Order Refunded", '{"order_id":"o","total":1}'), ("Order Placed", '{"order_id":9,"version":3,"currency":"eur"}'),
        ("Order Placed", '{"order_id":"o"}'), ("Order Placed", '{"order_id":"o","version":"x"}'),
    ]  # fmt: skip
    for offset, (event, properties) in enumerate(facts):
        columns = "event_time, person, kind, event, properties, message_id, source_partition, source_offset, source_seq"
        ask(f"INSERT INTO {old}.events ({columns}) VALUES (now(), 4, 'track', '{event}', '{properties}', 'm', 1, {offset}, 0)")
    columns = "event_time, person, order_id, status, amount, source_partition, source_offset, source_seq"
    for offset, amount in ((0, -5), (1, 0), (2, -1)):
        ask(f"INSERT INTO {old}.orders ({columns}) VALUES (now(), 4, 'o', 'refunded', {amount}, 1, {offset}, 0)")
    for script in (*scripts[9:], *load(VIEWS)):
        for _ in range(2):  # a broken run is repeated
            for statement in script.statements(old):
                ask(statement)
    wanted = "source_offset, status, order_id, refund_id, full_refund, version, currency, owner"
    answer = str(ask(f"SELECT {wanted} FROM {old}.orders ORDER BY source_offset", "JSONCompactEachRow"))
    assert [json.loads(line) for line in answer.splitlines()] == [
        [0, "refunded", "o", "R", 0, 0, "", 4], [1, "refunded", "o", "7", 1, 0, "", 4], [2, "refunded", "o", "", 0, 0, "", 4],
        [3, "placed", "9", "", 0, 3, "EUR", 4],
    ]  # fmt: skip
    ask(f"DROP DATABASE {old}")
