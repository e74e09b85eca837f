"""`cdp keyring`: the keys that seal personal data."""

import json
import sys

import typer

from cdp.settings import settings

keyring_app = typer.Typer(help="The keys that seal personal data.", no_args_is_help=True)


@keyring_app.command()
def show(as_json: bool = typer.Option(False, "--json", help="For machines.")) -> None:
    """Where the keyring is, and the names of its keys. Never the keys."""
    from cdp.keyring import path_of, read

    path = path_of(settings())
    ring = read(path)
    if as_json:
        said = {"file": str(path), "fingerprint": ring.fingerprint, "active": ring.active, "keys": sorted(ring.keys)}
        typer.echo(json.dumps(said))
        return
    typer.echo(f"file         {path}\nfingerprint  {ring.fingerprint}\nactive       {ring.active}")
    typer.echo(f"keys         {', '.join(sorted(ring.keys, key=lambda name: (len(name), name)))}")


@keyring_app.command()
def create() -> None:
    """Make a keyring where there is none. `cdp up` does so for a new data folder."""
    from cdp.keyring import generate, path_of, write

    path = path_of(settings())
    write(path, generate())
    typer.echo(f"A new keyring is in {path}. Keep a copy of it in a safe place: without it nothing personal can be read.")


@keyring_app.command()
def rotate() -> None:
    """Add an encryption key, which seals from now on; what the others sealed still opens. The collector heeds it in a second."""
    from cdp.keyring import path_of, read, rotated, write

    path = path_of(settings())
    ring = rotated(read(path))
    write(path, ring, replace=True)
    typer.echo(f"{ring.active} seals from now on. Keep a copy of {path} in a safe place.")


@keyring_app.command("open")
def open_text() -> None:
    """Copy standard input to standard output, with everything sealed in it opened: rejected lines of imports, rows of SQL."""
    from cdp.keyring import path_of, read
    from cdp.reveal import Reveal

    reveal = Reveal(read(path_of(settings())))
    for line in sys.stdin:
        typer.echo(reveal.text(line), nl=False)
