"""Readers of files, and an import from its file to a collector that fails now and then."""

import gzip
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cdp.errors import CdpError
from serving.imports.apply import Mapper
from serving.imports.deliver import Link, Refused
from serving.imports.mapping import parse_mapping
from serving.imports.readers import examine, read, sniff
from serving.imports.run import Limits, import_file, state_key
from serving.imports.state import State
from tests.fake_collector import FakeCollector

MAPPING = """
name: people
events:
  - event: Visited
    message_id: "v:{编号}"
    ids: [{type: user_id, path: 编号}]
    properties: {city: 城市, amount: {path: 金额, as: number}}
"""
LIMITS = Limits(2, 100_000, 10_000)


def rows(path: Path, **options: str) -> list[Any]:
    return [row.record if row.record is not None else f"{row.line}: {row.problem}" for row in read(examine(path, **options))]


def test_csv_in_any_of_the_usual_encodings(tmp_path: Path) -> None:
    text = '编号,城市\r\n1,上海\r\n2,"北,京"\r\n'
    expected = [{"编号": "1", "城市": "上海"}, {"编号": "2", "城市": "北,京"}]
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(text.encode(encoding))
        assert rows(path) == expected, encoding
    zipped = tmp_path / "z.csv.gz"
    zipped.write_bytes(gzip.compress(text.encode("gb18030")))
    assert rows(zipped) == expected
    assert rows(tmp_path / "gb18030.csv", encoding="gb18030") == expected
    big = tmp_path / "big.csv"
    big.write_bytes(("编号,城市\n" + "1,上海\n" * 400_000).encode("gb18030"))
    assert examine(big).encoding == "gb18030"
    big.write_bytes(("编号,城市\n" + "1,上海\n" * 400_000).encode())
    assert examine(big).encoding == "utf-8"
    with pytest.raises(CdpError, match="--encoding"):
        rows(tmp_path / "gb18030.csv", encoding="utf-8")


def test_csv_delimiters_and_bad_lines(tmp_path: Path) -> None:
    assert [sniff(h) for h in ("a,b", "a;b;c,d", "a\tb", '"a,b,c"|d', "a")] == [",", ";", "\t", "|", ","]
    path = tmp_path / "a.csv"
    path.write_text('a;b\n1;2\n\n3;4;5\n"x\ny";6\n7\n8;9')
    assert rows(path) == [
        {"a": "1", "b": "2"}, "4: it has 3 cells, and the header names 2 columns: '5' is in none of them",
        {"a": "x\ny", "b": "6"}, {"a": "7", "b": ""}, {"a": "8", "b": "9"},
    ]  # fmt: skip
    path.write_text("a;b\n1;2\n" + "x" * 1_200_000 + "\n3;4\n")
    assert [str(row)[:20] for row in rows(path)][1] == "3: a cell is longer "
    assert rows(path)[-1] == {"a": "3", "b": "4"}
    for wrong, says in (("a,a\n1,2", "two columns"), ("", "no header")):
        path.write_text(wrong)
        with pytest.raises(CdpError, match=says):
            rows(path)


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n[1]\n{"a":\n{"a": {"b": [1.5]}}')
    read_ = rows(path)
    assert (read_[0], read_[1], read_[3]) == ({"a": 1}, "3: it is not a JSON object", {"a": {"b": [1.5]}})
    assert read_[2].startswith("4: it is not JSON")
    path.write_text('{"a": "' + "x" * (9 << 20) + '"}\n{"a": 2}\n')
    assert rows(path)[0].startswith("1: it is longer")
    assert rows(path)[1:] == [{"a": 2}]


def test_parquet(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    table = pyarrow.table({"编号": [1, 2], "t": [datetime(2026, 6, 1), None], "l": [[{"k": 1}], []]})
    parquet.write_table(table, path)
    assert rows(path) == [
        {"编号": 1, "t": datetime(2026, 6, 1), "l": [{"k": 1}]}, {"编号": 2, "t": None, "l": []},
    ]  # fmt: skip
    path.write_bytes(b"PAR1nonsense")
    with pytest.raises(CdpError, match="is not Parquet"):
        rows(path)


def test_excel(tmp_path: Path) -> None:
    import openpyxl

    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["编号", "时间", "金额"])
    book.active.append([13800000000, datetime(2026, 6, 1, 8), 2.5])
    book.active.append([None, None, None])
    book.active.append([2, None, None])
    book.create_sheet("二").append(["a"])
    book["二"].append([1])
    book.save(path)
    assert rows(path) == [
        {"编号": 13800000000, "时间": datetime(2026, 6, 1, 8), "金额": 2.5}, {"编号": 2, "时间": None, "金额": None},
    ]  # fmt: skip
    assert rows(path, sheet="二") == [{"a": 1}]
    with pytest.raises(CdpError, match="There is no sheet"):
        rows(path, sheet="三")
    path.write_bytes(b"not a workbook")
    with pytest.raises(CdpError, match="is not an Excel workbook"):
        rows(path)


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    for name, says in (("none.csv", "There is no file"), ("a.pdf", "no known format")):
        with pytest.raises(CdpError, match=says):
            examine(tmp_path / name)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 100)[:-20])
    with pytest.raises(CdpError, match="cannot be read"):
        examine(tmp_path / "cut.csv.gz")
    (tmp_path / "a.csv").write_text("a\n1")
    with pytest.raises(CdpError, match="There is no encoding"):
        examine(tmp_path / "a.csv", encoding="klingon")


