"""Run the dispatcher: ``python -m serving.dispatch``."""

import asyncio
import logging
import signal
import sys
import time

import aiohttp
import uvloop
from confluent_kafka import KafkaException, Producer
from prometheus_client import start_http_server

from cdp import kafka, logs, redis
from cdp.errors import CdpError, Unavailable
from cdp.keyring import path_of
from cdp.settings import METRICS_DISPATCHER, Settings, settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from serving.collect.publish import KafkaPublisher, Record
from serving.dispatch import metrics, webhook
from serving.dispatch.deliver import Deliverer
from serving.dispatch.dispatcher import Dispatcher
from serving.dispatch.fence import Fence
from serving.dispatch.log_channel import LogChannel
from serving.dispatch.outcome import Channel
from serving.sealing import Sealing

log = logging.getLogger("serving.dispatch")

WAIT_SECONDS = 120
# A dispatcher that died is replaced after six seconds, not 45; records are handed on at once.
QUICK = {"fetch.wait.max.ms": 50, "session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_500}


def main() -> int:
    """Dispatch until told to stop. Returns the exit code."""
    config = settings()
    logs.configure(config.log_level)
    try:
        uvloop.run(run(config))
    except CdpError as error:
        log.error("%s", error)
        return 1
    return 0


async def run(config: Settings) -> None:
    """Wire everything and dispatch. Raises CdpError if a part stays away, or the keyring is of no use."""
    names = Names(config.topic_prefix)
    sealing = Sealing(path_of(config))
    loop = asyncio.get_running_loop()
    producer = kafka.producer(config.kafka_servers, client_id="cdp-dispatcher", linger_ms=2, report_errors_only=True)
    await asyncio.to_thread(wait_for_topic, producer, names.actions, WAIT_SECONDS)
    publisher = KafkaPublisher(lambda _: producer, loop)
    store = redis.connect_async(config.redis_url)
    http = webhook.client()

    async def report(one_id: str, delivery: bytes) -> None:
        await publisher.publish([Record(names.deliveries, one_id, delivery)])

    deliverer = Deliverer(
        channels(config, http, sealing), Fence(store, names), report, wall_clock, asyncio.Semaphore(webhook.CONCURRENT)
    )
    consumer = kafka.consumer(config.kafka_servers, group=names.group("dispatcher"), client_id="cdp-dispatcher", **QUICK)
    dispatcher = Dispatcher(consumer, names.actions, deliverer)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, dispatcher.stop)
    serve_metrics(config)
    log.info("dispatching %s", names.actions)
    try:
        await dispatcher.run()
    finally:
        await http.close()
        await publisher.close()
        await store.aclose()


def channels(config: Settings, http: aiohttp.ClientSession, sealing: Sealing) -> dict[str, Channel]:
    """The channels by name. Without a webhook's URL its actions are written to the log channel's file."""
    path = config.logs_dir / "actions.jsonl"
    to_log = LogChannel(path, lambda: sealing.newest().masked)
    if not config.webhook_url:
        return {"log": to_log, "webhook": to_log.noting("no webhook configured")}
    secret = config.webhook_secret.get_secret_value()
    return {
        "log": to_log,
        "webhook": webhook.Webhook(http, config.webhook_url, secret, wall_clock, lambda: sealing.newest().plain),
    }


def wait_for_topic(producer: Producer, topic: str, seconds: float) -> None:
    """Block until the topic is there. Raises Unavailable if it stays away."""
    deadline = time.monotonic() + seconds
    log.info("waiting for Kafka and its topic %s", topic)
    while time.monotonic() < deadline:
        try:
            found = producer.list_topics(timeout=5).topics.get(topic)
            if found is not None and found.error is None:
                return
        except KafkaException as error:
            log.debug("Kafka is not there yet: %s", error)
        time.sleep(0.5)
    raise Unavailable(f"Kafka's topic {topic} did not appear in {seconds:g} s.", "Start everything with `cdp up`.")


def serve_metrics(config: Settings) -> None:
    """Metrics on a port of their own; a taken port costs the metrics, not the dispatching."""
    try:
        start_http_server(config.port(METRICS_DISPATCHER), addr="127.0.0.1", registry=metrics.REGISTRY)
    except OSError as error:
        log.warning("no metrics: port %d: %s", config.port(METRICS_DISPATCHER), error.strerror)


if __name__ == "__main__":
    sys.exit(main())
