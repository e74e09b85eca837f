"""Jitsu's ingestion API: Segment's messages on paths of its own, with the write key in a header of its own.

Source of the format: Jitsu's documentation of its HTTP API, and what @jitsu/js sends. docs/dialects/jitsu.md is for users.
"""

from collections.abc import Sequence
from typing import Any

from cdp.errors import InvalidEvent
from serving.collect.dialects.segment import KINDS, SHORT, Segment
from serving.collect.draft import Answer, Draft, Incoming, Opened, with_corrected

MAX_REPORTED = 100
SUCCESS = Answer(b'{"ok":true}')
OWN = ("clientIds", "amp", "userAgentVendor")  # of the context, without a name in Segment's terms


class Jitsu(Segment):
    """One path. `said` is the type that the path says, "" for a batch, "event" if the message itself says it."""

    name = "jitsu"

    def __init__(self, said: str) -> None:
        super().__init__("" if said == "event" else said)
        self._single = Segment("track")  # only its way to take a body apart
        self._of_any_type = said == "event"

    def open(self, incoming: Incoming) -> Opened:
        """One message, or the batch's. The key is the part of ``key:secret`` before the colon."""
        opened = self._single.open(incoming) if self._of_any_type else super().open(incoming)
        key = incoming.headers.get("x-write-key") or incoming.query.get("writekey", "") or incoming.key or opened.key
        return opened._replace(key="" if key.startswith("*") else key.partition(":")[0])

    def read(self, message: Any, opened: Opened) -> Draft:
        """One message, with what only Jitsu knows under its own name."""
        draft = super().read(message, opened)
        own = {name: value for name in OWN if (value := draft.context.pop(name, None))}
        if own:
            draft.context["jitsu"] = own
        return draft

    def answer(self, opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
        """Ok in any case; the messages that became dead letters are listed."""
        if not refused:
            return with_corrected({"ok": True}, opened) if opened.corrected else SUCCESS
        received = len(opened.messages)
        errors = [
            {"index": index, "reason": error.reason, "field": error.field, "message": str(error)}
            for index, error in refused[:MAX_REPORTED]
        ]
        report = {"ok": True, "receivedEvents": received, "okEvents": received - len(refused), "errors": errors}
        return with_corrected(report, opened)


# All by POST.
_SAID = {**{kind: kind for kind in KINDS}, **{SHORT[kind]: kind for kind in KINDS}, "batch": "", "b": "", "event": "event"}
_DIALECTS = {said: Jitsu(said) for said in set(_SAID.values())}
ROUTES: dict[str, Jitsu] = {
    f"/api/s/{server}{name}{slash}": _DIALECTS[said]
    for name, said in _SAID.items()
    for server in ("", "s2s/")
    for slash in ("", "/")
}
