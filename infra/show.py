"""Print a status for people: as a table on a terminal, as plain columns elsewhere."""

import sys
from collections.abc import Sequence

from infra.status import READY, Status
from serving.waiters import say

PART_COLUMNS = ("part", "state", "pid", "uptime", "version", "address")
JOB_COLUMNS = ("hop", "state", "restarts", "uptime", "lag")


def show(status: Status) -> None:
    """Write to standard output."""
    parts = [
        (
            p.name,
            p.state + (f": {p.detail}" if p.detail else ""),
            _pid(p.pid, p.where),
            duration(p.uptime_seconds),
            p.version,
            p.address,
        )
        for p in status.parts
    ]
    jobs = [
        (j.name, j.state, str(j.restarts), duration(j.uptime_seconds), "unknown" if j.lag < 0 else f"{j.lag:,}")
        for j in status.jobs
    ]
    _table(PART_COLUMNS, parts)
    if jobs:
        _table(JOB_COLUMNS, jobs)
    sys.stdout.write("".join(f"{line}\n" for line in waiting_lines(status)))
    sys.stdout.write(f"{'All is well' if status.ok else 'Not all is well'} in {status.data_dir}\n")


def waiting_lines(status: Status) -> list[str]:
    """A line for each person who has waited for too long, and one for those that there is no room for."""
    waiters = status.waiters
    lines = [say(person, status.at) for person in waiters.first]
    if more := waiters.count - len(waiters.first):
        lines.append(f"{more:,} more people wait")
    return lines


def duration(seconds: int) -> str:
    """A length of time in its two largest units, e.g. ``3 h 12 min``; empty for none."""
    if not seconds:
        return ""
    for unit, name, smaller, smaller_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            return f"{seconds // unit} {name} {seconds % unit // smaller} {smaller_name}"
    return f"{seconds} s"


def _pid(pid: int, where: str) -> str:
    return where if where == "outside" else (str(pid) if pid else "")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        sys.stdout.write(plain(columns, rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        style = "" if row[1] in {READY, "RUNNING"} else "red"
        table.add_row(*row, style=style)
    Console().print(table)


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded with spaces, a line for each row."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in (columns, *rows)
    )
