"""Sessions by SQL against a plain reading of the same histories, on the real engine."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from clickhouse_connect.driver.binding import bind_query
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.analytics import funnel, retention, sessions
from serving.analytics.models import FunnelRequest, RetentionRequest
from serving.analytics.query import Query
from serving.analytics.span import Span
from sinks.migrate import VIEWS, load

BASE = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE
PAUSE = 30 * MINUTE
MERGED = {3: 1}


class Fact(NamedTuple):
    person: int
    time: int
    kind: str = "page"
    traffic: str = ""
    campaign: str = ""
    click_id: str = ""
    domain: str = ""
    bot: bool = False


class Placed(NamedTuple):
    person: int
    time: int
    amount: int


class Engine:
    def __init__(self, session: Any) -> None:
        self.session = session
        session.query("CREATE DATABASE cdp")
        for migration in (*load(), *load(VIEWS)):
            for statement in migration.statements("cdp"):
                session.query(statement)
        session.query("USE cdp")
        for loser, winner in MERGED.items():
            session.query(f"INSERT INTO overrides (person, loser_person) VALUES ({winner}, {loser})")
        session.query("SYSTEM RELOAD DICTIONARY person_overrides")

    def fill(self, facts: list[Fact], orders: list[Placed] | None = None) -> None:
        self.session.query("TRUNCATE TABLE events")
        self.session.query("TRUNCATE TABLE orders")
        if facts:
            rows = ", ".join(
                f"(fromUnixTimestamp64Micro({f.time}), {f.person}, 'P{f.person}', '{f.kind}', 'A', '/{offset}', '{f.traffic}',"
                f" '{f.campaign}', '{f.click_id}', '{f.domain}', {int(f.bot)}, {offset})"
                for offset, f in enumerate(facts)
            )
            columns = (
                "event_time, person, one_id, kind, event, path, traffic, campaign, click_id, referrer_domain, bot, source_offset"
            )
            self.session.query(f"INSERT INTO events ({columns}) VALUES {rows}")
        if orders:
            rows = ", ".join(
                f"(fromUnixTimestamp64Micro({o.time}), {o.person}, 'o{offset}', 'completed', {o.amount}, {offset})"
                for offset, o in enumerate(orders)
            )
            columns = "event_time, person, order_id, status, amount, source_offset"
            self.session.query(f"INSERT INTO orders ({columns}) VALUES {rows}")

    def rows(self, query: Query | str) -> list[list[Any]]:
        sql, parameters = (query, {}) if isinstance(query, str) else bind_query(query.sql, query.parameters, None)
        plain = {name.removeprefix("param_"): value for name, value in parameters.items()}
        answer = self.session.query(sql, "JSONCompactEachRow", params=plain)
        return [json.loads(line) for line in str(answer).splitlines() if line]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    from chdb.session import Session

    session = Session(str(tmp_path_factory.mktemp("chdb")))
    yield Engine(session)
    session.close()


def survivor(person: int) -> int:
    return MERGED.get(person, person)


def split(facts: list[Fact]) -> list[list[Fact]]:
    """One person's visits, read one event after the other; facts in order."""
    visits: list[list[Fact]] = []
    last_time, landed, last_mark, last_site = -PAUSE, False, "", ""
    for fact in facts:
        arrives = fact.traffic not in ("", "direct", "internal")
        mark = f"{fact.campaign}/{fact.click_id}" if arrives and (fact.campaign or fact.click_id) else ""
        site = fact.domain if arrives else ""
        is_late = fact.time - last_time >= PAUSE
        if is_late:
            landed, last_mark, last_site = False, "", ""
        if is_late or (landed and (mark != last_mark if mark else site not in ("", last_site))):
            visits.append([])
        visits[-1].append(fact)
        last_time, landed = fact.time, landed or fact.traffic != ""
        last_mark, last_site = mark or last_mark, site or last_site
    return visits


def expected(facts: list[Fact], orders: list[Placed]) -> list[list[Any]]:
    found: list[list[Any]] = []
    counting = [f for f in facts if not f.bot and f.kind in ("track", "page", "screen")]
    for person in sorted({survivor(f.person) for f in counting}):
        mine = sorted((f for f in counting if survivor(f.person) == person), key=lambda f: (f.time, facts.index(f)))
        visits = split(mine)
        sold = [[] for _ in visits]
        for order in orders:
            before = [f for f in mine if f.time <= order.time]
            if survivor(order.person) == person and before and order.time - before[-1].time < PAUSE:
                sold[next(i for i, v in enumerate(visits) if any(f is before[-1] for f in v))].append(order.amount)
        for number, (visit, amounts) in enumerate(zip(visits, sold, strict=True), start=1):
            ways = [f.traffic for f in visit if f.traffic]
            way = next((w for w in ways if w != "internal"), ways[0] if ways else "")
            pages = sum(f.kind != "track" for f in visit)
            found.append([person, number, visit[0].time, visit[-1].time, len(visit), pages, way, len(amounts), sum(amounts)])
    return found


