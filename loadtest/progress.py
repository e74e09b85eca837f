"""Show how far a long run is: a bar on a terminal, a line every few seconds otherwise. Always on stderr."""

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_SECONDS = 5.0


def span(seconds: float) -> str:
    """A duration for people, e.g. ``1:05`` or ``2:00:00``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def line(label: str, done: int, total: int, seconds: float) -> str:
    """One line of progress: how many of how many, the rate, and the time left."""
    rate = done / seconds if seconds > 0 else 0.0
    left = span((total - done) / rate) if rate > 0 else "unknown"
    share = 100 * done / total if total else 100.0
    return f"{label}: {done:,} of {total:,} ({share:.0f} %), {rate:,.0f}/s, {left} left"


class Shown:
    """A context manager that shows progress towards `total`; `update(done)` may be called as often as one likes."""

    def __init__(self, label: str, total: int, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._label, self._total, self._quiet, self._clock = label, total, quiet, clock
        self._started = self._last = clock()
        self._bar = self._make_bar() if sys.stderr.isatty() and not quiet else None
        self._task = self._bar.add_task(label, total=total, rate="") if self._bar else None

    @staticmethod
    def _make_bar() -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        return Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True))

    def __enter__(self) -> "Shown":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, done: int) -> None:
        """Show that `done` of the total are done."""
        now = self._clock()
        if self._bar is not None and self._task is not None:
            rate = done / max(now - self._started, 1e-6)
            self._bar.update(self._task, completed=done, rate=f"{rate:,.0f}/s")
        elif not self._quiet and now - self._last >= EVERY_SECONDS:
            self._last = now
            print(line(self._label, done, self._total, now - self._started), file=sys.stderr, flush=True)  # noqa: T201
