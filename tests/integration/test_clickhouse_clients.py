"""Tools and drivers of ClickHouse as readers of the embedded server: what each sends unasked must be taken."""

import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError

from cdp.clickhouse import PLATFORM_USER, READER_USER, embedded_password
from cdp.errors import CdpError
from cdp.settings import Settings
from infra.clickhouse.limits import BOUNDS, LIMITS, may_be_given
from infra.fetch import copy_jars
from sinks.migrate import migrate
from tests.clickhouse_process import Running, ask

pytestmark = pytest.mark.skipif("CDP_TEST_CLICKHOUSE" in os.environ, reason="readers are the embedded server's own")

DATABASE = "cdp_test"
JDBC = Path(__file__).parent.parent / "clients" / "jdbc"
SLOW = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7"


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Iterator[Settings]:
    running = Running(tmp_path_factory.mktemp("clickhouse"))
    migrate(running.settings)
    yield running.settings
    running.stop()


# What each tool sends with every question:
# - Metabase, DBeaver: clickhouse-jdbc 0.8, as seen on the wire with setMaxRows and with Metabase's options of the connection
#   (modules/drivers/clickhouse). For no limit, StatementImpl.setLargeMaxRows sends the largest number there is.
# - JDBC 0.6: as seen on the wire, and ClickHouseHttpConnection.buildUrl.
# - Grafana: clickhouse-go over HTTP, conn_http.go and context.go (the deadline and five seconds), the data source's row limit.
# - Grafana of Altinity: request-options.ts. Tabix: its connector. ClickHouse's own page /play is alike.
# - Superset: clickhouse-connect, as seen on the wire.
# - @clickhouse/client: utils/url.ts, with settings of its examples.
TOOLS = {
    "Metabase": "compress=1&wait_end_of_query=0&async_insert=0&select_sequential_consistency=1&session_timezone=Asia/Shanghai"
    "&max_result_rows=2000&result_overflow_mode=break&query_id=m-1",
    "DBeaver": "compress=1&decompress=0&max_result_rows=200&result_overflow_mode=break",
    "DBeaver without a limit": "compress=1&max_result_rows=9223372036854775807&result_overflow_mode=break",
    "JDBC 0.6": "compress=1&max_execution_time=300&max_result_rows=1000&result_overflow_mode=break&log_comment=x"
    "&extremes=0&session_id=j-1&session_check=0&session_timeout=60&query_id=j-2&send_progress_in_http_headers=0",
    "Grafana": f"default_format=Native&client_protocol_version=54460&database={DATABASE}&max_execution_time=35&limit=100000",
    "Grafana, a time": "max_execution_time=30",
    "Grafana of Altinity": f"output_format_json_quote_64bit_integers=1&database={DATABASE}&enable_http_compression=1"
    "&add_http_cors_header=1",
    "Superset": "date_time_input_format=best_effort&cast_string_to_dynamic_use_inference=1&session_id=s-1"
    "&cancel_http_readonly_queries_on_client_close=1&wait_end_of_query=1&send_progress_in_http_headers=1"
    f"&http_headers_progress_interval_ms=120000&database={DATABASE}&enable_http_compression=1&query_id=s-2",
    "Tabix": "add_http_cors_header=1&log_queries=1&output_format_json_quote_64bit_integers=1"
    f"&output_format_json_quote_denormals=1&database={DATABASE}&result_overflow_mode=throw&max_result_rows=2000&readonly=1",
    "@clickhouse/client": f"query_id=n-1&enable_http_compression=1&date_time_input_format=best_effort&wait_end_of_query=1"
    f"&database={DATABASE}&session_id=n-2&output_format_json_quote_64bit_integers=0&http_write_exception_in_output_format=0",
    "ODBC": f"database={DATABASE}&default_format=RowBinaryWithNamesAndTypes&query_id=o-1&session_id=o-2&session_timeout=3600"
    "&quota_key=x",
}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_what_tools_send_is_taken(config, tool):
    answer = ask(config, TOOLS[tool], "SELECT 1")
    assert answer.status == 200, answer.body
    # The same settings behind the statement, where they are settings.
    given = [pair.split("=", 1) for pair in TOOLS[tool].split("&") if may_be_given(pair.split("=")[0])]
    clause = ", ".join(f"{name} = '{value}'" for name, value in [*given, ("final", "0")])
    assert ask(config, "", f"SELECT 1 SETTINGS {clause}").status == 200
    assert ask(config, "", f"SET {clause}").status == 200


