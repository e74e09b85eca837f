"""Fixtures that start real parts, on ports and in folders of their own: the tests also pass while a demo runs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdp.settings import Settings
from loadtest.stack import free_port_base

START_SECONDS = 400  # for the whole stack, on a machine that has other things to do as well
REPO = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first: units, then properties, then what needs real parts."""
    order = {"unit": 0, "properties": 1, "integration": 2, "e2e": 3}

    def rank(item: pytest.Item) -> tuple[int, bool]:
        folder = next((part for part in item.path.parts if part in order), "e2e")
        return order[folder], item.get_closest_marker("stack") is not None

    items.sort(key=rank)
    first = next((item for item in items if item.get_closest_marker("stack") is not None), None)
    if first is not None:  # it pays for the start of the stack
        own = first.get_closest_marker("timeout")
        seconds = float(own.args[0]) if own is not None and own.args else 120.0
        first.add_marker(pytest.mark.timeout(seconds + START_SECONDS), append=False)


@dataclass(frozen=True)
class Stack:
    """A platform of its own: a data folder, ports, and the environment that leads every command to it."""

    settings: Settings
    env: dict[str, str]

    def cdp(self, *args: str, timeout: float = 240, check: bool = False) -> "subprocess.CompletedProcess[str]":
        """Run the `cdp` command on this platform, or any that differs by `env`."""
        done = subprocess.run(
            [sys.executable, "-m", "cdp.main", *args],
            env=self.env,
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"cdp {' '.join(args)}: {done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        """What `cdp status --json` says."""
        return dict(json.loads(self.cdp("status", "--json").stdout))

    def part(self, name: str) -> dict[str, Any]:
        """One part of the status."""
        return next(part for part in self.status()["parts"] if part["name"] == name)

    @property
    def write_key(self) -> str:
        """A write key for collecting; made anew at each call."""
        from serving.definitions import mint_write_key

        return mint_write_key(self.settings, "test")

    @property
    def token(self) -> str:
        """An administrator's token; made anew at each call."""
        from serving.definitions import mint_token

        return mint_token(self.settings, "test", "admin")


def make_stack(folder: Path, **settings: Any) -> Stack:
    """A platform that is not started yet. `settings` are fields of cdp.settings.Settings."""
    values = {"data_dir": folder, "port_base": free_port_base(), **settings}
    env = {key: value for key, value in os.environ.items() if not key.startswith("CDP_")}
    env |= {f"CDP_{key.upper()}": str(value) for key, value in values.items()}
    env["PYTHONPATH"] = os.pathsep.join([str(REPO), *filter(None, [env.get("PYTHONPATH")])])
    return Stack(Settings(**values), env)


@contextmanager
def running(stack: Stack, *args: str) -> Iterator[Stack]:
    """Start a platform by `cdp up --detach`, and stop it whatever happens."""
    try:
        stack.cdp("up", "--detach", "--timeout", str(START_SECONDS - 20), *args, timeout=START_SECONDS, check=True)
        yield stack
    finally:
        stack.cdp("down")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole platform, started once for the run; mark the test ``@pytest.mark.stack``."""
    with running(make_stack(tmp_path_factory.mktemp("stack") / "data")) as started:
        yield started


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of our own."""
    with running(make_stack(tmp_path_factory.mktemp("redis") / "data"), "--only", "redis") as started:
        yield started.settings.redis_url


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka broker of our own."""
    with running(make_stack(tmp_path_factory.mktemp("kafka") / "data"), "--only", "kafka") as started:
        yield started.settings.kafka_servers


@pytest.fixture(scope="session")
def clickhouse_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a ClickHouse engine of our own, without tables."""
    with running(make_stack(tmp_path_factory.mktemp("clickhouse") / "data"), "--only", "clickhouse") as started:
        yield started.settings
