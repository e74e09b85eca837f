"""What is done to the facts now and then: ``python -m sinks.housekeeping``, one of the platform's parts."""

import logging
import signal
import threading
import time

from cdp.clickhouse import connect
from cdp.clock import HOUR
from cdp.errors import CdpError
from cdp.logs import configure
from cdp.settings import Settings, settings
from sinks.settle import unsettled
from sinks.squash import Squashed, squash

log = logging.getLogger(__name__)

TRY_AGAIN = 600.0
MUTATION_SECONDS = 6 * 3600.0


def squash_now(config: Settings, after_hours: float | None = None) -> Squashed:
    """Squash once, what moved longer ago than `after_hours`, or than the settings say. Raises CdpError."""
    client = connect(config, timeout=MUTATION_SECONDS)
    hours = config.squash_after_hours if after_hours is None else after_hours
    try:
        return squash(client, config.clickhouse_database, int(hours * HOUR), unsettled(config))
    finally:
        client.close()


def seconds_until_next(config: Settings) -> float:
    """Do what is due; tells how long to wait. What fails is said in the log, and tried again."""
    began = time.monotonic()
    try:
        done = squash_now(config)
    except Exception as error:  # of a driver, or of Kafka: whatever it is, the next try may go better
        log.warning("could not squash: %s", error if isinstance(error, CdpError) else str(error).splitlines()[0])
        return TRY_AGAIN
    if done.waits_for:
        log.warning("%s parts are not squashed yet: %s", done.left, done.waits_for)
        return TRY_AGAIN
    log.info("squashed %s parts in %.1f s; %s moved too short a while ago", done.parts, time.monotonic() - began, done.left)
    return config.squash_hours * 3600


def main() -> None:
    """Do what is due, until SIGTERM or SIGINT."""
    config = settings()
    configure(config.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(seconds_until_next(config)):
        pass


if __name__ == "__main__":
    main()
