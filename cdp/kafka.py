"""The one place where Kafka clients are made.

librdkafka's default partitioner is not Java's: `murmur2_random` is, and so one key is in one partition whoever sends it.
kafka-python serves administration; confluent-kafka the hot paths.
"""

from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.partitioner.default import murmur2

from cdp.errors import CdpError, Unavailable
from cdp.topics import Names

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
WEEK_MS = 7 * 86_400_000


def producer(
    servers: str,
    *,
    client_id: str,
    linger_ms: int = 5,
    delivery_timeout_ms: int = 15_000,
    report_errors_only: bool = False,
    on_error: Callable[[KafkaError], None] | None = None,
) -> Producer:
    """An idempotent producer with acks=all that partitions as Java does. `on_error` hears of brokers that are away."""
    return Producer(
        ({"error_cb": on_error} if on_error is not None else {})
        | {
            "bootstrap.servers": servers,
            "client.id": client_id,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "delivery.timeout.ms": delivery_timeout_ms,
            "delivery.report.only.error": report_errors_only,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "socket.keepalive.enable": True,
            "topic.metadata.refresh.interval.ms": 30_000,
            "reconnect.backoff.max.ms": 1_000,
        }
    )


def consumer(servers: str, *, group: str, client_id: str, **overrides: Any) -> Consumer:
    """A consumer that commits only what it is told to and starts at the beginning."""
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "client.id": client_id,
            "group.protocol": "classic",
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "socket.keepalive.enable": True,
            "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
            **overrides,
        }
    )


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key's records, as every client that is made here chooses it."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def admin(servers: str) -> KafkaAdminClient:
    """An administration client. Raises Unavailable if no broker answers."""
    try:
        return KafkaAdminClient(bootstrap_servers=servers, client_id="cdp-admin", request_timeout_ms=10_000)
    except Exception as error:  # kafka-python raises many kinds here
        raise Unavailable(f"Kafka does not answer at {servers}.", "Start it with `cdp up`, or set CDP_KAFKA.") from error


def ensure_topics(servers: str, names: Names, partitions: int) -> None:
    """Create the platform's topics; refuse to go on if one has another number of partitions.

    People belong to partitions: another number would give a person two writers.
    """
    client = admin(servers)
    try:
        existing = {t["name"]: len(t["partitions"]) for t in client.describe_topics() if not t.get("error_code")}
        for topic in names.all_topics():
            if topic in existing and existing[topic] != partitions:
                raise CdpError(
                    f"Topic {topic} has {existing[topic]} partitions, but CDP_PARTITIONS is {partitions}.",
                    f"The number is fixed for life: set CDP_PARTITIONS={existing[topic]}.",
                )
        config = {
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "retention.ms": str(WEEK_MS),
            "compression.type": "producer",
        }
        missing = [
            NewTopic(name=topic, num_partitions=partitions, replication_factor=-1, topic_configs=config)
            for topic in names.all_topics()
            if topic not in existing
        ]
        if missing:
            client.create_topics(missing, timeout_ms=15_000)
    finally:
        client.close()


def end_offsets(servers: str, topic: str) -> dict[int, int]:
    """The end offset of each partition: how many records were ever written to it."""
    from confluent_kafka import TopicPartition

    client = Consumer({"bootstrap.servers": servers, "group.id": "cdp-offsets", "enable.auto.commit": False})
    try:
        metadata = client.list_topics(topic, timeout=10).topics[topic]
        if metadata.error is not None:
            raise Unavailable(f"Kafka has no topic {topic}.", "Start the platform once with `cdp up`.")
        return {
            partition: client.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            for partition in metadata.partitions
        }
    except Unavailable:
        raise
    except Exception as error:
        raise Unavailable(f"Kafka does not answer at {servers}.", "Start it with `cdp up`, or set CDP_KAFKA.") from error
    finally:
        client.close()
