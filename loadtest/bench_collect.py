"""Bench the collector: events and requests for each second of the server's own CPU time, every one acknowledged by the broker.

The server is the API's process with its children; a client process drives it on 127.0.0.1. What the client and the broker
cost is not in the figure, as they are other machines in production. At the end the broker must hold exactly what was
acknowledged.
"""

import hashlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil

from cdp.errors import CdpError
from cdp.kafka import end_offsets, ensure_topics
from cdp.settings import API, Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from loadtest.drive import Driven, Task
from loadtest.mix import Mix, as_segment
from loadtest.stack import down, environment, free_port_base, up

START_SECONDS = 60.0
BEFORE_SENDING = 2.0  # seconds in which the client makes its requests
BATCH = 50
BATCH_CONNECTIONS, SINGLE_CONNECTIONS = 16, 64
REFERENCE_SECONDS = 0.5
PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec", "confluent-kafka")


@dataclass(frozen=True)
class Plan:
    """How long, in seconds, and how many connections for each of the two loads."""

    warm_up: float
    seconds: float
    batch_connections: int
    single_connections: int
    seed: int
    run: str


@dataclass(frozen=True)
class Target:
    """The server to measure: its address, its process, a write key, and the settings that lead to its Kafka."""

    settings: Settings
    port: int
    pid: int
    write_key: str


def bench_collect(target: Target, plan: Plan, report: Callable[[str], None]) -> dict[str, Any]:
    """Measure batches, single requests and the empty endpoint. Raises CdpError if anything acknowledged is not in Kafka."""
    reference = speed_reference()
    before = _records(target.settings)
    with empty_server() as (port, pid):
        report("An empty endpoint of the same HTTP server ...")
        empty = measure(Target(target.settings, port, pid, target.write_key), plan, 1, plan.single_connections)
    report(f"Batches of {BATCH} ...")
    batches = measure(target, plan, BATCH, plan.batch_connections)
    report("Single requests ...")
    single = measure(target, plan, 1, plan.single_connections)
    written, letters = (after - first for after, first in zip(_records(target.settings), before, strict=True))
    acknowledged = batches["acknowledged"] + single["acknowledged"]
    answer = {
        "batch_events_per_second_per_core": batches["events_per_second_per_core"],
        "single_requests_per_second_per_core": single["requests_per_second_per_core"],
        "empty_requests_per_second_per_core": empty["requests_per_second_per_core"],
        "batch": batches,
        "single": single,
        "empty": empty,
        "acks": "all",
        "kafka": {"acknowledged": acknowledged, "records": written, "dead_letters": letters},
        "versions": {"python": platform.python_version(), "streamcdp": version("streamcdp")}
        | {name: version(name) for name in PACKAGES},
        "machine": reference,
    }
    if (written, letters) != (acknowledged, 0):
        raise CdpError(
            f"{acknowledged:,} events were acknowledged, but Kafka got {written:,} events and {letters:,} dead letters.",
            "Does something else send to this platform?",
        )
    return answer


