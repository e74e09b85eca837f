"""Gather how every part fares, and print it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from redis.exceptions import RedisError

from cdp import __version__
from cdp.clickhouse import connect as connect_clickhouse
from cdp.errors import CdpError
from cdp.redis import connect as connect_redis
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from infra import supervise
from infra.flink import rest
from infra.jars import jars
from infra.lag import HOPS, measure
from infra.parts import PARTS, Part, address, is_embedded
from infra.wait import PROBES
from serving.waiters import NOBODY, Waiters, as_json, read_waiters

READY, WAITING, DOWN = "ready", "not ready", "down"


@dataclass(frozen=True)
class PartStatus:
    """One part.

    Attributes:
        state: ``ready``; ``not ready`` (it runs but does not answer) or ``down``.
        detail: what is amiss; empty when ready.
        where: ``embedded`` or ``outside``.
        pid, uptime_seconds: of the embedded program; 0 otherwise.
    """

    name: str
    state: str
    detail: str
    where: str
    pid: int
    uptime_seconds: int
    version: str
    address: str


@dataclass(frozen=True)
class JobStatus:
    """One Flink job, or the dispatcher's hop.

    Attributes:
        state: Flink's word, or ``missing``.
        lag: records that wait to be committed as done; -1 if unknown.
        restarts: by Flink, since it was submitted.
    """

    name: str
    state: str
    restarts: int
    uptime_seconds: int
    lag: int


@dataclass(frozen=True)
class Status:
    """Everything, at one moment.

    Attributes:
        waiters: people who have waited for too long; nobody if Redis does not answer.
        at: the moment, in microseconds.
    """

    data_dir: str
    parts: list[PartStatus] = field(default_factory=list)
    jobs: list[JobStatus] = field(default_factory=list)
    waiters: Waiters = NOBODY
    at: int = 0

    @property
    def ok(self) -> bool:
        """Whether every part is ready, every job runs, and nobody has waited for too long."""
        runs = all(p.state == READY for p in self.parts) and all(j.state == "RUNNING" for j in self.jobs)
        return bool(self.parts) and runs and not self.waiters.count

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "ok": self.ok,
            "data_dir": self.data_dir,
            "parts": [asdict(part) for part in self.parts],
            "jobs": [asdict(job) for job in self.jobs],
            "people_waiting": self.waiters.count,
            "waiting": [as_json(person, self.at) for person in self.waiters.first],
        }


def gather(settings: Settings) -> Status:
    """Ask every part. Never raises for a part that is down."""
    programs = supervise.programs(settings.data_dir)
    wanted = [part for part in PARTS if not programs or part.name in programs or not is_embedded(part, settings)]
    parts = [_part(part, settings, programs) for part in wanted]
    now = wall_clock()
    return Status(str(settings.data_dir), parts, _jobs(settings, parts), _waiters(settings, parts, now), now)


def _waiters(settings: Settings, parts: Sequence[PartStatus], now: int) -> Waiters:
    """Nobody if Redis is away, or goes away meanwhile: that it is away shows already."""
    if not any(part.name == "redis" and part.state == READY for part in parts):
        return NOBODY
    client = connect_redis(settings.redis_url)
    try:
        return read_waiters(client, Names(settings.topic_prefix), settings.partitions, now)
    except (RedisError, OSError):
        return NOBODY
    finally:
        client.close()


def _part(part: Part, settings: Settings, programs: dict[str, supervise.Program]) -> PartStatus:
    embedded = is_embedded(part, settings)
    program = programs.get(part.name)
    state, detail, version = READY, "", ""
    if embedded and (program is None or program.state not in {"RUNNING", "STARTING"}):
        state, detail = DOWN, f"the supervisor says {program.state}" if program else "not started"
    else:
        detail = PROBES[part.name](settings)
        state = WAITING if detail else READY
    if state == READY:
        version = _version(part.name, settings)
    return PartStatus(
        part.name, state, detail, "embedded" if embedded else "outside",
        program.pid if program else 0, program.uptime if program else 0, version, address(part, settings),
    )  # fmt: skip


def _version(part: str, settings: Settings) -> str:
    """A running part's version; empty if it does not tell."""
    try:
        return _VERSIONS.get(part, lambda _: __version__)(settings)
    except (OSError, ValueError, KeyError, CdpError):
        return ""


def _kafka_version(settings: Settings) -> str:
    """The broker does not tell its version; the embedded one's is in the name of its jar."""
    if settings.kafka:
        return ""
    return next(jar.stem.removeprefix("kafka-clients-") for jar in jars("kafka") if jar.name.startswith("kafka-clients-"))


def _redis_version(settings: Settings) -> str:
    client = connect_redis(settings.redis_url)
    try:
        return str(client.info("server")["redis_version"])
    finally:
        client.close()


def _clickhouse_version(settings: Settings) -> str:
    client = connect_clickhouse(settings, database="", timeout=5)
    try:
        return str(client.server_version)
    finally:
        client.close()


def _flink_version(settings: Settings) -> str:
    return str(rest.get(settings.flink_rest, "/overview")["flink-version"])


_VERSIONS = {
    "kafka": _kafka_version,
    "redis": _redis_version,
    "clickhouse": _clickhouse_version,
    "jobmanager": _flink_version,
    "taskmanager": _flink_version,
}


def _jobs(settings: Settings, parts: Sequence[PartStatus]) -> list[JobStatus]:
    names = {part.name: part for part in parts}
    if "jobs" not in names:
        return []
    try:
        found = rest.running_jobs(settings)
        restarts = {name: rest.restarts(settings, job.id) for name, job in found.items()}
    except (OSError, ValueError, KeyError):
        found, restarts = {}, {}
    lags = _lags(settings) if "kafka" in names and names["kafka"].state == READY else {}
    rows = []
    for hop in HOPS:
        if hop in found:
            job = found[hop]
            state = "RUNNING" if job.all_running else ("STARTING" if job.state == "RUNNING" else job.state)
            rows.append(JobStatus(hop, state, restarts.get(hop, 0), job.milliseconds // 1000, lags.get(hop, -1)))
        elif hop in rest.JOBS:
            rows.append(JobStatus(hop, "missing", 0, 0, lags.get(hop, -1)))
        elif hop in names:
            part = names[hop]
            rows.append(
                JobStatus(hop, "RUNNING" if part.state == READY else part.state, 0, part.uptime_seconds, lags.get(hop, -1))
            )
    return rows


def _lags(settings: Settings) -> dict[str, int]:
    try:
        return {hop: lag.records for hop, lag in measure(settings.kafka_servers, Names(settings.topic_prefix)).items()}
    except CdpError:
        return {}