def in_force(config: Settings, query_string: str, clause: str = "", name: str = "max_result_rows") -> str:
    return ask(config, query_string, f"SELECT getSetting('{name}') {clause}").body.decode().strip()


def test_a_readers_limit_may_be_lower_never_higher(config):
    ours = str(LIMITS["max_result_rows"])
    assert in_force(config, "") == ours
    assert in_force(config, "max_result_rows=5000") == in_force(config, "", "SETTINGS max_result_rows = 5000") == "5000"
    for high in ("0", "99999999999999"):
        assert in_force(config, f"max_result_rows={high}") == ours
        assert in_force(config, "", f"SETTINGS max_result_rows = {high}") == ours
    assert in_force(config, "max_execution_time=5", "SETTINGS max_execution_time = 7", "max_execution_time") == "7"
    assert in_force(config, "max_execution_time=0", name="max_execution_time") == str(LIMITS["max_execution_time"])


def test_the_limits_hold(config):
    many = "SELECT number FROM numbers(1000000)"
    assert ask(config, "max_result_rows=2000", many).code == "396"
    cut = ask(config, "max_result_rows=2000&result_overflow_mode=break", many)
    assert (cut.status, 2000 <= len(cut.body.splitlines()) < 100_000) == (200, True)  # whole blocks, as ClickHouse cuts
    whole = ask(config, "max_result_rows=0&result_overflow_mode=break", "SELECT number FROM numbers(10000001) FORMAT JSON")
    assert whole.code == "396"  # our limit is never an answer cut short
    assert (late := ask(config, "max_execution_time=1", SLOW)).code == "159", late.body
    assert late.status == 408


@pytest.mark.parametrize(
    ("query_string", "sql", "code", "status"),
    [
        ("nope=1", "SELECT 1", "115", 404),
        ("", "SELECT 1 SETTINGS nope = 1", "115", 404),
        ("", "SET nope = 1", "115", 404),
        ("max_memory_usage=0", "SELECT 1", "164", 500),
        ("readonly=0", "SELECT 1", "164", 500),
        ("profile=default", "SELECT 1", "164", 500),
        ("max_result_rows=lots", "SELECT 1", "72", 400),
        ("", "SELECT 1 SETTINGS profile = 'default'", "164", 500),
        ("", "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)", "164", 500),
        ("", "SELECT * FROM (SELECT 1 SETTINGS allow_introspection_functions)", "164", 500),
        ("", "SELECT * FROM (SELECT 1 SETTINGS a.b = 0, max_memory_usage = 0)", "115", 404),
        ("", "WITH x AS (SELECT 1 SETTINGS max_execution_time = 0) SELECT * FROM x", "164", 500),
        ("role=boss", "SELECT 1", "511", 404),
        ("", "SET ROLE boss", "511", 404),
        ("", "USE system", "497", 403),
        ("", "KILL QUERY WHERE 1", "497", 403),
        ("session_id=x&session_check=1", "SELECT 1", "372", 500),
    ],
)
def test_refused_as_clickhouse_refuses(config, query_string, sql, code, status):
    answer = ask(config, query_string, sql)
    assert (answer.code, answer.status) == (code, status), answer.body


