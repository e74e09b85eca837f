"""Show on stderr how far an import is: a bar on a terminal, a line every few seconds otherwise."""

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_SECONDS = 5.0


class Shown:
    """A context manager; `update` may be called as often as one likes. `total` in the unit of positions, 0 if unknown."""

    def __init__(self, label: str, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._label, self._total, self._clock = label, total, clock
        self._started = self._last = clock()
        self._bar = self._make_bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task(label, total=total or None, records="") if self._bar else None

    @staticmethod
    def _make_bar() -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[records]}"))
        return Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True))

    def __enter__(self) -> "Shown":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, records: int, position: int) -> None:
        """Show that so many records are done, and where in the file we are."""
        now = self._clock()
        rate = records / max(now - self._started, 1e-6)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=position, records=f"{records:,} records, {rate:,.0f}/s")
        elif now - self._last >= EVERY_SECONDS:
            self._last = now
            share = f" ({min(100, 100 * position / self._total):.0f} %)" if self._total else ""
            print(f"{self._label}: {records:,} records{share}, {rate:,.0f}/s", file=sys.stderr, flush=True)  # noqa: T201
