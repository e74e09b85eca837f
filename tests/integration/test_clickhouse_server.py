"""The embedded ClickHouse as its clients see it.

With CDP_TEST_CLICKHOUSE=http://user:password@host:8123 the same tests run against that server; what only the embedded one
can show (its own users, kill -9) is left out then.
"""

import base64
import datetime as dt
import gzip
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import lz4.frame
import pyarrow as pa
import pytest
from backports import zstd
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from cdp.clickhouse import READER_USER, connect, embedded_password
from cdp.errors import CdpError
from cdp.settings import Settings
from sinks.migrate import migrate
from tests.clickhouse_process import Running, free_base

OUTSIDE = os.environ.get("CDP_TEST_CLICKHOUSE", "")
embedded_only = pytest.mark.skipif(bool(OUTSIDE), reason="only the embedded server")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("clickhouse"))
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="module")
def config(request) -> Settings:
    if OUTSIDE:
        settings = Settings(clickhouse=OUTSIDE, clickhouse_database="cdp_test")
        connect(settings, database="").command("DROP DATABASE IF EXISTS cdp_test")
    else:
        settings = request.getfixturevalue("server").settings
    migrate(settings)
    return settings


@pytest.fixture
def client(config) -> Iterator[Client]:
    made = connect(config)
    yield made
    made.close()


@pytest.fixture
def table(client) -> Iterator[str]:
    client.command("DROP TABLE IF EXISTS cdp_test.t")
    client.command(
        "CREATE TABLE cdp_test.t (id UInt64, word String) ENGINE = MergeTree ORDER BY id"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    yield "cdp_test.t"
    client.command("DROP TABLE cdp_test.t")


def credentials(config: Settings) -> str:
    url = urllib.parse.urlsplit(config.clickhouse_url)
    return f"{url.username}:{url.password}" if OUTSIDE else f"cdp:{embedded_password(config, 'cdp')}"


def ask(config: Settings, url: str, body: bytes | None = None, user: str = "", **headers: str):
    """A plain HTTP request, as curl makes it: status, headers, body."""
    parts = urllib.parse.urlsplit(config.clickhouse_url)
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}{url}", data=body)
    request.add_header("Authorization", "Basic " + base64.b64encode((user or credentials(config)).encode()).decode())
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_curl(config):
    status, headers, body = ask(config, "/?query=SELECT%201")
    assert (status, body) == (200, b"1\n")
    assert headers["X-ClickHouse-Format"] == "TabSeparated"
    assert ask(config, "/ping")[2] == b"Ok.\n"
    assert ask(config, "/", b"SELECT 1 AS a FORMAT JSONEachRow")[2] == b'{"a":1}\n'
    assert ask(config, "/?default_format=CSV", b"SELECT 1, 'x'")[2] == b'1,"x"\n'
    assert ask(config, "/?query_id=mine", b"SELECT 1")[1]["X-ClickHouse-Query-Id"] == "mine"


def test_every_type_of_the_schema_there_and_back(client):
    client.command("DROP TABLE IF EXISTS cdp_test.types")
    client.command(
        "CREATE TABLE cdp_test.types (a DateTime64(6, 'UTC'), b String, c LowCardinality(String), d UInt16, e UInt32, f UInt64,"
        " g Int32, h Int64, i Decimal(18, 3), j Decimal(18, 4)) ENGINE = MergeTree ORDER BY f"
    )
    row = (
        dt.datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=dt.UTC), "汉字 \t'\n", "app", 65535, 2**32 - 1, 2**64 - 1,
        -1, -(2**63), Decimal("1.005"), Decimal("-99999999999999.9999"),
    )  # fmt: skip
    summary = client.insert("cdp_test.types", [row])
    assert summary.written_rows == 1
    (back,) = client.query("SELECT * FROM cdp_test.types", column_tzs={"a": "UTC"}).result_rows
    assert (back[0].replace(tzinfo=dt.UTC), *back[1:]) == row


def test_arrow(client, table):
    rows = pa.table({"id": pa.array(range(50_000), pa.uint64()), "word": pa.array(["wörd"] * 50_000)})
    client.insert_arrow(table, rows)
    rows = rows.set_column(1, "word", pa.array(["word"] * 50_000))  # the same block twice would be taken for a repeat
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    client.raw_insert(table, column_names=["id", "word"], insert_block=sink.getvalue(), fmt="ArrowStream")
    assert client.query(f"SELECT count(), sum(id), uniqExact(word) FROM {table}").result_rows == [
        (100_000, 2 * 49_999 * 25_000, 2)
    ]
    assert client.query_arrow(f"SELECT id FROM {table} ORDER BY id LIMIT 3").column(0).to_pylist() == [0, 0, 1]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("lz4", lz4.frame.compress), ("zstd", zstd.compress)])