@pytest.mark.parametrize("how", ["url", "clause"])
def test_no_setting_reads_or_writes_a_file(config, tmp_path, how):
    secret, target = tmp_path / "secret", tmp_path / "written.capnp"
    secret.write_text("the secret is ${a:Escaped}")
    for name, value, format_ in (("format_template_row", secret, "Template"), ("output_format_schema", target, "CapnProto")):
        query_string, clause = (f"{name}={value}", "") if how == "url" else ("", f"SETTINGS {name} = '{value}'")
        answer = ask(config, query_string, f"SELECT 1 AS a FORMAT {format_} {clause}")
        assert answer.code == "164", answer.body
        assert b"secret is" not in answer.body
    assert not target.exists()


def test_settings_with_texts_are_known_to_be_harmless(config):
    """A text may name a file, an address or a column of somebody: whoever lets a new one through looks at it first."""
    numbers_and_choices = (
        "match(type, 'Bool|Int|Float|Double|Seconds|Char|Threads|Overflow|Escaping|Compression|Version|Format$|Mode$|Level$')"
        " OR match(type, 'MatchingCaseSensitivity|UnsupportedGeometryHandling|UUIDRepresentation')"
    )
    sql = f"SELECT name FROM system.settings WHERE NOT ({numbers_and_choices})"
    assert {name for name in ask(config, "", sql, PLATFORM_USER).body.decode().split() if may_be_given(name)} == {
        "bool_false_representation", "bool_true_representation", "format_csv_null_representation",
        "format_tsv_null_representation", "format_custom_field_delimiter",
        "format_custom_result_after_delimiter", "format_custom_result_before_delimiter",
        "format_custom_row_after_delimiter", "format_custom_row_before_delimiter", "format_custom_row_between_delimiter",
        "format_json_object_each_row_column_for_object_name", "format_regexp", "input_format_mysql_dump_table_name",
        "input_format_orc_reader_time_zone_name", "log_comment", "network_compression_method", "output_format_avro_codec",
        "output_format_avro_confluent_subject", "output_format_avro_string_column_pattern", "output_format_image_terminal_mode",
        "output_format_orc_writer_time_zone_name", "output_format_pretty_grid_charset", "output_format_sql_insert_table_name",
        "session_timezone",
    }  # fmt: skip


def test_a_session_keeps_what_is_set(config):
    assert ask(config, "session_id=one", "SET max_result_rows = 7").status == 200
    assert in_force(config, "session_id=one") == "7"
    assert in_force(config, "session_id=one&max_result_rows=8") == "8"
    assert in_force(config, "session_id=two") == in_force(config, "") == str(LIMITS["max_result_rows"])
    assert ask(config, "session_id=one", "SET max_memory_usage = 0").code == "164"
    assert ask(config, "", f"USE {DATABASE}").status == ask(config, "", "SET ROLE NONE").status == 200


def test_the_table_of_settings_tells_the_truth(config):
    rows = ask(config, "", "SELECT name, readonly, max FROM system.settings AS s ORDER BY name").body.decode().splitlines()
    told = {name: (readonly, highest) for name, readonly, highest in (row.split("\t") for row in rows)}
    assert {name for name, (readonly, _) in told.items() if readonly == "0"} == {name for name in told if may_be_given(name)}
    assert {name: told[name][1] for name in BOUNDS} == {name: str(bound) for name, bound in BOUNDS.items()}


@pytest.fixture
def reader(config) -> Iterator[Client]:
    with connected(config) as client:
        yield client


def connected(config: Settings, **options) -> Client:
    parts = urllib.parse.urlsplit(config.clickhouse_url)
    password = embedded_password(config, READER_USER)
    return clickhouse_connect.get_client(
        host=parts.hostname, port=parts.port, username=READER_USER, password=password, database=DATABASE, **options
    )