@pytest.fixture
def fake() -> Iterator[FakeCollector]:
    made = FakeCollector()
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    lines = ["编号,城市,金额", *(f"{n},上海,{'x' if n == 4 else n}" for n in range(1, 8))]
    path.write_bytes("\n".join(lines).encode("gb18030"))
    return path


def run(file: Path, fake: FakeCollector, folder: Path, *, restart: bool = False, **link: Any) -> Any:
    mapper = Mapper(parse_mapping(MAPPING, "people.yaml"))
    source = examine(file)
    state = State(folder, state_key(source, mapper, "u"), restart=restart)
    connection = Link(fake.url, "wk", **{"sleep": lambda _: None} | link)
    try:
        return import_file(source, mapper, connection, state, LIMITS)
    finally:
        connection.close()
        state.close()


def test_a_file_is_imported_once(fake: FakeCollector, file: Path, tmp_path: Path) -> None:
    done = run(file, fake, tmp_path / "imports")
    assert (done.records, done.events, done.rejected, done.clean) == (7, 6, 1, False)
    assert [message["messageId"] for message in fake.taken] == [f"v:{n}" for n in (1, 2, 3, 5, 6, 7)]
    (line,) = Path(done.rejected_file).read_text().splitlines()
    assert {k: json.loads(line)[k] for k in ("line", "record", "reason", "field")} == {
        "line": 5, "record": 4, "reason": "invalid_value", "field": "金额",
    }  # fmt: skip
    assert "input" not in json.loads(line)  # without a keyring nothing of it is kept
    again = run(file, fake, tmp_path / "imports")
    assert (again.already, again.events, len(fake.taken)) == (True, 6, 6)
    assert run(file, fake, tmp_path / "imports", restart=True).events == 6
    assert len(fake.taken) == 12


def test_an_interrupted_import_goes_on(fake: FakeCollector, file: Path, tmp_path: Path) -> None:
    fake.answers = [(200, {}), (200, {}), (401, {})]
    with pytest.raises(Refused):
        run(file, fake, tmp_path / "imports")
    done = run(file, fake, tmp_path / "imports")
    assert (done.resumed_at, done.records, done.events, done.rejected) == (5, 7, 6, 1)
    assert [message["messageId"] for message in fake.taken] == [f"v:{n}" for n in (1, 2, 3, 5, 6, 7)]
    assert len(Path(done.rejected_file).read_text().splitlines()) == 1
    state = msgspec.json.decode(Path(done.state).read_bytes())
    assert (state["finished"], state["records"], state["line"]) == (True, 7, 8)


def test_a_busy_collector_is_waited_for(fake: FakeCollector, file: Path, tmp_path: Path) -> None:
    pauses: list[float] = []
    fake.answers = [(429, {"Retry-After": "7"}), (503, {"Retry-After": "1"}), (503, {})]
    done = run(file, fake, tmp_path / "imports", sleep=pauses.append)
    assert (done.events, done.retries) == (6, 3)
    assert (pauses[0], pauses[1]) == (7, 1)
    assert 0 < pauses[2] < 1
    now = iter(range(0, 100_000, 100))
    fake.answers = [(503, {})] * 10
    with pytest.raises(CdpError, match="answers 503"):
        run(file, fake, tmp_path / "other", clock=lambda: float(next(now)))


def test_what_the_collector_cannot_use_is_kept_with_its_line(fake: FakeCollector, file: Path, tmp_path: Path) -> None:
    fake.letters = [{"index": 1, "reason": "too_old", "field": "timestamp", "message": "Too old."}]
    done = run(file, fake, tmp_path / "imports")
    kept = [json.loads(line) for line in Path(done.rejected_file).read_text().splitlines()]
    assert done.dead_lettered == 3
    assert [(one["line"], one["reason"]) for one in kept] == [
        (3, "too_old"),
        (5, "invalid_value"),
        (6, "too_old"),
        (8, "too_old"),
    ]


@pytest.fixture
def cdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeCollector) -> Iterator[Any]:
    import typer

    from cdp.settings import settings
    from serving.imports.commands import register

    app = typer.Typer()
    register(app)
    monkeypatch.setenv("CDP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CDP_API_URL", fake.url)
    monkeypatch.setenv("CDP_WRITE_KEY", "wk_test")
    settings.cache_clear()
    yield lambda *args: CliRunner().invoke(app, [*map(str, args)])
    settings.cache_clear()


