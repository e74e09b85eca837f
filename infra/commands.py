"""The commands that run the embedded platform: setup, up, down, status, logs, jobs."""

import json
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import typer

from cdp.errors import CdpError
from cdp.settings import Settings, settings
from infra.keyring_commands import keyring_app

if TYPE_CHECKING:
    from infra.start import Started

jobs_app = typer.Typer(help="Submit the Flink jobs, list them, stop them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this package."""
    app.command()(setup)
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(logs)
    app.add_typer(jobs_app, name="jobs")
    app.add_typer(keyring_app, name="keyring")


def _running_settings() -> Settings:
    """The settings; of the demo inside the data folder if that is what runs there."""
    from infra.supervise import is_running

    config = settings()
    demo = config.data_dir / "demo"
    if not is_running(config.data_dir) and is_running(demo):
        return config.model_copy(update={"data_dir": demo})
    return config


def setup() -> None:
    """Fetch the jars of Kafka and Flink's Kafka connector, once."""
    from infra.fetch import PARTS, fetch

    for part in PARTS:
        fetch(part, typer.echo)


def up(
    detach: bool = typer.Option(False, "--detach", "-d", help="Return when everything is ready, and leave it running."),
    only: str = typer.Option("", help="Run only these parts, with commas between, e.g. kafka,redis."),
    timeout: float = typer.Option(180.0, min=1, help="Seconds until everything must be ready."),
) -> None:
    """Start the platform: everything in the data folder, on 127.0.0.1. Ctrl-C stops it."""
    from infra.parts import select
    from infra.start import start
    from infra.supervise import is_running, stop

    config = settings()
    parts = select(config, [name.strip() for name in only.split(",") if name.strip()])
    if is_running(config.data_dir):
        typer.echo(f"StreamCDP is already running in {config.data_dir}. `cdp status` shows it, `cdp down` stops it.")
        return
    if not detach:  # Ctrl-C while starting stops what was started
        signal.signal(signal.SIGTERM, _interrupt)
    typer.echo(f"Starting StreamCDP in {config.data_dir}")
    started = None
    try:
        started = start(config, parts, timeout, typer.echo)
        _say_ready(config, started)
        if not detach:
            _stay(config)
    except KeyboardInterrupt:
        if started is None:  # what was started has been stopped
            raise typer.Exit(130) from None
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        typer.echo("Stopping ...")
        stop(config.data_dir)
        typer.echo("Stopped.")


def _say_ready(config: Settings, started: "Started") -> None:
    typer.echo(f"Ready after {started.seconds:.1f} s.")
    names = {part.name for part in started.parts}
    if "api" in names:
        typer.echo(f"  API        {config.api_url}/docs")
    if "jobmanager" in names:
        typer.echo(f"  Flink      http://{config.flink_rest}")
    typer.echo(f"  logs       {config.logs_dir}")
    if started.credentials:
        typer.echo("Credentials, shown this once; only their hashes are kept:")
        for name, secret in started.credentials.items():
            typer.echo(f"  {name:<20} {secret}")


def _stay(config: Settings) -> None:
    """Until somebody else's `cdp down`."""
    import time

    from infra.supervise import is_running

    typer.echo("Ctrl-C stops it.")
    while is_running(config.data_dir):
        time.sleep(1)
    typer.echo("StreamCDP was stopped by somebody else.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def down() -> None:
    """Stop the platform. Loses nothing: everything goes on where it stood at the next `cdp up`."""
    from infra.supervise import is_running, stop
    from infra.sweep import leftovers

    config = _running_settings()
    if not is_running(config.data_dir) and not leftovers(config.data_dir):
        typer.echo(f"StreamCDP is not running in {config.data_dir}.")
        return
    stop(config.data_dir)
    typer.echo("Stopped.")


def status(as_json: bool = typer.Option(False, "--json", help="For machines.")) -> None:
    """Show every part and job with its state, version, address and lag. Exit code 0 only when all is well."""
    from infra.show import show
    from infra.status import gather

    found = gather(_running_settings())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        show(found)
    raise typer.Exit(0 if found.ok else 1)


def logs(
    part: str = typer.Argument(help="Whose log, e.g. kafka, taskmanager, api."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on with new lines until Ctrl-C."),
    lines: int = typer.Option(50, "--lines", "-n", min=0, help="How many lines from the end."),
) -> None:
    """Show the end of a part's log."""
    from infra.folder import Folder
    from infra.logs import follow as new_lines
    from infra.logs import tail
    from infra.parts import BY_NAME

    if part not in {*BY_NAME, "supervisord"}:
        raise CdpError(f"There is no part named {part!r}.", f"The parts are: {', '.join(BY_NAME)}, supervisord.")
    path = Folder(_running_settings().data_dir).log(part)
    if not path.exists() and not follow:
        raise CdpError(f"There is no log {path}.", "Has the platform been started in this data folder?")
    for line in tail(path, lines) if lines else []:
        typer.echo(line)
    if follow:
        try:
            for line in new_lines(path):
                typer.echo(line)
        except KeyboardInterrupt:
            return


@jobs_app.command("submit")
def submit_jobs(
    flink: str = typer.Option("", help="REST address of a Flink cluster, host:port; default: CDP_FLINK, or the embedded one."),
) -> None:
    """Submit the jobs that are not running: to the embedded Flink, or to any other cluster."""
    import os

    from infra import supervise
    from infra.jobs import prepare, submit_missing

    config = settings()
    if flink:
        os.environ["CDP_FLINK"] = flink  # the submitting processes read it
        config = config.model_copy(update={"flink": flink})
    elif "jobs" in supervise.programs(config.data_dir):
        supervise.start_program(config.data_dir, "jobs")  # it watches them as well
        typer.echo("The supervisor submits the jobs and watches them; `cdp status` shows how far it is.")
        return
    prepare(config, typer.echo)
    _on_flink(config, lambda: typer.echo(f"{submit_missing(config, typer.echo)} jobs submitted to {config.flink_rest}."))


@jobs_app.command("list")
def list_jobs(
    as_json: bool = typer.Option(False, "--json", help="For machines."),
    flink: str = typer.Option("", help="REST address of a Flink cluster, host:port."),
) -> None:
    """List the jobs that Flink has."""
    from dataclasses import asdict

    from infra.flink.rest import running_jobs
    from infra.show import duration, plain

    config = settings().model_copy(update={"flink": flink}) if flink else _running_settings()

    def answer() -> None:
        found = running_jobs(config)
        if as_json:
            typer.echo(json.dumps([{"name": name, **asdict(job)} for name, job in found.items()], indent=2))
            return
        rows = [
            (name, job.state, f"{job.running} of {job.tasks}", duration(job.milliseconds // 1000), job.id)
            for name, job in found.items()
        ]
        sys.stdout.write(plain(("job", "state", "tasks running", "uptime", "id"), rows))

    _on_flink(config, answer)


@jobs_app.command("stop")
def stop_jobs(flink: str = typer.Option("", help="REST address of a Flink cluster, host:port.")) -> None:
    """Stop the jobs until `cdp jobs submit` or the next `cdp up`; they go on where they stood."""
    from infra import supervise
    from infra.jobs import stop

    config = settings().model_copy(update={"flink": flink}) if flink else _running_settings()
    if not flink and "jobs" in supervise.programs(config.data_dir):
        supervise.stop_program(config.data_dir, "jobs")  # or it would submit them again
    _on_flink(config, lambda: typer.echo(f"{stop(config)} jobs were still to be stopped; none is left."))


def _on_flink(config: Settings, act: Callable[[], None]) -> None:
    try:
        act()
    except (OSError, ValueError) as error:
        raise CdpError(
            f"Flink does not answer at {config.flink_rest}: {error}.", "Start it with `cdp up`, or set CDP_FLINK."
        ) from error
