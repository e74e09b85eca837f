"""`cdp rules check`: read and compile the rules of a folder."""

import json
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add `cdp rules`."""
    group = typer.Typer(help="Look after tags, triggers and identity rules.", no_args_is_help=True)

    @group.callback()
    def _group() -> None:
        """Look after tags, triggers and identity rules."""

    @group.command()
    def check(
        folder: Path | None = typer.Argument(None, help="Folder of identity.yaml, tags.yaml, triggers.yaml; default: shipped."),
        as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Read, check and compile the rules; a mistake is named with its file, rule and field."""
        from rules.compile_python import compile_rules
        from rules.load import SHIPPED, load_rules

        book = load_rules(folder or SHIPPED)
        compile_rules(book)
        counts = {"identifiers": len(book.identifiers), "tags": len(book.tags), "triggers": len(book.triggers)}
        typer.echo(json.dumps(counts) if as_json else ", ".join(f"{n} {name}" for name, n in counts.items()) + ": all right")

    app.add_typer(group, name="rules")
