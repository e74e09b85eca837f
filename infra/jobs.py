"""``python -m infra.jobs``: submits the three Flink jobs, watches them, and submits again what is gone.

Flink restarts a failed job by itself. A job is gone only when the JobManager lost it (it keeps no state across its own
restart) or when somebody cancelled it; then it goes on from the offsets in its Kafka group.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from types import FrameType

from cdp.errors import CdpError
from cdp.kafka import ensure_topics
from cdp.settings import Settings, settings
from cdp.topics import Names
from infra.flink.rest import JOBS, cancel, running_jobs
from infra.folder import Folder
from infra.programs import flink_client
from infra.upgrade import wake_upgraded

POLL_SECONDS = 2.0
SUBMIT_SECONDS = 150.0
Report = Callable[[str], None]


def prepare(config: Settings, report: Report) -> None:
    """Create the topics, bring the facts' tables up to date, wake who waits since before an upgrade. Raises CdpError."""
    ensure_topics(config.kafka_servers, Names(config.topic_prefix), config.partitions)
    report("topics are there")
    if subprocess.run([sys.executable, "-m", "sinks.migrate"], timeout=120, check=False).returncode != 0:
        raise CdpError("ClickHouse's tables could not be brought up to date.", "The lines above say why.")
    report("tables are up to date")
    wake_upgraded(config, report)


def submit_missing(config: Settings, report: Report) -> int:
    """Submit the jobs that Flink does not have; returns how many. Raises CdpError if one cannot be submitted."""
    found = running_jobs(config)
    missing = [job for job in JOBS if job not in found]
    if missing:
        report(f"submitting {', '.join(missing)}")
        submit(config, missing)
        report(f"submitted {', '.join(missing)}")
    return len(missing)


def submit(config: Settings, jobs: list[str]) -> None:
    """Submit jobs in one process of their own: PyFlink starts a JVM, which costs more than all else."""
    environment = {**os.environ, **flink_client(Folder(config.data_dir))}
    named = ", ".join(jobs)
    try:
        command = [sys.executable, "-m", "streams.submit", *jobs]
        done = subprocess.run(command, env=environment, timeout=SUBMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise CdpError(f"Not submitted within {SUBMIT_SECONDS:.0f} s: {named}.", "Look at the JobManager's log.") from error
    if done.returncode != 0:
        raise CdpError(f"Could not be submitted: {named}.", "The lines above say why.")


def stop(config: Settings, seconds: float = 20.0) -> int:
    """Cancel our jobs and wait until they are over; returns how many there were. Raises CdpError after `seconds`."""
    found = running_jobs(config)
    for job in found.values():
        if job.state != "CANCELLING":
            cancel(config, job.id)
    deadline = time.monotonic() + seconds
    while running_jobs(config):
        if time.monotonic() > deadline:
            raise CdpError(f"The jobs have not ended after {seconds:.0f} s.", f"Look at http://{config.flink_rest}.")
        time.sleep(0.2)
    return len(found)


def watch(config: Settings, report: Report) -> None:
    """Submit what is gone, for ever. A JobManager that does not answer is waited for: the supervisor brings it back."""
    while True:
        try:
            submit_missing(config, report)
        except (OSError, ValueError) as error:
            report(f"Flink does not answer: {error}")
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Prepare, submit, watch; at SIGTERM cancel the jobs, so that Flink commits nothing more and stops in peace."""
    config = settings()
    signal.signal(signal.SIGTERM, _leave)
    try:
        prepare(config, _log)
        watch(config, _log)
    except CdpError as error:
        _log(str(error))
        sys.exit(1)
    except SystemExit:
        _log("cancelling the jobs")
        try:
            stop(config)
        except (CdpError, OSError, ValueError) as error:
            _log(f"the jobs were not cancelled: {error}")


def _leave(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def _log(line: str) -> None:
    sys.stdout.write(f"{datetime.now().isoformat(sep=' ', timespec='milliseconds')} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
