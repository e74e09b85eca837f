"""Write keys, their cache and their quotas, on a real SQLite database."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from cdp.errors import CdpError, Unavailable
from cdp.settings import Settings
from serving.collect.quota import Quota
from serving.definitions import ROLES, mint_token, mint_write_key, revoke
from serving.definitions import cache as cache_module
from serving.definitions.cache import MISSING, Credentials
from serving.definitions.credentials import Grant, digest, find, find_app
from serving.definitions.database import MIGRATIONS, engine_for, writing
from serving.definitions.errors import ConflictError, NotFoundError
from serving.definitions.keys import KeyChange, change_key, create_key, expire_old_secret, get_key, list_keys, rotate_key
from serving.definitions.models import WriteKey


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def later(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


def test_a_rotated_key_has_two_live_secrets(settings: Settings) -> None:
    info, first = create_key(settings, "shop", KeyChange())
    assert (info.secrets, info.old_secret_until) == (1, None)
    info, second = rotate_key(settings, "shop")
    assert info.secrets == 2
    assert datetime.fromisoformat(info.old_secret_until or "") > later(hours=23)
    assert find(settings, first) == find(settings, second) == Grant("shop", None)
    assert find(settings, first, later(hours=25)) is None
    assert find(settings, second, later(hours=25)) == Grant("shop", None)
    _, third = rotate_key(settings, "shop")
    assert [find(settings, secret) is not None for secret in (first, second, third)] == [False, True, True]
    assert expire_old_secret(settings, "shop").secrets == 1
    assert [find(settings, secret) is not None for secret in (second, third)] == [False, True]
    info, fourth = rotate_key(settings, "shop", timedelta(0))
    assert (info.secrets, find(settings, third)) == (1, None)
    assert find(settings, fourth) is not None


def test_minting_again_replaces_all_secrets_and_keeps_the_rest(settings: Settings) -> None:
    _, first = create_key(settings, "shop", KeyChange(quota_rate=5, apps=["web"]))
    _, second = rotate_key(settings, "shop")
    third = mint_write_key(settings, "shop")
    assert [find(settings, secret) is not None for secret in (first, second, third)] == [False, False, True]
    assert find(settings, third) == find_app(settings, "web") == Grant("shop", None, 5.0)


def test_no_secret_is_stored(settings: Settings) -> None:
    _, secret = create_key(settings, "shop", KeyChange())
    assert secret.encode() not in b"".join(path.read_bytes() for path in settings.data_dir.glob("definitions.db*"))


def test_a_key_is_disabled_and_enabled(settings: Settings) -> None:
    _, secret = create_key(settings, "shop", KeyChange(apps=["web"]))
    assert change_key(settings, "shop", KeyChange(disabled=True)).disabled
    assert find(settings, secret) is find_app(settings, "web") is None
    change_key(settings, "shop", KeyChange(disabled=False))
    assert find(settings, secret) == find_app(settings, "web") == Grant("shop", None)
    revoke(settings, "shop", write_key=True)
    assert find(settings, secret) is None


def test_a_change_touches_only_what_it_names(settings: Settings) -> None:
    create_key(settings, "shop", KeyChange(quota_rate=10, quota_burst=20, origins=["https://shop.example"], description="Till"))
    info = change_key(settings, "shop", KeyChange(apps=["b", "a", "a"]))
    assert (info.quota_rate, info.quota_burst, info.origins, info.apps, info.description) == (
        10.0, 20.0, ["https://shop.example"], ["a", "b"], "Till",
    )  # fmt: skip
    info = change_key(settings, "shop", KeyChange(quota_rate=None, quota_burst=None, apps=[]))
    assert (info.quota_rate, info.quota_burst, info.apps) == (None, None, [])
    assert get_key(settings, "shop") == list_keys(settings)[0] == info


@pytest.mark.parametrize(
    "change",
    [
        {"quota_rate": 0}, {"quota_rate": -1}, {"quota_rate": float("nan")}, {"quota_burst": 0}, {"origins": ["shop.example"]},
        {"origins": ["https://shop.example/path"]}, {"origins": ["https://a\r\nX: b"]}, {"apps": [""]}, {"apps": ["a\x00"]},
        {"apps": ["a" * 201]}, {"description": "a" * 501}, {"apps": [str(n) for n in range(101)]},
    ],
)  # fmt: skip
def test_what_a_key_cannot_have(settings: Settings, change: dict[str, Any]) -> None:
    with pytest.raises(CdpError):
        create_key(settings, "shop", KeyChange(**change))
    with pytest.raises(NotFoundError):
        get_key(settings, "shop")


def test_names_applications_and_secrets_belong_to_one_key(settings: Settings) -> None:
    _, secret = create_key(settings, "shop", KeyChange(apps=["web"]))
    with pytest.raises(ConflictError, match="already"):
        create_key(settings, "shop", KeyChange())
    with pytest.raises(ConflictError, match="'shop'"):
        create_key(settings, "other", KeyChange(apps=["web"]))
    with pytest.raises(ConflictError, match="secret"):
        create_key(settings, "other", KeyChange(), secret)
    for name in ("", "a/b", "a\nb", "a" * 101):
        with pytest.raises(CdpError, match="name"):
            create_key(settings, name, KeyChange())
    for unusable in ("short", "with:colon", " spaces around ", "a" * 257):
        with pytest.raises(CdpError, match="secret"):
            create_key(settings, "other", KeyChange(), unusable)
    _, kept = create_key(settings, "other", KeyChange(), "key-from-the-old-vendor")
    assert find(settings, kept) == Grant("other", None)
    with pytest.raises(NotFoundError):
        rotate_key(settings, "nobody")
    with pytest.raises(CdpError, match="overlap"):
        rotate_key(settings, "shop", timedelta(days=91))


def test_keys_of_the_first_schema_go_on_working(settings: Settings) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    settings.data_dir.mkdir()
    engine = sa.create_engine(settings.database_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for name, disabled in (("shop", False), ("gone", True)):
            connection.execute(
                sa.text("INSERT INTO write_keys VALUES (:name, :hash, '2026-01-01 00:00:00.000000', :disabled)"),
                {"name": name, "hash": digest(f"wk_{name}"), "disabled": disabled},
            )
    engine.dispose()
    assert find(settings, "wk_shop") == Grant("shop", None)
    assert find(settings, "wk_gone") is None
    assert [(key.name, key.disabled, key.created[:10]) for key in list_keys(settings)] == [
        ("gone", True, "2026-01-01"), ("shop", False, "2026-01-01"),
    ]  # fmt: skip
    rotate_key(settings, "shop")
    newest = rotate_key(settings, "shop")[1]
    with engine_for(settings).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        kept = connection.execute(sa.text("SELECT name, hash FROM write_keys ORDER BY name")).all()
        assert [tuple(row) for row in kept] == [("gone", digest("wk_gone")), ("shop", digest(newest))]
        command.upgrade(config, "head")
    assert find(settings, newest) == Grant("shop", None)


def test_the_models_are_what_the_migrations_make(settings: Settings) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from serving.definitions.models import Base

    with engine_for(settings).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


class Asked:
    """A stand-in for the database's answer, which counts the questions."""

    def __init__(self, grants: dict[str, Grant]) -> None:
        self.grants, self.count, self.away, self.time = grants, 0, False, 0.0

    def __call__(self, _: Settings, secret: str) -> Grant | None:
        self.count += 1
        if self.away:
            raise OperationalError("SELECT", {}, Exception("away"))
        return self.grants.get(secret)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    found = Asked({"good": Grant("shop", None), "other": Grant("till", None)})
    monkeypatch.setattr(cache_module, "find", found)
    monkeypatch.setattr(cache_module, "find_app", found)
    yield found


