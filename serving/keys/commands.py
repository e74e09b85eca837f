"""`cdp key`: write keys on the command line."""

import json
import re
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from cdp.errors import CdpError

if TYPE_CHECKING:
    from serving.definitions.keys import KeyInfo

JSON = typer.Option(False, "--json", help="Print one JSON object.")
NAME = typer.Option(..., "--name", help="The key's name, which its events carry as their source.")
SECRET = typer.Option("", "--secret", help="A secret that sources already have, to keep them as they are; default: a new one.")
RATE = typer.Option("", "--rate", help="Quota, in events a second and collector process; none: no limit.")
BURST = typer.Option("", "--burst", help="How many events at once; none: as many as in a second.")
ORIGIN = typer.Option([], "--origin", help="Web origin from which browsers may send, or *; may be given several times.")
APP = typer.Option([], "--app", help="Application's name that stands for the key; may be given several times; '' for none.")
DESCRIPTION = typer.Option(None, "--description", help="What it is for.")

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def register(app: typer.Typer) -> None:
    """Add `cdp key`."""
    keys = typer.Typer(help="Write keys: they let sources send events.", no_args_is_help=True)
    keys.command("create")(create)
    keys.command("rotate")(rotate)
    keys.command("expire")(expire)
    keys.command("set")(set_fields)
    keys.command("disable")(disable)
    keys.command("enable")(enable)
    keys.command("revoke")(disable)
    keys.command("list")(list_all)
    app.add_typer(keys, name="key")


def create(  # noqa: PLR0913 - a command's options
    name: str = NAME,
    rate: str = RATE,
    burst: str = BURST,
    origin: list[str] = ORIGIN,
    app: list[str] = APP,
    description: str | None = DESCRIPTION,
    secret: str = SECRET,
    as_json: bool = JSON,
) -> None:
    """Make a write key, and print its secret once. For a name that exists: replace all its secrets at once."""
    from cdp.settings import settings
    from serving.definitions.keys import KeyChange, change_key, create_key, list_keys, mint_write_key

    change = KeyChange(**_fields(rate, burst, origin, app, description))
    if any(key.name == name for key in list_keys(settings())):
        change_key(settings(), name, change)
        made = mint_write_key(settings(), name, secret)
    else:
        _, made = create_key(settings(), name, change, secret)
    typer.echo(json.dumps({"name": name, "write_key": made}) if as_json else made)


def rotate(
    name: str = NAME,
    overlap: str = typer.Option("24h", "--overlap", help="How long the old secret works on: 90s, 30m, 24h, 7d ..."),
    secret: str = SECRET,
    as_json: bool = JSON,
) -> None:
    """Give a write key a second secret, and print it once; the one before works on until the overlap is over."""
    from cdp.settings import settings
    from serving.definitions.keys import rotate_key

    info, made = rotate_key(settings(), name, _duration(overlap), secret)
    typer.echo(json.dumps({"name": name, "write_key": made, "old_secret_until": info.old_secret_until}) if as_json else made)


def expire(name: str = NAME) -> None:
    """End a write key's old secret now, before its overlap is over."""
    from cdp.settings import settings
    from serving.definitions.keys import expire_old_secret

    expire_old_secret(settings(), name)
    typer.echo(f"only the newest secret of the write key {name} works now")


def set_fields(
    name: str = NAME,
    rate: str = RATE,
    burst: str = BURST,
    origin: list[str] = ORIGIN,
    app: list[str] = APP,
    description: str | None = DESCRIPTION,
    as_json: bool = JSON,
) -> None:
    """Change a write key's quota, origins, applications or description; what is not given stays."""
    from cdp.settings import settings
    from serving.definitions.keys import KeyChange, change_key

    _show([change_key(settings(), name, KeyChange(**_fields(rate, burst, origin, app, description)))], as_json)


def disable(name: str = NAME) -> None:
    """Disable a write key; it stops working within a second."""
    from cdp.settings import settings
    from serving.definitions.keys import KeyChange, change_key

    change_key(settings(), name, KeyChange(disabled=True))
    typer.echo(f"the write key {name} is disabled")


def enable(name: str = NAME) -> None:
    """Enable a write key again; its secrets are the same."""
    from cdp.settings import settings
    from serving.definitions.keys import KeyChange, change_key

    change_key(settings(), name, KeyChange(disabled=False))
    typer.echo(f"the write key {name} is enabled")


def list_all(as_json: bool = JSON) -> None:
    """All write keys, without their secrets. `cdp token list` shows the tokens."""
    from cdp.settings import settings
    from serving.definitions.keys import list_keys

    _show(list_keys(settings()), as_json)


def _show(keys: "list[KeyInfo]", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"keys": [asdict(key) for key in keys]}, ensure_ascii=False))
        return
    for key in keys:
        quota = "no limit" if key.quota_rate is None else f"{key.quota_rate:g}/s"
        notes = [
            "disabled" if key.disabled else "",
            f"old secret until {key.old_secret_until[:19]}" if key.old_secret_until else "",
            f"apps {', '.join(key.apps)}" if key.apps else "",
            f"origins {', '.join(key.origins)}" if key.origins != ["*"] else "",
            key.description,
        ]
        typer.echo(f"{key.name:<30} {key.created[:19]}  {quota:<12} {'; '.join(filter(None, notes))}".rstrip())


def _fields(rate: str, burst: str, origins: list[str], apps: list[str], description: str | None) -> dict[str, Any]:
    """The fields that were given."""
    fields: dict[str, Any] = {"quota_rate": _number(rate), "quota_burst": _number(burst)} if rate == "none" else {}
    if rate:
        fields["quota_rate"] = _number(rate)
    if burst:
        fields["quota_burst"] = _number(burst)
    if origins:
        fields["origins"] = origins
    if apps:
        fields["apps"] = [app for app in apps if app]
    if description is not None:
        fields["description"] = description
    return fields


def _number(text: str) -> float | None:
    if text in ("", "none"):
        return None
    try:
        return float(text)
    except ValueError as error:
        raise CdpError(f"{text!r} is not a number.", "Give events a second, or none.") from error


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if found is None:
        raise CdpError(f"{text!r} is not a duration.", "Give a number and s, m, h or d, such as 24h.")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
