"""Tell the stream which book of rules holds: a record on every partition of `resolved`, as ticks are."""

from confluent_kafka import KafkaException

from cdp import kafka
from cdp.errors import Unavailable
from cdp.settings import Settings
from cdp.topics import Names

NO_KEY = "-"
LOOK_SECONDS = 2.0
SEND_SECONDS = 5.0


def announce(settings: Settings, record: bytes) -> None:
    """Return when every partition has the record. Blocks, at most some seconds. Raises Unavailable if one may not have it.

    With a producer of its own: that of the collector keeps records in a file while Kafka is away, and chooses the partition.
    """
    topic, trouble = Names(settings.topic_prefix).resolved, _Trouble()
    producer = kafka.producer(
        settings.kafka_servers, client_id="cdp-rules", delivery_timeout_ms=int(SEND_SECONDS * 1000), on_error=lambda _: None
    )
    try:
        found = producer.list_topics(timeout=LOOK_SECONDS).topics.get(topic)  # of all topics: asking for one could create it
        if found is None or len(found.partitions) != settings.partitions:
            raise Unavailable(f"Kafka has no topic {topic} of {settings.partitions} partitions.", "Start it with `cdp up`.")
        for partition in range(settings.partitions):
            producer.produce(topic, record, NO_KEY, partition, trouble.report)
        left = producer.flush(SEND_SECONDS + 1)
    except KafkaException as error:
        raise Unavailable(f"Kafka does not answer: {error.args[0].name()}.", "Try again later; see /readyz.") from error
    if left or trouble.name:
        raise Unavailable(f"Kafka did not take the record: {trouble.name or 'no answer'}.", "Try again later; see /readyz.")


class _Trouble:
    """What librdkafka reports of a record that failed."""

    name = ""

    def report(self, error: object, _: object) -> None:
        if error is not None:
            self.name = error.name()  # type: ignore[attr-defined]
