"""Drill: the laws of a profile's components, tried on random histories."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from typing import Any

from loadtest.laws import LAWS, Broken, try_laws
from profiles.components import COMPONENTS

TOGETHER = 200  # histories that a worker plays before it says how they ended
SHOWN = 20


def drill_laws(examples: int, seed: int, workers: int, update: Callable[[int], None]) -> dict[str, Any]:
    """Try every law on `examples` histories, from `seed` on; ``passed`` says whether all of them held.

    Args:
        workers: processes; 0: one for each core.
        update: is called with the number of histories that are done.
    """
    broken: list[Broken] = []
    started, done = time.monotonic(), 0
    groups = [range(first, min(first + TOGETHER, seed + examples)) for first in range(seed, seed + examples, TOGETHER)]
    for group, found in zip(groups, _try(groups, workers or os.cpu_count() or 1), strict=True):
        broken += found
        done += len(group)
        update(done)
    return {
        "passed": not broken,
        "examples": done,
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "components": [kind.slot.name for kind in COMPONENTS],
        "laws": [law.__name__ for law in LAWS],
        "broken": [asdict(one) for one in broken[:SHOWN]],
    }


def _try(groups: list[range], workers: int) -> Iterator[list[Broken]]:
    if workers == 1:
        yield from map(_try_some, groups)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_try_some, groups)


def _try_some(seeds: range) -> list[Broken]:
    return [broken for seed in seeds for broken in try_laws(seed)]
