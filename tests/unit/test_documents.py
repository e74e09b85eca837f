"""Documents that are edited live: versions, drafts, going back, differences, and what is in force, with a real database."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.errors import CdpError, Unavailable
from cdp.settings import Settings
from serving.definitions.database import MIGRATIONS, engine_for
from serving.definitions.errors import ConflictError, NotFoundError
from serving.documents import store
from serving.documents.compare import compare
from serving.documents.complaints import Complaints
from serving.documents.difference import difference
from serving.documents.document import Edit, Kind
from serving.documents.kinds import IDENTITY, PLAN, TRAFFIC
from serving.documents.store import find, history, publish, put, read, rollback, version_in_force
from serving.documents.watch import watch
from serving.identity.text import shipped_text


def check(body: Any) -> None:
    if body == "wrong":
        raise CdpError("It is wrong.", "Mend it.")


KIND = Kind("d", "the document", "/v1/d", check)
LI, WU = Edit("Li"), Edit("Wu")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def test_versions_of_a_document(settings: Settings) -> None:
    assert find(settings, "d") is None
    assert put(settings, KIND, {"a": 1}, Edit("Li", "first\x00")).version == 1
    assert put(settings, KIND, {"a": 2}, Edit("Wu", expected=1)).version == 2
    for wrong in (0, 1, 3):
        with pytest.raises(ConflictError):
            put(settings, KIND, {}, Edit("Li", expected=wrong))
    with pytest.raises(ConflictError, match="no version yet"):
        put(settings, Kind("new", "the new", "/", check), {}, Edit("Li", expected=1))
    assert rollback(settings, KIND, 1, Edit("Li", expected=2)).body == {"a": 1}
    with pytest.raises(NotFoundError):
        rollback(settings, KIND, 9, LI)
    assert rollback(settings, KIND, 1, Edit("Li", "it was better")).version == 4
    assert [(v.version, v.author, v.note) for v in history(settings, KIND)] == [
        (4, "Li", "Back to version 1. it was better"), (3, "Li", "Back to version 1."), (2, "Wu", ""), (1, "Li", "first"),
    ]  # fmt: skip
    found = find(settings, "d", 2)
    assert found is not None
    assert (found.body, found.created[-6:], found.published[-6:], found.publisher) == ({"a": 2}, "+00:00", "+00:00", "Wu")
    for body in (float("nan"), "\ud800", "x" * 2_000_001, "wrong"):
        with pytest.raises(CdpError):
            put(settings, KIND, body, LI)
    assert version_in_force(settings, "d") == 4


def test_a_draft_is_not_in_force_until_it_is_published(settings: Settings) -> None:
    put(settings, KIND, "one", LI)
    draft = put(settings, KIND, "two", LI, draft=True)
    assert (draft.version, draft.published, read(settings, KIND).body) == (2, "", "one")
    assert put(settings, KIND, "three", Edit("Wu", expected=1), draft=True).version == 3  # what was edited is still in force
    done = publish(settings, KIND, 3, Edit("Chen", expected=1))
    assert (done.author, done.publisher, read(settings, KIND).body) == ("Wu", "Chen", "three")
    assert publish(settings, KIND, 3, WU) == done
    with pytest.raises(ConflictError, match="Version 3 of the document is in force, and newer than version 2"):
        publish(settings, KIND, 2, LI)
    with pytest.raises(ConflictError, match="not in force"):
        publish(settings, KIND, 3, Edit("Li", expected=1))
    with pytest.raises(NotFoundError, match="no version 9 of the document"):
        publish(settings, KIND, 9, LI)
    assert rollback(settings, KIND, 2, LI).body == "two"
    assert [(v.version, bool(v.published)) for v in history(settings, KIND)] == [(4, True), (3, True), (2, False), (1, True)]


def test_only_drafts_are_nothing_in_force(settings: Settings) -> None:
    put(settings, KIND, "one", LI, draft=True)
    with pytest.raises(NotFoundError):
        read(settings, KIND)
    assert version_in_force(settings, "d") == 0
    assert put(settings, KIND, "two", Edit("Li", expected=0)).version == 2


def test_a_version_that_is_not_taken_any_more_cannot_come_back(settings: Settings) -> None:
    lenient = Kind("d", "the document", "/", lambda _: None)
    put(settings, lenient, "wrong", LI)
    put(settings, lenient, "wrong", LI, draft=True)
    for change in (lambda: rollback(settings, KIND, 1, LI), lambda: publish(settings, KIND, 2, LI)):
        with pytest.raises(CdpError, match="It is wrong"):
            change()
    assert version_in_force(settings, "d") == 1


def test_of_many_who_edit_the_same_version_one_wins(settings: Settings) -> None:
    put(settings, KIND, 0, LI)

    async def run() -> list[Any]:
        tries = (asyncio.to_thread(put, settings, KIND, n, Edit("Li", expected=1)) for n in range(12))
        return await asyncio.gather(*tries, return_exceptions=True)

    results = asyncio.run(run())
    assert [type(result) for result in results if isinstance(result, Exception)] == [ConflictError] * 11
    assert [v.version for v in history(settings, KIND)] == [2, 1]


def test_what_comes_with_the_platform_is_kept_by_the_first_change(settings: Settings) -> None:
    assert [(v.version, v.author) for v in history(settings, IDENTITY)] == [(1, "StreamCDP")]
    put(settings, IDENTITY, shipped_text().replace("region: CN", "region: US"), Edit("Li", expected=1))
    assert [(v.version, v.shipped) for v in history(settings, IDENTITY)] == [(2, False), (1, True)]
    assert read(settings, IDENTITY, 1).body == shipped_text()
    assert history(settings, TRAFFIC) == history(settings, PLAN) == []


def test_documents_of_the_second_schema_are_in_force(settings: Settings) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    settings.data_dir.mkdir()
    engine = sa.create_engine(settings.database_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for version in (1, 2):
            connection.execute(
                sa.text("INSERT INTO documents VALUES ('tracking_plan', :v, :body, 'Li', '2026-01-01 00:00:00.000000', 'why')"),
                {"v": version, "body": f'{{"unplanned_events":"{("warn", "block")[version - 1]}"}}'},
            )
    engine.dispose()
    found = read(settings, PLAN)
    assert (found.version, found.body, found.publisher) == (2, {"unplanned_events": "block"}, "Li")
    assert found.published == found.created == "2026-01-01T00:00:00+00:00"
    put(settings, PLAN, {}, WU, draft=True)
    with engine_for(settings).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        kept = connection.execute(sa.text("SELECT max(version), count(*) FROM documents")).one()
        assert tuple(kept) == (2, 2)  # a draft would be in force
        command.upgrade(config, "head")
    assert read(settings, PLAN).version == 2


# Differences.


def test_differences_have_paths_as_errors_have() -> None:
    old = {"a": 1, "b": [1, 2], "rules": [{"name": "x", "n": 1}, {"name": "y"}], "gone": None}
    new = {"a": True, "b": [1], "rules": [{"name": "y"}, {"name": "x", "n": {"m": 2}}, {"name": "z"}], "new": {}}
    assert [change[:2] for change in difference(old, new)] == [
        ("a", "changed"), ("b", "changed"), ("rules.x.n", "changed"), ("rules.z", "added"), ("rules", "changed"),
        ("gone", "removed"), ("new", "added"),
    ]  # fmt: skip
    assert difference({"b": [1, 2]}, {"b": [1]})[0] == ("b", "changed", [1, 2], [1])
    assert difference(old, old) == []
    assert difference("a", {}) == [("", "changed", "a", {})]


def test_versions_are_compared(settings: Settings) -> None:
    put(settings, IDENTITY, shipped_text().replace("region: CN", "region: US"), LI)
    put(settings, IDENTITY, shipped_text().replace("region: CN", "region: FR"), LI, draft=True)
    put(settings, IDENTITY, shipped_text().replace("region: CN", "region: DE"), LI)

    def said(from_: str | None = None, to: int | None = None) -> Any:
        found = compare(settings, IDENTITY, from_, to)
        return found.from_, found.to, [change[2:] for change in found.changes]

    assert said() == (2, 4, [("US", "DE")])  # the draft was never in force
    assert said("shipped") == (None, 4, [("CN", "DE")])
    assert said("3", 2) == (3, 2, [("FR", "US")])
    assert said(to=1) == (0, 1, [])
    with pytest.raises(NotFoundError):
        said("9")
    with pytest.raises(NotFoundError, match="No tracking plan comes with the platform"):
        compare(settings, PLAN, "shipped")
    put(settings, PLAN, {"events": {}}, LI)
    assert compare(settings, PLAN).changes == [("events", "added", None, {})]


# What is in force, in memory.


def test_a_watched_document_is_made_once_a_version(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    time, made = [0.0], []

    def make(document: Any) -> Any:
        made.append(document and document.version)
        if document is not None and document.body == "bad":
            raise ValueError("bad")
        return document and document.body

    def away(*_: Any) -> None:
        raise Unavailable("away")

    async def run() -> None:
        watched = watch(settings, "d", make, lambda: time[0])
        assert await watched.get() is watched.current is None
        put(settings, KIND, "one", LI)
        assert await watched.get() is None
        time[0] = 1.0
        assert await asyncio.gather(*(watched.get() for _ in range(20))) == ["one"] * 20
        time[0] = 2.0
        put(settings, KIND, "draft", LI, draft=True)
        assert await watched.get() == watched.current == "one"
        put(settings, KIND, "bad", LI)
        time[0] = 3.0
        assert await watched.get() == "one"
        put(settings, KIND, "two", LI)
        with monkeypatch.context() as patched:
            patched.setattr(store, "version_in_force", away)
            time[0] = 4.0
            assert await watched.get() == "one"
        time[0] = 5.0
        assert await watched.get() == "two"
        put(settings, KIND, "three", LI)
        assert await asyncio.gather(watched.get(), *(watched.get_now() for _ in range(3))) == ["two"] + ["three"] * 3

    asyncio.run(run())
    assert made == [None, 1, 3, 4, 5]


def test_the_same_trouble_is_said_once() -> None:
    said: list[str] = []
    complaints = Complaints(said.append)
    for error in (ValueError("a"), ValueError("a"), TimeoutError(), ValueError("a")):
        complaints.about(error)
    complaints.over()
    complaints.about(ValueError("a"))
    assert said == ["a", "TimeoutError", "a", "a"]
