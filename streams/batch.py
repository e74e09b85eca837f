"""The one adapter between Flink and the steps: a batch of rows in, for each row its outputs.

Flink hands over Arrow batches as pandas Series. A class-based pandas UDF that returns too few rows corrupts the keys of
all others without a word, so the lengths are checked here, once, for every step.
"""

import ctypes
import gc
import logging
import os
import signal
from abc import abstractmethod
from pathlib import Path
from typing import Any

import pandas as pd
from pyflink.table.udf import FunctionContext, ScalarFunction

from cdp.settings import Settings
from cdp.topics import Names
from streams import records
from streams.resolve import Row

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1


class BatchFunction(ScalarFunction):  # type: ignore[misc]
    """A step as a vectorised UDF. An instance is pickled to the workers: it holds settings only, clients come in `open`."""

    job = ""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def is_deterministic(self) -> bool:
        """Never: steps write to Redis, and the planner must not run them twice or fold them."""
        return False

    def open(self, function_context: FunctionContext) -> None:
        """Make clients and the step: once per worker and restart, so nothing outlives a rewind."""
        _die_with_parent()
        _collect_garbage_seldom()
        _write_pid(self._settings.data_dir / "run", self.job)
        self._topics = records.topics(Names(self._settings.topic_prefix))
        self._process = self.start(self._settings)

    @abstractmethod
    def start(self, settings: Settings) -> Any:
        """Build the step; returns its `process(rows) -> outputs`."""

    def eval(self, value: "pd.Series[bytes]", partition: "pd.Series[int]", offset: "pd.Series[int]") -> "pd.DataFrame":
        """One batch: for each row the topics, keys and values of its outputs.

        Only infrastructure errors get out of here; they restart the job from its last checkpoint.
        """
        rows: list[Row] = [
            (v if v is not None else b"", p, o) for v, p, o in zip(value, partition.tolist(), offset.tolist(), strict=True)
        ]
        outputs = self._process(rows)
        if len(outputs) != len(rows):
            raise AssertionError(f"{self.job}: {len(outputs)} outputs for {len(rows)} rows")
        topics = self._topics
        return pd.DataFrame(
            {
                "topics": [[topics[letter] for letter, _, _ in row] for row in outputs],
                "keys": [[key for _, key, _ in row] for row in outputs],
                "records": [[record for _, _, record in row] for row in outputs],
            }
        )


def _die_with_parent() -> None:
    """Ask the kernel to end this worker when its TaskManager goes: a worker without one would idle for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _collect_garbage_seldom() -> None:
    """Steps make many short-lived containers and no cycles: looking for cycles all the time costs a fifth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _write_pid(folder: Path, job: str) -> None:
    """Say which worker this is, for status and benches."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"worker-{job}.pid"
    alive = [line for line in path.read_text().split() if Path(f"/proc/{line}").exists()] if path.exists() else []
    path.write_text("\n".join(sorted({*alive, str(os.getpid())})) + "\n")
