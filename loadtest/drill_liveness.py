"""Drill: random histories of identity on both jobs, each of which must end with every event counted once and nobody waiting."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loadtest.liveness import Verdict, try_history

TOGETHER = 50  # histories that a worker plays before it says how they ended
SHOWN = 20


@dataclass
class _Tally:
    """What came of the histories so far."""

    histories: int = 0
    events: int = 0
    crashes: int = 0
    lost: int = 0
    rebuilt: int = 0
    ticks: Counter[int] = field(default_factory=Counter)
    faults: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.histories += 1
        self.events += verdict.events
        self.crashes += verdict.crashes
        self.lost += verdict.lost
        self.rebuilt += bool(verdict.rebuilt)
        self.ticks[verdict.ticks] += 1
        if verdict.fault:
            self.faults.append(verdict)


def drill_liveness(
    redis_url: str, histories: int, seed: int, workers: int, update: Callable[[int], None], *, loses: bool = False
) -> dict[str, Any]:
    """Play `histories` histories, from `seed` on; ``passed`` says whether the law held in all of them.

    Args:
        workers: processes; 0: one for each core.
        update: is called with the number of histories that are done.
        loses: records are taken out of the middle of the log as well: the net has to catch who waits.
    """
    tally, started = _Tally(), time.monotonic()
    for verdicts in _play(redis_url, histories, seed, workers or os.cpu_count() or 1, loses=loses):
        for verdict in verdicts:
            tally.add(verdict)
        update(tally.histories)
    return {
        "passed": not tally.faults,
        "histories": tally.histories,
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "events": tally.events,
        "crashes": tally.crashes,
        "records_lost": tally.lost,
        "with_parts_counted_again": tally.rebuilt,
        "ticks_until_nobody_waited": {str(ticks): count for ticks, count in sorted(tally.ticks.items())},
        "faults": [{"seed": one.seed, "fault": one.fault} for one in tally.faults[:SHOWN]],
    }


def _play(redis_url: str, histories: int, seed: int, workers: int, *, loses: bool) -> Iterator[list[Verdict]]:
    groups = [range(first, min(first + TOGETHER, seed + histories)) for first in range(seed, seed + histories, TOGETHER)]
    play = partial(_play_some, redis_url, loses=loses)
    if workers == 1:
        yield from map(play, groups)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(play, groups)


def _play_some(redis_url: str, seeds: range, *, loses: bool) -> list[Verdict]:
    return [try_history(redis_url, seed, loses=loses) for seed in seeds]