def test_the_fast_way_never_waits_and_forgets_after_a_second(asked: Asked) -> None:
    async def run() -> None:
        credentials = Credentials(Settings(), lambda: asked.time)
        assert credentials.known("good") is credentials.known("bad") is MISSING
        assert await credentials.grant("good") == credentials.known("good") == Grant("shop", None)
        assert await credentials.grant("bad") is credentials.known("bad") is None
        assert await credentials.app("good") == credentials.known_app("good") == Grant("shop", None)
        asked.time = 1.0
        assert credentials.known("good") is credentials.known("bad") is MISSING
        asked.count, asked.grants = 0, {"bad": Grant("new", None)}
        assert await asyncio.gather(*(credentials.grant("good") for _ in range(50))) == [None] * 50
        assert asked.count == 1
        assert await credentials.grant("bad") == Grant("new", None)

    asyncio.run(run())


def test_what_was_known_stays_known_while_the_database_is_away(asked: Asked) -> None:
    async def run() -> None:
        credentials = Credentials(Settings(), lambda: asked.time)
        await credentials.grant("good")
        await credentials.grant("bad")
        asked.away, asked.time = True, 5.0
        assert await credentials.grant("good") == credentials.known("good") == Grant("shop", None)
        for name in ("bad", "never seen"):  # nobody may be told that a key is wrong while that cannot be looked up
            with pytest.raises(Unavailable):
                await credentials.grant(name)

    asyncio.run(run())


