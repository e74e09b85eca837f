"""`cdp rules`: show, put, diff, publish, rollback, history and upgrades of tags and triggers. `check` needs no platform."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cdp.commands import group
from cdp.errors import CdpError

if TYPE_CHECKING:
    from serving.client import Content

JSON = typer.Option(False, "--json", help="Print one JSON object.")
NOTE = typer.Option("", "--note", help="Why, for those who read the history.")
EXPECTED = typer.Option(None, "--expected", min=0, help="Only if this version is in force; 0: if there is none.")
RULE = typer.Argument(help="tags/NAME or triggers/NAME, such as tags/member_level.")
KINDS = ("tags", "triggers")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    rules = group(app, "rules", "Tags and triggers: edit them while all runs, and look after them.")
    for command in (show, put, diff, publish, rollback, history, upgrades):
        rules.command(command.__name__)(command)


def show(
    rule: str = typer.Argument("", help="tags/NAME or triggers/NAME; without one: a line for each rule."),
    version: int = typer.Option(None, "--version", min=1, help="Default: the one in force."), as_json: bool = JSON,
) -> None:  # fmt: skip
    """Print a rule as YAML, which can be edited and put; its version goes to stderr. Or list all rules.

    Example: cdp rules show tags/member_level > member_level.yaml
    """
    from serving.rules.say import say_lines, say_rule, say_version

    if not rule:
        lines = {kind: _call("GET", f"/{kind}", {})[kind] for kind in KINDS}
        typer.echo(json.dumps(lines, ensure_ascii=False) if as_json else "\n".join(say_lines(lines)))
        return
    found = _call("GET", _path(rule), {"version": version})
    typer.echo(say_version(found), err=True)
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else say_rule(found))


def put(
    file: str = typer.Argument(help="YAML or JSON: one rule, or lists under tags and triggers; - reads standard input."),
    note: str = NOTE, expected: int = EXPECTED,
    draft: bool = typer.Option(False, "--draft", help="Keep it as a draft; cdp rules publish puts it in force."),
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Put rules in force; they hold within a second, with no restart. All are checked before the first is written.

    Example: cdp rules put member_level.yaml --note "gold from 2,000 on" --expected 3
    """
    from serving.client import Content
    from serving.rules.say import say_put

    rules = _read(file)
    if expected is not None and len(rules) > 1:
        raise CdpError("--expected is about one rule, but the file holds several.", "Put them one by one.")
    if not draft:
        listed = {kind: [body for rule, body in rules.items() if rule.startswith(f"{kind}/")] for kind in KINDS}
        order = _call("POST", "/check", {kind: bodies for kind, bodies in listed.items() if bodies})["order"]
        rules = {rule: rules[rule] for rule in order}
    done: dict[str, Any] = {}
    for rule, body in rules.items():
        content = Content(json.dumps(body).encode(), "application/json", _expected(expected))
        done[rule] = _call("PUT", _path(rule), {"note": note or None, "publish": "false" if draft else None}, content)
        if not as_json:
            typer.echo(say_put(rule, done[rule]))
    if as_json:
        made = [{"rule": rule, "version": answer["version"], "book": answer["book"]} for rule, answer in done.items()]
        typer.echo(json.dumps({"rules": made}))


def diff(
    rule: str = RULE,
    from_: str = typer.Option(None, "--from", help="A version, or shipped; default: what was in force before."),
    to: int = typer.Option(None, "--to", min=1, help="A version; default: the one in force."), as_json: bool = JSON,
) -> None:  # fmt: skip
    """What differs between two versions of a rule, or between one and what comes with the platform.

    Example: cdp rules diff tags/member_level --from shipped
    """
    from serving.rules.say import say_difference

    found = _call("GET", f"{_path(rule)}/diff", {"from": from_, "to": to})
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else "\n".join(say_difference(rule, found)))


def publish(
    rule: str = RULE, version: int = typer.Argument(min=1, help="The draft's version."), expected: int = EXPECTED,
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Put a draft in force.

    Example: cdp rules publish tags/member_level 4
    """
    _post(rule, "publish", {"version": version}, "", expected, as_json)


def rollback(
    rule: str = RULE, version: int = typer.Argument(min=1, help="The version to go back to."), note: str = NOTE,
    expected: int = EXPECTED, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Put an old version in force again, as a new one.

    Example: cdp rules rollback tags/member_level 2 --note "too many gold members"
    """
    _post(rule, "rollback", {"to": version}, note, expected, as_json)


def history(
    rule: str = RULE, limit: int = typer.Option(100, "--limit", min=1, max=1000, help="The newest so many."), as_json: bool = JSON
) -> None:
    """Who changed a rule, when and why, the newest first; drafts included."""
    from serving.rules.say import say_version

    found = _call("GET", f"{_path(rule)}/versions", {"limit": limit})
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else "\n".join(map(say_version, found["versions"])))


def upgrades(as_json: bool = JSON) -> None:
    """What is shipped now and was not taken into rules that somebody edited, with how to take it."""
    from serving.rules.say import say_upgrades

    found = _call("GET", "/upgrades", {})
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else "\n".join(say_upgrades(found)))


def _post(rule: str, what: str, body: dict[str, int], note: str, expected: int | None, as_json: bool) -> None:
    from serving.client import Content
    from serving.rules.say import say_put

    content = Content(json.dumps(body).encode(), "application/json", _expected(expected))
    done = _call("POST", f"{_path(rule)}/{what}", {"note": note or None}, content)
    said = {"rule": rule, "version": done["version"], "book": done["book"]}
    typer.echo(json.dumps(said) if as_json else say_put(rule, done))


def _read(file: str) -> dict[str, dict[str, Any]]:
    """The rules of a file by ``tags/NAME`` and ``triggers/NAME``: several, or one, which is a trigger if it has an event."""
    from rules.definitions.bodies import decode

    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CdpError(f"{file} cannot be read: {error}.", "Name a file with rules.") from error
    named = "standard input" if file == "-" else file
    given = decode(text, is_json=file.endswith(".json"), what=named)
    if not any(isinstance(given.get(kind), list) for kind in KINDS):
        given = {"triggers" if "event" in given else "tags": [given]}
    found: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        for body in given.get(kind) or []:
            name = body.get("name") if isinstance(body, dict) else None
            if not isinstance(name, str) or f"{kind}/{name}" in found:
                raise CdpError(f"{named} has a rule without a name of its own among its {kind}.", "Give each one a name.")
            found[f"{kind}/{name}"] = body
    return found


def _path(rule: str) -> str:
    from urllib.parse import quote

    kind, _, name = rule.partition("/")
    if kind not in KINDS or not name:
        raise CdpError(f"{rule!r} is no rule.", f"Write tags/{rule} or triggers/{rule}; cdp rules show lists all of them.")
    return f"/{kind}/{quote(name, safe='')}"


def _expected(version: int | None) -> str:
    return "" if version is None else str(version)


def _call(method: str, path: str, values: dict[str, Any], content: "Content | None" = None) -> Any:
    from cdp.settings import settings
    from serving.client import call

    return call(settings(), method, f"/v1/rules{path}", values, caller="rules", content=content)
