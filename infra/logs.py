"""Read the parts' logs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, without line ends; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 400 * lines - 4000))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def follow(path: Path, poll_seconds: float = 0.3) -> Iterator[str]:
    """New lines of a log as they come, through rotations; never ends by itself."""
    while not path.exists():
        time.sleep(poll_seconds)
    file = path.open(errors="replace")
    file.seek(0, os.SEEK_END)
    while True:
        line = file.readline()
        if line:
            yield line.rstrip("\n")
            continue
        if _was_rotated(path, file.fileno(), file.tell()):
            file.close()
            file = path.open(errors="replace")
        time.sleep(poll_seconds)


def _was_rotated(path: Path, descriptor: int, position: int) -> bool:
    try:
        now, opened = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return now.st_ino != opened.st_ino or now.st_size < position
