"""Ask whether a part answers, and wait until it does."""

import socket
import time
from collections.abc import Callable, Iterable
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.topics import Names
from infra.flink.rest import JOBS, get, last_failure, running_jobs

Probe = Callable[[Settings], str]
"""Returns what is amiss, in a few words; empty when all is well. Never raises, never takes longer than some seconds."""

POLL_SECONDS = 0.25


def probe_kafka(settings: Settings) -> str:
    """The broker tells its topics."""
    return "" if _topics(settings) is not None else f"Kafka does not answer at {settings.kafka_servers}"


def probe_topics(settings: Settings) -> str:
    """All topics of the platform exist."""
    existing = _topics(settings)
    if existing is None:
        return f"Kafka does not answer at {settings.kafka_servers}"
    missing = [topic for topic in Names(settings.topic_prefix).all_topics() if topic not in existing]
    return f"topic {missing[0]} does not exist yet" if missing else ""


def _topics(settings: Settings) -> set[str] | None:
    """The names of the topics; None if no broker answers."""
    from confluent_kafka.admin import AdminClient

    if not any(_listens(*_host_port(server)) for server in settings.kafka_servers.split(",")):
        return None  # spares librdkafka's retries and complaints
    try:
        client = AdminClient({"bootstrap.servers": settings.kafka_servers, "log_level": 0, "socket.timeout.ms": 3000})
        return set(client.list_topics(timeout=3).topics)
    except Exception:  # a KafkaException of any kind: not ready
        return None


def probe_redis(settings: Settings) -> str:
    """Redis answers PING, which it does not while it loads its data."""
    from cdp.redis import connect

    try:
        client = connect(settings.redis_url)
        try:
            client.ping()
        finally:
            client.close()
    except Exception as error:  # redis-py raises many kinds
        return f"Redis does not answer: {str(error)[:100]}"
    return ""


def probe_clickhouse(settings: Settings) -> str:
    """ClickHouse answers over HTTP."""
    url = urlsplit(settings.clickhouse_url)
    try:
        with urlopen(f"{url.scheme}://{url.hostname}:{url.port or 8123}/ping", timeout=3) as answer:  # noqa: S310 - the address is ours
            return "" if answer.status == 200 else f"ClickHouse answers {answer.status}"
    except (OSError, ValueError, URLError):
        return f"ClickHouse does not answer at {url.hostname}:{url.port or 8123}"


def probe_jobmanager(settings: Settings) -> str:
    """Flink's REST interface answers."""
    try:
        get(settings.flink_rest, "/overview", timeout=2)
    except (OSError, ValueError, URLError):
        return f"Flink does not answer at {settings.flink_rest}"
    return ""


def probe_taskmanager(settings: Settings) -> str:
    """Flink has a TaskManager."""
    try:
        overview = get(settings.flink_rest, "/overview", timeout=2)
    except (OSError, ValueError, URLError):
        return f"Flink does not answer at {settings.flink_rest}"
    return "" if overview.get("taskmanagers") else "no TaskManager has registered with Flink"


def probe_jobs(settings: Settings) -> str:
    """All three jobs run, with all their tasks."""
    try:
        found = running_jobs(settings)
    except (OSError, ValueError, URLError):
        return f"Flink does not answer at {settings.flink_rest}"
    for job in JOBS:
        if job not in found:
            return f"job {job} is not submitted yet"
        if not found[job].all_running:
            state = f"{found[job].state.lower()}, with {found[job].running} of {found[job].tasks} tasks running"
            return f"job {job} is {state}{_reason(settings, found[job].id)}"
    return ""


def _reason(settings: Settings, job_id: str) -> str:
    try:
        failure = last_failure(settings, job_id)
    except (OSError, ValueError, KeyError):
        return ""
    return f"; it last failed with: {failure}" if failure else ""


def probe_api(settings: Settings) -> str:
    """The API says that it is ready."""
    try:
        with urlopen(f"{settings.api_url}/readyz", timeout=5) as answer:  # noqa: S310 - the address is ours
            return "" if answer.status == 200 else f"/readyz answers {answer.status}"
    except (OSError, ValueError, URLError) as error:
        return f"the API is not ready at {settings.api_url}: {error}"


def _always(_: Settings) -> str:
    return ""


PROBES: dict[str, Probe] = {
    "kafka": probe_kafka,
    "topics": probe_topics,
    "redis": probe_redis,
    "clickhouse": probe_clickhouse,
    "jobmanager": probe_jobmanager,
    "taskmanager": probe_taskmanager,
    "jobs": probe_jobs,
    "ticker": _always,
    "housekeeper": _always,
    "dispatcher": _always,
    "api": probe_api,
}


def wait_for(settings: Settings, needs: Iterable[str], seconds: float, report: Callable[[str], None]) -> None:
    """Wait until every need is met. Raises CdpError with what is still amiss after `seconds` in all."""
    deadline = time.monotonic() + seconds
    for need in needs:
        amiss, reported = PROBES[need](settings), False
        while amiss:
            if not reported:
                report(f"waiting for {need}: {amiss}")
                reported = True
            if time.monotonic() > deadline:
                raise CdpError(f"Gave up waiting for {need} after {seconds:.0f} s: {amiss}.", "`cdp status` shows the parts.")
            time.sleep(POLL_SECONDS)
            amiss = PROBES[need](settings)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _host_port(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 9092
