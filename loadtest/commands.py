"""The commands that put load on the platform: replay, simulate, demo, bench."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cdp.settings import WEBHOOK_DEMO, Settings, settings

if TYPE_CHECKING:
    from loadtest.receive import Receiver

replay_app = typer.Typer(help="Replay a real data set through the collector.", no_args_is_help=True)
drill_app = typer.Typer(help="Practise what may go wrong, and count afterwards.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure throughput and latency.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="Print one JSON object, for machines.")
SEED = typer.Option(1, help="Everything random follows from it.")


def register(app: typer.Typer) -> None:
    """Add the commands of this package."""
    app.add_typer(replay_app, name="replay")
    app.command()(simulate)
    app.command()(demo)
    app.add_typer(bench_app, name="bench")
    app.add_typer(drill_app, name="drill")


@replay_app.callback()
def _replay() -> None:
    """Replay a real data set through the collector."""


@replay_app.command("online-retail")
def replay_online_retail(
    file: Path = typer.Argument(help="UCI Online Retail as csv or csv.gz."),
    write_key: str = typer.Option("", help="Write key; default: CDP_WRITE_KEY, or one made for this command."),
    rate: float = typer.Option(0.0, min=0, help="Events per second; 0: as fast as possible."),
    batch_size: int = typer.Option(200, min=1, max=2500, help="Messages in a request."),
    limit_lines: int = typer.Option(0, min=0, help="Send only the invoices that end within the first N lines; 0: all."),
    as_json: bool = JSON,
) -> None:
    """Send a year of a British gift shop: customers, orders, returns. Sending it again changes nothing."""
    from loadtest.replay import Way, replay_online_retail
    from loadtest.send import Limits
    from serving.definitions.sender import write_key_for

    config = settings()
    url, key = write_key_for(config, "replay", write_key)
    way = Way(url, key, Limits(batch_size, config.max_batch_bytes, config.max_event_bytes), rate)
    done = replay_online_retail(file, way, limit_lines=limit_lines)
    tally = done.tally
    text = (
        f"{tally.sent:,} events sent, {tally.acked:,} acknowledged, {tally.dead_lettered:,} dead letters, "
        f"{tally.retries:,} requests repeated, in {done.seconds:.1f} s."
    )
    _finish(done.as_json(), text, as_json=as_json, failure=done.failure)


def simulate(
    seed: int = SEED,
    seconds: float = typer.Option(60.0, min=1, max=86_400, help="How long the shop is open."),
    visits: int = typer.Option(0, min=0, help="How many visits; 0: as many as the rate asks for."),
    rate: float = typer.Option(40.0, min=0.1, help="Events per second, about."),
    run: str = typer.Option("", help="Name that identifiers begin with; default: made from the time."),
    write_key: str = typer.Option("", help="Write key; default: CDP_WRITE_KEY, or one made for this command."),
    as_json: bool = JSON,
) -> None:
    """Play a shop live: visits on several devices, logins, carts, orders, refunds, sign-ups. Says what must come out."""
    from dataclasses import asdict

    from cdp.clock import to_datetime
    from cdp.wall_clock import wall_clock
    from loadtest.plan import EVENTS_PER_VISIT, plan
    from loadtest.send import Limits, Sender
    from loadtest.simulate import BATCH, play
    from serving.definitions.sender import write_key_for

    config = settings()
    url, key = write_key_for(config, "simulate", write_key)
    start = wall_clock()
    count = visits or max(1, int(rate * seconds / EVENTS_PER_VISIT))
    story = plan(
        seed, run or f"shop-{to_datetime(start):%Y%m%d-%H%M%S}", start, seconds=seconds, visits=count, zone=config.timezone
    )  # fmt: skip
    limits = Limits(BATCH, config.max_batch_bytes, config.max_event_bytes)
    done = play(story, Sender(url, key, connections=2), limits)
    expected = asdict(story.expected) | {"revenue": str(story.expected.revenue)}
    del expected["tags"]
    answer = {
        "run": story.run,
        "seed": seed,
        "tally": asdict(done.tally),
        "seconds": round(done.seconds, 3),
        "expected": expected,
    }
    text = (
        f"Run {story.run}: {done.tally.sent:,} messages sent, {done.tally.acked:,} acknowledged in {done.seconds:.1f} s.\n"
        f"They must come out as {expected['applied']:,} events of {expected['people']:,} people, {expected['orders']:,} orders, "
        f"{expected['duplicates']:,} repeats, {expected['dead_lettered']:,} dead letters; actions: "
        + ", ".join(f"{rule} {count:,}" for rule, count in story.expected.actions.items())
        + "."
    )
    _finish(answer, text, as_json=as_json, failure=done.failure)


def demo(
    seconds: float = typer.Option(60.0, min=5, max=1200, envvar="DEMO_SECONDS", help="How long the shop is open."),
    rate: float = typer.Option(40.0, min=1, max=500, envvar="DEMO_RATE", help="Events per second, about."),
    seed: int = typer.Option(1, envvar="DEMO_SEED", help="Everything random follows from it."),
    leave: bool = typer.Option(False, "--exit", envvar="DEMO_EXIT", help="Stop everything after the report."),
) -> None:
    """Start the platform in a folder of its own, play a shop for a minute, and show what came out."""
    from loadtest.demo import Options, run_demo

    config = settings()
    own = config.model_copy(update={"data_dir": config.data_dir / "demo"})
    raise typer.Exit(run_demo(own, Options(seconds, rate, seed, leave)))


EVENTS = typer.Option(500_000, min=100, help="Events in the backlog.")
RATE = typer.Option(1000, min=10, help="Events per second through the collector.")
SECONDS = typer.Option(30.0, min=1, help="How long, after a few seconds of warming up.")
PROBES = typer.Option(20.0, min=1, max=200, help="Timed people per second.")


@bench_app.command("pipeline")
def bench_pipeline(events: int = EVENTS, seed: int = SEED, as_json: bool = JSON) -> None:
    """Time a backlog from the collector's topic to profiles and ClickHouse; on the running platform, or on one of its own."""
    with _platform() as (target, _):
        result = _pipeline(target, events, seed)
    _finish(result, _pipeline_text(result), as_json=as_json)


