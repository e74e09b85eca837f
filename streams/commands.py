"""Commands of the streams; jobs are started and stopped by `infra`."""

import typer


def register(app: typer.Typer) -> None:
    """Add nothing yet: `cdp jobs` belongs to infra, which knows where the cluster is."""