def test_clickhouse_connect_as_the_reader(config, reader):
    assert reader.query("SELECT count() FROM orders").result_rows == [(0,)]
    many = "SELECT number FROM numbers(1000000)"
    assert 2000 <= reader.query(many, settings={"max_result_rows": 2000, "result_overflow_mode": "break"}).row_count < 100_000
    with pytest.raises(DatabaseError, match="code: 396"):
        reader.query(many, settings={"max_result_rows": 2000})
    ours = LIMITS["max_result_rows"]
    assert reader.query("SELECT getSetting('max_result_rows')", settings={"max_result_rows": 10**12}).result_rows == [(ours,)]
    with pytest.raises(ProgrammingError, match="max_memory_usage is readonly"):
        reader.query("SELECT 1", settings={"max_memory_usage": 0})
    with pytest.raises(DatabaseError, match="code: 115"):
        reader.query("SELECT 1", settings={"nope": 1})
    with connected(config, settings={"max_execution_time": 30, "readonly": 1}, compress="lz4", query_limit=100) as other:
        assert other.query("SELECT getSetting('max_execution_time')").result_rows == [(30,)]
        assert other.query_df(many).shape == (100, 1)
        assert other.query_arrow("SELECT 2 AS a").column(0).to_pylist() == [2]


@pytest.fixture(scope="module")
def probe(tmp_path_factory) -> list[str]:
    """The command that runs the Java program with ClickHouse's driver; a skip where they cannot be had."""
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("javac is not installed")
    jars, classes = tmp_path_factory.mktemp("jars"), tmp_path_factory.mktemp("classes")
    try:
        copy_jars(JDBC / "pom.xml", jars)
    except CdpError as error:
        pytest.skip(str(error))
    subprocess.run([compiler, "-Xlint:all", "-Werror", "-d", str(classes), str(JDBC / "Probe.java")], check=True, timeout=120)
    return ["java", "-cp", f"{classes}:{jars}/*", "Probe"]


# The driver's defaults ask for framed answers; then framed requests too, and limits as older drivers send them; then plain.
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "properties",
    [[], ["decompress=true", "jdbc_use_max_result_rows=true"], ["client.use_http_compression=true"], ["compress=false"]],
    ids=["defaults", "all framed", "HTTP compression", "plain"],
)
def test_jdbc(config, probe, properties):
    parts = urllib.parse.urlsplit(config.clickhouse_url)
    url = f"jdbc:clickhouse://{parts.hostname}:{parts.port}/{DATABASE}"
    arguments = [url, READER_USER, embedded_password(config, READER_USER), DATABASE, *properties]
    done = subprocess.run([*probe, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert told["driver"] == "0.10.0"
    for name in ("valid", "schemas", "catalogs", "columns", "types", "table types", "primary keys", "indexes", "procedures"):
        assert told[name] == "true", (name, told[name])
    assert told["tables"] == "[order_items, order_states, orders]"
    assert told["functions"] == "[windowFunnel]"
    assert told["settings"] == "[max_result_rows|0]"
    assert (told["one"], told["after"], told["at last"]) == ("[1]", "[2]", "[3]")
    assert told["values"] == "[1.5000|2026-01-31 08:00:00.5|Grüße 汉字|[1, 2]|null|{a=1}]"
    assert told["columns of an answer"] == "order_id Decimal(18, 4)"
    assert int(told["many rows"]) == sum(number + len(str(number)) for number in range(1_000_000))
    assert told["prepared"] == "[1|it's \\ 0|5000, 2|it's \\ 1|5000, 3|it's \\ 2|5000]"
    assert (told["session timezone"], told["set"], told["use"]) == ("[Asia/Shanghai]", "false", "false")
    assert (told["max rows"], told["more rows than max rows"], told["query timeout"]) == ("2000", "3", "[1000]")
    assert told["cancel"] == "cancelled"
    errors = {"server's timeout": 159, "syntax error": 62, "unknown table": 60, "failing": 395}
    for name, code in {**errors, "insert": 497, "batch": 497, "drop": 497}.items():
        assert told[name].startswith(f"SQLException {code} Code: {code}. DB::Exception: "), (name, told[name])