def test_garbage_is_bounded_and_pushes_out_no_good_key(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAX_UNKNOWN", 10)

    async def run() -> None:
        credentials = Credentials(Settings(), lambda: asked.time)
        await credentials.grant("good")
        for number in range(50):
            assert await credentials.grant(f"garbage {number}") is None
        assert credentials.known("good") == Grant("shop", None)
        assert credentials.known("garbage 0") is MISSING
        assert credentials.known("garbage 49") is None
        asked.count = 0
        assert await credentials.grant("x" * 10_000) is None
        assert await credentials.grant("") is await credentials.grant("a\x00") is None
        assert asked.count == 0

    asyncio.run(run())


def test_a_hanging_database_is_one_that_is_away(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    hang = threading.Event()
    monkeypatch.setattr(cache_module, "PATIENCE", 0.02)

    async def run() -> None:
        credentials = Credentials(Settings(), lambda: asked.time)
        await credentials.grant("good")
        monkeypatch.setattr(asked, "away", False)
        asked.grants = Slow(hang)  # type: ignore[assignment]
        asked.time = 2.0
        assert await credentials.grant("good") == Grant("shop", None)
        with pytest.raises(Unavailable):
            await credentials.grant("other")
        hang.set()

    asyncio.run(run())


class Slow:
    def __init__(self, hang: Any) -> None:
        self.hang = hang

    def get(self, _: str) -> None:
        self.hang.wait(10)


def test_tokens_are_found_with_their_role(settings: Settings) -> None:
    for role in ROLES:
        grant = find(settings, mint_token(settings, role, role))
        assert grant is not None
        assert grant.role is not None
        assert (grant.name, grant.role.name) == (role, role)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills() -> None:
    clock = Clock()
    quota = Quota(clock)
    assert [quota.take("a", 10, 5, 1) for _ in range(5)] == [0.0] * 5
    assert quota.take("a", 10, 5, 1) == pytest.approx(0.1)
    assert quota.take("a", 10, 5, 4) == pytest.approx(0.4)
    assert quota.take("b", 10, 5, 5) == 0.0
    assert quota.take("a", None, None, 10**9) == 0.0
    clock.now += 0.4
    assert quota.take("a", 10, 5, 4) == 0.0
    clock.now -= 50  # a clock that goes back gives and takes nothing
    assert quota.take("a", 10, 5, 1) == pytest.approx(0.1)


def test_a_batch_larger_than_the_bucket_is_paid_back() -> None:
    clock = Clock()
    quota = Quota(clock)
    assert quota.take("a", 10, None, 50) == 0.0
    assert quota.take("a", 10, None, 1) == pytest.approx(4.1)
    clock.now += 4.1
    assert quota.take("a", 10, None, 1) == 0.0


def test_a_new_quota_counts_at_once() -> None:
    quota = Quota(Clock())
    assert quota.take("a", 100, 100, 1) == 0.0
    assert [quota.take("a", 1, 2, 1) for _ in range(2)] == [0.0, 0.0]
    assert quota.take("a", 1, 2, 1) == pytest.approx(1.0)
    assert quota.take("a", 0.5, None, 1) == pytest.approx(2.0)


@given(
    rate=st.floats(0.1, 1000), burst=st.floats(0.1, 1000),
    takes=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 200)), max_size=60),
)  # fmt: skip
def test_never_more_than_the_rate_allows_and_never_starved(rate: float, burst: float, takes: list[tuple[float, int]]) -> None:
    clock = Clock()
    quota = Quota(clock)
    granted = largest = 0
    for wait, n in takes:
        clock.now += wait
        seconds = quota.take("a", rate, burst, n)
        assert seconds >= 0
        if seconds == 0.0:
            granted, largest = granted + n, max(largest, n)
    assert granted <= max(1.0, burst) + rate * (clock.now - Clock.now) + largest + 1e-6
    clock.now += quota.take("a", rate, burst, 7) + 1e-6
    assert quota.take("b", rate, burst, 7) == 0.0


def test_of_two_who_write_the_same_one_is_told(settings: Settings) -> None:
    create_key(settings, "shop", KeyChange())
    with pytest.raises(ConflictError, match="same moment"), writing(settings) as session:
        session.add(WriteKey(name="shop", created=datetime.now(UTC), disabled=False, origins=["*"], description=""))
    assert get_key(settings, "shop").secrets == 1
