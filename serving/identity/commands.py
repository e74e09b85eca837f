"""`cdp identity`: explain, unmerge, undo, merge, reviews, approve, refuse, regroup and rules."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cdp.commands import identity_group
from cdp.errors import CdpError

if TYPE_CHECKING:
    from serving.client import Content

JSON = typer.Option(False, "--json", help="Print one JSON object.")
DRY_RUN = typer.Option(False, "--dry-run", help="Only say what it would do.")
NOTE = typer.Option("", "--note", help="Why, for those who read it later.")
EXPECTED = typer.Option(None, "--expected", min=1, help="Only if this version is in force.")
WHO = typer.Argument(help="A OneID, or type:value, such as phone:13800000000.")
REVIEW = typer.Argument(help="The item's id, as `cdp identity reviews` shows it.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = identity_group(app)
    for command in (explain, unmerge, undo, merge, reviews, approve, refuse, regroup):
        group.command(command.__name__)(command)
    rules = typer.Typer(help="The identity rules in force, and their versions.", no_args_is_help=True)
    rules.command("show")(show_rules)
    rules.command("put")(put_rules)
    rules.command("rollback")(rollback_rules)
    rules.command("versions")(versions)
    group.add_typer(rules, name="rules")


def explain(who: str = WHO, as_json: bool = JSON) -> None:
    """Why is somebody who they are? Identifiers, evidence, changes and decisions, in plain words.

    Example: cdp identity explain phone:13800000000
    """
    from serving.identity.say import say_explanation

    _print(_call("GET", f"/{_quoted(who)}", {}), say_explanation, as_json)


def unmerge(
    identifier: str = typer.Argument(help="type:value; it parts from its person."),
    note: str = NOTE, dry_run: bool = DRY_RUN, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Take an identifier out of its person, with all that counts under it.

    Example: cdp identity unmerge phone:13800000000 --note "given to somebody else" --dry-run
    """
    _change(f"/unmerge{_dry(dry_run)}", {"identifier": identifier, "note": note}, as_json)


def undo(
    one_id: str = typer.Argument(help="The person's OneID."),
    merge: int = typer.Argument(help="The change, as `cdp identity explain` numbers it."),
    note: str = NOTE, dry_run: bool = DRY_RUN, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Undo a merge: as if it had never been."""
    _change(f"/unmerge{_dry(dry_run)}", {"one_id": one_id, "merge": merge, "note": note}, as_json)


def merge(
    one: str = WHO, other: str = WHO, note: str = NOTE,
    force: bool = typer.Option(False, "--force", help="Even if a limit of the rules breaks."),
    dry_run: bool = DRY_RUN, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Make two people one."""
    _change(f"/merge{_dry(dry_run)}", {"one": one, "other": other, "note": note, "force": force}, as_json)


def reviews(
    limit: int = typer.Option(50, "--limit", min=1, max=200), cursor: str = typer.Option(None, "--cursor", help="The next page."),
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """People who may be one, and wait for somebody's decision; the oldest first."""
    from serving.identity.say import say_reviews

    _print(_call("GET", "/reviews", {"limit": limit, "cursor": cursor}), say_reviews, as_json)


def approve(id: str = REVIEW, note: str = NOTE, dry_run: bool = DRY_RUN, as_json: bool = JSON) -> None:
    """They are one person."""
    _change(f"/reviews/{_quoted(id)}{_dry(dry_run)}", {"decision": "approve", "note": note}, as_json)


def refuse(id: str = REVIEW, note: str = NOTE, dry_run: bool = DRY_RUN, as_json: bool = JSON) -> None:
    """They are not one person."""
    _change(f"/reviews/{_quoted(id)}{_dry(dry_run)}", {"decision": "refuse", "note": note}, as_json)


def regroup(
    identifier: str = typer.Argument("", help="type:value, with all that hangs together with it; without one: everybody."),
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Apply the rules in force to what is known, without waiting until something new is said about it."""
    found = _call("POST", "/regroup", {"identifier": identifier or None})
    _print(found, lambda answer: [f"{answer['components']:,} groups of identifiers will be looked at"], as_json)


def show_rules(
    version: int = typer.Option(None, "--version", min=1, help="Default: the one in force."), as_json: bool = JSON
) -> None:
    """Print the rules as they were put; their version goes to stderr."""
    found = _call("GET", "/rules", {"version": version})
    typer.echo(_version_line(found), err=True)
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else found["text"], nl=as_json)


def put_rules(
    file: str = typer.Argument(help="A file such as rules/shipped/identity.yaml; - reads standard input."),
    note: str = typer.Option("", "--note", help="Why, for those who read the history."),
    expected: int = EXPECTED, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Put rules in force; they hold within a second, with no restart. Try them before: cdp identity simulate."""
    from serving.client import Content

    type_ = "application/json" if file.endswith(".json") else "application/yaml"
    content = Content(_read(file), type_, str(expected or ""))
    _in_force(_call("PUT", "/rules", {"note": note or None}, content), as_json)


def rollback_rules(version: int = typer.Argument(min=1), expected: int = EXPECTED, as_json: bool = JSON) -> None:
    """Put old rules in force again, as a new version."""
    from serving.client import Content

    content = Content(json.dumps({"to": version}).encode(), "application/json", str(expected or ""))
    _in_force(_call("POST", "/rules/rollback", {}, content), as_json)


def versions(as_json: bool = JSON) -> None:
    """Who changed the rules, and when."""
    found = _call("GET", "/rules/versions", {})
    _print(found, lambda answer: [_version_line(version) for version in answer["versions"]], as_json)


def _change(path: str, values: dict[str, Any], as_json: bool) -> None:
    from serving.identity.say import say_changed

    _print(_call("POST", path, values), say_changed, as_json)


def _in_force(answer: dict[str, Any], as_json: bool) -> None:
    said = f"version {answer['version']} of the identity rules is in force"
    typer.echo(json.dumps({"version": answer["version"]}) if as_json else said)


def _print(answer: dict[str, Any], say: Callable[[dict[str, Any]], list[str]], as_json: bool) -> None:
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else "\n".join(say(answer)))


def _version_line(version: dict[str, Any]) -> str:
    return f"{version['version']:>6} {(version['created'] or '')[:19]:<19} {version['author']:<20} {version['note']}".rstrip()


def _call(method: str, path: str, values: dict[str, Any], content: "Content | None" = None) -> Any:
    from cdp.settings import settings
    from serving.client import call

    return call(settings(), method, f"/v1/identity{path}", values, caller="identity", content=content)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CdpError(f"{file} cannot be read: {error}.", "Name a file with the rules.") from error


def _dry(dry_run: bool) -> str:
    return "?dry_run=true" if dry_run else ""


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
