"""Replay a real data set through the collector, as its own shop would have sent it."""

import time
from dataclasses import dataclass
from pathlib import Path

from cdp.errors import CdpError
from loadtest.progress import Shown
from loadtest.read_retail import SOURCE, messages, survey
from loadtest.send import Limits, Pacer, Sender, Tally, pack

LIBRARY = "streamcdp-replay"


@dataclass(frozen=True)
class Replayed:
    """The end of a replay; `failure` is empty when everything was acknowledged."""

    tally: Tally
    seconds: float
    failure: str = ""

    def as_json(self) -> dict[str, object]:
        """What `--json` prints."""
        return {
            "data_set": SOURCE,
            "sent": self.tally.sent,
            "acked": self.tally.acked,
            "dead_lettered": self.tally.dead_lettered,
            "requests": self.tally.requests,
            "retries": self.tally.retries,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.tally.acked / self.seconds) if self.seconds else 0,
            "failure": self.failure,
        }


@dataclass(frozen=True)
class Way:
    """Where to send to and how: events per second (0: as fast as possible), requests in flight, patience in seconds."""

    url: str
    write_key: str
    limits: Limits
    rate: float = 0.0
    connections: int = 4
    patience: float = 60.0


def replay_online_retail(path: Path, way: Way, *, limit_lines: int = 0, quiet: bool = False) -> Replayed:
    """Send the file. Raises CdpError if it cannot be read, before anything is sent."""
    found = survey(path)
    total = found.messages if not limit_lines else sum(1 for _ in messages(path, found, limit_lines=limit_lines))
    batches = pack(messages(path, found, limit_lines=limit_lines), way.limits, LIBRARY)
    started = time.monotonic()
    pacer = Pacer(way.rate)
    failure = ""
    sender = Sender(way.url, way.write_key, connections=way.connections, patience=way.patience)
    with Shown("Replaying Online Retail", total, quiet=quiet) as shown:
        try:
            with sender:
                for item in batches:
                    pacer.wait(item.events)
                    sender.send(item)
                    shown.update(sender.tally.acked)
        except CdpError as error:
            failure = str(error)
        shown.update(sender.tally.acked)
    failure = failure or str(sender.failure or "")
    return Replayed(sender.tally, time.monotonic() - started, failure)
