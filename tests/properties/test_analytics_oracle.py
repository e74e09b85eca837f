"""Funnels and retention against a brute-force reading of the same histories, on the real engine."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.binding import bind_query
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.analytics import funnel, retention, span
from serving.analytics.models import FunnelRequest, RetentionRequest
from serving.analytics.query import Query
from serving.analytics.span import Span
from sinks.migrate import VIEWS, load

BASE = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000
DAY = 86_400 * SECOND
EVENTS = ["A", "B", "C"]
DATABASE = "cdp"
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Fact = tuple[int, int, str, dict[str, object]]  # person, time, event, properties


class Engine:
    def __init__(self, session) -> None:
        self.session = session
        session.query(f"CREATE DATABASE {DATABASE}")
        for migration in (*load(), *load(VIEWS)):
            for statement in migration.statements(DATABASE):
                session.query(statement)
        session.query(f"USE {DATABASE}")

    def fill(self, facts: list[Fact], merges: dict[int, int]) -> None:
        self.session.query("TRUNCATE TABLE events")
        self.session.query("TRUNCATE TABLE overrides")
        if facts:
            rows = ", ".join(
                f"(fromUnixTimestamp64Micro({time}), {person}, '{event}', '{props(properties)}', 0, {offset}, 0)"
                for offset, (person, time, event, properties) in enumerate(facts)
            )
            columns = "event_time, person, event, properties, source_partition, source_offset, source_seq"
            self.session.query(f"INSERT INTO events ({columns}) VALUES {rows}")
        for loser, winner in merges.items():
            self.session.query(f"INSERT INTO overrides (person, loser_person) VALUES ({winner}, {loser})")
        self.session.query("SYSTEM RELOAD DICTIONARY person_overrides")

    def rows(self, query: Query) -> list[list[object]]:
        sql, parameters = bind_query(query.sql, query.parameters, None)
        plain = {name.removeprefix("param_"): value for name, value in parameters.items()}
        answer = self.session.query(sql, "JSONCompactEachRow", params=plain)
        return [json.loads(line) for line in str(answer).splitlines() if line]


def props(properties: dict[str, object]) -> str:
    return json.dumps(properties).replace("\\", "\\\\").replace("'", "\\'")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    from chdb.session import Session

    session = Session(str(tmp_path_factory.mktemp("chdb")))
    yield Engine(session)
    session.close()


values = st.sampled_from([1, 2, 1.5, "1", "it's", True, False])
histories = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(0, 12).map(lambda s: BASE + s * SECOND),
        st.sampled_from(EVENTS),
        st.fixed_dictionaries({}, optional={"x": values}),
    ),
    max_size=12,
)
steps = st.lists(
    st.fixed_dictionaries({"event": st.sampled_from(EVENTS)}, optional={"where": st.fixed_dictionaries({"x": values})}),
    min_size=2,
    max_size=4,
)


def fits(step, fact: Fact) -> bool:
    _, _, event, properties = fact
    same = all(
        name in properties
        and properties[name] == value
        and isinstance(properties[name], bool) == isinstance(value, bool)
        and isinstance(properties[name], str) == isinstance(value, str)
        for name, value in step.where.items()
    )
    return event == step.event and same


def best_chain(request: FunnelRequest, facts: list[Fact], window: int, end: int) -> int:
    """The longest chain of different events, found by trying all."""
    best = 0

    def extend(level: int, used: tuple[int, ...], first: int, last: int) -> None:
        nonlocal best
        best = max(best, level)
        if level == len(request.steps):
            return
        for index, fact in enumerate(facts):
            time = fact[1]
            if index in used or not fits(request.steps[level], fact):
                continue
            if level == 0:
                if time < end:
                    extend(1, (index,), time, time)
            elif time - first <= window and (time > last if request.strict else time >= last):
                extend(level + 1, (*used, index), first, time)

    extend(0, (), 0, 0)
    return best


@SLOW
@given(
    facts=histories, asked=steps, strict=st.booleans(), until=st.integers(3, 13), merged=st.booleans(),
    within=st.integers(1, 8).map("{}s".format) | st.just("unlimited"),
)  # fmt: skip
def test_funnel_counts_the_best_chain_of_each_person(engine, facts, asked, strict, within, until, merged) -> None:
    merges = {3: 1} if merged else {}
    engine.fill(facts, merges)
    request = FunnelRequest(steps=asked, strict=strict, window=within)
    window, end = span.window(request.window), BASE + until * SECOND
    rows = engine.rows(funnel.build(request, window, BASE, end, f"{DATABASE}.person_overrides"))
    people = [r.people for r in funnel.summarise(request, rows)]
    by_person: dict[int, list[Fact]] = {}
    for fact in facts:
        by_person.setdefault(merges.get(fact[0], fact[0]), []).append(fact)
    levels = [best_chain(request, history, window, end) for history in by_person.values()]
    assert people == [sum(level > index for level in levels) for index in range(len(request.steps))]


ZONE = "Asia/Shanghai"
visits = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 70 * 24).map(lambda h: BASE + h * 3600 * SECOND),
        st.sampled_from(["A", "B"]),
        st.just({}),
    ),
    max_size=20,
)


def period_of(time: int, unit: str) -> date:
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).astimezone(ZoneInfo(ZONE)).date()
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[unit]


def distance(a: date, b: date, unit: str) -> int:
    if unit == "month":
        return (b.year - a.year) * 12 + b.month - a.month
    return (b - a).days // (7 if unit == "week" else 1)


@SLOW
@given(
    facts=visits,
    unit=st.sampled_from(["day", "week", "month"]),
    again=st.sampled_from(["A", "B"]),
    first=st.booleans(),
    periods=st.integers(1, 8),
)
def test_retention_counts_each_cohort(engine, facts, unit, again, first, periods) -> None:
    engine.fill(facts, {4: 2})
    request = RetentionRequest(start_event="A", return_event=again, unit=unit, periods=periods, first_time=first)
    start, end, now = BASE + 5 * DAY, BASE + 60 * DAY, BASE + 80 * DAY
    rows = engine.rows(retention.build(request, Span(start, end, now), ZONE, f"{DATABASE}.person_overrides"))
    parsed = [(date.fromisoformat(str(c)), n, p) for c, n, p in rows]
    today = period_of(now, "day")
    table = {c.start: (c.people, c.returned) for c in retention.summarise(request, parsed, today)}

    expected: dict[str, tuple[int, list[int | None]]] = {}
    begun: dict[tuple[date, int], int] = {}
    people = {2 if person == 4 else person for person, *_ in facts}
    history = {p: [(t, e) for person, t, e, _ in facts if (2 if person == 4 else person) == p] for p in people}
    for person in people:
        starts = sorted(t for t, e in history[person] if e == "A")
        starts = starts[:1] if first else starts
        for time in starts:
            if start <= time < end:
                begun.setdefault((period_of(time, unit), person), time)
    for cohort in sorted({c for c, _ in begun}):
        members = {p: t for (c, p), t in begun.items() if c == cohort}
        returned: list[int | None] = []
        for k in range(periods + 1):
            back = {
                p for p, began in members.items() for t, e in history[p]
                if e == again and t >= began and distance(cohort, period_of(t, unit), unit) == k
            }  # fmt: skip
            returned.append(len(back) if retention.step(cohort, unit, k) <= today else None)
        expected[cohort.isoformat()] = (len(members), returned)
    assert table == expected


def test_first_moments_of_a_month_count_there() -> None:
    assert retention.step(date(2026, 1, 1), "month", -1) == date(2025, 12, 1)
    assert retention.step(date(2026, 12, 1), "month", 2) == date(2027, 2, 1)
    assert [retention.step(date(2026, 1, 5), "week", k) for k in (-1, 1)] == [date(2025, 12, 29), date(2026, 1, 12)]
