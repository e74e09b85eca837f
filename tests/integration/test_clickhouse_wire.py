"""What goes over the wire to readers of the embedded ClickHouse: frames, marks of blocks, cancelling."""

import http.client
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdp.clickhouse import PLATFORM_USER
from cdp.settings import Settings
from infra.clickhouse.frames import pack, unpack
from infra.clickhouse.split import quote
from sinks.migrate import migrate
from tests.clickhouse_process import Running, ask

pytestmark = pytest.mark.skipif("CDP_TEST_CLICKHOUSE" in os.environ, reason="readers are the embedded server's own")

SLOW = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7"
MARKED = "client_protocol_version=54460"


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Iterator[Settings]:
    running = Running(tmp_path_factory.mktemp("clickhouse"))
    migrate(running.settings)
    yield running.settings
    running.stop()


def test_frames_both_ways(config):
    body = b"".join(pack([b"SELECT number FROM numbers(300000)"]))
    plain = b"".join(b"%d\n" % number for number in range(300_000))
    assert unpack(ask(config, "compress=1&decompress=1", body).body, 1 << 30) == plain
    assert ask(config, "decompress=1", body).body == plain
    assert ask(config, "decompress=1", body[:-1]).code == "271"
    assert ask(config, "decompress=1", body[:-1] + b"?").code == "40"
    assert ask(config, "compress=1&query=SELECT+1", b"").body == b"".join(pack([b"1\n"]))
    ask(config, "", "CREATE TABLE cdp_test.framed (a UInt64) ENGINE = Memory", PLATFORM_USER)
    rows = b"".join(pack([b"1\n2\n", b"3\n"]))
    assert ask(config, "decompress=1&query=INSERT+INTO+cdp_test.framed+FORMAT+TSV", rows, PLATFORM_USER).status == 200
    assert ask(config, "", "SELECT sum(a) FROM cdp_test.framed").body == b"6\n"


def test_errors_within_frames(config):
    answer = ask(config, "compress=1", "SELEC")
    assert (answer.status, unpack(answer.body, 1 << 20)[:9]) == (400, b"Code: 62.")
    assert ask(config, "compress=1", "DROP TABLE events").body.startswith(b"Code: 497.")  # 403: never framed
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(config, "compress=1&max_block_size=1000", "SELECT throwIf(number = 2000000) FROM numbers(3000000)")
    assert b"__exception__" in unpack(broken.value.partial, 1 << 30)[-2000:]


def test_a_statement_is_cancelled_by_its_own_user_only(config):
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(ask, config, "query_id=slow", SLOW, PLATFORM_USER)
        time.sleep(1)
        assert ask(config, "", "KILL QUERY WHERE query_id = 'slow'").status == 200
        time.sleep(1)
        assert not slow.done()
        ask(config, "", "KILL QUERY WHERE query_id = 'slow'", PLATFORM_USER)
        assert slow.result(20).code == "394"
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(ask, config, "query_id=mine", SLOW)
        time.sleep(1)
        assert ask(config, "", "KILL QUERY WHERE query_id = 'mine' ASYNC").status == 200
        assert slow.result(20).code == "394"


# fmt: off
TYPES = [
    "UInt8", "Int256", "Bool", "Float64", "String", "FixedString(3)", "UUID", "IPv4", "IPv6",
    "Date", "Date32", "DateTime", "DateTime('Asia/Tokyo')", "DateTime64(6, 'UTC')",
    "Decimal(9, 2)", "Decimal(18, 4)", "Decimal(38, 1)", "Decimal(76, 5)", "Enum8('a, (' = 1, 'b\\'' = 2)", "Enum16('x' = 1000)",
    "Nullable(String)", "Nullable(DateTime64(3))", "LowCardinality(String)", "LowCardinality(Nullable(String))",
    "LowCardinality(UInt32)", "Array(String)", "Array(Array(Nullable(UInt16)))", "Array(LowCardinality(String))",
    "Map(String, UInt64)", "Map(LowCardinality(String), Array(String))", "Tuple(UInt8, String)",
    "Tuple(a UInt8, `b c` LowCardinality(String), d Tuple(e Array(Date)))", "Point", "Ring", "Polygon", "MultiPolygon",
    "Array(Tuple(x Nullable(Int8), y LowCardinality(Nullable(String))))", "Nested(a String, b LowCardinality(String))",
]
# fmt: on


def number(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def text(value: str) -> bytes:
    return number(len(value.encode())) + value.encode()


def test_native_with_the_marks_of_a_protocol_version(config):
    """Asked for alone, a column's data is all that follows its head: so the expected block needs no measuring of types."""
    columns = [f"c{at} {type_}" for at, type_ in enumerate(TYPES)]
    generated = f"generateRandom({quote(', '.join(columns))}, 7, 200, 3)"
    made = f"CREATE TABLE cdp_test.native ENGINE = Memory AS SELECT * FROM {generated} LIMIT 500"
    created = ask(config, "allow_suspicious_low_cardinality_types=1", made, PLATFORM_USER)
    assert created.status == 200, created.body
    # What generateRandom cannot make.
    also = "*, toIntervalDay(3) AS i, toBFloat16(1) AS b, NULL AS nothing, []::Array(Nothing) AS e, tuple() AS t, tuple(e) AS te"
    described = ask(
        config, "print_pretty_type_names=0", f"DESCRIBE TABLE (SELECT {also} FROM cdp_test.native) FORMAT TSVRaw", PLATFORM_USER
    ).body.decode()
    expected = b"\x01\x00\x02\xff\xff\xff\xff\x00" + number(len(described.splitlines())) + number(500)
    for line in described.splitlines():
        name, type_ = line.split("\t")[:2]
        type_ = re.sub(r"DateTime\('.*'\)", "DateTime", type_)  # the engine leaves a zone out of this type in Native
        head = text(name) + text(type_)
        single = ask(config, "", f"SELECT `{name}` FROM (SELECT {also} FROM cdp_test.native) FORMAT Native").body
        assert single.startswith(b"\x01" + number(500) + head), (name, type_)
        expected += head + b"\x00" + single.removeprefix(b"\x01" + number(500) + head)
    assert ask(config, MARKED, f"SELECT * FROM (SELECT {also} FROM cdp_test.native) FORMAT Native").body == expected
    plain = ask(config, "", "SELECT 1 FORMAT Native").body
    assert ask(config, "client_protocol_version=54405", "SELECT 1 FORMAT Native").body == plain


def test_native_with_marks_in_many_blocks(config):
    sql = "SELECT number, toString(number) AS s FROM numbers(300000) FORMAT Native"
    plain, marked = ask(config, "", sql).body, ask(config, MARKED, sql).body
    blocks = (len(marked) - len(plain)) // (8 + 2)
    assert (len(marked) - len(plain), blocks > 1) == (blocks * 10, True)


def test_native_says_what_it_cannot_mark(config):
    answer = ask(config, MARKED, "SELECT 1 AS a, uniqState(1) AS b FORMAT Native")
    assert (answer.code, answer.status) == ("48", 501)
    assert b"AggregateFunction(uniq, UInt8)" in answer.body
    assert ask(config, "client_protocol_version=new", "SELECT 1").code == "36"
