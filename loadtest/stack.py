"""The platform that a demo or a bench runs on: find it, or start one and stop it again."""

import os
import random
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import msgspec

from cdp.errors import CdpError
from cdp.settings import WEBHOOK_DEMO, Settings
from infra.parts import PARTS

UP_SECONDS = 300  # a cold start on two busy cores takes minutes
DOWN_SECONDS = 180


@dataclass(frozen=True)
class Access:
    """How to reach the platform: the API's address, a write key and a token of role admin."""

    api_url: str
    write_key: str
    token: str

    def get(self, path: str, timeout: float = 10.0) -> bytes:
        """GET from the API. Raises CdpError if it does not answer 200."""
        request = urllib.request.Request(f"{self.api_url}{path}", headers={"Authorization": f"Bearer {self.token}"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - the address is the user's own
                return bytes(answer.read())
        except OSError as error:
            raise CdpError(f"The API does not answer {path}: {error}.", "Is the platform up? See `cdp status`.") from error


class Ledger(msgspec.Struct):
    """The ledger as the API tells it; `difference` is what is still under way."""

    received: int = 0
    applied: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    rejected: int = 0
    difference: int = 0
    dead_letters_in_flight: int = 0

    def since(self, before: "Ledger") -> "Ledger":
        """What was added since an earlier reading."""
        return Ledger(**{name: getattr(self, name) - getattr(before, name) for name in self.__struct_fields__})


def read_ledger(access: Access) -> Ledger:
    """The ledger now."""
    return msgspec.json.decode(access.get("/v1/operations/ledger", timeout=30), type=Ledger)


def access_to(settings: Settings, name: str) -> Access:
    """Access for a local command called `name`: from CDP_API_URL, CDP_WRITE_KEY and CDP_TOKEN, or made for it."""
    from serving.definitions import mint_token, mint_write_key

    return Access(
        api_url=os.environ.get("CDP_API_URL", settings.api_url).rstrip("/"),
        write_key=os.environ.get("CDP_WRITE_KEY") or mint_write_key(settings, name),
        token=os.environ.get("CDP_TOKEN") or mint_token(settings, name, "admin"),
    )


def webhook_url(settings: Settings) -> str:
    """Where the demo's and the benches' own receiver listens."""
    return f"http://127.0.0.1:{settings.port(WEBHOOK_DEMO)}/webhook"


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a platform in this folder whose webhooks come to our own receiver."""
    return {
        **os.environ,
        "CDP_DATA_DIR": str(settings.data_dir),
        "CDP_PORT_BASE": str(settings.port_base),
        "CDP_WEBHOOK_URL": webhook_url(settings),
        "CDP_WEBHOOK_SECRET": "",
    }


def up(settings: Settings, only: str = "", **variables: str) -> None:
    """Start the platform in this folder, or `only` some parts of it (names with commas between), and wait until it is ready.

    `variables` are added to its environment. Raises CdpError if it does not get there.
    """
    parts = ["--only", only] if only else []
    _cdp(settings, ["up", "--detach", "--timeout", str(UP_SECONDS - 20), *parts], UP_SECONDS, "start", variables)


def down(settings: Settings) -> None:
    """Stop the platform in this folder."""
    _cdp(settings, ["down"], DOWN_SECONDS, "stop")


def _cdp(
    settings: Settings, arguments: list[str], seconds: float, verb: str, variables: Mapping[str, str] = MappingProxyType({})
) -> None:
    command = [sys.executable, "-m", "cdp.main", *arguments]
    try:
        # What it says goes to stderr: the last line of our own stdout may be read by a program.
        env = {**environment(settings), **variables}
        done = subprocess.run(command, env=env, stdout=sys.stderr, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise CdpError(f"The platform did not {verb} within {seconds:.0f} s.", f"See the logs in {settings.logs_dir}.") from error
    if done.returncode:
        raise CdpError(f"The platform did not {verb}.", f"The reason stands above; logs are in {settings.logs_dir}.")


def free_port_base() -> int:
    """The first of a hundred ports of which every one that the platform uses is free, below those that the kernel gives out."""
    offsets = sorted({offset for part in PARTS for offset in part.ports} | {WEBHOOK_DEMO})
    bases = random.sample(range(10_000, 32_600, 100), 200)
    return next(base for base in bases if all(_is_free(base + offset) for offset in offsets))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def running_or_own(settings: Settings, name: str) -> Iterator[Settings]:
    """The platform that runs in the data folder, or one of our own in a temporary folder, stopped at the end.

    Yields the settings to reach it with. Webhooks of our own one come to port WEBHOOK_DEMO.
    """
    from infra import supervise

    if supervise.is_running(settings.data_dir) or settings.kafka:
        yield settings
        return
    with own_platform(settings, name) as own:
        yield own


@contextmanager
def own_platform(settings: Settings, name: str, **variables: str) -> Iterator[Settings]:
    """A platform in a temporary folder, with `variables` in its environment, stopped at the end. Yields its settings."""
    with tempfile.TemporaryDirectory(prefix=f"cdp-{name}-", ignore_cleanup_errors=True) as folder:
        own = settings.model_copy(update={"data_dir": Path(folder) / "data", "webhook_url": webhook_url(settings)})
        try:
            up(own, **variables)
            yield own
        finally:
            down(own)
