"""What a reader's own settings come to, wherever they stand: in the URL, in a clause, in a SET, in a session."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.clickhouse.fail import ClickHouseError
from infra.clickhouse.kill import killed_query
from infra.clickhouse.lift import lift_settings, settings_within
from infra.clickhouse.limits import BOUNDS, LIMITS, limited
from infra.clickhouse.protocol import Request, check_role, parse
from infra.clickhouse.reveal import Revealer
from infra.clickhouse.sessions import Sessions

# fmt: off
KNOWN = frozenset([
    *BOUNDS, "readonly", "result_overflow_mode", "timeout_overflow_mode", "max_result_bytes", "max_memory_usage",
    "join_use_nulls", "final", "limit", "format_schema", "format_template_row", "output_format_schema",
    "format_avro_schema_registry_url", "format_csv_delimiter", "max_rows_to_read", "allow_introspection_functions",
    "format_display_secrets_in_show_and_select",
])
# fmt: on
OURS = {name: str(value) for name, value in LIMITS.items()} | {"allow_introspection_functions": "0"}


def settle(**settings: str) -> dict[str, str]:
    return limited(settings, KNOWN)


def code(settings: Mapping[str, str]) -> tuple[int, int]:
    with pytest.raises(ClickHouseError) as refused:
        limited(settings, KNOWN)
    return refused.value.code, refused.value.status


def test_without_wishes_ours_holds():
    assert settle() == OURS


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_limit_may_be_lower_and_never_higher(name):
    ours = OURS.get(name)
    assert settle(**{name: "1"}) == OURS | {name: "1"}
    for high in (str(BOUNDS[name]), str(BOUNDS[name] + 1), "9223372036854775807", "0", "00", "+0", "0.0"):
        assert settle(**{name: high}).get(name) == ours


@given(st.sampled_from(sorted(BOUNDS)), st.one_of(st.integers().map(str), st.floats().map(str), st.text(), st.just("1e99")))
def test_no_value_lifts_a_limit(name, value):
    try:
        settled = settle(**{name: value})
    except ClickHouseError as error:
        assert error.code == 72
    else:
        assert 0 < float(settled.get(name, BOUNDS[name])) <= BOUNDS[name]


def test_an_answer_is_cut_short_only_by_a_limit_of_the_readers_own():
    cut = {"result_overflow_mode": "break"}
    assert settle(max_result_rows="2000", **cut) == OURS | {"max_result_rows": "2000"} | cut
    assert settle(max_result_bytes="2000", **cut) == OURS | {"max_result_bytes": "2000"} | cut
    assert settle(max_result_rows="9223372036854775807", **cut) == OURS
    assert settle(max_result_rows="0", **cut) == OURS
    assert settle(**cut) == OURS
    assert settle(max_execution_time="5", timeout_overflow_mode="break")["timeout_overflow_mode"] == "break"
    assert settle(timeout_overflow_mode="break") == OURS


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("nope", "1", (115, 404)),
        ("max_memory_usage", "1", (164, 500)),
        ("allow_introspection_functions", "1", (164, 500)),
        ("profile", "default", (164, 500)),
        ("readonly", "0", (164, 500)),
        ("format_schema", "/etc/passwd", (164, 500)),
        ("format_template_row", "/etc/passwd", (164, 500)),
        ("output_format_schema", "/tmp/x", (164, 500)),
        ("format_avro_schema_registry_url", "http://x", (164, 500)),
        ("format_display_secrets_in_show_and_select", "1", (164, 500)),
        ("max_result_rows", "many", (72, 400)),
        ("max_result_rows", "-1", (72, 400)),
        ("max_execution_time", "inf", (72, 400)),
        ("max_execution_time", "nan", (72, 400)),
    ],
)
def test_refused(name, value, expected):
    assert code({name: value}) == expected


def test_taken_as_they_are():
    assert settle(readonly="1") == settle(readonly="2") == OURS
    assert settle(join_use_nulls="1", format_csv_delimiter=";") == OURS | {"join_use_nulls": "1", "format_csv_delimiter": ";"}
    assert settle(max_threads="auto(8)") == OURS


@pytest.mark.parametrize(
    ("sql", "bare", "settings"),
    [
        ("SELECT 1", "SELECT 1", {}),
        ("SELECT 1 SETTINGS a = 1", "SELECT 1", {"a": "1"}),
        (
            "SELECT 1 SETTINGS a = -1.5, b = 'it\\'s \\\\ \\n', c = true FORMAT JSON",
            "SELECT 1 FORMAT JSON",
            {"a": "-1.5", "b": "it's \\ \n", "c": "true"},
        ),
        ("(SELECT 1) UNION ALL (SELECT 2) SETTINGS a = 1", "(SELECT 1) UNION ALL (SELECT 2)", {"a": "1"}),
        ("DESCRIBE TABLE x FORMAT JSON SETTINGS a = 1", "DESCRIBE TABLE x FORMAT JSON", {"a": "1"}),
        ("SELECT settings = 1 FROM settings", None, {}),
        ("SELECT 1 SETTINGS a = 1 UNION ALL SELECT 2", None, {}),
        ("SELECT * FROM (SELECT 1 SETTINGS a = 1)", None, {}),
        ("SELECT 1 SETTINGS a = [1, 2]", None, {}),
        ("SELECT 1 SETTINGS a = DEFAULT", None, {}),
        ("SELECT ' SETTINGS a = 1'", None, {}),
        ("SHOW SETTINGS LIKE 'a'", None, {}),
    ],
)
def test_the_clause_is_taken_out(sql, bare, settings):
    assert lift_settings(sql) == (bare or sql, settings)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT * FROM (SELECT 1 SETTINGS readonly = 0, limit = 1)", ["readonly", "limit"]),
        ("SELECT * FROM (SELECT 1 SETTINGS limit = 1, final, readonly)", ["limit", "final", "readonly"]),
        ("SELECT 1 SETTINGS a = {'x':1, 'y':2}, readonly = 0", ["a", "readonly"]),
        ("SELECT 1 SETTINGS a = (1, 2) UNION ALL (SELECT 1 SETTINGS b = 1)", ["a", "b"]),
        ("WITH x AS (SELECT 1 SETTINGS a = 1) SELECT 2 SETTINGS b = 1", ["a", "b"]),
        ("SELECT * FROM (SELECT 1 SETTINGS a.b = 0, `c d` = 1, readonly = 0)", ["a.b", "`c d`", "readonly"]),
        ("SELECT settings, a = 1 FROM x.settings AS s WHERE b = 1 AND settings.c = 1 ORDER BY settings", []),
    ],
)
def test_settings_are_found_however_deep(sql, names):
    assert list(settings_within(sql, KNOWN)) == names


def test_the_table_of_settings_tells_what_a_reader_may_give():
    reveal = Revealer(KNOWN).reveal
    assert (
        reveal("SELECT 'FROM system.settings', a FROM system.settings_x")
        == "SELECT 'FROM system.settings', a FROM system.settings_x"
    )
    shown = reveal("SELECT name FROM system.settings AS s JOIN system.settings ON s.name = settings.name")
    assert shown.count("REPLACE") == 2
    assert "'max_result_rows'" in shown
    assert "format_schema" not in shown


@pytest.mark.parametrize(
    "sql", ["KILL QUERY WHERE query_id = 'a''b'", "/* x */ kill query where query_id='a\\'b' SYNC FORMAT TSV;"]
)
def test_cancelling(sql):
    assert killed_query(sql) == "a'b"


@pytest.mark.parametrize(
    "sql",
    [
        "KILL QUERY WHERE 1",
        "KILL QUERY WHERE query_id = 'a' OR 1",
        "KILL QUERY WHERE query_id = a",
        "KILL MUTATION",
        "SELECT 1",
        "KILL QUERY WHERE query_id != 'a'",
        "KILL QUERY WHERE query_id = 'a' FORMAT",
        "KILL QUERY WHERE query_id =",
    ],
)
def test_anything_else_is_not_cancelling(sql):
    assert killed_query(sql) is None


def test_sessions_keep_settings_for_their_user_only():
    sessions = Sessions()
    sessions.keep("a", {"session_id": "1"}, {"final": "1"})
    assert sessions.settings("a", {"session_id": "1", "session_check": "1"}) == {"final": "1"}
    assert sessions.settings("b", {"session_id": "1"}) == {}
    assert sessions.settings("a", {}) == {}
    sessions.keep("a", {"session_id": "1", "close_session": "1"}, {"final": "1"})
    with pytest.raises(ClickHouseError) as gone:
        sessions.settings("a", {"session_id": "1", "session_check": "1"})
    assert gone.value.code == 372


def test_sessions_end_and_are_bounded():
    sessions = Sessions()
    sessions.keep("a", {"session_id": "short", "session_timeout": "0"}, {"final": "1"})
    assert sessions.settings("a", {"session_id": "short"}) == {}
    for seconds in ("3601", "-1", "soon"):
        with pytest.raises(ClickHouseError) as refused:
            sessions.keep("a", {"session_id": "1", "session_timeout": seconds}, {})
        assert refused.value.code == 374
    for number in range(2000):
        sessions.keep("a", {"session_id": str(number)}, {"limit": str(number)})
    assert sessions.settings("a", {"session_id": "0"}) == {}
    assert sessions.settings("a", {"session_id": "1999"}) == {"limit": "1999"}


def test_there_are_no_roles():
    for name in ("", "NONE", "default", "`ALL`"):
        check_role(name)
    with pytest.raises(ClickHouseError, match="There is no role `boss`"):
        parse(Request("POST", "/", {"query": "SELECT 1", "role": "boss"}, {}), "id")
