"""Bring ClickHouse's schema up to date (``python -m sinks.migrate``).

Tables are made by the files of `migrations`, each applied once, never changed. What holds no data, views and dictionaries, stands
in `views` as it is: all are made anew, in the order of their numbers, when one of the files has changed.
"""

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

MIGRATIONS = Path(__file__).parent / "migrations"
VIEWS = Path(__file__).parent / "views"
_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")


@dataclass(frozen=True)
class Script:
    """One file: ``0001_facts.sql`` is number 1, name ``facts``. Its text has ``{database}`` where the database's name goes."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def title(self) -> str:
        """The file's name without its ending."""
        return f"{self.number:04d}_{self.name}"

    def statements(self, database: str) -> list[str]:
        """The file's statements: each ends with a semicolon at the end of a line."""
        parts = re.split(r";[ \t]*(?:\n|\Z)", self.text.replace("{database}", database))
        return [part.strip() for part in parts if _has_code(part)]


def _has_code(part: str) -> bool:
    return any(line.strip() and not line.strip().startswith("--") for line in part.splitlines())


def load(folder: Path = MIGRATIONS) -> list[Script]:
    """The scripts of a folder in order. Raises CdpError for a misnamed file and for a number given twice."""
    found: dict[int, Script] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None or int(match[1]) in found:
            raise CdpError(f"{path} is not a script's name, or its number is taken.", "Name it like 0004_what_it_does.sql.")
        found[int(match[1])] = Script(int(match[1]), match[2], path.read_text())
    return [found[number] for number in sorted(found)]


def pending(migrations: list[Script], applied: Mapping[int, str]) -> list[Script]:
    """What is still to be applied; `applied` has the checksum by number. Raises CdpError if an applied file was changed."""
    for migration in migrations:
        if migration.number in applied and applied[migration.number] != migration.checksum:
            raise CdpError(
                f"Migration {migration.title} was changed after it had been applied.",
                "Restore the file and put the change into a new migration.",
            )
    unknown = sorted(set(applied) - {migration.number for migration in migrations})
    if unknown:
        raise CdpError(
            f"ClickHouse has migration {unknown[-1]:04d}, which this version of StreamCDP does not know.",
            "Use the version that made the database, or a newer one.",
        )
    return [migration for migration in migrations if migration.number not in applied]


def outdated(views: list[Script], applied: Mapping[int, str]) -> list[Script]:
    """The views that are to be made anew: all, if one of them has changed, since they build on each other."""
    return views if any(applied.get(view.number) != view.checksum for view in views) else []


def migrate(config: Settings, migrations: Path = MIGRATIONS, views: Path = VIEWS) -> list[Script]:
    """Apply what is missing or has changed, and return it. Safe to repeat; one runner at a time.

    Raises CdpError (Unavailable if ClickHouse does not answer).
    """
    database = config.clickhouse_database
    if not re.fullmatch(r"[A-Za-z_]\w*", database):
        raise CdpError(
            f"{database!r} is not a database's name.", "Set CDP_CLICKHOUSE_DATABASE to letters, digits and underscores."
        )
    client = connect(config, database="")
    try:
        _prepare(client, database)
        todo = {
            "schema_migrations": pending(load(migrations), _applied(client, database, "schema_migrations")),
            "schema_views": outdated(load(views), _applied(client, database, "schema_views")),
        }
        for table, scripts in todo.items():
            for script in scripts:
                _apply(client, f"{database}.{table}", script, database)
        return [script for scripts in todo.values() for script in scripts]
    finally:
        client.close()


def _prepare(client: Client, database: str) -> None:
    """Make the database and the lists of what was applied, if they are not there."""
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic")
        for table in ("schema_migrations", "schema_views"):
            client.command(
                f"CREATE TABLE IF NOT EXISTS {database}.{table}"
                " (number UInt32, name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6))"
                " ENGINE = MergeTree ORDER BY number SETTINGS fsync_after_insert = 1"
            )
    except Exception as error:
        raise CdpError(f"ClickHouse refuses to prepare the database {database}: {_first_line(error)}") from error


def _applied(client: Client, database: str, table: str) -> dict[int, str]:
    """Checksum by number, of what was applied last under it."""
    rows = client.query(f"SELECT number, argMax(checksum, applied_at) FROM {database}.{table} GROUP BY number").result_rows  # noqa: S608  (plain words)
    return {int(number): str(checksum) for number, checksum in rows}


def _apply(client: Client, table: str, script: Script, database: str) -> None:
    """Run a script's statements, then note it in a table. A broken run can be repeated: see what statements say."""
    try:
        for statement in script.statements(database):
            client.command(statement)
        client.insert(table, [[script.number, script.name, script.checksum]], column_names=["number", "name", "checksum"])
    except Exception as error:
        raise CdpError(f"{script.title} failed: {_first_line(error)}", "Mend the cause and run `cdp migrate` again.") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]


def main() -> None:
    """Run the migrations; one line for each, an error is one sentence and exit 1."""
    try:
        done = migrate(settings())
    except CdpError as error:
        sys.stderr.write(f"migrate: {error}\n")
        sys.exit(1)
    for script in done:
        sys.stdout.write(f"applied {script.title}\n")
    if not done:
        sys.stdout.write("schema is up to date\n")


if __name__ == "__main__":
    main()
