"""Rules as documents: whatever is done to them, books have no gaps and say what a plain reading of the edits says."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cdp.errors import CdpError
from cdp.rule_books import decode_book
from cdp.settings import Settings
from rules.definitions.bodies import as_body
from rules.definitions.load import read_book
from serving.definitions.errors import ConflictError, NotFoundError
from serving.documents.compare import compare
from serving.documents.document import Document, Edit
from serving.documents.kinds import tag
from serving.documents.store import find, history, publish, put, read, rollback
from serving.rules.books import books_after, newest_book, newest_number
from serving.rules.shipped import follow_shipped

NAMES = st.sampled_from("abcd")
VERSIONS = st.integers(1, 6)
STATES = st.sampled_from(["live", "live", "live", "paused", "retired"])
VALUES = st.sampled_from(["count(orders)", "1", "tag.a", "tag.b + 1", "tag.c", "tag.d + tag.a", "tag.e", "count("])


def body_of(name: str, value: str, state: str) -> dict[str, Any]:
    return as_body({"name": name, "title": name, "type": "number", "value": value, "state": state})


class Editors(RuleBasedStateMachine):
    """Edits of tags by somebody and by upgrades; `versions` is what was written, and `live` which version is in force."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.settings = Settings(data_dir=Path(self.folder.name) / "data")
        self.versions: dict[str, list[Any]] = {}
        self.live: dict[str, int] = {}
        self.books = 0

    def teardown(self) -> None:
        from serving.definitions.database import engine_for

        if hasattr(self, "settings"):
            engine_for(self.settings).dispose()
            self.folder.cleanup()

    def _took(self, name: str, document: Document) -> None:
        listed = self.versions.setdefault(name, [])
        if document.version > len(listed):
            listed.append(document.body)
            assert document.version == len(listed)
        if document.published and self.live.get(name) != document.version:
            assert document.version > self.live.get(name, 0)
            self.live[name] = document.version
            self.books += 1
            assert document.book == self.books

    @rule(name=NAMES, value=VALUES, state=STATES, draft=st.booleans())
    def put(self, name: str, value: str, state: str, draft: bool) -> None:
        with suppress(CdpError):
            self._took(name, put(self.settings, tag(name), body_of(name, value, state), Edit("Li"), draft=draft))

    @rule(name=NAMES, version=VERSIONS)
    def publish(self, name: str, version: int) -> None:
        with suppress(CdpError):
            self._took(name, publish(self.settings, tag(name), version, Edit("Wu")))

    @rule(name=NAMES, version=VERSIONS)
    def rollback(self, name: str, version: int) -> None:
        with suppress(CdpError):
            self._took(name, rollback(self.settings, tag(name), version, Edit("Wu")))

    @rule(name=NAMES)
    def rollback_twice_is_the_former_body(self, name: str) -> None:
        before = self.live.get(name)
        published = [one.version for one in history_of(self.settings, name) if one.published]
        if before is None or len(published) < 2:
            return
        current = self.versions[name][before - 1]
        with suppress(CdpError):
            self._took(name, rollback(self.settings, tag(name), published[1], Edit("Wu")))
            assert read(self.settings, tag(name)).body == self.versions[name][published[1] - 1]
            self._took(name, rollback(self.settings, tag(name), before, Edit("Wu")))
            assert read(self.settings, tag(name)).body == current
            assert compare(self.settings, tag(name), str(before)).changes == []

    @rule(name=NAMES, expected=st.integers(0, 6))
    def a_wrong_version_changes_nothing(self, name: str, expected: int) -> None:
        if expected != self.live.get(name, 0):
            with suppress(NotFoundError):
                try:
                    put(self.settings, tag(name), body_of(name, "1", "live"), Edit("Li", expected=expected))
                    raise AssertionError("it was taken")
                except ConflictError:
                    pass

    @rule(shipped=st.dictionaries(NAMES, st.sampled_from(["1", "2", "tag.a", "tag.b"]), max_size=4))
    def upgrade(self, shipped: dict[str, str]) -> None:
        before = {name: self._untouched(name) for name in "abcd"}
        taken = follow_shipped(self.settings, {("tags", name): body_of(name, value, "live") for name, value in shipped.items()})
        assert all(before[name] for _, name in taken)  # what somebody wrote stays
        self.books += bool(taken)
        for name in "abcd":
            for version in range(len(self.versions.get(name, [])) + 1, len(history_of(self.settings, name)) + 1):
                document = find(self.settings, f"tags/{name}", version)
                assert document is not None and document.shipped and document.author == "StreamCDP"
                self.versions.setdefault(name, []).append(document.body)
                if ("tags", name) in taken:
                    self.live[name] = version
        for name, value in shipped.items():
            assert self.versions[name][self._last_shipped(name) - 1] == body_of(name, value, "live")

    def _last_shipped(self, name: str) -> int:
        return max((one.version for one in history_of(self.settings, name) if one.shipped), default=0)

    def _untouched(self, name: str) -> bool:
        """Whether what is in force is what was shipped, then or last."""
        version, last = self.live.get(name), self._last_shipped(name)
        if version is None:
            return True
        shipped = [one.version for one in history_of(self.settings, name) if one.shipped]
        return version in shipped or (last > 0 and self.versions[name][last - 1] == self.versions[name][version - 1])

    @invariant()
    def numbers_have_no_gaps_and_every_book_holds(self) -> None:
        if not hasattr(self, "settings"):
            return
        books = books_after(self.settings, 0, 1000)
        assert [number for number, _ in books] == [*range(1, self.books + 1)]
        assert newest_number(self.settings) == self.books
        for number, body in books[-2:]:
            document = decode_book(body)
            assert document.number == number
            read_book(document)

    @invariant()
    def the_newest_book_has_what_is_in_force(self) -> None:
        if not hasattr(self, "settings"):
            return
        found = {rule.name: (rule.version, rule.body) for rule in newest_book(self.settings).tags}
        assert found == {name: (version, self.versions[name][version - 1]) for name, version in self.live.items()}
        assert json.dumps(found)


def history_of(settings: Settings, name: str) -> list[Any]:
    try:
        return history(settings, tag(name), 1000)
    except NotFoundError:
        return []


Editors.TestCase.settings = effort(max_examples=25, stateful_step_count=25, deadline=None)
TestEditors = Editors.TestCase