@bench_app.command("latency")
def bench_latency(
    rate: int = RATE, seconds: float = SECONDS, probes: float = PROBES, seed: int = SEED, as_json: bool = JSON
) -> None:
    """Time from a request to the readable profile and to the webhook; on the running platform, or on one of its own.

    A running platform must have been started with CDP_WEBHOOK_URL=http://127.0.0.1:<CDP_PORT_BASE + 90>/webhook.
    """
    with _platform() as (target, receiver):
        result = _latency(target, receiver, rate, seconds, probes, seed)
    _finish(result, _latency_text(result), as_json=as_json)


@bench_app.command("collect")
def bench_collect(
    seconds: float = typer.Option(10.0, min=1, help="How long each load is measured."),
    warm_up: float = typer.Option(4.0, min=0, help="Seconds of each load before that."),
    batch_connections: int = typer.Option(16, min=1, max=1000, help="Connections that send batches of 50."),
    single_connections: int = typer.Option(64, min=1, max=1000, help="Connections that send single messages."),
    pid: int = typer.Option(0, min=0, help="Process id of the API at CDP_API_URL; 0: start one, with a broker of its own."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Events and requests for each second of the collector's own CPU time, acknowledged by the broker with acks=all.

    Starts a broker and a collector of its own on free ports, and touches no running platform, unless `--pid` names one.
    """
    from loadtest.bench_collect import Plan, given_collector, own_collector
    from loadtest.bench_collect import bench_collect as run

    plan = Plan(warm_up, seconds, batch_connections, single_connections, seed, _run_name())
    with given_collector(settings(), pid) if pid else own_collector() as target:
        result = run(target, plan, lambda line: typer.echo(line, err=True))
    _finish(result, _collect_text(result), as_json=as_json)


@bench_app.command("identity")
def bench_identity(
    people: int = typer.Option(20_000, min=100, help="People in the graph that is measured by itself."),
    lookups: int = typer.Option(100_000, min=100, help="Events of known people there."),
    rate: int = typer.Option(2000, min=10, help="Events per second through the collector while people become one."),
    seconds: float = SECONDS,
    probes: float = typer.Option(5.0, min=0, max=50, help="Logins that make two people one, per second; 0: only the graph."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Look-ups, new links and bytes of the identity graph, and the time until two people are one everywhere.

    The graph is measured with a Redis of its own; merges on the running platform, or on one of its own.
    """
    from loadtest.bench_identity import Population, bench_graph, own_redis

    with own_redis() as url:
        result = bench_graph(url, Population(people, lookups, seed), lambda line: typer.echo(line, err=True))
    text = _graph_text(result)
    if probes:
        from loadtest.bench_latency import Load
        from loadtest.bench_merge import bench_merge
        from loadtest.stack import access_to

        with _platform() as (target, _):
            merges = bench_merge(target, access_to(target, "bench"), Load(rate, seconds, probes, seed, _run_name()))
        result |= {name: merges[name] for name in ("merge_profile_ms", "merge_tag_ms", "merge_analytics_ms")} | {"merges": merges}
        text += f"\n{_merge_text(merges)}"
    _finish(result, text, as_json=as_json)


@bench_app.command("hot-person")
def bench_hot_person(
    events: int = typer.Option(100_000, min=1_000, help="Events of the hot person within a day."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Time PROFILE's step for a person with very many events, beside ordinary people; on a Redis of its own."""
    from loadtest.bench_hot_person import bench_hot_person as run
    from loadtest.bench_identity import own_redis
    from loadtest.progress import Shown

    with own_redis() as url, Shown("events", events) as shown:
        result = run(url, events, seed, shown.update)
    text = "\n".join(
        f"{name:9} {one['us_per_event']:7.1f} us of CPU an event (step {one['step_us']:.1f}, Redis {one['redis_us']:.1f}), "
        f"{one['bytes_to_redis']:,} bytes to Redis, {one['bytes_from_redis']:,} back"
        for name, one in (("ordinary", result["ordinary"]), ("hot", result["hot"]))
    )
    _finish(result, f"{text}\nThe hot person's event costs {result['ratio']} times an ordinary one.", as_json=as_json)


@bench_app.command("rules")
def bench_rules(rate: int = RATE, seconds: float = SECONDS, seed: int = SEED, as_json: bool = JSON) -> None:
    """Time from an edit of a tag or a trigger until it holds, under traffic; on the running platform, or on one of its own.

    A running platform must have been started with CDP_WEBHOOK_URL=http://127.0.0.1:<CDP_PORT_BASE + 90>/webhook.
    """
    from loadtest.bench_latency import Load
    from loadtest.bench_rules import bench_rules as run
    from loadtest.stack import access_to

    with _platform() as (target, receiver):
        result = run(access_to(target, "bench"), receiver, Load(rate, seconds, 1.0, seed, _run_name()))
    text = f"{result['edits']:,} edits at {rate:,} events/s, {result['missed']} missed.\n" + "\n".join(
        f"{name:22} p50 {one['p50']} ms, p99 {one['p99']} ms, at most {one['max']} ms"
        for name, one in result.items()
        if isinstance(one, dict)
    )
    _finish(result, text, as_json=as_json, failure="Some edits did not come into force." if result["missed"] else "")


@bench_app.command("storage")
def bench_storage(as_json: bool = JSON) -> None:
    """Compare ways to keep profiles in Redis: what one event costs there, and how much is read and written."""
    from loadtest.bench_identity import own_redis
    from loadtest.bench_storage import KINDS, WAYS
    from loadtest.bench_storage import bench_storage as run
    from loadtest.progress import Shown

    with own_redis() as url, Shown("ways", len(KINDS) * len(WAYS)) as shown:
        result = run(url, shown.update)
    lines = [
        f"{kind:22} {way:10} Redis {one['redis_us']:6.1f} us, client {one['client_us']:6.1f} us, "
        f"{one['bytes_written']:7,} bytes written, {one['bytes_read']:7,} read, {one['memory_bytes']:7,} kept"
        for kind, ways in result["kinds"].items()
        for way, one in ways.items()
    ]
    _finish(result, "\n".join(lines), as_json=as_json)


@bench_app.command("all")
def bench_all(events: int = EVENTS, rate: int = RATE, seconds: float = SECONDS, seed: int = SEED, as_json: bool = JSON) -> None:
    """Both benches, one after the other, on one platform."""
    with _platform() as (target, receiver):
        pipeline = _pipeline(target, events, seed)
        latency = _latency(target, receiver, rate, seconds, 20.0, seed)
    text = f"{_pipeline_text(pipeline)}\n\n{_latency_text(latency)}"
    _finish({"pipeline": pipeline, "latency": latency}, text, as_json=as_json)


@drill_app.callback()
def _drill() -> None:
    """Practise what may go wrong, and count afterwards."""


@drill_app.command("bad-input")
def drill_bad_input(
    requests: int = typer.Option(100_000, min=1, help="How many requests."),
    by_kind: bool = typer.Option(False, "--by-kind", help="Count each kind by itself as well; takes half an hour."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Send malformed requests of hundreds of kinds: no server error, no restart, everything accounted for.

    On the running platform, which nothing else may send to meanwhile, or on one of its own.
    """
    from loadtest.bad_requests import Keys
    from loadtest.drill_bad_input import drill_bad_input as run
    from loadtest.stack import access_to
    from serving.definitions import mint_write_key, revoke

    with _platform() as (target, _):
        access = access_to(target, "drill")
        disabled = mint_write_key(target, "drill-disabled")
        revoke(target, "drill-disabled", write_key=True)
        result = run(target, access, Keys(access.write_key, disabled), requests, seed, by_kind=by_kind)
    text = (
        f"{result['requests']:,} requests of {result['kinds']} kinds in {result['seconds']} s: "
        f"{result['server_errors']} server errors, restarted: {', '.join(result['restarted']) or 'nothing'}.\n"
        f"{result['sent']:,} sent = {result['applied']:,} applied + {result['duplicates']:,} duplicates + "
        f"{result['dead_lettered']:,} dead letters + {result['rejected']:,} rejected; difference {result['difference']}."
    )
    for kind, numbers in result.get("wrong_kinds", {}).items():
        text += f"\n{kind}: {numbers['expected']} were sent, {numbers['counted']} are accounted for."
    _finish(result, text, as_json=as_json, failure="" if result["passed"] else "The drill was not passed.")


@drill_app.command("outage")
def drill_outage(
    seconds: float = typer.Option(120.0, min=10, help="How long events come."),
    rate: int = typer.Option(2000, min=20, help="Events per second."),
    down: float = typer.Option(60.0, min=0, help="Seconds for which the broker is dead; 0: it is not killed."),
    kills: int = typer.Option(10, min=0, help="How often the collector is killed."),
    spool_mb: int = typer.Option(24, min=1, help="Megabytes that the collector's spool may hold: so few that it fills up."),
    as_json: bool = JSON,
) -> None:
    """Kill broker and collector (-9) under load, and let the spool fill up: acknowledged and lost 0, applied twice 0.

    Always on a platform of its own, in a temporary folder on free ports.
    """
    from loadtest.drill_outage import Outage
    from loadtest.drill_outage import drill_outage as run
    from loadtest.stack import access_to, free_port_base, own_platform

    config = settings().model_copy(update={"port_base": free_port_base()})
    plan = Outage(rate, seconds, min(down, 0.8 * seconds), kills, _run_name(), fills=down > 0)
    with own_platform(config, "drill", CDP_SPOOL_MAX_BYTES=str(spool_mb * 2**20)) as target:
        result = run(target, access_to(target, "drill"), plan, lambda line: typer.echo(line, err=True))
    text = (
        f"{result['acknowledged']:,} of {result['events']:,} events acknowledged, with the broker down for "
        f"{result['broker_down_seconds']} s and the collector killed {result['collector_kills']} times; "
        f"answers: {', '.join(f'{status} {number:,}' for status, number in result['answers'].items())}.\n"
        f"Acknowledged and lost: {result['lost']}. Applied twice: {result['doubled']}. Ledger: {result['ledger_difference']}."
    )
    _finish(result, text, as_json=as_json, failure="" if result["passed"] else "The drill was not passed.")


@drill_app.command("privacy")
def drill_privacy(
    people: int = typer.Option(1000, min=9, max=10_000, help="How many phones and e-mail addresses are planted."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Plant phones and addresses in every kind of request, and look for them in every byte that is kept: none may be found.

    Always on a platform of its own, in a temporary folder on free ports, with webhooks that nobody receives.
    """
    from loadtest.drill_privacy import closed_port_environment
    from loadtest.drill_privacy import drill_privacy as run
    from loadtest.stack import access_to, free_port_base, own_platform

    config = settings().model_copy(update={"port_base": free_port_base()})
    with own_platform(config, "drill", **closed_port_environment(config.port(WEBHOOK_DEMO))) as target:
        result = run(target, access_to(target, "drill"), people, seed, lambda line: typer.echo(line, err=True))
    looked = result["searched"]
    text = (
        f"{result['people']:,} phones and addresses in {result['requests']:,} requests. Looked at: {looked['files']:,} files of "
        f"{looked['bytes'] / 2**20:,.0f} MiB, {looked['records']:,} records, {looked['redis keys']:,} keys of Redis, "
        f"{looked['columns']} columns.\nFound: {result['found'] or 'none'}."
    )
    _finish(result, text, as_json=as_json, failure="" if result["passed"] else "The drill was not passed.")


@drill_app.command("liveness")
def drill_liveness(
    histories: int = typer.Option(20_000, min=1, help="How many histories are played."),
    workers: int = typer.Option(0, min=0, help="Processes that play them; 0: one for each core."),
    loses: bool = typer.Option(False, "--lose", help="Take a record out of each log: the net must catch who waits."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Play random histories of merges, partings, late knowledge and changing rules on RESOLVE and PROFILE, with crashes.

    Each must end with every event counted once, where it belongs, and with nobody waiting. Starts a Redis of its own, and
    touches no running platform. A history follows from its seed: `--histories 1 --seed N` plays one again.
    """
    from loadtest.bench_identity import own_redis
    from loadtest.drill_liveness import drill_liveness as run
    from loadtest.progress import Shown

    with own_redis() as url, Shown("histories", histories) as shown:
        result = run(url, histories, seed, workers, shown.update, loses=loses)
    text = (
        f"{result['histories']:,} histories, {result['events']:,} events, {result['crashes']:,} crashes, "
        f"{result['records_lost']:,} records lost, in {result['seconds']:,} s. "
        f"In {result['with_parts_counted_again']:,} parts were counted again.\n"
        "Ticks until nobody waited: "
        + ", ".join(f"{ticks}: {count:,}" for ticks, count in result["ticks_until_nobody_waited"].items())
        + "".join(f"\nSeed {fault['seed']}: {fault['fault']}" for fault in result["faults"])
    )
    _finish(result, text, as_json=as_json, failure="" if result["passed"] else "The drill was not passed.")


@drill_app.command("laws")
def drill_laws(
    examples: int = typer.Option(50_000, min=1, help="How many histories are tried."),
    workers: int = typer.Option(0, min=0, help="Processes that try them; 0: one for each core."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Try the laws of a profile's components on random histories: any order, split and merged, counted again, timers, once.

    Needs no platform. A history follows from its seed: `--examples 1 --seed N` tries one again.
    """
    from loadtest.drill_laws import drill_laws as run
    from loadtest.progress import Shown

    with Shown("histories", examples) as shown:
        result = run(examples, seed, workers, shown.update)
    text = (
        f"{result['examples']:,} histories, {len(result['laws'])} laws, {len(result['components'])} components, "
        f"in {result['seconds']:,} s."
    ) + "".join(f"\nSeed {one['seed']}, {one['law']}: {one['says'][:500]}" for one in result["broken"])
    _finish(result, text, as_json=as_json, failure="" if result["passed"] else "The drill was not passed.")


@drill_app.command("stuck")
def drill_stuck(
    pairs: int = typer.Option(12, min=4, max=1000, help="How many pairs of people become one by a login."),
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Lose records of which people wait for ever, on purpose: it is seen within 10 s and healed within 120 s, by itself.

    When two people become one, fragments of them change hands by commands on Kafka. While PROFILE stands still, one such command
    is taken out of its log: first a `TransferFragments`, which asks the old owner, then a `FragmentState`, the answer. The drill
    measures how long it takes until `cdp status` names who waits, until /metrics counts somebody, and until nobody waits and the
    ledger balances. Then every pair must be one person who has every event and order exactly once, as without a loss.

    Always on a platform of its own, in a temporary folder on free ports. It takes a few minutes.
    """
    from loadtest.drill_stuck import drill_stuck as run
    from loadtest.stack import access_to, free_port_base, own_platform

    config = settings().model_copy(update={"port_base": free_port_base()})
    with own_platform(config, "drill") as target:
        result = run(target, access_to(target, "drill"), pairs, seed, lambda line: typer.echo(line, err=True))
    text = "\n".join([*map(_round_text, result["rounds"]), *(f"{who}: {says}" for who, says in result["wrong_pairs"].items())])
    text += (
        f"\n{result['pairs'] - len(result['wrong_pairs'])} of {result['pairs']} pairs are as without a loss; "
        f"{result['applied']} of {result['sent']} events applied, {result['duplicates']} duplicates. "
        f"Ledger: {result['in_flight']}."
    )
    _finish(result, text, as_json=as_json, failure="" if result["passed"] else "The drill was not passed.")


def _round_text(one: dict[str, Any]) -> str:
    seconds = {name: "never" if one[name] is None else f"{one[name]} s" for name in one if name.endswith("_seconds")}
    return (
        f"A {one['lost']} is lost, and {one['one_id']} waits. From the jobs' start to the wait {seconds['passed_seconds']}, "
        f"to the healing {seconds['healed_seconds']}. From the wait to cdp status {seconds['status_seconds']}, to /metrics "
        f"{seconds['metrics_seconds']}. PROFILE asked again for {one['people_healed']}."
    )


@contextmanager
def _platform() -> "Iterator[tuple[Settings, Receiver]]":
    """The platform to measure, and the receiver of its webhooks."""
    from loadtest.receive import Receiver
    from loadtest.stack import running_or_own

    config = settings()
    with Receiver(config.port(WEBHOOK_DEMO)) as receiver, running_or_own(config, "bench") as target:
        typer.echo(f"Measuring the platform in {target.data_dir}.", err=True)
        yield target, receiver


def _pipeline(target: Settings, events: int, seed: int) -> dict[str, Any]:
    from loadtest.bench_pipeline import Size, bench_pipeline
    from loadtest.stack import access_to

    return bench_pipeline(target, access_to(target, "bench"), Size(events, seed, _run_name()), quiet=False)


def _latency(target: Settings, receiver: "Receiver", rate: int, seconds: float, probes: float, seed: int) -> dict[str, Any]:
    from loadtest.bench_latency import Load, bench_latency
    from loadtest.stack import access_to

    return bench_latency(target, access_to(target, "bench"), Load(rate, seconds, probes, seed, _run_name()), receiver)


def _pipeline_text(result: dict[str, Any]) -> str:
    head = f"{result['events_per_second']:,} events/s: {result['events']:,} events in {result['seconds']} s."
    return _lines(head, result["cpu_us_per_event"])


def _latency_text(result: dict[str, Any]) -> str:
    head = "\n".join(
        f"{name}: p50 {figures['p50']} ms, p99 {figures['p99']} ms, {figures['samples']} measured, {figures['missed']} missed"
        for name, figures in (("profile readable", result["profile_ms"]), ("webhook arrived", result["webhook_ms"]))
    )
    return _lines(head, result["cpu_us_per_event"])


def _collect_text(result: dict[str, Any]) -> str:
    lines = [
        f"batches of {result['batch']['events_per_request']}: {result['batch_events_per_second_per_core']:,} events/s per core",
        f"single requests: {result['single_requests_per_second_per_core']:,} requests/s per core",
        f"an empty endpoint of the same server: {result['empty_requests_per_second_per_core']:,} requests/s per core",
    ]
    for name in ("batch", "single", "empty"):
        load = result[name]
        lines.append(
            f"  {name:<7} {load['events_per_second']:>9,} events/s by the clock, {load['cpu_us_per_event']:8.2f} us of CPU"
            f" for each, p50 {load['latency_ms']['p50']} ms, p99 {load['latency_ms']['p99']} ms"
        )
    return "\n".join([*lines, f"Kafka holds all {result['kafka']['records']:,} acknowledged events (acks=all)."])


def _graph_text(result: dict[str, Any]) -> str:
    known, sizes = result["known"], result["bytes_per_identifier"]
    return "\n".join([
        f"known look-ups: {result['known_lookups_per_second']:,} identifiers/s per core, "
        f"{known['process']['events_per_second']:,} events/s; the graph alone {result['graph_lookups_per_second']:,}; "
        f"links that this worker has not seen {result['forgotten_lookups_per_second']:,}",
        f"new links: {result['new_links_per_second']:,} events/s per core; links that merge two people: "
        f"{result['merging_links_per_second']:,}",
        "bytes of Redis for each identifier: " + ", ".join(f"{figure} of {size} together" for size, figure in sizes.items()),
        f"100 million people of 4 identifiers: {result['redis_gib_for_100_million_people']:,} GiB",
    ])  # fmt: skip


def _merge_text(result: dict[str, Any]) -> str:
    names = {"profile": "merge_profile_ms", "tag": "merge_tag_ms", "analytics": "merge_analytics_ms"}
    lines = [
        f"merge in {name}: p50 {figures['p50']} ms, p99 {figures['p99']} ms, {figures['samples']} measured, "
        f"{figures['missed']} missed"
        for name, figures in ((name, result[key]) for name, key in names.items())
    ]
    return _lines("\n".join(lines), result["cpu_us_per_event"])


def _run_name() -> str:
    from cdp.clock import to_datetime
    from cdp.wall_clock import wall_clock

    return f"bench-{to_datetime(wall_clock()):%Y%m%d-%H%M%S}"


def _lines(head: str, cpu: dict[str, float]) -> str:
    return "\n".join([head, "CPU per event:", *(f"  {name:<24} {figure:8.1f} us" for name, figure in cpu.items())])


def _finish(answer: dict[str, Any], text: str, *, as_json: bool, failure: str = "") -> None:
    """Print the result; a failure is a sentence on stderr and exit code 1."""
    typer.echo(json.dumps(answer) if as_json else text)
    if failure:
        typer.echo(f"cdp: {failure}", err=True)
        sys.exit(1)
