"""What the packages' command modules share."""

import typer


def group(app: typer.Typer, name: str, help_: str) -> typer.Typer:
    """The group ``cdp NAME`` of an app, to which several packages may add commands: made by whichever of them asks first.

    Args:
        help_: what `cdp NAME --help` says; all who ask should say the same.
    """
    for known in app.registered_groups:
        if known.name == name and known.typer_instance is not None:
            return known.typer_instance
    made = typer.Typer(help=help_, no_args_is_help=True)
    made.callback(help=help_)(_nothing)  # without a callback a group of one command would be that command
    app.add_typer(made, name=name)
    return made


def identity_group(app: typer.Typer) -> typer.Typer:
    """``cdp identity``: who is who."""
    return group(app, "identity", "OneID: who is who and why, what other rules would change, and how to undo it.")


def _nothing() -> None:
    """What a group does before its command."""
