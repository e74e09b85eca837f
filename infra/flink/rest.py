"""Flink's REST interface: which of our jobs are there, and how they fare."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from cdp.settings import Settings
from cdp.topics import Names

JOBS = ("resolve", "profile", "facts")
ALIVE = frozenset({"CREATED", "INITIALIZING", "RUNNING", "RESTARTING", "FAILING", "CANCELLING", "RECONCILING"})


@dataclass(frozen=True)
class Job:
    """One Flink job of ours.

    Attributes:
        id: Flink's.
        state: Flink's word, e.g. ``RUNNING``.
        tasks, running: how many tasks it has, and how many of them run.
        milliseconds: since it was submitted.
    """

    id: str
    state: str
    tasks: int
    running: int
    milliseconds: int

    @property
    def all_running(self) -> bool:
        """Whether records can pass."""
        return self.state == "RUNNING" and self.tasks > 0 and self.running == self.tasks


def get(rest: str, path: str, timeout: float = 5.0) -> dict[str, Any]:
    """GET a JSON object from host:port. Raises OSError or ValueError."""
    with urlopen(f"http://{rest}{path}", timeout=timeout) as answer:
        return dict(json.load(answer))


def running_jobs(settings: Settings) -> dict[str, Job]:
    """Our jobs that are not over, by short name (``resolve`` ...). Raises OSError or ValueError."""
    short = {Names(settings.topic_prefix).group(job): job for job in JOBS}
    found = {}
    for entry in get(settings.flink_rest, "/jobs/overview")["jobs"]:
        if entry["name"] in short and entry["state"] in ALIVE:
            tasks = entry["tasks"]
            found[short[entry["name"]]] = Job(
                entry["jid"], entry["state"], int(tasks["total"]), int(tasks["running"]), int(entry["duration"])
            )
    return found


def restarts(settings: Settings, job_id: str) -> int:
    """How often a job was restarted by Flink."""
    answer = urlopen(f"http://{settings.flink_rest}/jobs/{job_id}/metrics?get=numRestarts", timeout=5)
    with answer:
        metrics = json.load(answer)
    return int(metrics[0]["value"]) if metrics else 0


def last_failure(settings: Settings, job_id: str) -> str:
    """The heart of the failure that Flink last restarted a job for, in one line; empty if there was none."""
    history = get(settings.flink_rest, f"/jobs/{job_id}/exceptions?maxExceptions=1").get("exceptionHistory", {})
    entries = history.get("entries", [])
    return heart(str(entries[0]["stacktrace"])) if entries else ""


def heart(stacktrace: str) -> str:
    """The line of a stack trace that says most: the error at the end of a Python traceback, or else Java's innermost cause."""
    python = re.findall(r"^(\w+(?:\.\w+)*(?:Error|Exception|Unavailable)\b:? ?.*)$", stacktrace, re.MULTILINE)
    own = [line for line in python if not line.startswith(("java.", "org."))]
    causes = re.findall(r"^Caused by: (.*)$", stacktrace, re.MULTILINE)
    return next(iter(own[-1:] or causes[-1:] or stacktrace.splitlines()[:1]), "")[:300]


def cancel(settings: Settings, job_id: str) -> None:
    """Ask Flink to cancel a job; it goes on from its last checkpoint's offsets when it is submitted again."""
    request = Request(f"http://{settings.flink_rest}/jobs/{job_id}?mode=cancel", method="PATCH")
    urlopen(request, timeout=5).close()  # noqa: S310
