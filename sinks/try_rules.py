"""`cdp identity simulate`: other identity rules over a file of events, or over recorded history. Changes nothing."""

import gc
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cdp.clock import DAY, HOUR, MINUTE, from_datetime, to_iso
from cdp.errors import CdpError
from cdp.people import one_id
from cdp.settings import Settings
from rules.identity import load_identity_rules
from rules.identity.contrast import apart_in_both, contrast
from rules.identity.model import IdentityRules
from rules.identity.read_lines import read_lines
from rules.identity.report import Report
from rules.identity.score import score
from rules.identity.simulate import Assignment, Tell, simulate, unique

EVERY_SECONDS = 2.0
LIVE = "live"


class Named(NamedTuple):
    """Rules, and what to call them."""

    rules: IdentityRules
    name: str

    @property
    def said(self) -> tuple[str, int]:
        """The name and the version."""
        return self.name, self.rules.version


_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_AGO = re.compile(r"([0-9]{1,6})([mhdw])")


def read_moment(text: str, now: int, option: str) -> int:
    """Microseconds of ``30d`` (before `now`), or of ISO 8601. Raises CdpError that names the option."""
    if ago := _AGO.fullmatch(text.strip()):
        return max(0, now - int(ago[1]) * _UNITS[ago[2]])
    try:
        return from_datetime(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        remedy = "Write e.g. 30d, 12h, 2w, or ISO 8601 as in 2026-01-31 or 2026-01-31T08:00:00Z."
        raise CdpError(f"{option} {text!r} is no moment.", remedy) from None


Outcome = tuple[Report, list[str], Assignment]
"""What is told; the ids of the messages in the order in which their people are written out; and the people."""


def try_on_file(new: Named, old: Named, file: Path, tell: Tell) -> Outcome:
    """Simulate the events of a file under both sets of rules. Raises CdpError if the file cannot be read."""
    try:
        with uncollected(), file.open("rb") as lines:
            found = read_lines(lines)
    except OSError as error:
        raise CdpError(f"{file} cannot be read: {error.strerror}.", "Name a file with one JSON event a line.") from error
    events = unique(found.events)
    with uncollected():
        before, after = simulate(events, old.rules, tell), simulate(events, new.rules, tell)
    scores = (score(before.person_of, found.truths), score(after.person_of, found.truths)) if found.truths else None
    report = Report(
        new.said, old.said, len(found.events), len(events), contrast(before, after), scores=scores, bad=found.bad
    )  # fmt: skip
    return report, [event.message_id for event in found.events], after


def try_on_history(new: Named, old: Named | None, settings: Settings, span: tuple[int, int], tell: Tell) -> Outcome:
    """Simulate recorded events, against who is who live or against other rules. Raises CdpError if ClickHouse does not answer."""
    from cdp.clickhouse import connect
    from sinks.read_events import read_recorded

    client = connect(settings, reader=True, timeout=600)
    try:
        with uncollected():
            recorded = read_recorded(client, settings.clickhouse_database, *span, tell)
    finally:
        client.close()
    events = unique(recorded.events)
    with uncollected():
        after = simulate(events, new.rules, tell)
        present = simulate(events, (old or load(None)).rules, tell)
    before = present if old else recorded.assignment
    report = Report(
        new.said, old.said if old else (LIVE, 0), len(recorded.events), len(events), contrast(before, after),
        span=(to_iso(span[0]), to_iso(span[1])),
        for_want_of_evidence=None if old else apart_in_both(before, present, after),
    )  # fmt: skip
    return report, [event.message_id for event in events], after


@contextmanager
def uncollected() -> Iterator[None]:
    """Without looking for garbage: nearly all that is made stays in use, and looking costs a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load(file: Path | None) -> Named:
    """The rules of a file, or the shipped ones. Raises InvalidRule."""
    return Named(load_identity_rules(file), file.name if file else "shipped")


def assignments(message_ids: Iterable[str], assignment: Assignment) -> Iterator[str]:
    """The lines of the output: one for each message, in the order given."""
    for message_id in message_ids:
        person = assignment.person_of.get(message_id)
        yield json.dumps({"message_id": message_id, "one_id": one_id(person) if person else None}, ensure_ascii=False)


def write_lines(file: Path, lines: Iterable[str]) -> None:
    """Write a file. Raises CdpError if it cannot be written."""
    try:
        with file.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise CdpError(f"{file} cannot be written: {error.strerror}.", "Name a file in a folder that is there.") from error


def teller() -> Tell:
    """Tells on stderr how far long work is, every two seconds."""
    last = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_SECONDS:
            last = time.monotonic()
            sys.stderr.write(f"{what}: {done:,} of {total:,}\n")

    return tell
