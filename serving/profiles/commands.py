"""`cdp rebuild`."""

import json
import time
from typing import Any

import typer

from cdp.settings import Settings

POLL_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rebuild")(rebuild)


def rebuild(
    person: str = typer.Argument(help="A OneID, or type:value, such as phone:13800000000."),
    wait: float = typer.Option(30.0, "--wait", min=0, help="Wait so many seconds until it is done."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Count a person again from the facts, and ask again for what the person waits for. Exit code 0 only if it is done.

    Example: cdp rebuild P0000000042
    """
    from cdp.settings import settings

    config = settings()
    found = _call(config, "POST", f"/{_one_id_of(config, person)}/rebuild?wait=0", {})
    sent_to, offset, asked = found["one_id"], found["offset"], found["asked"]
    deadline, shown = time.monotonic() + wait, ""
    while found["status"] != "done" and time.monotonic() < deadline:
        shown = _progress(found, shown)
        time.sleep(POLL_SECONDS)
        now = _call(config, "GET", f"/{sent_to}/waiting", {"offset": offset})
        found |= now | {"asked": asked or now["asked"]}
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else say_rebuilt(found))
    raise typer.Exit(0 if found["status"] == "done" else 1)


def say_rebuilt(found: dict[str, Any]) -> str:
    """The answer in words."""
    leads = f"{found['asked']} is {found['one_id']} by now; " if found["asked"] else ""
    if found["status"] == "done":
        return f"{leads}{found['one_id']} is counted again: {found['events']:,} events, {found['events_before']:,} before"
    return f"{leads}{_under_way(found)}; `cdp status` shows who waits"


def _progress(found: dict[str, Any], shown: str) -> str:
    """Write to stderr how far it is, whenever that has changed."""
    line = _under_way(found)
    if line != shown:
        typer.echo(line, err=True)
    return line


def _under_way(found: dict[str, Any]) -> str:
    waits = found["waits_for"]
    return str(waits["says"]) if waits else f"{found['one_id']} is asked for: PROFILE has not handled it yet"


def _one_id_of(config: Settings, person: str) -> str:
    from cdp.people import person_number

    try:
        person_number(person)
    except ValueError:
        return str(_call(config, "GET", "", {"id": person, "events": 0})["one_id"])
    return person


def _call(config: Settings, method: str, path: str, values: dict[str, Any]) -> Any:
    from serving.client import call

    return call(config, method, f"/v1/profiles{path}", values, caller="rebuild")
