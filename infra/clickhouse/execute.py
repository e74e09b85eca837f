"""Run statements in chDB. A statement gets a connection of its own (half a millisecond), so no setting ever leaks to another."""

import fcntl
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import chdb

from cdp.errors import CdpError
from infra.clickhouse.fail import TOO_MANY_QUERIES, ClickHouseError, from_engine
from infra.clickhouse.protocol import Query
from infra.clickhouse.split import quote

MEMORY_BYTES = 2 << 30
MARK_CACHE_BYTES = 128 << 20
MAX_QUERIES = 32
_APPEND_BYTES = 4 << 20

log = logging.getLogger(__name__)


@dataclass
class Summary:
    """What a statement did, as in X-ClickHouse-Summary."""

    started: float = field(default_factory=time.perf_counter)
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0

    def header(self) -> str:
        """The header's value: JSON with every number as text, as ClickHouse writes it."""
        elapsed = int((time.perf_counter() - self.started) * 1e9)
        numbers = {
            "read_rows": self.read_rows,
            "read_bytes": self.read_bytes,
            "written_rows": self.written_rows,
            "written_bytes": self.written_bytes,
            "total_rows_to_read": 0,
            "result_rows": self.result_rows,
            "result_bytes": self.result_bytes,
            "elapsed_ns": elapsed,
        }
        return json.dumps({name: str(value) for name, value in numbers.items()}, separators=(",", ":"))


class Engine:
    """The engine of one data folder. Safe for many threads; one process at a time may have the folder open."""

    def __init__(self, folder: Path, *, memory_bytes: int = MEMORY_BYTES, max_queries: int = MAX_QUERIES) -> None:
        """Open the folder. Raises CdpError if another process has it or it cannot be read."""
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_if_open(folder)
        config = folder.parent / "clickhouse.xml"
        config.write_text(_config(folder, memory_bytes))
        self._address = f"{folder}?config-file={config}&implicit_select=0"
        try:
            # Kept open: the engine stops with its last connection.
            self._anchor = chdb.connect(self._address)
            self.version = self.ask("SELECT version()")
            self.timezone = self.ask("SELECT timezone()")
            self.host = self.ask("SELECT hostName()")
        except Exception as error:
            raise CdpError(
                f"ClickHouse cannot open its data in {folder}: {from_engine(error).message.strip(' .') or 'reason unknown'}.",
                "See clickhouse-local's message in the log; if the folder is damaged, restore it or move it away.",
            ) from error
        self._free = threading.BoundedSemaphore(max_queries)
        self._max_queries = max_queries

    def ask(self, sql: str) -> str:
        """One small answer as text, on a connection of its own. Raises ClickHouseError."""
        connection = chdb.connect(self._address)
        try:
            return bytes(connection.query(sql, "TSVRaw").bytes()).decode().rstrip("\n")
        except Exception as error:
            raise from_engine(error) from error
        finally:
            connection.close()

    def execute(self, query: Query, summary: Summary, *, readonly: bool) -> Iterator[bytes]:
        """Run a statement and give the answer in pieces; `summary` is filled on the way. Raises ClickHouseError.

        Closing the iterator early cancels the statement.
        """
        if not self._free.acquire(blocking=False):
            raise ClickHouseError(TOO_MANY_QUERIES, f"Too many simultaneous queries. Maximum: {self._max_queries}")
        try:
            with self._connection(query, readonly=readonly) as connection:
                yield from _run(connection, query, summary)
        except ClickHouseError:
            raise
        except Exception as error:
            raise from_engine(error) from error
        finally:
            self._free.release()

    def kill(self, query_id: str) -> None:
        """Cancel the statement that runs under this id, if it still does. Does not wait for its end."""
        # chDB gives its own query ids, so ours travels in the statement's log_comment.
        try:
            self.ask(f"KILL QUERY WHERE Settings['log_comment'] = {quote(query_id)} ASYNC")
        except ClickHouseError as error:
            log.warning("Cannot cancel query %s: %s", query_id, error.message)

    def close(self) -> None:
        """Stop the engine."""
        self._anchor.close()

    @contextmanager
    def _connection(self, query: Query, *, readonly: bool) -> Iterator[Any]:
        connection = chdb.connect(self._address)
        try:
            if query.database:
                connection.query(f"USE {quote(query.database, '`')}")
            settings = {**query.settings, "log_comment": query.query_id}
            if readonly:
                settings["readonly"] = "1"
            connection.query("SET " + ", ".join(f"{_setting(name)} = {quote(value)}" for name, value in settings.items()))
            yield connection
        finally:
            connection.close()


def _setting(name: str) -> str:
    """A setting's name; anything but a word is refused by the engine as unknown, in quotes."""
    return name if name.isidentifier() else quote(name, "`")


def _run(connection: Any, query: Query, summary: Summary) -> Iterator[bytes]:
    if query.insert is not None:
        _insert(connection, query, summary)
    elif query.streams:
        yield from _stream(connection, query, summary)
    else:
        result = connection.query(query.sql, query.format, params=query.params)
        summary.read_rows = result.storage_rows_read()
        summary.read_bytes = result.storage_bytes_read()
        summary.written_rows = result.rows_written()
        summary.written_bytes = result.bytes_written()
        summary.result_rows = result.rows_read()
        summary.result_bytes = result.size()
        if query.answers and summary.result_bytes:
            yield result.bytes()


def _stream(connection: Any, query: Query, summary: Summary) -> Iterator[bytes]:
    with connection.send_query(query.sql, query.format, params=query.params) as stream:
        for chunk in stream:
            data = chunk.bytes()
            summary.result_rows += chunk.rows_read()
            summary.result_bytes += len(data)
            summary.read_rows += chunk.rows_read()
            yield data


def _insert(connection: Any, query: Query, summary: Summary) -> None:
    insert = query.insert
    assert insert is not None  # noqa: S101  (the caller's branch)
    if insert.format == "Values" and query.params:
        sql = f"{insert.head} VALUES {bytes(insert.data).decode()} {query.data.decode()}"
        result = connection.query(sql, params=query.params)
        summary.written_rows, summary.written_bytes = result.rows_written(), result.bytes_written()
        return
    with connection.send_insert(insert.head, insert.format) as inserter:
        for data in (insert.data, memoryview(query.data)):
            for start in range(0, len(data), _APPEND_BYTES):
                inserter.append(bytes(data[start : start + _APPEND_BYTES]))
        done = inserter.finish()
    summary.written_rows, summary.written_bytes = done.rows_written, done.bytes_written


def _refuse_if_open(folder: Path) -> None:
    """The engine's own message about its lock is empty; ask the lock first."""
    status = folder / "status"
    if not status.exists():
        return
    with status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CdpError(
                f"The ClickHouse data in {folder} is open in another process.",
                "Stop the platform that uses it (`cdp down`), or set another CDP_DATA_DIR or CDP_PORT_BASE.",
            ) from error


def _config(folder: Path, memory_bytes: int) -> str:
    """The engine's own settings: less memory and fewer threads than a server's defaults; tables are there before queries."""
    values = {
        "max_server_memory_usage": memory_bytes,
        "mark_cache_size": MARK_CACHE_BYTES,
        "index_mark_cache_size": MARK_CACHE_BYTES,
        "background_pool_size": 2,
        "async_load_databases": "false",
        "user_files_path": f"{folder}/user_files/",
    }
    lines = "\n".join(f"  <{name}>{escape(str(value))}</{name}>" for name, value in values.items())
    return f"<clickhouse>\n{lines}\n</clickhouse>\n"