def measure(target: Target, plan: Plan, events: int, connections: int) -> dict[str, Any]:
    """Drive the server and set what it answered against the CPU time that it used meanwhile."""
    begin = time.monotonic() + BEFORE_SENDING
    measure_from = begin + plan.warm_up
    run = f"{plan.run}-{events}-{target.pid}"
    task = Task(
        target.port, target.write_key, run, plan.seed, events, connections, begin, measure_from, measure_from + plan.seconds
    )
    client = subprocess.Popen([sys.executable, "-m", "loadtest.drive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert client.stdin is not None  # noqa: S101 - asked for above
        client.stdin.write(msgspec.json.encode(task))
        client.stdin.close()
        client.stdin = None
        cpu = [used_at(target.pid, moment) for moment in (task.measure_from, task.end)]
        out, _ = client.communicate(timeout=START_SECONDS)
    finally:
        client.kill()
        client.wait()
    if client.returncode:
        raise CdpError("The bench's client failed.", "Its reason stands above.")
    return figures(msgspec.json.decode(out, type=Driven), task, cpu[1] - cpu[0])


def figures(driven: Driven, task: Task, cpu_seconds: float) -> dict[str, Any]:
    """What a load came to. Raises CdpError if the server refused anything, or answered too little to say something."""
    if driven.statuses or not driven.requests:
        raise CdpError(
            f"Not every request was taken: {driven.statuses or 'none was answered'}.", "See the API's log, and its quotas."
        )
    seconds, events = task.end - task.measure_from, driven.requests * task.events
    return {
        "events_per_request": task.events,
        "connections": task.connections,
        "seconds": round(seconds, 2),
        "requests": driven.requests,
        "events": events,
        "acknowledged": driven.acknowledged,
        "bytes_per_event": round(driven.bytes_per_request / task.events),
        "requests_per_second": round(driven.requests / seconds),
        "events_per_second": round(events / seconds),
        "server_cpu_seconds": round(cpu_seconds, 2),
        "client_cpu_seconds": round(driven.cpu_seconds, 2),
        "cpu_us_per_event": round(cpu_seconds * 1e6 / events, 2),
        "requests_per_second_per_core": round(driven.requests / cpu_seconds),
        "events_per_second_per_core": round(events / cpu_seconds),
        "latency_ms": driven.latency_ms,
    }


def used_at(pid: int, moment: float) -> float:
    """CPU seconds, user and system, that a process and its children have used; waits until a moment of the monotonic clock."""
    time.sleep(max(0.0, moment - time.monotonic()))
    try:
        process = psutil.Process(pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    except psutil.Error as error:
        raise CdpError(f"The process {pid} cannot be measured: {error}.", "Did the API stop?") from error
    return float(sum(one.user + one.system for one in times))


def speed_reference() -> dict[str, Any]:
    """How fast one core of this machine is just now, so that figures of other machines can be set beside."""
    message = as_segment(next(Mix(1, "reference", 100).draw(1)), "reference", wall_clock())
    block = bytes(65_536)

    def loop() -> None:
        total = 0
        for number in range(1000):
            total += number & 7

    return {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(),
        "python_loops_per_second": round(1000 * _per_second(loop)),
        "json_round_trips_per_second": round(_per_second(lambda: msgspec.json.encode(msgspec.json.decode(message)))),
        "sha256_mb_per_second": round(_per_second(lambda: hashlib.sha256(block).digest()) * len(block) / 1e6),
    }


def _per_second(act: Callable[[], object]) -> float:
    """How often a second of this process's CPU time does something."""
    times, started = 0, time.process_time()
    while (used := time.process_time() - started) < REFERENCE_SECONDS:
        for _ in range(10):
            act()
        times += 10
    return times / used


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _records(settings: Settings) -> tuple[int, int]:
    """Records ever written to the topics of events and of dead letters."""
    names = Names(settings.topic_prefix)
    events, letters = (sum(end_offsets(settings.kafka_servers, topic).values()) for topic in (names.events, names.dead_letters))
    return events, letters


@contextmanager
def own_collector() -> Iterator[Target]:
    """A collector with nothing but a broker and Redis, in a temporary folder on free ports; all stopped at the end."""
    from serving.definitions import mint_write_key

    with tempfile.TemporaryDirectory(prefix="cdp-bench-", ignore_cleanup_errors=True) as folder:
        settings = Settings(data_dir=Path(folder) / "data", port_base=free_port_base())
        try:
            up(settings, only="kafka,redis")
            ensure_topics(settings.kafka_servers, Names(settings.topic_prefix), settings.partitions)
            with _process([sys.executable, "-m", "serving"], settings, f"{settings.api_url}/healthz") as pid:
                yield Target(settings, settings.port(API), pid, mint_write_key(settings, "bench"))
        finally:
            down(settings)


@contextmanager
def given_collector(settings: Settings, pid: int) -> Iterator[Target]:
    """The collector at CDP_API_URL, whose process is `pid`, on this machine."""
    from serving.definitions.sender import write_key_for

    url, key = write_key_for(settings, "bench")
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "localhost"):
        raise CdpError(f"{url} is not on this machine.", "CPU time can be measured on the server's machine only.")
    yield Target(settings, parts.port or 80, pid, key)


@contextmanager
def empty_server() -> Iterator[tuple[int, int]]:
    """The empty endpoint, in a process of its own: port and process id."""
    settings = Settings(port_base=free_port_base())
    command = [sys.executable, "-m", "loadtest.empty_endpoint", str(settings.port(API))]
    with _process(command, settings, settings.api_url) as pid:
        yield settings.port(API), pid


@contextmanager
def _process(command: list[str], settings: Settings, url: str) -> Iterator[int]:
    """A process, once it answers at `url`; ended at the end."""
    import urllib.request

    process = subprocess.Popen(command, env=environment(settings), stdout=sys.stderr)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - the address is ours
                    break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise CdpError(f"`{' '.join(command[1:])}` did not start.", "The reason stands above.") from error
                time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
