"""Submit jobs to a Flink cluster, one after the other: ``python -m streams.submit resolve profile facts``."""

import os
import sys
import tempfile
import zipfile

# Not a Flink option but a variable of the submitting process: without it the workers look for a loopback server that is gone.
os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112

from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition

from cdp.errors import CdpError, Unavailable
from cdp.kafka import consumer
from cdp.settings import Settings, settings
from cdp.topics import Names
from streams.topology import HAND_OVER_MS, source_topics

PACKAGES = ("cdp", "rules", "profiles", "streams", "sinks")


def submit(job: str, config: Settings, jars: list[Path]) -> str:
    """Submit a job and return Flink's id of it.

    Args:
        jars: the Kafka connector's jar; Flink's own Python jar is added.
    """
    from pyflink.table import EnvironmentSettings, TableEnvironment

    from streams.jobs import build

    table_env = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for key, value in _options(job, config, jars).items():
        table_env.get_config().set(key, value)
    start_offsets(job, config)
    statements = build(job, config, table_env)
    result = statements.execute()
    return str(result.get_job_client().get_job_id())


def _options(job: str, config: Settings, jars: list[Path]) -> dict[str, str]:
    import pyflink

    names = Names(config.topic_prefix)
    host, port = config.flink_rest.rsplit(":", 1)
    flink_jars = [*jars, *sorted((Path(pyflink.__file__).parent / "opt").glob("flink-python-*.jar"))]
    rows = config.facts_bundle_rows if job == "facts" else config.bundle_rows
    options = {
        "pipeline.name": names.group(job),
        "pipeline.jars": ";".join(jar.absolute().as_uri() for jar in flink_jars),
        "pipeline.object-reuse": "true",
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": host,
        "rest.port": port,
        "jobmanager.rpc.address": host,
        "parallelism.default": str(config.profile_parallelism if job == "profile" else config.parallelism),
        "table.local-time-zone": "UTC",
        "execution.checkpointing.interval": f"{config.checkpoint_ms} ms",
        "execution.checkpointing.timeout": "60 s",
        "execution.checkpointing.tolerable-failed-checkpoints": "3",
        "execution.checkpointing.min-pause": f"{config.checkpoint_ms // 2} ms",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "2147483647",
        "restart-strategy.fixed-delay.delay": "500 ms",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.fn-execution.bundle.size": str(rows),
        "python.fn-execution.bundle.time": str(HAND_OVER_MS),
        "python.fn-execution.arrow.batch.size": str(rows),
        "python.metric.enabled": "false",
    }
    if config.flink:
        options["python.files"] = str(_pack_code())
    return options


def _pack_code() -> Path:
    """Our packages in a zip, for a cluster whose workers do not have them installed."""
    root = Path(__file__).resolve().parent.parent
    archive = Path(tempfile.mkdtemp(prefix="streamcdp-")) / "streamcdp.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for package in PACKAGES:
            for file in sorted((root / package).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    target.write(file, file.relative_to(root))
    return archive


def start_offsets(job: str, config: Settings) -> None:
    """Give every partition of a job's group an offset: zero where nothing was ever committed.

    The source may then refuse to start where it has none (`auto.offset.reset=none`): a gap fails loudly, and is not
    skipped. Raises Unavailable, or CdpError if a partition without an offset has lost its beginning already.
    """
    names = Names(config.topic_prefix)
    wanted = [TopicPartition(topic, p) for topic in source_topics(job, names) for p in range(config.partitions)]
    client = consumer(config.kafka_servers, group=names.group(job), client_id="cdp-submit")
    try:
        unknown = [answer for answer in client.committed(wanted, timeout=30) if answer.offset < 0]
        for partition in unknown:
            low, _ = client.get_watermark_offsets(partition, timeout=10)
            if low > 0:
                raise CdpError(
                    f"{job} has no offset on {partition.topic}/{partition.partition}, and the log begins at {low} there.",
                    "Records were deleted before they were read: raise the topic's retention, and see docs/runbook.md.",
                )
            partition.offset = 0
        if unknown:
            client.commit(offsets=unknown, asynchronous=False)
    except KafkaException as error:
        raise Unavailable(f"Kafka at {config.kafka_servers} does not tell what {job} has committed: {error}.") from error
    finally:
        client.close()


def main() -> None:
    """Command line of the module; jars come in ``CDP_FLINK_JARS``, separated by ``:``."""
    jars = [Path(jar) for jar in os.environ.get("CDP_FLINK_JARS", "").split(os.pathsep) if jar]
    for job in sys.argv[1:]:
        try:
            print(job, submit(job, settings(), jars), flush=True)  # noqa: T201
        except CdpError as error:
            sys.exit(f"{job}: {error}")


if __name__ == "__main__":
    main()