def test_compressed_requests(config, client, table, encoding, pack):
    data = b"1\tone\n2\ttwo\n"
    status, _, body = ask(config, f"/?query=INSERT%20INTO%20{table}%20FORMAT%20TSV", pack(data), Content_Encoding=encoding)
    assert (status, body) == (200, b"")
    assert ask(config, "/", pack(f"SELECT * FROM {table} ORDER BY id".encode()), Content_Encoding=encoding)[2] == data


@pytest.mark.parametrize(
    ("encoding", "unpack"),
    [("gzip", gzip.decompress), ("lz4", lambda d: lz4.frame.LZ4FrameDecompressor().decompress(d)), ("zstd", zstd.decompress)],
)
def test_compressed_answers(config, encoding, unpack):
    sql = b"SELECT number FROM numbers(300000)"
    status, headers, body = ask(config, "/?enable_http_compression=1", sql, Accept_Encoding=encoding)
    assert (status, headers["Content-Encoding"]) == (200, encoding)
    assert unpack(body) == b"".join(b"%d\n" % n for n in range(300_000))


def test_parameters(client, config):
    sql = "SELECT {n:UInt32} + 1, {s:String}, {a:Array(String)}, {t:DateTime64(6)}"
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    row = client.query(sql, parameters={"n": 4, "s": "it's\n\t\\", "a": ["x'", "y"], "t": moment}).result_rows[0]
    assert row[:3] == (5, "it's\n\t\\", ["x'", "y"])
    assert ask(config, "/?param_x=7&query=SELECT%20%7Bx:UInt8%7D")[2] == b"7\n"
    long = "x" * 20_000  # travels as a form
    assert client.query("SELECT length({s:String})", parameters={"s": long}).result_rows == [(20_000,)]


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [
        (b"SELEC 1", 62, 400),
        (b"SELECT * FROM cdp_test.nope", 60, 404),
        (b"SELECT nope", 47, 404),
        (b"SELECT 1 FROM nope.nope", 81, 404),
        (b"SELECT 1 SETTINGS nope = 1", 115, 404),
        (b"SELECT 1; SELECT 2", 62, 400),
        (b"INSERT INTO cdp_test.nope FORMAT CSV 1", 60, 404),
        (b"INSERT INTO cdp_test.merges (person) FORMAT CSV\nx\n", 117, 400),
        (b"SELECT throwIf(1)", 395, 500),
    ],
)
def test_errors(config, sql, code, status):
    got, headers, body = ask(config, "/", sql)
    assert (got, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert b") (version " in body


def test_unknown_settings_and_databases(config):
    assert ask(config, "/?nope=1", b"SELECT 1")[1]["X-ClickHouse-Exception-Code"] == "115"
    assert ask(config, "/?database=nope", b"SELECT 1")[1]["X-ClickHouse-Exception-Code"] == "81"


def test_an_error_in_the_middle_of_an_answer_is_not_lost(client):
    with (
        pytest.raises((DatabaseError, OperationalError)),
        client.query_rows_stream(
            "SELECT throwIf(number = 3000000) FROM numbers(10000000) SETTINGS max_block_size = 65000"
        ) as rows,
    ):
        for _ in rows:
            pass


def test_wrong_password(config):
    status, headers, _ = ask(config, "/", b"SELECT 1", user="cdp:wrong")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert ask(config, "/", b"SELECT 1", user="nobody:x")[0] == 403


def test_settings_do_not_leak_to_the_next(config):
    assert ask(config, "/?max_threads=3", b"SELECT getSetting('max_threads')")[2] == b"3\n"
    ask(config, "/", b"SET max_threads = 3")
    assert ask(config, "/", b"SELECT getSetting('max_threads') = 3")[2] == b"0\n"


def test_eight_threads(config):
    def work(number: int) -> int:
        mine = connect(config)
        try:
            return sum(int(mine.query(f"SELECT sum(number) + {number} FROM numbers(100000)").result_rows[0][0]) for _ in range(5))
        finally:
            mine.close()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [5 * (4_999_950_000 + n) for n in range(8)]


def test_a_repeated_block_is_dropped(client, table):
    for value in ("a", "b"):
        client.insert(table, [[1, value]], settings={"insert_deduplication_token": "0-0-9"})
    client.insert(table, [[1, "c"]], settings={"insert_deduplication_token": "0-10-19"})
    assert client.query(f"SELECT groupArray(word) FROM (SELECT word FROM {table} ORDER BY word)").result_rows == [(["a", "c"],)]


def test_merged_people_and_orders(client, config):
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    client.insert("overrides", [[1, 2], [1, 3]], column_names=["person", "loser_person"])
    client.command("SYSTEM RELOAD DICTIONARY cdp_test.person_overrides")
    mapped = "SELECT dictGetOrDefault('cdp_test.person_overrides', 'person', toUInt64(p), toUInt32(p))"
    mapped += " FROM (SELECT arrayJoin([2, 3, 4]) AS p)"
    assert client.query(mapped).result_rows == [(1,), (1,), (4,)]
    orders = [
        (2, "A", "completed", "100", 0), (1, "A", "refunded", "-30.5", 1), (1, "B", "completed", "50", 2),
        (1, "B", "refunded", "0", 3), (1, "C", "cancelled", "0", 4), (1, "C", "completed", "10", 5),
        (4, "D", "refunded", "-5", 6),
    ]  # fmt: skip
    versions = [
        ("E", "completed", "100", "CNY", 2, 10), ("E", "completed", "70", "CNY", 1, 11), ("E", "refunded", "-10", "CNY", 0, 12),
        ("E", "refunded", "-5", "", 0, 13), ("E", "refunded", "-1000", "EUR", 0, 14), ("F", "completed", "9", "CNY", 3, 15),
        ("F", "cancelled", "0", "CNY", 2, 16), ("G", "completed", "9", "CNY", 3, 17), ("G", "cancelled", "0", "", 0, 18),
        ("H", "completed", "9", "CNY", 3, 19), ("H", "cancelled", "0", "", 3, 20), ("I", "completed", "8", "EUR", 0, 21),
        ("I", "refunded", "0", "CNY", 0, 22),
    ]  # fmt: skip
    client.insert(
        "orders",
        [
            [moment, person, order, status, Decimal(amount), f"m{offset}", 0, offset, 0]
            for person, order, status, amount, offset in orders
        ],
        column_names=[
            "event_time", "person", "order_id", "status", "amount", "message_id",
            "source_partition", "source_offset", "source_seq",
        ],
    )  # fmt: skip
    client.insert(
        "orders",
        [[moment, 4, *row[:2], Decimal(row[2]), *row[3:5], f"m{row[5]}", 0, row[5], 0] for row in versions],
        column_names=[
            "event_time", "person", "order_id", "status", "amount", "currency", "version", "message_id",
            "source_partition", "source_offset", "source_seq",
        ],
    )  # fmt: skip
    query = "SELECT person, order_id, net_amount, counts, status, version FROM order_states ORDER BY order_id"
    assert client.query(query).result_rows == [
        (1, "A", Decimal("69.5"), 1, "refunded", 0), (1, "B", 0, 0, "refunded", 0), (1, "C", 0, 0, "cancelled", 0),
        (4, "D", Decimal(-5), 0, "refunded", 0), (4, "E", Decimal(85), 1, "refunded", 2), (4, "F", Decimal(9), 1, "completed", 3),
        (4, "G", 0, 0, "cancelled", 3), (4, "H", 0, 0, "cancelled", 3), (4, "I", 0, 0, "refunded", 0),
    ]  # fmt: skip
    assert migrate(config) == []


def test_a_query_ends_when_its_client_goes(config, client):
    parts = urllib.parse.urlsplit(config.clickhouse_url)
    token = base64.b64encode(credentials(config).encode()).decode()
    sql = b"SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7 FORMAT JSON"
    with socket.create_connection((parts.hostname, parts.port)) as raw:
        head = f"POST /?cancel_http_readonly_queries_on_client_close=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"
        raw.sendall(f"{head}Content-Length: {len(sql)}\r\n\r\n".encode() + sql)
        time.sleep(1)
        assert running(client) == 1
    deadline = time.monotonic() + 20
    while running(client) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert running(client) == 0


def running(client: Client) -> int:
    return int(
        client.query(
            "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number) = 7%' AND query NOT LIKE '%processes%'"
        ).result_rows[0][0]
    )


@embedded_only
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM events", "SELECT * FROM cdp_test.order_states LIMIT 1", "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "SHOW TABLES", "DESCRIBE TABLE events", "EXISTS TABLE events", "EXPLAIN SELECT * FROM events", "SHOW CREATE TABLE events",
        "SELECT * FROM numbers(3)", "SELECT name FROM system.columns LIMIT 1", "SELECT 'file(1)', format('{}', 1)",
        "SELECT dictGetOrDefault('cdp_test.person_overrides', 'person', toUInt64(9), toUInt32(9))",
        "SELECT {x:UInt8} FORMAT JSON",
    ],
)  # fmt: skip
def test_readers_may_look(config, sql):
    status, _, body = ask(config, "/?param_x=1", sql.encode(), user=f"{READER_USER}:{embedded_password(config, READER_USER)}")
    assert status == 200, body


