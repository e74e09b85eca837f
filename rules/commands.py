"""`cdp rules check` and `cdp identity check`: read rules, and say what they hold."""

import json
from pathlib import Path

import typer

from cdp.commands import group, identity_group

JSON = typer.Option(False, "--json", help="Print JSON.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group(app, "rules", "Tags and triggers: edit them while all runs, and look after them.").command("check")(check)
    identity_group(app).command("check")(check_identity)


def check(
    folder: Path | None = typer.Argument(None, help="Folder of identity.yaml, tags.yaml, triggers.yaml; default: shipped."),
    as_json: bool = JSON,
) -> None:
    """Read, check and compile the rules; a mistake is named with its file, rule and field."""
    from rules.definitions.book import compile_rules
    from rules.definitions.load import SHIPPED, load_rules

    book = load_rules(folder or SHIPPED)
    compile_rules(book, {})  # nothing is evaluated
    counts = {"identifiers": len(book.identifiers), "tags": len(book.tags), "triggers": len(book.triggers)}
    typer.echo(json.dumps(counts) if as_json else ", ".join(f"{n} {name}" for name, n in counts.items()) + ": all right")


def check_identity(
    file: Path | None = typer.Argument(None, help="A file such as identity.yaml; default: the shipped one."),
    as_json: bool = JSON,
) -> None:
    """Read a file of identity rules and say what it holds; a mistake is named with its rule, field and remedy.

    Example: cdp identity check new-identity.yaml
    """
    from rules.identity import load_identity_rules
    from rules.identity.describe import describe, outline

    rules = load_identity_rules(file)
    typer.echo(json.dumps(outline(rules), ensure_ascii=False) if as_json else describe(rules))
