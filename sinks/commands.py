"""Commands around the facts: ``cdp sql``, ``cdp migrate``, ``cdp squash`` and ``cdp identity simulate``."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cdp.commands import identity_group


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("sql")(_sql)
    app.command("migrate")(_migrate)
    app.command("squash")(_squash)
    identity_group(app).command("simulate")(_simulate)


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
    """Bring ClickHouse's tables and views up to date."""
    from cdp.settings import settings
    from sinks.migrate import migrate

    done = [script.title for script in migrate(settings())]
    if as_json:
        typer.echo(json.dumps({"applied": done}))
    else:
        typer.echo("\n".join(f"applied {name}" for name in done) or "The schema is up to date.")


def _squash(
    after_hours: Annotated[
        float | None,
        typer.Option("--after-hours", min=0, help="Only what moved longer ago; default: CDP_SQUASH_AFTER_HOURS (72)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Write into the facts whose they are by now, for what moved a while ago. The platform does so by itself once a day.

    People are merged and taken apart again; facts are not rewritten then, but looked up. Squashing keeps what has to be looked up
    small. Every question has the same answer before and after. Exit code 1 if the jobs are too far behind for it just now.
    """
    from dataclasses import asdict

    from cdp.settings import settings
    from sinks.housekeeping import squash_now

    done = squash_now(settings(), after_hours)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    elif done.waits_for:
        typer.echo(f"Nothing was squashed: {done.waits_for}. Try again later; `cdp status` shows the lag.", err=True)
    else:
        typer.echo(f"Squashed: {done.parts}; moved too short a while ago: {done.left}.")
    raise typer.Exit(1 if done.waits_for else 0)


def _simulate(  # noqa: PLR0913 - one for each option
    rules: Annotated[Path, typer.Option("--rules", help="The identity rules to try, a file such as identity.yaml.")],
    events: Annotated[Path | None, typer.Option("--events", help="A file of events, one JSON object a line.")] = None,
    since: Annotated[str, typer.Option("--since", help="Recorded events from then on: 30d, 12h, 2w, or ISO 8601.")] = "",
    until: Annotated[str, typer.Option("--until", help="... to before then; default: now.")] = "",
    against: Annotated[Path | None, typer.Option("--against", help="Rules to compare with; default: shipped, or live.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Where to write whose each event would be.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Lines that are no events are listed, but no failure.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Try identity rules on events and say what would change. Nothing live is touched.

    Example: copy rules/shipped/identity.yaml to new.yaml, change a limit in it, then

        cdp identity simulate --rules new.yaml --since 30d

    says who would be merged, who would be parted, and why. With a file of events,

        cdp identity simulate --rules new.yaml --events events.jsonl --output assignments.jsonl

    also writes a line {"message_id", "one_id"} for each event, in the order of the file. An event is a line like

        {"message_id": "m1", "time": "2026-01-31T08:00:00Z", "kind": "track", "event": "Product Viewed",
         "ids": [{"type": "phone", "value": "13800000001"}], "traits": {}, "properties": {}, "truth": "ann"}

    where `truth`, if it is there, is the true person: precision and recall are measured with it, and no rule reads it.

    Exit code 0, or 1 if a line is no event (see --skip-bad).
    """
    from cdp.errors import CdpError
    from cdp.settings import settings
    from cdp.wall_clock import wall_clock
    from sinks.try_rules import assignments, load, read_moment, teller, try_on_file, try_on_history, write_lines

    if (events is None) == (not since):
        raise CdpError("Events come from a file or from history.", "Give either --events FILE.jsonl or --since 30d.")
    new, old = load(rules), load(against)
    if output is not None and not output.parent.is_dir():
        raise CdpError(
            f"{output} cannot be written: there is no folder {output.parent}.", "Make the folder, or name another one."
        )
    if events is not None:
        report, message_ids, after = try_on_file(new, old, events, teller())
    else:
        now = wall_clock()
        span = read_moment(since, now, "--since"), read_moment(until, now, "--until") if until else now
        report, message_ids, after = try_on_history(new, old if against else None, settings(), span, teller())
    if output is not None:
        write_lines(output, assignments(message_ids, after))
    typer.echo(json.dumps(report.as_json(), ensure_ascii=False) if as_json else report.as_text(), nl=as_json)
    raise typer.Exit(1 if report.bad and not skip_bad else 0)
