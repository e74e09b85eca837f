"""`cdp ledger` and `cdp token`, and the commands of the subjects that have some."""

import json
from dataclasses import asdict

import typer

from serving.dead_letters import commands as dead_letter_commands
from serving.identity import commands as identity_commands
from serving.imports import commands as import_commands
from serving.keys import commands as key_commands
from serving.plan import commands as plan_commands
from serving.profiles import commands as profile_commands
from serving.rules import commands as rule_commands

JSON = typer.Option(False, "--json", help="Print one JSON object.")
NAME = typer.Option(..., "--name", help="A name to know it by; minting a name again replaces its secret.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ledger")(ledger)
    dead_letter_commands.register(app)
    identity_commands.register(app)
    import_commands.register(app)
    key_commands.register(app)
    plan_commands.register(app)
    profile_commands.register(app)
    rule_commands.register(app)
    tokens = typer.Typer(help="Tokens: they let people and programs use the API.", no_args_is_help=True)
    tokens.command("create")(create_token)
    tokens.command("list")(list_all)
    tokens.command("revoke")(revoke_token)
    app.add_typer(tokens, name="token")


def ledger(
    as_json: bool = JSON, wait: float = typer.Option(0.0, "--wait", min=0, help="Wait so many seconds for it to balance.")
) -> None:
    """Is every event accounted for? Exit code 0 only if the ledger balances."""
    from cdp import clickhouse
    from cdp.settings import settings
    from serving.operations.ledger import gather, wait_until_balanced, waiting_lines

    config = settings()
    client = clickhouse.connect(config)
    found = wait_until_balanced(lambda: gather(config, client), wait)
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        typer.echo(f"received       {found.received:>14,}")
        for name in ("applied", "duplicates", "dead_lettered", "rejected"):
            typer.echo(f"  {name.replace('_', ' '):<13}{getattr(found, name):>14,}")
        for name, what in (("conflicts", "duplicates said something else"), ("replayed", "dead letters were repaired")):
            if getattr(found, name):
                typer.echo(f"  ({getattr(found, name):,} {what})")
        on_the_way = f"{found.difference:,} events and {found.dead_letters_in_flight:,} dead letters are on their way"
        typer.echo("balanced" if found.balanced else f"not balanced: {on_the_way}")
        for line in waiting_lines(found):
            typer.echo(line)
    raise typer.Exit(0 if found.balanced else 1)


def create_token(
    name: str = NAME, role: str = typer.Option("analyst", "--role", help="admin, ops or analyst."), as_json: bool = JSON
) -> None:
    """Make a token with a role, and print it once."""
    from cdp.settings import settings
    from serving.definitions import mint_token

    secret = mint_token(settings(), name, role)
    typer.echo(json.dumps({"name": name, "role": role, "token": secret}) if as_json else secret)


def list_all(as_json: bool = JSON) -> None:
    """All write keys and tokens, without their secrets."""
    from cdp.settings import settings
    from serving.definitions import list_credentials

    found = list_credentials(settings())
    if as_json:
        typer.echo(json.dumps({"credentials": [asdict(one) for one in found]}))
        return
    for one in found:
        typer.echo(f"{one.role:<10} {one.name:<30} {one.created[:19]}{'  disabled' if one.disabled else ''}")


def revoke_token(name: str = NAME) -> None:
    """Disable a token; it stops working within a second."""
    from cdp.settings import settings
    from serving.definitions import revoke

    revoke(settings(), name, write_key=False)
    typer.echo(f"the token {name} is disabled")