@embedded_only
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO events (person) VALUES (1)", "INSERT INTO events (person) SELECT 1", "DROP TABLE events",
        "TRUNCATE TABLE events",
        "CREATE TABLE x (a UInt8) ENGINE = Memory", "ALTER TABLE events DELETE WHERE 1", "KILL QUERY WHERE 1",
        "SET max_memory_usage = 0",
        "SYSTEM RELOAD DICTIONARY cdp_test.person_overrides", "USE system", "OPTIMIZE TABLE events", "GRANT SELECT ON *.* TO x",
        "SELECT 1 SETTINGS max_memory_usage = 0", "SELECT 1 SETTINGS readonly = 0", "SELECT 1; DROP TABLE events",
        "SELECT file('/etc/hostname')", "SELECT `file`('/etc/hostname')", "SELECT FILE /* x */ ('/etc/hostname')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM (SELECT * FROM url('http://127.0.0.1/', 'CSV'))",
        "WITH a AS (SELECT * FROM remote('x', 'y', 'z')) SELECT 1", "SELECT 1 UNION ALL SELECT * FROM s3('x')",
        "SELECT 1 WHERE 1 IN (SELECT * FROM executable('ls', 'TSV', 'a String'))", "SELECT * FROM merge('cdp_test', 'events')",
        "SELECT * FROM view(SELECT * FROM file('x'))", "DESCRIBE TABLE file('/etc/passwd')", "EXPLAIN SELECT * FROM file('x')",
        "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT * FROM system.processes", "SELECT * FROM `system`.`processes`",
        "SHOW PROCESSLIST",
        "SELECT (SELECT count() FROM system.processes)", "SELECT * FROM default.`a.csv`", "SELECT * FROM {t:Identifier}",
        "SELECT aiGenerate('x')", "SELECT sleep(3)", "SELECT hasColumnInTable('host', 'a', 'b', 'c')",
    ],
)  # fmt: skip
def test_readers_may_do_nothing_else(config, sql):
    user = f"{READER_USER}:{embedded_password(config, READER_USER)}"
    status, headers, body = ask(config, "/?param_t=system.processes", sql.encode(), user=user)
    assert (status, headers["X-ClickHouse-Exception-Code"]) in ((403, "497"), (500, "164"), (400, "62")), body


