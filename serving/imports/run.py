"""Import a file: map its records, send them in batches, note what was acknowledged; or only show what would be sent."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import xxhash

from cdp.clock import to_iso
from cdp.errors import InvalidEvent
from cdp.wall_clock import wall_clock
from serving.collect.times import event_time
from serving.imports.apply import Mapper, encode
from serving.imports.deliver import Batch, Link
from serving.imports.progress import Shown
from serving.imports.readers import Row, Source
from serving.imports.records import Records
from serving.imports.state import State

FLUSH_RECORDS = 20_000  # records between two notes of how far we are, even if no message comes of them
TIMES = "times"


class _Stamped(msgspec.Struct):
    timestamp: str | None = None


_decode_stamp = msgspec.json.Decoder(_Stamped).decode


@dataclass(frozen=True)
class Limits:
    """What the collector takes: messages in a batch, bytes of a batch, bytes of a message."""

    messages: int
    batch_bytes: int
    event_bytes: int


@dataclass(frozen=True)
class Outcome:
    """What became of a file; of all runs together if it took several.

    Attributes:
        records: read; events: messages acknowledged (or, in a dry run, made).
        skipped: records that no event of the mapping is meant for.
        rejected: records that could not be mapped; dead_lettered: messages that the collector could not use.
        resumed_at: the record after which this run went on, 0 if it began at the beginning.
        sent: of the events those that this run sent; new: of these those that the platform had not counted before, None if
            that is not known.
        already: it had been imported before, and nothing was sent; finished_at: when its end was reached.
        corrected: what was made usable, and how often.
        unseen: fields of the mapping that no record had.
    """

    records: int = 0
    events: int = 0
    skipped: int = 0
    rejected: int = 0
    dead_lettered: int = 0
    retries: int = 0
    resumed_at: int = 0
    sent: int = 0
    new: int | None = None
    already: bool = False
    finished_at: str = ""
    corrected: dict[str, int] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    seconds: float = 0.0
    state: str = ""
    rejected_file: str = ""

    @property
    def clean(self) -> bool:
        """Whether everything was used. Nothing was if no event came of records that lack fields of the mapping."""
        return not self.rejected and not self.dead_lettered and not (self.records and not self.events and self.unseen)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def state_key(source: Source, mapper: Mapper, url: str) -> str:
    """One import: this content by this mapping to this platform."""
    read_as = [source.sheet, source.encoding, source.delimiter, *([source.header_row] if source.header_row else [])]
    told = msgspec.json.encode([msgspec.to_builtins(mapper.mapping), *read_as, url])
    return f"{source.path.stem[:40]}-{source.digest[:12]}-{xxhash.xxh3_64_hexdigest(told)[:8]}"


def messages_of(mapper: Mapper, row: Row, event_bytes: int) -> list[bytes]:
    """The encoded messages of a row. Raises InvalidEvent with the reason why there are none."""
    if row.record is None:
        raise InvalidEvent("unreadable", "", f"The line cannot be read: {row.problem}.")
    made = [encode(message) for message in mapper.map(row.record, {"@line": row.line})]
    if any(len(message) > event_bytes for message in made):
        raise InvalidEvent("too_large", "", f"An event of it is larger than {event_bytes:,} bytes.")
    return made


def dry_run(
    source: Source,
    mapper: Mapper,
    event_bytes: int,
    *,
    show: Callable[[Row, bytes], None],
    reject: Callable[[dict[str, Any]], None],
    look: Callable[[dict[str, Any]], object] = lambda _: None,
) -> Outcome:
    """Map a whole file and send nothing.

    `show` gets every message, `reject` every line that cannot be mapped, `look` every record, to find what is suspicious.
    """
    started, records, events, skipped, rejected = time.monotonic(), 0, 0, 0, 0
    rows, now, replaced = Records(source, mapper.mapping), wall_clock(), 0
    for row in rows:
        records += 1
        if row.record is not None:
            look(row.record)
        try:
            made = messages_of(mapper, row, event_bytes)
            replaced += sum(_is_replaced(message, now) for message in made)
        except InvalidEvent as error:
            rejected += 1
            reject(rejection(row, error))
            continue
        events, skipped = events + len(made), skipped + (not made)
        for message in made:
            show(row, message)
    return Outcome(
        records, events, skipped, rejected, corrected=_with(rows.corrected, TIMES, replaced), unseen=rows.unseen,
        seconds=round(time.monotonic() - started, 3),
    )  # fmt: skip


def import_file(source: Source, mapper: Mapper, link: Link, state: State, limits: Limits) -> Outcome:
    """Send a file from where its state says. Blocks until all of it is acknowledged.

    Raises CdpError if the collector refuses or stays away, or if the file cannot be read to its end; what was
    acknowledged until then is noted, and the next run goes on behind it.
    """
    reached = state.reached
    started, resumed_at, before, already = time.monotonic(), reached.records, reached.events, reached.finished
    if not already:
        reached.file, reached.mapping = source.path.name, mapper.mapping.name
        run, rows = _Run(mapper, link, state, limits), Records(source, mapper.mapping)
        with Shown(f"import {source.path.name}", source.total) as shown:
            for row in rows:
                if row.number > resumed_at:
                    run.take(row)
                shown.update(row.number, row.position)
        reached.corrected, reached.unseen = reached.corrected | rows.corrected, rows.unseen
        run.finish()
    return Outcome(
        reached.records, reached.events, reached.skipped, reached.rejected, reached.dead_lettered,
        retries=link.retries, resumed_at=resumed_at, sent=reached.events - before,
        already=already, finished_at=reached.finished_at, corrected=reached.corrected, unseen=reached.unseen,
        seconds=round(time.monotonic() - started, 3), state=str(state.path),
        rejected_file=str(state.rejected_path) if reached.rejected_bytes else "",
    )  # fmt: skip


def _is_replaced(message: bytes, now: int) -> bool:
    """Whether the collector would give a message the time of its arrival. Raises InvalidEvent for a time that it refuses."""
    return event_time(_decode_stamp(message).timestamp, True, 0, now)[1]


def _with(corrected: dict[str, int], what: str, count: int) -> dict[str, int]:
    return corrected | {what: corrected.get(what, 0) + count} if count else corrected


def rejection(row: Row, error: InvalidEvent) -> dict[str, Any]:
    """What is kept of a line that cannot be used."""
    return {
        "line": row.line, "record": row.number, "reason": error.reason, "field": error.field, "message": str(error),
        "input": row.record if row.record is not None else row.text,
    }  # fmt: skip


class _Run:
    """One run over a file. What it counts it notes in the state only when it is acknowledged."""

    def __init__(self, mapper: Mapper, link: Link, state: State, limits: Limits) -> None:
        self._mapper, self._link, self._state, self._limits = mapper, link, state, limits
        self._batch = Batch(limits.messages, limits.batch_bytes)
        self._rows: list[Row] = []  # of the batch's messages, one for each
        self._last: Row | None = None
        self._skipped = self._rejected = 0

    def take(self, row: Row) -> None:
        """Map a row, and send what waits when it does not fit in any more."""
        error: InvalidEvent | None = None
        made: list[bytes] = []
        try:
            made = messages_of(self._mapper, row, self._limits.event_bytes)
        except InvalidEvent as found:
            error = found
        since = self._last.number - self._state.reached.records if self._last is not None else 0
        if not self._batch.fits(made) or since >= FLUSH_RECORDS:
            self._flush()
        if error is not None:
            self._state.reject(rejection(row, error))
        self._rejected += error is not None
        self._skipped += error is None and not made
        self._batch.add(made)
        self._rows += [row] * len(made)
        self._last = row

    def finish(self) -> None:
        """Send what is left, and note that this was all."""
        self._flush()
        self._state.reached.finished, self._state.reached.finished_at = True, to_iso(wall_clock())
        self._state.save()

    def _flush(self) -> None:
        reached = self._state.reached
        if self._batch.messages:
            taken = self._link.send(self._batch.messages)
            for letter in taken.dead_lettered:
                row = self._rows[letter.index] if 0 <= letter.index < len(self._rows) else self._rows[-1]
                self._state.reject(rejection(row, InvalidEvent(letter.reason, letter.field, letter.message)))
            reached.events += len(self._batch.messages)
            reached.dead_lettered += taken.rejected
            reached.corrected = _with(reached.corrected, TIMES, taken.corrected)
        if self._last is not None:
            reached.records, reached.line = self._last.number, self._last.line
        reached.skipped += self._skipped
        reached.rejected += self._rejected
        self._skipped = self._rejected = 0
        self._state.save()
        self._batch.clear()
        self._rows.clear()
