"""`cdp import`, `cdp import-topic` and `cdp mappings`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from cdp.settings import Settings
    from serving.imports.apply import Mapper
    from serving.imports.readers import Row, Source
    from serving.imports.run import Limits, Outcome
    from serving.imports.topic import Counts

INCOMPLETE = 3  # all was read, but not all of it could be used
INTERRUPTED = 130
JSON = typer.Option(False, "--json", help="Print one JSON object.")
MAPPING = typer.Option(..., "--mapping", "-m", help="A mapping's file, or the name of one (`cdp mappings`).")
WRITE_KEY = typer.Option("", "--write-key", help="Write key; default: CDP_WRITE_KEY, or one made for this command.")
BATCH = typer.Option(500, "--batch-size", min=1, max=2500, help="Messages in a request.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("import")(import_)
    app.command("import-topic")(import_topic)
    app.command("mappings")(mappings)


def import_(  # noqa: PLR0913 - one for each option
    file: Path = typer.Argument(help="A .csv, .tsv, .jsonl, .parquet or .xlsx file; texts may be gzipped."),
    mapping: str = MAPPING,
    dry: bool = typer.Option(
        False, "--dry-run", help="Send nothing; show the first events and every line that cannot be mapped."
    ),
    show: int = typer.Option(5, "--show", min=0, help="Events that a dry run shows."),
    resume: bool = typer.Option(True, "--resume/--restart", help="Go on behind what was acknowledged, or begin anew."),
    format_: str = typer.Option("", "--format", help="csv, jsonl, parquet or excel; default: by the file's name."),
    encoding: str = typer.Option("", "--encoding", help="Of texts; default: UTF-8, UTF-16 with a mark, or else GB18030."),
    delimiter: str = typer.Option("", "--delimiter", help="Of CSV; default: found out from the header."),
    sheet: str = typer.Option("", "--sheet", help="Of a workbook; default: the first."),
    header_row: int = typer.Option(
        0, "--header-row", min=0, help="The line or row in which a table's header begins; default: found out with the mapping."
    ),
    wait: float = typer.Option(10.0, "--wait", min=0, help="Seconds to wait for the platform to say what was new of it."),
    write_key: str = WRITE_KEY,
    batch_size: int = BATCH,
    as_json: bool = JSON,
) -> None:
    """Import a file of records through the collector. Exit code 0: all of it, 3: some lines were rejected, 1: not to its end.

    Importing the same file again, or going on after an interruption, counts nothing twice.
    """
    from cdp.settings import settings
    from serving.imports.find import mapper_of
    from serving.imports.readers import examine

    config = settings()
    mapper = mapper_of(config, mapping)
    source = examine(file, format_=format_, encoding=encoding, delimiter=delimiter, sheet=sheet, header_row=header_row)
    if source.encoding == "gb18030" and not encoding:
        typer.echo(f"{file.name} is not UTF-8, and is read as GB18030; --encoding says another.", err=True)
    if dry:
        done = _dry_run(source, mapper, config, 0 if as_json else show, as_json=as_json)
    else:
        done = _import(source, mapper, config, _limits(config, batch_size), write_key, resume=resume, wait=wait)
        _report(done, as_json=as_json)
    raise typer.Exit(0 if done.clean else INCOMPLETE)


def import_topic(  # noqa: PLR0913 - one for each option
    topic: str = typer.Argument(help="The topic; its records are JSON objects."),
    mapping: str = MAPPING,
    servers: str = typer.Option("", "--servers", help="Its Kafka, host:port[,host:port]; default: the platform's."),
    group: str = typer.Option("", "--group", help="Consumer group; default: made from the prefix and the mapping's name."),
    until_end: bool = typer.Option(False, "--until-end", help="Stop at the topic's end instead of waiting for more."),
    config: list[str] = typer.Option(
        [], "--config", help="A client's setting, e.g. security.protocol=SASL_SSL; may be repeated."
    ),
    write_key: str = WRITE_KEY,
    batch_size: int = BATCH,
    as_json: bool = JSON,
) -> None:
    """Import from a Kafka topic through the collector, until interrupted. Offsets are committed after the acknowledgement."""
    import signal
    import threading

    from cdp import kafka
    from cdp.errors import CdpError
    from cdp.settings import settings
    from cdp.topics import Names
    from serving.definitions.sender import write_key_for
    from serving.imports.deliver import Link
    from serving.imports.find import mapper_of
    from serving.imports.protect import protector
    from serving.imports.topic import TopicImport

    own, names = settings(), Names(settings().topic_prefix)
    mapper = mapper_of(own, mapping)
    if mapper.mapping.group_by:
        raise CdpError(f"{mapper.mapping.name} brings rows of files together.", "Use a mapping without group_by for a topic.")
    bootstrap = _foreign(topic, servers, own.kafka_servers, names.all_topics())
    url, key = write_key_for(own, "import", write_key)
    consumer = kafka.consumer(
        bootstrap, group=group or f"{names.prefix}-import-{mapper.mapping.name}", client_id="cdp-import",
        **{"enable.partition.eof": True} | _pairs(config),
    )  # fmt: skip
    rejected = own.data_dir / "imports" / f"topic-{topic}-{mapper.mapping.name}.rejected.jsonl"
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    link = Link(url, key)
    counts = TopicImport(consumer, topic, mapper, link, _limits(own, batch_size), rejected, protector(own)).run(
        stop, until_end=until_end, tell=_teller()
    )
    link.close()
    _report_topic(counts, rejected, as_json=as_json)
    raise typer.Exit(INCOMPLETE if counts.rejected or counts.dead_lettered else 0)


def mappings(as_json: bool = JSON) -> None:
    """List the mappings: the shipped ones, and one's own in the data folder's `mappings`."""
    from cdp.settings import settings
    from serving.imports.find import all_mappings

    found = all_mappings(settings())
    if as_json:
        listed = [{"name": m.name, "shipped": shipped, "description": m.description} for m, shipped in found]
        typer.echo(json.dumps({"mappings": listed}, ensure_ascii=False))
        return
    for mapping, shipped in found:
        typer.echo(f"{mapping.name:<20} {'shipped' if shipped else 'own':<8} {mapping.description}")


def _limits(config: "Settings", messages: int) -> "Limits":
    from serving.imports.run import Limits

    return Limits(messages, config.max_batch_bytes, config.max_event_bytes)


def _import(
    source: "Source", mapper: "Mapper", config: "Settings", limits: "Limits", write_key: str, *, resume: bool, wait: float
) -> "Outcome":
    from dataclasses import replace

    from cdp.wall_clock import wall_clock
    from serving.definitions.sender import write_key_for
    from serving.imports.deliver import Link
    from serving.imports.known import count_new
    from serving.imports.protect import protector
    from serving.imports.run import import_file, state_key
    from serving.imports.state import State

    url, key = write_key_for(config, "import", write_key)
    state = State(config.data_dir / "imports", state_key(source, mapper, url), protect=protector(config), restart=not resume)
    link, since = Link(url, key), wall_clock()
    try:
        done = import_file(source, mapper, link, state, limits)
        new = count_new(config, since, done.sent, wait) if wait and done.sent and url == config.api_url else None
        return replace(done, new=new)
    except KeyboardInterrupt:
        typer.echo(f"interrupted behind record {state.reached.records:,}; the same command goes on there", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        link.close()
        state.close()


def _dry_run(source: "Source", mapper: "Mapper", config: "Settings", show: int, *, as_json: bool) -> "Outcome":
    from serving.imports.report import Rejections, dry_report
    from serving.imports.run import dry_run
    from serving.imports.suspect import Columns

    shown, rejections, columns = 0, Rejections(), Columns(mapper.mapping)

    def show_event(row: "Row", message: bytes) -> None:
        nonlocal shown
        if shown < show:
            shown += 1
            typer.echo(f"line {row.line}: {message.decode()}")

    def show_rejected(entry: dict[str, Any]) -> None:
        if as_json:
            typer.echo(json.dumps(entry, ensure_ascii=False, default=str), err=True)
        elif rejections.is_shown(entry):
            typer.echo(f"line {entry['line']}: rejected ({entry['reason']}): {entry['message']}", err=True)

    done = dry_run(source, mapper, config.max_event_bytes, show=show_event, reject=show_rejected, look=columns.add)
    for line in rejections.more():
        typer.echo(line, err=True)
    for suspicion in columns.suspicions():
        typer.echo(f"look at the column {suspicion}", err=True)
    lines = [json.dumps(done.as_json(), ensure_ascii=False)] if as_json else dry_report(done, mapper.mapping.name)
    for line in lines:
        typer.echo(line)
    return done


def _report(done: "Outcome", *, as_json: bool) -> None:
    from serving.imports.report import report

    for line in [json.dumps(done.as_json(), ensure_ascii=False)] if as_json else report(done):
        typer.echo(line)


def _report_topic(counts: "Counts", rejected: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(counts.as_json() | {"rejected_file": str(rejected) if rejected.exists() else ""}))
        return
    typer.echo(
        f"{counts.records:,} records, {counts.events:,} events acknowledged; {counts.skipped:,} for no event, "
        f"{counts.rejected:,} rejected, {counts.dead_lettered:,} dead letters."
    )
    if counts.rejected or counts.dead_lettered:
        typer.echo(f"Rejected records with their reasons: {rejected}")


def _teller() -> Any:
    """Tells how far a topic's import is, every few seconds at most."""
    import time

    from serving.imports.progress import EVERY_SECONDS

    last = time.monotonic()

    def tell(counts: "Counts") -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_SECONDS:
            last = time.monotonic()
            typer.echo(
                f"{counts.records:,} records, {counts.events:,} events acknowledged, {counts.rejected:,} rejected", err=True
            )

    return tell


def _foreign(topic: str, servers: str, own_servers: str, own_topics: list[str]) -> str:
    """The servers to read from. The platform's own topics are no source: their records would go round for ever."""
    from cdp.errors import CdpError

    if topic in own_topics and servers in ("", own_servers):
        raise CdpError(f"{topic} is a topic of the platform itself.", "Import from a topic that something else writes.")
    return servers or own_servers


def _pairs(settings: list[str]) -> dict[str, str]:
    from cdp.errors import CdpError

    wrong = next((one for one in settings if "=" not in one), None)
    if wrong is not None:
        raise CdpError(f"{wrong!r} is not a setting.", "Write NAME=VALUE.")
    return {name.strip(): value for name, _, value in (one.partition("=") for one in settings)}
