"""`cdp dead-letters`: list, show, repair, replay."""

import json
from pathlib import Path
from typing import Any

import typer

JSON = typer.Option(False, "--json", help="Print one JSON object.")
DRY_RUN = typer.Option(False, "--dry-run", help="Only say what would come out.")
STAGE = typer.Option(None, "--stage", help="collect, resolve, profile or facts.")
REASON = typer.Option(None, "--reason", help="Of this reason.")
SOURCE = typer.Option(None, "--source", help="Of this write key, by its name.")
EVENT = typer.Option(None, "--event", help="With this event's name.")
MESSAGE_ID = typer.Option(None, "--message-id", help="Of the message with this id.")
TEXT = typer.Option(None, "--text", help="With this text in the payload or in the explanation.")
SINCE = typer.Option(None, "--since", help="Refused at or after a date or time.")
UNTIL = typer.Option(None, "--until", help="Refused before a date or time.")
RULE = typer.Option(
    None,
    "--rule",
    help="Repair rule: a file with a JSON list of operations, see docs/dead-letters.md.",
    exists=True,
    dir_okay=False,
)
PAYLOAD = typer.Option(None, "--payload", help="A file with the whole repaired message, JSON.", exists=True, dir_okay=False)
SET = typer.Option([], "--set", help="PATH=VALUE: put a value there (JSON, or else a text). May be repeated.")
CAST = typer.Option([], "--cast", help="PATH=TYPE: read it as text, number, comma_number, integer or yes_no. May be repeated.")
RENAME = typer.Option([], "--rename", help="PATH=PATH: move it. May be repeated.")
REMOVE = typer.Option([], "--remove", help="PATH: take it away. May be repeated.")
ID = typer.Argument(help="The letter's id, as `cdp dead-letters list` shows it.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Events that could not be used: find, repair and replay them.", no_args_is_help=True)
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("repair")(repair)
    group.command("replay")(replay)
    app.add_typer(group, name="dead-letters")


def list_letters(  # noqa: PLR0913 - a command's options
    stage: str = STAGE, reason: str = REASON, source: str = SOURCE, event: str = EVENT, text: str = TEXT, since: str = SINCE,
    until: str = UNTIL, message_id: str = MESSAGE_ID, status: str = typer.Option(None, "--status", help="open or replayed."),
    limit: int = typer.Option(50, "--limit", min=1, max=500), cursor: str = typer.Option(None, "--cursor", help="The next page."),
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Dead letters, newest first, with how many there are."""
    filters = _filter(stage, reason, source, event, text, since, until, message_id)
    found = _call("GET", "", {**filters, "status": status, "limit": limit, "cursor": cursor})
    counts = _call("GET", "/summary", filters)
    if as_json:
        typer.echo(json.dumps({**found, "open": counts["open"], "replayed": counts["replayed"]}))
        return
    for one in found["letters"]:
        where = f" {one['field']}" if one["field"] else ""
        typer.echo(
            f"{one['id']:<10} {one['time'][:19]} {one['status']:<8} {one['stage']}/{one['reason']}{where}: {one['detail']}"
        )
    typer.echo(f"{counts['open']:,} open, {counts['replayed']:,} replayed")
    if found["next"]:
        typer.echo(f"more: --cursor {found['next']}")


def show(id: str = ID, as_json: bool = JSON) -> None:
    """One dead letter, whole."""
    one = _call("GET", f"/{_quoted(id)}", {})
    if as_json:
        typer.echo(json.dumps(one))
        return
    for name, value in one.items():
        typer.echo(f"{name:<10} {value}")


def repair(  # noqa: PLR0913 - a command's options
    id: str = ID,
    payload: Path = PAYLOAD,
    rule: Path = RULE, set_: list[str] = SET, cast: list[str] = CAST, rename: list[str] = RENAME, remove: list[str] = REMOVE,
    dry_run: bool = DRY_RUN, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Repair one dead letter and replay it. Exit code 0 if it could be used."""
    operations = _rule(rule, set_, cast, rename, remove)
    asked: dict[str, Any] = {"dry_run": dry_run}
    if payload is not None:
        asked["payload"] = _read(payload)
    if operations:
        asked["rule"] = operations
    done = _call("POST", f"/{_quoted(id)}/repair", asked)
    typer.echo(json.dumps(done) if as_json else _line(done))
    raise typer.Exit(1 if done["outcome"] == "refused" else 0)


def replay(  # noqa: PLR0913 - a command's options
    stage: str = STAGE, reason: str = REASON, source: str = SOURCE, event: str = EVENT, text: str = TEXT, since: str = SINCE,
    until: str = UNTIL, message_id: str = MESSAGE_ID,
    rule: Path = RULE, set_: list[str] = SET, cast: list[str] = CAST, rename: list[str] = RENAME,
    remove: list[str] = REMOVE, limit: int = typer.Option(1000, "--limit", min=1, max=10_000),
    show: int = typer.Option(10, "--show", min=0, max=100, help="Of how many letters to say what came out."),
    dry_run: bool = DRY_RUN, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Repair and replay all open dead letters that fit, oldest first. Try it with --dry-run."""
    asked = {
        "filter": _filter(stage, reason, source, event, text, since, until, message_id),
        "rule": _rule(rule, set_, cast, rename, remove), "limit": limit, "show": show, "dry_run": dry_run,
    }  # fmt: skip
    done = _call("POST", "/replay", asked)
    if as_json:
        typer.echo(json.dumps(done))
        return
    for one in done["shown"]:
        typer.echo(_line(one))
    counts = ", ".join(f"{done[name]:,} {name}" for name in ("passed", "replayed", "refused", "skipped") if done[name])
    typer.echo(f"{done['matched']:,} letters{': ' + counts if counts else ''}")
    for reason_, count in done["refusals"].items():
        typer.echo(f"  still {reason_}: {count:,}")
    if done["more"]:
        typer.echo("There may be more that fit: run it again.")


def _call(method: str, path: str, values: dict[str, Any]) -> Any:
    from cdp.settings import settings
    from serving.client import call

    return call(settings(), method, f"/v1/dead-letters{path}", values, caller="dead-letters")


def _filter(*values: str | None) -> dict[str, str]:
    names = ("stage", "reason", "source", "event", "text", "since", "until", "message_id")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _rule(
    rule: Path | None, sets: list[str], casts: list[str], renames: list[str], removals: list[str]
) -> list[dict[str, Any]]:  # fmt: skip
    """A file's operations, then those of the options."""
    operations: list[dict[str, Any]] = list(_read(rule)) if rule is not None else []
    operations += [{"op": "remove", "path": path} for path in removals]
    operations += [{"op": "rename", "path": path, "to": to} for path, to in map(_pair, renames)]
    operations += [{"op": "cast", "path": path, "to": to} for path, to in map(_pair, casts)]
    operations += [{"op": "set", "path": path, "value": _value(value)} for path, value in map(_pair, sets)]
    return operations


def _pair(text: str) -> tuple[str, str]:
    from cdp.errors import CdpError

    path, equals, value = text.partition("=")
    if not equals:
        raise CdpError(f"{text!r} has no '='.", "Write PATH=VALUE.")
    return path, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(path: Path) -> Any:
    from cdp.errors import CdpError

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CdpError(f"{path} is not a JSON file: {error}.") from error


def _quoted(id_: str) -> str:
    from urllib.parse import quote

    return quote(id_, safe="")


def _line(one: dict[str, Any]) -> str:
    why = f": {one['error']['reason']} {one['error']['field']}: {one['error']['message']}" if one["error"] else ""
    return f"{one['id']:<10} {one['outcome']}{why}"
