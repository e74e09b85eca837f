"""Access to the definitions database: one engine a process, migrated to the newest schema before its first use."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from cdp.errors import CdpError, Unavailable
from cdp.settings import Settings
from serving.definitions.errors import ConflictError

MIGRATIONS = Path(__file__).parent / "migrations"
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
WRITES = "cdp_writes"  # an SQLite transaction that will write takes the lock at once: later it could only fail


def engine_for(settings: Settings) -> Engine:
    """The process's engine, migrated. Raises CdpError if the address cannot be used, Unavailable if nobody answers."""
    return _engine(settings.database_url, settings.data_dir)


def reading(settings: Settings) -> Session:
    """A session that only looks; use it as a context."""
    return Session(engine_for(settings))


@contextmanager
def writing(settings: Settings) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back by an exception. Raises ConflictError if two collide.

    Rows can still be read after the end.
    """
    try:
        engine = engine_for(settings).execution_options(**{WRITES: True})
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    except IntegrityError as error:
        raise ConflictError("Somebody else changed the same at the same moment.", "Look at it, and try again.") from error


def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema; safe to call from several processes at once."""
    engine_for(settings)


@lru_cache(maxsize=8)
def _engine(url: str, data_dir: Path) -> Engine:
    _private_folder(data_dir)
    engine = _create(url)
    try:
        with _one_at_a_time(data_dir / "definitions.lock"):
            _upgrade(engine)
    except SQLAlchemyError as error:
        raise Unavailable(
            f"The definitions database at {make_url(url).render_as_string(hide_password=True)} cannot be used: "
            f"{str(error).splitlines()[0][:200]}.",
            "Check CDP_DATABASE, or the file's permissions.",
        ) from error
    return engine


def _create(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True, pool_recycle=300)
        if parsed.database:
            Path(parsed.database).touch(mode=PRIVATE_FILE)
        engine = create_engine(parsed, connect_args={"timeout": 10})
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin)
        return engine
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise CdpError(
            f"CDP_DATABASE cannot be used: {str(error).splitlines()[0][:200]}.",
            "Use sqlite:///path, or postgresql+psycopg://... with the package psycopg installed.",
        ) from error


def _tune_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would leave table definitions out of transactions: we begin them ourselves
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        secrets = folder / "secrets"
        secrets.mkdir(exist_ok=True)
        secrets.chmod(PRIVATE_FOLDER)
    except OSError as error:
        raise CdpError(f"The data folder {folder} cannot be written: {error.strerror}.", "Set CDP_DATA_DIR.") from error


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a file lock: the API and the launcher start at the same moment."""
    with path.open("w") as handle:
        path.chmod(PRIVATE_FILE)
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
