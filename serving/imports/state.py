"""How far an import is, on disk: what was acknowledged is not sent again, and every rejected line is kept with its reason."""

import os
from pathlib import Path
from typing import Any

import msgspec

from cdp.errors import CdpError
from serving.imports.protect import Protect, without_input


class Reached(msgspec.Struct, kw_only=True):
    """How far an import is.

    Attributes:
        file, mapping: for people who read the state.
        records, line: the last record whose messages are acknowledged, and the line it stands at.
        events: messages acknowledged, those among the dead letters included.
        skipped: records that no event of the mapping is meant for.
        rejected, dead_lettered: records that could not be mapped; messages that the collector could not use.
        rejected_bytes: size of the file of rejected lines at that point: what was written after it is cut off when it goes on.
        finished: whether the end was reached, and when.
        corrected: what was made usable, and how often; unseen: fields that no record had, once the end was reached.
    """

    file: str = ""
    mapping: str = ""
    records: int = 0
    line: int = 0
    events: int = 0
    skipped: int = 0
    rejected: int = 0
    dead_lettered: int = 0
    rejected_bytes: int = 0
    finished: bool = False
    finished_at: str = ""
    corrected: dict[str, int] = {}
    unseen: list[str] = []


class State:
    """The state of one import, and beside it ``....rejected.jsonl``."""

    def __init__(self, folder: Path, key: str, *, protect: Protect = without_input, restart: bool = False) -> None:
        """Open it, or begin it; `protect` makes of a rejected line what may be kept. Raises CdpError if it is of no use."""
        self._protect = protect
        self.path = folder / f"{key}.json"
        self.rejected_path = folder / f"{key}.rejected.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if restart:
                self.path.unlink(missing_ok=True)
            self.reached = msgspec.json.decode(self.path.read_bytes(), type=Reached) if self.path.exists() else Reached()
            self._rejected = self.rejected_path.open("ab")
            self._rejected.truncate(self.reached.rejected_bytes)
        except (OSError, msgspec.MsgspecError) as error:
            raise CdpError(
                f"The state of the import in {self.path} is of no use: {error}.", "Begin anew with --restart."
            ) from error

    def reject(self, entry: dict[str, Any]) -> None:
        """Keep a rejected line."""
        self._rejected.write(msgspec.json.encode(self._protect(entry), enc_hook=str) + b"\n")

    def save(self) -> None:
        """Write down how far we are, whole or not at all; before that, the rejected lines."""
        self._rejected.flush()
        os.fsync(self._rejected.fileno())
        self.reached.rejected_bytes = self._rejected.tell()
        beside = self.path.with_suffix(".json.new")
        beside.write_bytes(msgspec.json.encode(self.reached))
        beside.replace(self.path)

    def close(self) -> None:
        """Close it; an empty file of rejected lines is taken away."""
        self._rejected.close()
        if self.rejected_path.exists() and not self.rejected_path.stat().st_size:
            self.rejected_path.unlink()
