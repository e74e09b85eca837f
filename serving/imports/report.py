"""What an import says when it is done, in words. Pure."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from serving.imports.run import Outcome

SHOWN_OF_A_KIND = 20
SHOWN_FIELDS = 20
CORRECTIONS = {
    "short_rows": "rows without their last cells, which count as empty",
    "times": "events with a time that cannot be, such as one of tomorrow, which count when they arrive",
}


class Rejections:
    """Rejected lines by kind: what is wrong with a whole column is not said for each of its lines."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def is_shown(self, entry: dict[str, Any]) -> bool:
        """Whether a line is among the first of its kind."""
        kind = (str(entry["reason"]), str(entry["field"]))
        self._seen[kind] += 1
        return self._seen[kind] <= SHOWN_OF_A_KIND

    def more(self) -> Iterator[str]:
        """How many of each kind were not shown."""
        for (reason, field), count in self._seen.items():
            if count > SHOWN_OF_A_KIND:
                of = f" of {field}" if field else ""
                yield f"and {count - SHOWN_OF_A_KIND:,} more lines: rejected ({reason}{of})"


def dry_report(done: Outcome, mapping: str) -> list[str]:
    """What a dry run found."""
    return [
        f"{done.records:,} records would make {done.events:,} events; {done.skipped:,} are for no event of "
        f"{mapping}, {done.rejected:,} are rejected. Nothing was sent.",
        *_noticed(done),
    ]


def report(done: Outcome) -> list[str]:
    """What became of a file."""
    fates = f"{done.skipped:,} for no event, {done.rejected:,} rejected, {done.dead_lettered:,} dead letters"
    if done.already:
        when = f" on {done.finished_at[:19]}Z" if done.finished_at else ""
        first = (
            f"This file was imported before, to its end{when}: {done.records:,} records, {done.events:,} events acknowledged; "
            f"{fates}. Nothing was sent now; --restart sends it once more, which counts nothing twice."
        )
    else:
        acknowledged = f"{done.sent:,} events acknowledged in {done.seconds:.1f} s{_known(done)}"
        before = f", {done.events - done.sent:,} before (behind record {done.resumed_at:,})" if done.resumed_at else ""
        first = f"{done.records:,} records, {acknowledged}{before}; {fates}, {done.retries:,} requests repeated."
    lines = [first, *_noticed(done)]
    if done.rejected_file:
        lines.append(f"Rejected lines with their reasons: {done.rejected_file}")
    return lines


def _known(done: Outcome) -> str:
    """How many of the events the platform had counted before."""
    if done.new is None:
        return ""
    return f" ({done.new:,} new, {max(0, done.sent - done.dead_lettered - done.new):,} known before and counted once)"


def _noticed(done: Outcome) -> list[str]:
    lines = [f"Corrected: {count:,} {CORRECTIONS.get(what, what)}." for what, count in done.corrected.items()]
    if done.unseen:
        more = f" and {len(done.unseen) - SHOWN_FIELDS} more" if len(done.unseen) > SHOWN_FIELDS else ""
        lines.append(f"Warning: no record had {', '.join(done.unseen[:SHOWN_FIELDS])}{more}; check how the mapping writes it.")
    return lines
