"""The spool: where records wait, safe on disk, while Kafka is away.

An SQLite file: committing is an fsync (WAL with ``synchronous=FULL``), a torn write at the end is rolled back at the next
start, and the quota is SQLite's own limit of pages. All of it happens in one thread; records of all requests that wait at a
moment go into one transaction.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from cdp.errors import CdpError, Unavailable
from serving.collect.publish import Done, KafkaPublisher, Record

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE_BYTES = 4096
CHUNK = 500  # records that are drained at a time
RETRY_SECONDS = 1.0
SHORTLY = 0.02
FOLDER = "spool"
REMEDY = "Send it again later; a repeated message id is counted once."

_SCHEMA = "CREATE TABLE IF NOT EXISTS spooled (id INTEGER PRIMARY KEY, topic TEXT, key TEXT, value BLOB)"


class Spool:
    """Records on disk, first in, first out. Open it in the event loop; `close` at the end.

    Args:
        folder: where the file lies; each process takes a file of its own, and adopts one that an ended process left.
        max_bytes: quota of the file. 0: nothing is ever spooled.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, "spool")
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._lock, self.path = _own_file(folder)
        self._database = self._thread.submit(_open, self.path, max_bytes).result()
        self.count: int = self._thread.submit(_count, self._database).result()

    async def append(self, records: Sequence[Record]) -> None:
        """Return when the records are on disk. Raises Unavailable if the quota is used up, or the disk full."""
        if not self._max_bytes:
            raise Unavailable("Kafka is away, and spooling is switched off.", REMEDY)
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.append((records, future))
        self.count += len(records)
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())
        try:
            await future
        except sqlite3.Error as error:
            self.count -= len(records)
            raise Unavailable(f"Kafka is away, and the spool cannot take more: {error}.", REMEDY) from error

    async def first(self) -> tuple[int, list[Record]]:
        """The oldest records, and the number to `remove` them by; nothing if it is empty."""
        return await self._run(lambda: _first(self._database))

    async def remove(self, last: int) -> None:
        """Forget the records up to a number: the broker has them."""
        removed = await self._run(lambda: _remove(self._database, last))
        self.count -= removed  # not in one statement: the count may have grown while we waited

    def close(self) -> None:
        """Let go of the file. What is in it is drained by the next process."""
        self._thread.submit(self._database.close).result()
        self._thread.shutdown()
        os.close(self._lock)

    async def _write(self) -> None:
        """Write what waits, again and again, until nothing does: what comes during one commit shares the next."""
        while self._queue:
            queue, self._queue = self._queue, []
            errors = await self._run(partial(_append_all, self._database, [records for records, _ in queue]))
            for (_, future), error in zip(queue, errors, strict=True):
                if future.done():
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
        self._writer = None

    async def _run(self, act: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._thread, act)


class SafePublisher:
    """Publishes to Kafka, or, while that is away, into the spool, which it drains in order as soon as Kafka is back."""

    def __init__(self, kafka: KafkaPublisher, spool: Spool) -> None:
        self.kafka = kafka
        self.spool = spool
        self._filled = asyncio.Event()
        if spool.count:
            log.warning("%d records lie in the spool since the last run", spool.count)
            self._filled.set()
        self._drainer = asyncio.get_running_loop().create_task(self._drain(), name="drain-spool")

    def hand_over(self, records: Sequence[Record], done: Done) -> bool:
        """Hand records to Kafka, unless it is away; those that it does not take are for `publish`."""
        return not self.spool.count and not self.kafka.seems_away and self.kafka.hand_over(records, done)

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all records are safe: with the broker, or on disk. Raises Unavailable if they may not be."""
        if not records:
            return
        if not self.spool.count and not self.kafka.seems_away:
            error = await self.kafka.deliver(records)
            if not error:
                return
            log.warning("Kafka did not take %d records: %s", len(records), error)
        try:
            await self.spool.append(records)
        finally:
            self._filled.set()  # also if it takes nothing: whether Kafka is still away has to be tried again

    async def close(self) -> None:
        """Wait for what is under way, then let go of everything."""
        self._drainer.cancel()
        await asyncio.gather(self._drainer, return_exceptions=True)
        await self.kafka.close()
        self.spool.close()

    async def _drain(self) -> None:
        while True:
            await self._filled.wait()
            records: list[Record] = []
            try:
                last, records = await self.spool.first()
                error = await self.kafka.deliver(records) if records else "nothing is committed yet"
                if not error:
                    await self.spool.remove(last)
            except sqlite3.Error as problem:
                error = str(problem)
            if not self.spool.count:
                self._filled.clear()
                self.kafka.seems_away = False
                log.info("the spool is empty")
            elif error:
                await asyncio.sleep(RETRY_SECONDS if records else SHORTLY)


def waiting_in(folder: Path) -> int:
    """How many records lie in the spools below a data folder; for onlookers of other processes."""
    total = 0
    for path in sorted((folder / FOLDER).glob("*.db")):
        try:
            database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)
            try:
                total += _count(database)
            finally:
                database.close()
        except sqlite3.Error as error:
            log.warning("the spool %s cannot be read: %s", path, error)
    return total


def _own_file(folder: Path) -> tuple[int, Path]:
    """Lock the first file that no living process holds. The lock goes with the process."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = 0
    while True:
        name = "collect.db" if number == 0 else f"collect-{number}.db"
        handle = os.open(folder / f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            number += 1
        else:
            return handle, folder / name


def _open(path: Path, max_bytes: int) -> sqlite3.Connection:
    path.touch(mode=0o600)
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(_SCHEMA)
        database.execute(f"PRAGMA max_page_count={max(16, max_bytes // PAGE_BYTES)}")
    except sqlite3.Error as error:
        raise CdpError(
            f"The spool {path} cannot be opened: {error}.", "Move the file away to start with an empty one; it may hold events."
        ) from error
    return database


def _append_all(database: sqlite3.Connection, waiting: Sequence[Sequence[Record]]) -> list[sqlite3.Error | None]:
    """Everything in one transaction; if that does not fit, each request's records for themselves. The error of each."""
    error = _append(database, [record for records in waiting for record in records])
    if error is None or len(waiting) == 1:
        return [error] * len(waiting)
    return [_append(database, records) for records in waiting]


def _append(database: sqlite3.Connection, records: Sequence[Record]) -> sqlite3.Error | None:
    try:
        database.execute("BEGIN")
        rows = ((record.topic, record.key, record.value) for record in records)
        database.executemany("INSERT INTO spooled (topic, key, value) VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")
    except sqlite3.Error as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        log.error("the spool took nothing: %s", error)
        return error
    return None


def _first(database: sqlite3.Connection) -> tuple[int, list[Record]]:
    rows = database.execute("SELECT id, topic, key, value FROM spooled ORDER BY id LIMIT ?", (CHUNK,)).fetchall()
    return (rows[-1][0] if rows else 0), [Record(*row[1:]) for row in rows]


def _remove(database: sqlite3.Connection, last: int) -> int:
    removed = database.execute("DELETE FROM spooled WHERE id <= ?", (last,)).rowcount
    if not database.execute("SELECT EXISTS (SELECT 1 FROM spooled)").fetchone()[0]:
        with suppress(sqlite3.Error):  # the space is for others now; if not, it will be reused
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return removed


def _count(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT count(*) FROM spooled").fetchone()[0])
