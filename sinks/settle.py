"""Whether everything of before a moment has arrived among the facts: by the log's times and the groups' offsets."""

import time
from collections.abc import Iterable

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from cdp.clock import to_iso
from cdp.errors import Unavailable
from cdp.kafka import consumer
from cdp.settings import Settings
from cdp.topics import Names
from sinks.squash import Unsettled

PATIENCE = 60.0
_ANSWER = 30.0

Offsets = dict[tuple[str, int], int]


def unsettled(config: Settings, patience: float = PATIENCE) -> Unsettled:
    """Asks Kafka, and waits `patience` seconds at most for those who are behind. Asking raises Unavailable without Kafka."""

    def ask(moment: int) -> str:
        try:
            return _ask(config, moment, patience)
        except KafkaException as error:
            raise Unavailable(f"Kafka at {config.kafka_servers} does not tell how far the jobs are: {error}.") from error

    return ask


def _ask(config: Settings, moment: int, patience: float) -> str:
    names = Names(config.topic_prefix)
    deadline = time.monotonic() + patience
    # First those who write, then the one who reads what they wrote until then.
    for group, topic in (("resolve", names.events), ("profile", names.resolved), ("dispatcher", names.actions)):
        with _Progress(config, names.group(group), (topic,)) as progress:
            if not _catches_up(progress, progress.until(moment), deadline):
                return f"{group} has not done all that came before {to_iso(moment)}"
    written = (names.facts, names.changes, names.merges, names.actions, names.deliveries)
    with _Progress(config, names.group("facts"), written) as progress:
        if not _catches_up(progress, progress.ends(), deadline):
            return "facts has not written all that is there"
    return ""


def _catches_up(progress: "_Progress", wanted: Offsets, deadline: float) -> bool:
    """Whether a group commits what is wanted before the deadline: jobs do so at their checkpoints."""
    while True:
        done = progress.done()
        if all(done.get(partition, 0) >= offset for partition, offset in wanted.items()):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)


class _Progress:
    """A group's progress on topics; a context manager."""

    def __init__(self, config: Settings, group: str, topics: Iterable[str]) -> None:
        self._client: Consumer = consumer(config.kafka_servers, group=group, client_id="cdp-squash")
        self._partitions = [(topic, number) for topic in topics for number in range(config.partitions)]

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def done(self) -> Offsets:
        """What is committed."""
        wanted = [TopicPartition(*partition) for partition in self._partitions]
        answers = self._client.committed(wanted, timeout=_ANSWER)
        return {(answer.topic, answer.partition): answer.offset for answer in answers if answer.offset >= 0}

    def ends(self) -> Offsets:
        """The ends of the logs."""
        return {partition: self._end(partition) for partition in self._partitions}

    def until(self, moment: int) -> Offsets:
        """The first offsets that are not before a moment in microseconds."""
        wanted = [TopicPartition(*partition, moment // 1000) for partition in self._partitions]
        answers = self._client.offsets_for_times(wanted, timeout=_ANSWER)
        found = {(answer.topic, answer.partition): answer.offset for answer in answers}
        return {at: self._end(at) if offset in (OFFSET_END, -1) else offset for at, offset in found.items()}

    def _end(self, partition: tuple[str, int]) -> int:
        _, high = self._client.get_watermark_offsets(TopicPartition(*partition), timeout=_ANSWER)
        return int(high)
