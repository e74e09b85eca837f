"""Time as records: a tick on each partition of `resolved`, now and then: ``python -m streams.ticker``."""

import signal
import threading

import msgspec

from cdp.kafka import producer
from cdp.settings import settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from streams.records import Tick


def main() -> None:
    """Send ticks until SIGTERM or SIGINT."""
    config = settings()
    names = Names(config.topic_prefix)
    client = producer(config.kafka_servers, client_id="cdp-ticker")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(config.tick_seconds):
        tick = msgspec.json.encode(Tick(time=wall_clock()))
        for partition in range(config.partitions):
            client.produce(names.resolved, tick, partition=partition)
        client.poll(0)
        if len(client) > 1000:  # Kafka is away: ticks are worth nothing when they are old
            client.purge()
    client.flush(5)


if __name__ == "__main__":
    main()
