"""Bring ClickHouse's schema up to date (``python -m sinks.migrate``): numbered SQL files, each applied once, never changed."""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from cdp.clickhouse import connect
from cdp.errors import CdpError
from cdp.settings import Settings, settings

FOLDER = Path(__file__).parent / "migrations"
_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")


@dataclass(frozen=True)
class Migration:
    """One file: ``0001_facts.sql`` is number 1, name ``facts``. Its text has ``{database}`` where the database's name goes."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, database: str) -> list[str]:
        """The file's statements: each ends with a semicolon at the end of a line."""
        parts = re.split(r";[ \t]*(?:\n|\Z)", self.text.replace("{database}", database))
        return [part.strip() for part in parts if _has_code(part)]


def _has_code(part: str) -> bool:
    return any(line.strip() and not line.strip().startswith("--") for line in part.splitlines())


def load(folder: Path = FOLDER) -> list[Migration]:
    """The migrations of a folder in order. Raises CdpError for a misnamed file and for a number given twice."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None or int(match[1]) in found:
            raise CdpError(f"{path} is not a migration's name, or its number is taken.", "Name it like 0004_what_it_does.sql.")
        found[int(match[1])] = Migration(int(match[1]), match[2], path.read_text())
    return [found[number] for number in sorted(found)]


def pending(migrations: list[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """What is still to be applied; `applied` has the checksum by number. Raises CdpError if an applied file was changed."""
    for migration in migrations:
        if migration.number in applied and applied[migration.number] != migration.checksum:
            raise CdpError(
                f"Migration {migration.number:04d}_{migration.name} was changed after it had been applied.",
                "Restore the file and put the change into a new migration.",
            )
    unknown = sorted(set(applied) - {migration.number for migration in migrations})
    if unknown:
        raise CdpError(
            f"ClickHouse has migration {unknown[-1]:04d}, which this version of StreamCDP does not know.",
            "Use the version that made the database, or a newer one.",
        )
    return [migration for migration in migrations if migration.number not in applied]


def migrate(config: Settings, folder: Path = FOLDER) -> list[Migration]:
    """Apply what is missing and return it. Safe to repeat; one runner at a time.

    Raises CdpError (Unavailable if ClickHouse does not answer).
    """
    database = config.clickhouse_database
    if not re.fullmatch(r"[A-Za-z_]\w*", database):
        raise CdpError(
            f"{database!r} is not a database's name.", "Set CDP_CLICKHOUSE_DATABASE to letters, digits and underscores."
        )
    client = connect(config, database="")
    try:
        todo = pending(load(folder), _applied(client, database))
        for migration in todo:
            _apply(client, database, migration)
        return todo
    finally:
        client.close()


def _applied(client: Client, database: str) -> dict[int, str]:
    """Make the database and the list of migrations if they are not there; give checksums by number."""
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic")
        client.command(
            f"CREATE TABLE IF NOT EXISTS {database}.schema_migrations"
            " (number UInt32, name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6))"
            " ENGINE = MergeTree ORDER BY number SETTINGS fsync_after_insert = 1"
        )
        rows = client.query(f"SELECT number, checksum FROM {database}.schema_migrations").result_rows  # noqa: S608  (a plain word)
    except Exception as error:
        raise CdpError(f"ClickHouse refuses to prepare the database {database}: {_first_line(error)}") from error
    return {int(number): str(checksum) for number, checksum in rows}


def _apply(client: Client, database: str, migration: Migration) -> None:
    """Run a migration's statements, then note it. Statements say IF NOT EXISTS, so that a broken run can be repeated."""
    try:
        for statement in migration.statements(database):
            client.command(statement)
        client.insert(
            f"{database}.schema_migrations",
            [[migration.number, migration.name, migration.checksum]],
            column_names=["number", "name", "checksum"],
        )
    except Exception as error:
        raise CdpError(
            f"Migration {migration.number:04d}_{migration.name} failed: {_first_line(error)}",
            "Mend the cause and run `cdp migrate` again.",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]


def main() -> None:
    """Run the migrations; one line for each, an error is one sentence and exit 1."""
    try:
        done = migrate(settings())
    except CdpError as error:
        sys.stderr.write(f"migrate: {error}\n")
        sys.exit(1)
    for migration in done:
        sys.stdout.write(f"applied {migration.number:04d}_{migration.name}\n")
    if not done:
        sys.stdout.write("schema is up to date\n")


if __name__ == "__main__":
    main()