@embedded_only
def test_readers_cannot_lift_limits_or_change_the_database(config):
    user = f"{READER_USER}:{embedded_password(config, READER_USER)}"
    assert ask(config, "/?max_memory_usage=0", b"SELECT 1", user=user)[1]["X-ClickHouse-Exception-Code"] == "164"
    assert ask(config, "/?database=system", b"SELECT * FROM processes", user=user)[0] == 403
    assert (
        ask(config, "/", b"SELECT groupArray(repeat('x', 1000000)) FROM numbers(9000)", user=user)[1][
            "X-ClickHouse-Exception-Code"
        ]
        == "241"
    )


@embedded_only
def test_kill_9_keeps_what_was_acknowledged(tmp_path):
    server = Running(tmp_path)
    try:
        migrate(server.settings)
        client = connect(server.settings)
        for number in range(20):
            client.insert("duplicates", [[number, 0]], column_names=["source_offset", "source_partition"])
        server.stop(signal.SIGKILL)
        server.start()
        assert connect(server.settings).query("SELECT count(), uniqExact(source_offset) FROM duplicates").result_rows == [
            (20, 20)
        ]
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@embedded_only
def test_a_folder_in_use_is_one_sentence(server):
    environment = {**os.environ, "CDP_DATA_DIR": str(server.settings.data_dir), "CDP_PORT_BASE": str(free_base())}
    second = subprocess.run(
        [sys.executable, "-m", "infra.clickhouse.server"],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert "is open in another process" in second.stderr
    assert "Traceback" not in second.stderr


@embedded_only
def test_passwords_are_the_owners_only(config):
    for name in ("clickhouse_password", "clickhouse_reader_password"):
        assert (config.secrets_dir / name).stat().st_mode & 0o777 == 0o600


@embedded_only
def test_nobody_there_is_one_sentence(tmp_path):
    with pytest.raises(CdpError, match="does not answer"):
        connect(Settings(data_dir=tmp_path, port_base=free_base()))
