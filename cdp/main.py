"""The `cdp` command. Each package brings its own subcommands through the entry points group `streamcdp.commands`.

That keeps the leaf free of imports of ours: `infra` registers `up`, `serving` registers `ledger`, and so on.
"""

import sys
from importlib.metadata import entry_points

import typer

from cdp import __version__
from cdp.errors import CdpError

app = typer.Typer(
    name="cdp", help="StreamCDP: a streaming customer data platform.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip


def _version(show: bool) -> None:
    if show:
        typer.echo(f"streamcdp {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version.")) -> None:
    """StreamCDP: a streaming customer data platform."""


def main() -> None:
    """Run the command line; a user's error is one sentence on stderr and exit code 1, never a stack trace."""
    for entry in sorted(entry_points(group="streamcdp.commands"), key=lambda e: e.name):
        register = entry.load()
        register(app)
    try:
        app()
    except CdpError as error:
        typer.echo(f"cdp: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