times = st.integers(0, 12).map(lambda step: BASE + step * 10 * MINUTE)
facts_lists = st.lists(
    st.builds(
        Fact,
        person=st.integers(1, 3),
        time=times,
        kind=st.sampled_from(["page", "page", "track", "screen", "identify", "order"]),
        traffic=st.sampled_from(["", "direct", "internal", "search", "email"]),
        campaign=st.sampled_from(["", "", "spring", "sale"]),
        click_id=st.sampled_from(["", "", "x"]),
        domain=st.sampled_from(["", "a.com", "b.com"]),
        bot=st.sampled_from([False, False, False, True]),
    ),
    max_size=14,
)
order_lists = st.lists(st.builds(Placed, person=st.integers(1, 3), time=times, amount=st.integers(1, 9)), max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=facts_lists, orders=order_lists)
def test_sessions_are_what_reading_one_event_after_the_other_gives(engine, facts, orders) -> None:
    engine.fill(facts, orders)
    rows = engine.rows(
        "SELECT person, session, toUnixTimestamp64Micro(started_at), toUnixTimestamp64Micro(ended_at), events, pages, traffic,"
        " orders, toInt64(amount) FROM sessions ORDER BY person, session"
    )
    assert [[int(v) if i != 6 else v for i, v in enumerate(row)] for row in rows] == expected(facts, orders)


def test_a_visit_in_all_its_columns(engine) -> None:
    engine.fill(
        [
            Fact(1, BASE, "track"),
            Fact(3, BASE + MINUTE, "page", "email", "spring", "c1", "mail.qq.com"),
            Fact(1, BASE + 5 * MINUTE, "page", "internal"),
        ],
        [Placed(1, BASE + 20 * MINUTE, 8)],
    )
    columns = "one_id, entry_path, exit_path, traffic, campaign, referrer_domain, events, pages, orders"
    visit = ["P0000000001", "/1", "/2", "email", "spring", "mail.qq.com", 3, 2, 1]
    assert engine.rows(f"SELECT {columns} FROM sessions") == [visit]


def test_a_static_referrer_of_a_one_page_application_starts_one_visit(engine) -> None:
    """The first address has the click id, later ones have not; the browser names the same referrer for all."""
    engine.fill(
        [
            Fact(1, BASE, "page", "paid_search", "", "g1", "google.com"),
            Fact(1, BASE + MINUTE, "page", "search", "", "", "google.com"),
            Fact(1, BASE + 2 * MINUTE, "page", "social", "", "", "weibo.com"),
        ]
    )
    assert engine.rows("SELECT traffic, pages FROM sessions ORDER BY session") == [["paid_search", 2], ["social", 1]]


def test_sessions_by_day_and_channel(engine) -> None:
    engine.fill(
        [
            Fact(1, BASE, "page", "search", "", "", "baidu.com"),
            Fact(2, BASE, "page", "search", "", "", "baidu.com"),
            Fact(2, BASE + 3 * MINUTE, "page", "internal"),
            Fact(2, BASE + DAY, "page", "direct"),
            Fact(2, BASE + DAY, "page", "search", bot=True),
        ],
        [Placed(2, BASE + 4 * MINUTE, 7)],
    )
    rows = sessions.summarise(engine.rows(sessions.build(Span(BASE - DAY, BASE + 2 * DAY, BASE), "Asia/Shanghai")))
    first, second = rows
    assert (first.day, first.traffic, first.sessions, first.people) == ("2026-01-01", "search", 2, 2)
    assert (first.bounce_rate, first.average_seconds, first.pages, first.conversions) == (0.5, 90, 1.5, 1)
    assert (first.orders, first.amount) == (1, 7)
    assert (second.day, second.traffic, second.sessions, second.bounce_rate) == ("2026-01-02", "direct", 1, 1)
    assert not engine.rows(sessions.build(Span(BASE + 1, BASE + 10, BASE), "UTC"))  # a visit that began before is no other one


def test_bots_are_in_no_funnel_and_no_retention(engine) -> None:
    engine.fill([Fact(1, BASE), Fact(1, BASE + 1), Fact(2, BASE, bot=True), Fact(2, BASE + 1, bot=True)])
    steps = FunnelRequest(steps=[{"event": "A"}, {"event": "A"}])
    rows = engine.rows(funnel.build(steps, MINUTE, BASE, BASE + DAY, "cdp.person_overrides"))
    assert [step.people for step in funnel.summarise(steps, rows)] == [1, 1]
    request = RetentionRequest(start_event="A", return_event="A")
    rows = engine.rows(retention.build(request, Span(BASE, BASE + DAY, BASE + DAY), "UTC", "cdp.person_overrides"))
    assert {int(people) for *_, people in rows} == {1}
