"""Find and end processes of one data folder that outlived their supervisor: by process id and mark, never by name alone."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

MARK = "CDP_SUPERVISED_FOLDER"
"""Environment variable that every supervised process, and its children, carry: the data folder they belong to."""


def record(run: Path, name: str) -> None:
    """Note this process as a part of the data folder. Its start time tells it from a later process with the same id."""
    path = run / f"{name}.pid"
    path.write_text(json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time()}))


def recorded(run: Path) -> list[psutil.Process]:
    """The noted processes that are still alive."""
    found = []
    for path in run.glob("*.pid"):
        try:
            note = json.loads(path.read_text())
            process = psutil.Process(int(note["pid"]))
            if abs(process.create_time() - float(note["started"])) < 0.1:
                found.append(process)
        except (OSError, ValueError, TypeError, KeyError, psutil.Error):
            continue  # not a note of ours, or the process is gone
    return found


def marked(root: Path) -> list[psutil.Process]:
    """The living processes that carry the data folder's mark, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(root):
                found.append(process)
        except psutil.Error:
            continue  # somebody else's, or gone
    return found


def leftovers(root: Path) -> list[psutil.Process]:
    """Every process of the data folder."""
    found = {process.pid: process for process in [*recorded(root / "run"), *marked(root)]}
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _alive(process)]


def python_workers(root: Path) -> list[psutil.Process]:
    """The TaskManager's Python workers: they outlive it when it is killed."""
    return [process for process in marked(root) if _runs(process, "pyflink.fn_execution", "pyflink-udf-runner.sh")]


def end(processes: list[psutil.Process], seconds: float = 10.0) -> None:
    """Ask processes to end, and kill those that do not within `seconds`."""
    _each(processes, lambda process: process.terminate())
    deadline = time.monotonic() + seconds
    _, alive = psutil.wait_procs(processes, timeout=max(0.0, deadline - time.monotonic()))
    _each(alive, lambda process: process.kill())
    psutil.wait_procs(alive, timeout=5)


def _each(processes: list[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            act(process)
        except psutil.NoSuchProcess:
            continue


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _runs(process: psutil.Process, *words: str) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return any(word in line for word in words)
