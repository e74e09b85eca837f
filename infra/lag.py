"""How far each consumer group is behind: end offsets less committed offsets, which Flink commits at its checkpoints."""

from dataclasses import dataclass

from cdp.errors import Unavailable
from cdp.topics import Names
from streams.topology import JOBS, source_topics

HOPS = ("resolve", "profile", "facts", "dispatcher")


@dataclass(frozen=True)
class Lag:
    """One hop.

    Attributes:
        records: not yet committed as done; -1 if the group has never committed.
        topics: that the hop reads.
    """

    records: int
    topics: tuple[str, ...]


def reads(names: Names) -> dict[str, tuple[str, ...]]:
    """The topics that each hop reads."""
    return {job: source_topics(job, names) for job in JOBS} | {"dispatcher": (names.actions,)}


def behind(ends: dict[tuple[str, int], int], committed: dict[tuple[str, int], int], topics: tuple[str, ...]) -> int:
    """Records of `topics` beyond the committed offsets; a partition without a committed offset counts whole."""
    return sum(max(0, end - max(0, committed.get(key, 0))) for key, end in ends.items() if key[0] in topics)


def measure(servers: str, names: Names, timeout: float = 10.0) -> dict[str, Lag]:
    """The lag of every hop. Raises Unavailable if Kafka does not answer."""
    from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
    from confluent_kafka.admin import AdminClient, OffsetSpec

    client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        existing = client.list_topics(timeout=timeout).topics
        wanted = {topic for topics in reads(names).values() for topic in topics if topic in existing}
        partitions = [TopicPartition(topic, number) for topic in sorted(wanted) for number in existing[topic].partitions]
        latest = (
            client.list_offsets({partition: OffsetSpec.latest() for partition in partitions}, request_timeout=timeout)
            if partitions
            else {}
        )
        ends = {(partition.topic, partition.partition): future.result().offset for partition, future in latest.items()}
        lags = {}
        for hop, topics in reads(names).items():
            group = names.group(hop)
            answer = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=timeout)[
                group
            ].result()
            committed = {(p.topic, p.partition): p.offset for p in answer.topic_partitions if p.error is None and p.offset >= 0}
            used = tuple(topic for topic in topics if any(key[0] == topic for key in committed)) or topics
            lags[hop] = Lag(behind(ends, committed, used) if committed else -1, used)
    except KafkaException as error:
        raise Unavailable(f"Kafka does not answer at {servers}.", "Start it with `cdp up`, or set CDP_KAFKA.") from error
    return lags
