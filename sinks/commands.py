"""Commands around the facts: ``cdp sql`` and ``cdp migrate``."""

import json
import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("sql")(_sql)
    app.command("migrate")(_migrate)


def _sql(
    statement: Annotated[str, typer.Argument(help="The SQL; - reads it from standard input.")],
    form: Annotated[str, typer.Option("--format", "-f", help="Any ClickHouse format: PrettyCompact, CSVWithNames, TSV ...")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a row (JSONEachRow).")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="As the platform, which may change things; otherwise only look.")
    ] = False,
) -> None:
    """Ask ClickHouse: the facts are in the tables events, orders, order_items, tag_changes, actions and so on."""
    from cdp.clickhouse import connect, failure
    from cdp.settings import settings

    sql = (sys.stdin.read() if statement == "-" else statement).strip().rstrip(";")
    chosen = "JSONEachRow" if as_json else form or ("PrettyCompact" if sys.stdout.isatty() else "TSVWithNames")
    client = connect(settings(), reader=not write, timeout=600)
    try:
        with client.raw_stream(sql, settings={"default_format": chosen}) as stream:
            while chunk := stream.read(1 << 16):
                sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us, e.g. head, has had enough
    except Exception as error:
        raise failure(error) from error
    finally:
        client.close()


def _migrate(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Bring ClickHouse's tables up to date."""
    from cdp.settings import settings
    from sinks.migrate import migrate

    done = [f"{migration.number:04d}_{migration.name}" for migration in migrate(settings())]
    if as_json:
        typer.echo(json.dumps({"applied": done}))
    else:
        typer.echo("\n".join(f"applied {name}" for name in done) or "The schema is up to date.")
