"""Parsing of requests and statements, errors, encodings: the pure half of the embedded ClickHouse server."""

import pytest

from infra.clickhouse.compress import choose, compress, decompress
from infra.clickhouse.fail import ClickHouseError, from_engine
from infra.clickhouse.protocol import Request, parse, parse_params
from infra.clickhouse.split import first_word, has_two_statements, output_format, quote, split_insert


def query(body: bytes = b"", url: str = "", method: str = "POST", **headers: str):
    return parse(
        Request(method, "/", parse_params(url.encode()), {k.replace("_", "-"): v for k, v in headers.items()}, body), "id"
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"SELECT 1", False),
        (b"SELECT 1;", False),
        (b"SELECT 1; -- done", False),
        (b"SELECT ';', `a;b`, $x$;$x$ /* ; /* ; */ ; */", False),
        (b"SELECT 1; SELECT 2", True),
        (b"SELECT 'it''s; \\'; '; DROP TABLE x", True),
    ],
)
def test_two_statements(sql, expected):
    assert has_two_statements(sql) is expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 1\nformat TSV SETTINGS max_threads = 1;", "TSV"),
        (b"SELECT format('{}', 1) FROM t", ""),
        (b"SELECT * FROM (SELECT 1 FORMAT JSON)", ""),
        (b"SELECT 'FORMAT JSON'", ""),
        (b"SELECT format FROM t", ""),
    ],
)
def test_output_format(sql, expected):
    assert output_format(sql) == expected


def test_insert_with_binary_data_behind_its_format():
    insert = split_insert(b"INSERT INTO d.t (`a`, b) SETTINGS x = 1 FORMAT Native\n\x00\n;'\xff", "Values")
    assert insert is not None
    assert insert.head.strip() == "INSERT INTO d.t (`a`, b) SETTINGS x = 1"
    assert (insert.format, bytes(insert.data)) == ("Native", b"\x00\n;'\xff")


@pytest.mark.parametrize(
    "sql", [b"INSERT INTO t SELECT 1", b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", b"SELECT 1", b"WITH 1 AS x SELECT x"]
)
def test_no_data_of_its_own(sql):
    assert split_insert(sql, "Values") is None


def test_statement_in_the_url_and_data_in_the_body():
    parsed = query(b"1\n2\n", "query=INSERT%20INTO%20t%20FORMAT%20CSV&database=d&async_insert=0&param_a=%27x")
    assert parsed.insert is not None
    assert (parsed.insert.format, parsed.data) == ("CSV", b"1\n2\n")
    assert (parsed.database, parsed.settings, parsed.params) == ("d", {"async_insert": "0"}, {"a": "'x"})


def test_get_is_readonly():
    assert query(url="query=SELECT%201", method="GET").settings == {"readonly": "2"}


def test_multipart_form():
    body = b'--B\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {a:String}\r\n'
    body += b'--B\r\nContent-Disposition: form-data; name="param_a"\r\n\r\nx\r\n--B--\r\n'
    parsed = query(body, content_type="multipart/form-data; boundary=B")
    assert (parsed.sql, parsed.params) == ("SELECT {a:String}", {"a": "x"})


@pytest.mark.parametrize(
    ("body", "url", "code"), [(b"", "", 62), (b"SELECT 1; SELECT 2", "", 62), (b"SELECT 1", "decompress=1", 271)]
)
def test_refused_requests(body, url, code):
    with pytest.raises(ClickHouseError) as refused:
        query(body, url)
    assert refused.value.code == code


def test_first_word():
    assert [first_word(sql) for sql in (b" -- x\n((select 1))", b"/* a */ Insert", b"'x'")] == ["SELECT", "INSERT", ""]


def test_errors_are_read_from_the_engines_text():
    inner = "Code: 115. DB::Exception: Unknown setting 'x'. (UNKNOWN_SETTING) (version 1.2)"
    nested = f"Code: 115. DB::Exception: {inner}. (UNKNOWN_SETTING)"
    error = from_engine(RuntimeError("Streaming insert finish failed: " + nested))
    assert (error.code, error.name, error.message, error.status) == (115, "UNKNOWN_SETTING", "Unknown setting 'x'.", 404)
    assert error.text("9") == "Code: 115. DB::Exception: Unknown setting 'x'. (UNKNOWN_SETTING) (version 9)\n"
    assert from_engine(ValueError("odd")).code == 1002


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "lz4", "zstd"])
def test_encodings_there_and_back(encoding):
    assert decompress(b"".join(compress([b"a" * 1000, b"", b"b"], encoding)), encoding, 1001) == b"a" * 1000 + b"b"


def test_damaged_and_unknown_encodings():
    for encoding, code in (("gzip", 271), ("zip", 36)):
        with pytest.raises(ClickHouseError) as refused:
            decompress(b"no", encoding, 100)
        assert refused.value.code == code
    assert choose("br, lz4;q=0.5, gzip") == "lz4"


def test_quote():
    assert quote("it's \\ ") == "'it\\'s \\\\ '"
