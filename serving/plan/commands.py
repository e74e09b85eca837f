"""`cdp plan`: the tracking plan on the command line."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cdp.errors import CdpError, Unavailable

if TYPE_CHECKING:
    from cdp.reveal import Reveal
    from serving.plan.attempt import Tried
    from serving.plan.compile import Violation

AUTHOR = "cdp plan"
JSON = typer.Option(False, "--json", help="Print one JSON object.")
DAYS = typer.Option(7, "--days", min=1, max=90, help="Events received in so many last days.")
EACH = typer.Option(1_000, "--each", min=1, max=100_000, help="At most so many events of a name.")
LIMIT = typer.Option(20_000, "--limit", min=1, max=1_000_000, help="At most so many events in all.")
EXPECTED = typer.Option(None, "--expected", min=0, help="Only if this version is in force.")


def register(app: typer.Typer) -> None:
    """Add `cdp plan`."""
    group = typer.Typer(help="The tracking plan: which events there are, and how they look.", no_args_is_help=True)
    group.command("show")(show)
    group.command("set")(set_plan)
    group.command("versions")(versions)
    group.command("rollback")(rollback)
    group.command("draft")(draft)
    group.command("violations")(violations)
    group.command("check")(check)
    app.add_typer(group, name="plan")


def show(version: int | None = typer.Option(None, "--version", min=1, help="Default: the one in force.")) -> None:
    """Print the plan as JSON; its version goes to stderr."""
    from cdp.settings import settings
    from serving.documents.kinds import PLAN
    from serving.documents.store import read

    found = read(settings(), PLAN, version)
    typer.echo(f"version {found.version} {found.created[:19]} {found.author} {found.note}".rstrip(), err=True)
    _print(found.body)


def set_plan(
    file: str = typer.Argument(..., help="The plan, as JSON or YAML; - reads standard input."),
    note: str = typer.Option("", "--note", help="Why, for those who read the history."),
    expected: int | None = EXPECTED,
    as_json: bool = JSON,
) -> None:
    """Put a plan in force; collectors heed it within a second."""
    from cdp.settings import settings
    from serving.documents.document import Edit
    from serving.documents.kinds import PLAN
    from serving.documents.store import put

    with _placed():
        made = put(settings(), PLAN, _load(file), Edit(AUTHOR, note, expected))
    typer.echo(json.dumps({"version": made.version}) if as_json else f"version {made.version} of the tracking plan is in force")


def versions(as_json: bool = JSON) -> None:
    """Who changed the plan, and when."""
    from cdp.settings import settings
    from serving.documents.kinds import PLAN
    from serving.documents.models import VersionView
    from serving.documents.store import history

    found = history(settings(), PLAN)
    if as_json:
        typer.echo(json.dumps({"versions": [VersionView.fields_of(version) for version in found]}, ensure_ascii=False))
        return
    for version in found:
        typer.echo(f"{version.version:>6} {version.created[:19]} {version.author:<20} {version.note}".rstrip())


def rollback(version: int = typer.Argument(..., min=1), expected: int | None = EXPECTED, as_json: bool = JSON) -> None:
    """Put an old version in force again, as a new one."""
    from cdp.settings import settings
    from serving.documents.document import Edit
    from serving.documents.kinds import PLAN
    from serving.documents.store import rollback as roll_back

    made = roll_back(settings(), PLAN, version, Edit(AUTHOR, expected=expected))
    typer.echo(json.dumps({"version": made.version}) if as_json else f"version {made.version} is version {version} again")


def draft(days: int = DAYS, each: int = EACH, limit: int = LIMIT) -> None:
    """Learn a plan from recent events, and print it as JSON. Nothing is put in force."""
    from cdp.clickhouse import connect
    from cdp.settings import settings
    from cdp.wall_clock import wall_clock
    from serving.plan.service import draft_plan

    reveal = _reveal()
    with _asking():
        client = connect(settings(), timeout=120)
        plan, learnt_from = draft_plan(client, reveal, wall_clock(), days=days, each=each, limit=limit)
    typer.echo(f"learnt from {sum(learnt_from.values()):,} events of {len(learnt_from):,} names", err=True)
    _print(plan)


def violations(
    days: int = typer.Option(7, "--days", min=1, max=30, help="The last days, by UTC, today included."),
    event: str = typer.Option("", "--event", help="Only of this event, with its samples."),
    as_json: bool = JSON,
) -> None:
    """What broke the plan, the most frequent first."""
    from redis.exceptions import RedisError

    from cdp.redis import connect
    from cdp.settings import settings
    from cdp.topics import Names
    from cdp.wall_clock import wall_clock
    from serving.plan.violations import SAMPLES, counts_key, days_until, read_samples, samples_key, total

    config = settings()
    names = Names(config.topic_prefix)
    redis = connect(config.redis_url)
    try:
        counts = total((redis.hgetall(counts_key(names, day)) for day in days_until(wall_clock(), days)), event)
        samples = read_samples(redis.lrange(samples_key(names, event), 0, SAMPLES - 1)) if event else []
    except RedisError as error:
        raise Unavailable("Redis does not answer.", "Start it with `cdp up`, or set CDP_REDIS.") from error
    if as_json:
        found = {"violations": [asdict(count) for count in counts], "samples": samples}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for count in counts:
        typer.echo(f"{count.count:>10,}  {count.event:<30} {count.path:<40} {count.keyword:<20} {count.source}")
    for sample in samples:
        typer.echo(f"{sample['time']}  {sample['action']}  {sample['properties']}")


def check(  # noqa: PLR0913 - a command's options
    file: str = typer.Argument("", help="A plan as JSON or YAML; default: the one in force."),
    event: str = typer.Option("", "--event", help="Try it on one event of this name; otherwise on recent events."),
    kind: str = typer.Option("track", "--kind", help="track, order, page, screen or identify."),
    properties: str = typer.Option("{}", "--properties", help="That event's properties, as JSON; of identify: its traits."),
    days: int = DAYS,
    each: int = EACH,
    limit: int = LIMIT,
    as_json: bool = JSON,
) -> None:
    """What a plan would do to one event, or to recent events. Changes nothing."""
    from cdp.clickhouse import connect
    from cdp.settings import settings
    from cdp.wall_clock import wall_clock
    from serving.plan.service import compiled, try_event, try_traffic

    config = settings()
    with _placed():
        plan = compiled(config, _load(file) if file else None)
    if event or kind == "identify":
        verdict = try_event(plan, kind, event, _object(properties))
        _say_verdict(verdict.action, verdict.violations, as_json)
        return
    reveal = _reveal()
    with _asking():
        tried = try_traffic(connect(config, timeout=120), reveal, plan, wall_clock(), days=days, each=each, limit=limit)
    _say_tried(tried, as_json)


def _reveal() -> "Reveal":
    """Opens what is sealed in events: a plan is about events as they come."""
    from cdp.keyring import path_of, read
    from cdp.reveal import Reveal
    from cdp.settings import settings

    return Reveal(read(path_of(settings())))


def _say_verdict(action: str, found: "Iterable[Violation]", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"action": action, "violations": [violation._asdict() for violation in found]}, ensure_ascii=False))
        return
    typer.echo(action)
    for violation in found:
        typer.echo(f"  {violation.path}: {violation.message} ({violation.keyword})")


def _say_tried(tried: "dict[str, Tried]", as_json: bool) -> None:
    actions = ("allow", "warn", "omit", "block")
    if as_json:
        found = [
            {"event": name, **{action: one.actions[action] for action in actions},
             "examples": [violation._asdict() for violation in one.examples]}
            for name, one in sorted(tried.items())
        ]  # fmt: skip
        typer.echo(json.dumps({"events": found}, ensure_ascii=False))
        return
    typer.echo(f"{'event':<40}" + "".join(f"{action:>10}" for action in actions))
    for name, one in sorted(tried.items()):
        typer.echo(f"{name:<40}" + "".join(f"{one.actions[action]:>10,}" for action in actions))
        for violation in one.examples:
            typer.echo(f"  {violation.path}: {violation.message} ({violation.keyword})")


def _load(file: str) -> Any:
    import yaml

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return yaml.safe_load(text) if file.endswith((".yaml", ".yml")) else json.loads(text)
    except (OSError, UnicodeError) as error:
        raise CdpError(f"{file} cannot be read: {error}.", "Name a file with the plan.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CdpError(f"{file} is not {'YAML' if 'yaml' in type(error).__module__ else 'JSON'}: {error}.") from error


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CdpError(f"--properties is not JSON: {error}.", "Give an object, such as '{\"price\": 9.5}'.") from error
    if not isinstance(found, dict):
        raise CdpError("--properties is not a JSON object.", "Give an object, such as '{\"price\": 9.5}'.")
    return found


def _print(plan: Any) -> None:
    typer.echo(json.dumps(plan, indent=2, ensure_ascii=False))


@contextmanager
def _placed() -> Iterator[None]:
    """Say where in a plan a mistake is."""
    from serving.plan.compile import PlanError

    try:
        yield
    except PlanError as error:
        raise CdpError(f"{error.path or 'the plan'}: {error.message}", error.remedy) from error


@contextmanager
def _asking() -> Iterator[None]:
    """Say what ClickHouse said."""
    from cdp.clickhouse import failure

    try:
        yield
    except CdpError:
        raise
    except Exception as error:
        raise failure(error) from error
