"""A process of the embedded ClickHouse server, on a port and in a folder of its own, and plain HTTP requests to it."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cdp.clickhouse import READER_USER, connect, embedded_password
from cdp.errors import Unavailable
from cdp.settings import CLICKHOUSE, Settings


def free_base() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1]) - CLICKHOUSE


class Running:
    """A server process over a data folder."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder, port_base=free_base(), clickhouse_database="cdp_test")
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "CDP_DATA_DIR": str(self.settings.data_dir), "CDP_PORT_BASE": str(self.settings.port_base)}
        environment["CDP_CLICKHOUSE_DATABASE"] = self.settings.clickhouse_database
        self.process = subprocess.Popen([sys.executable, "-m", "infra.clickhouse.server"], env=environment)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                connect(self.settings, database="", timeout=5).close()
                return
            except Unavailable:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@dataclass(frozen=True)
class Answer:
    """Of an HTTP request: its status, the code of ClickHouse's error or an empty text, its body."""

    status: int
    code: str
    body: bytes


def ask(config: Settings, query_string: str, body: bytes | str, user: str = READER_USER) -> Answer:
    """Ask the embedded server as curl would."""
    parts = urllib.parse.urlsplit(config.clickhouse_url)
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}/?{query_string}", data=data)
    credentials = f"{user}:{embedded_password(config, user)}".encode()
    request.add_header("Authorization", "Basic " + base64.b64encode(credentials).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, "", response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers["X-ClickHouse-Exception-Code"], error.read())