def test_the_command(cdp: Any, fake: FakeCollector, file: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "people.yaml"
    mapping.write_text(MAPPING)
    dry = cdp("import", file, "--mapping", mapping, "--dry-run", "--show", 1)
    assert dry.exit_code == 3
    assert '"messageId":"v:1"' in dry.stdout
    assert '"messageId":"v:2"' not in dry.stdout
    assert "line 5: rejected (invalid_value): 金额 cannot be used: 'x' is not a number." in dry.output
    assert "7 records would make 6 events" in dry.stdout
    assert "look at the column" not in dry.output
    commas = tmp_path / "commas.csv"
    commas.write_text('编号,城市,金额\n1,上海,"12,50"\n')
    suspected = cdp("import", commas, "--mapping", mapping, "--dry-run")
    assert (
        "look at the column 金额: 1 of 1 values have a decimal comma, such as '12,50'. Write `decimal: comma`" in suspected.output
    )
    assert fake.taken == []
    done = cdp("import", file, "--mapping", mapping, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["events"] == len(fake.taken) == 6
    file.write_text("编号,城市,金额\n1,上海,1\n")
    assert cdp("import", file, "-m", mapping).exit_code == 0
    again = cdp("import", file, "-m", mapping)
    assert again.exit_code == 0
    assert re.search(r"imported before, to its end on 20\d\d-.*Z: 1 records, 1 events .* Nothing was sent now", again.stdout)
    assert len(fake.taken) == 7
    nothing = cdp("import", file, "-m", "nothing")
    assert isinstance(nothing.exception, CdpError)
    assert "tmall" in nothing.exception.remedy
    assert "shopify" in cdp("mappings").stdout
    assert len(json.loads(cdp("mappings", "--json").stdout)["mappings"]) == 5
    loop = cdp("import-topic", "cdp.events", "-m", mapping)
    assert isinstance(loop.exception, CdpError)
    mapping.write_text(MAPPING + "group_by: 编号\n")
    assert "brings rows of files together" in str(cdp("import-topic", "erp.orders", "-m", mapping).exception)


def test_the_command_speaks_plainly(cdp: Any, fake: FakeCollector, tmp_path: Path) -> None:
    mapping, table, records = tmp_path / "people.yaml", tmp_path / "people.csv", tmp_path / "people.jsonl"
    mapping.write_text(MAPPING)
    table.write_text("编号,城市\n1,x\n")
    for arguments in ((), ("--dry-run",)):
        wrong = cdp("import", table, "-m", mapping, *arguments)
        assert wrong.exit_code == 1
        assert isinstance(wrong.exception, CdpError)
        assert "no column '金额'; its columns are '编号', '城市'." in wrong.exception.message
    table.write_text("Title\n编号,城市,金额\n" + "1,x,y\n" * 50 + "2\n")
    dry = cdp("import", table, "-m", mapping, "--dry-run", "--header-row", 2)
    assert dry.output.count("rejected (invalid_value):") == 20
    assert "and 30 more lines: rejected (invalid_value of 金额)" in dry.output
    assert "Corrected: 1 rows without their last cells" in dry.output
    records.write_text('{"编号": 1, "城市": null}\n' * 3)
    some = cdp("import", records, "-m", mapping)
    assert "3 records, 3 events acknowledged" in some.stdout
    assert "Warning: no record had '金额'" in some.stdout
    assert some.exit_code == 0
    mapping.write_text(MAPPING.replace("  - event: Visited", "  - event: Visited\n    when: {城: x}"))
    none = cdp("import", records, "-m", mapping, "--json")
    assert (none.exit_code, json.loads(none.stdout)["unseen"]) == (3, ["'金额'", "'城'"])


def test_times_that_are_replaced_are_counted(cdp: Any, fake: FakeCollector, tmp_path: Path) -> None:
    mapping, table = tmp_path / "people.yaml", tmp_path / "people.csv"
    mapping.write_text(MAPPING + "    time: 时间\n")
    table.write_text("编号,城市,金额,时间\n1,x,1,2026-06-01\n2,x,1,2098-01-01\n3,x,1,2099-01-01\n")
    dry = cdp("import", table, "-m", mapping, "--dry-run", "--json")
    assert json.loads(dry.stdout)["corrected"] == {"times": 2}
    fake.extra = {"corrected": 2}
    done = cdp("import", table, "-m", mapping, "--batch-size", 2)
    assert "Corrected: 4 events with a time that cannot be" in done.stdout  # two in each of two answers


def test_lines_with_marks_and_halves_of_characters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":"x \\ud83d"}\n\xef\xbb\xbf{"a":"\\ud83d\\ude00"}\n')
    assert [row.record for row in read(examine(path))] == [{"a": "x \ufffd"}, {"a": "\U0001f600"}]
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n'))
    assert [row.record for row in read(examine(packed))] == [{"a": 1}, {"a": 2}]
