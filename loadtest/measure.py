"""Measure: percentiles, and how much CPU each process of the platform has used."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

from cdp.settings import Settings
from infra import supervise

JOBS = ("resolve", "profile", "facts")


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(values: Sequence[float]) -> dict[str, float | int | None]:
    """p50, p99, max (rounded to 0.1) and how many there were."""
    figures = {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": max(values, default=None)}
    return {name: None if value is None else round(value, 1) for name, value in figures.items()} | {"samples": len(values)}


def worker_pids(run: Path) -> dict[int, str]:
    """Process ids of the jobs' Python workers, from the files that they write: ``worker-<job>.pid``."""
    found = {}
    for job in JOBS:
        path = run / f"worker-{job}.pid"
        text = path.read_text() if path.exists() else ""
        found.update(dict.fromkeys(read_pids(text), f"python {job}"))
    return found


def read_pids(text: str) -> list[int]:
    """Process ids in a pid file: one a line, or a JSON object with ``pid``."""
    pids = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
            pids.append(int(value["pid"] if isinstance(value, dict) else value))
        except (ValueError, TypeError, KeyError):
            continue
    return pids


CpuSeconds = dict[tuple[str, int], float]


def cpu_seconds(settings: Settings) -> CpuSeconds:
    """CPU seconds, user and system, used so far by each process: (label, pid) to seconds.

    Labels are the parts' names; a job's Python worker is ``python <job>``, whatever else a part started is ``<part> children``.
    """
    workers = worker_pids(settings.data_dir / "run")
    seconds: CpuSeconds = {}
    for name, program in supervise.programs(settings.data_dir).items():
        if not program.pid:
            continue
        try:
            process = psutil.Process(program.pid)
            seconds[name, process.pid] = _used(process)
            for child in process.children(recursive=True):
                label = workers.get(child.pid) or f"{name} children"
                seconds[label, child.pid] = _used(child)
        except psutil.Error:
            continue  # it is just being replaced
    return seconds


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def cpu_per_event(before: CpuSeconds, after: CpuSeconds, events: int) -> dict[str, float]:
    """Microseconds of CPU that each label used per event between two readings, the greatest first, and their ``total``."""
    used: Counter[str] = Counter()
    for (label, pid), seconds in after.items():
        used[label] += max(0.0, seconds - before.get((label, pid), 0.0))  # type: ignore[assignment]
    figures = {label: round(seconds * 1e6 / max(events, 1), 2) for label, seconds in used.most_common()}
    figures = {label: figure for label, figure in figures.items() if figure >= 0.01}
    return figures | {"total": round(sum(figures.values()), 2)}
