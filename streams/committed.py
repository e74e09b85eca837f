"""What Kafka has for good: the committed offsets of a job's group, asked for every few seconds in the background."""

import logging
import threading

from confluent_kafka import KafkaException, TopicPartition

from cdp.kafka import consumer

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0


def watch_committed(servers: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """A dictionary of partition to committed offset that keeps itself up to date.

    It lags behind, never ahead: whoever forgets what lies below these offsets forgets nothing that can come again. It has been
    filled once when this returns, if Kafka answers.
    """
    committed: dict[int, int] = {}
    client = consumer(servers, group=group, client_id=f"{group}-watch")
    wanted = [TopicPartition(topic, partition) for partition in range(partitions)]

    def ask() -> None:
        try:
            for answer in client.committed(wanted, timeout=5):
                if answer.offset >= 0:
                    committed[answer.partition] = answer.offset
        except KafkaException as error:
            log.warning("committed offsets of %s are not known just now: %s", group, error)

    def watch() -> None:
        while not stop.wait(INTERVAL_SECONDS):
            ask()

    stop = threading.Event()
    ask()
    threading.Thread(target=watch, name="committed-offsets", daemon=True).start()
    return committed
