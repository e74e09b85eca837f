"""The launcher on real programs: start, status, restart of what dies, one-sentence failures, and nothing left behind."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra import sweep
from infra.folder import MARKER
from tests.conftest import Stack, make_stack, running

pytestmark = pytest.mark.timeout(240)


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.2)


def assert_one_sentence(stack: Stack, *args: str, says: str) -> None:
    done = stack.cdp(*args)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("cdp: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert says in done.stderr


def test_redis_alone_starts_comes_back_when_killed_and_keeps_its_data(tmp_path: Path) -> None:
    from cdp.redis import connect

    stack = make_stack(tmp_path / "data")
    with running(stack, "--only", "redis"):
        connect(stack.settings.redis_url).set("kept", "yes")
        before = stack.part("redis")
        assert before["state"] == "ready"
        assert before["version"]
        assert "already running" in stack.cdp("up", "--detach", check=True).stdout

        os.kill(before["pid"], signal.SIGKILL)
        eventually(lambda: (now := stack.part("redis"))["state"] == "ready" and now["pid"] != before["pid"])
        assert connect(stack.settings.redis_url).get("kept") == b"yes"
        assert stack.cdp("logs", "redis", "-n", "5", check=True).stdout
    assert sweep.leftovers(stack.settings.data_dir) == []

    with running(stack, "--only", "redis"):
        assert connect(stack.settings.redis_url).get("kept") == b"yes"


def test_a_killed_supervisor_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    stack = make_stack(tmp_path.joinpath(*["quite-a-deep-folder"] * 5) / "data")  # its socket's path would be too long
    with running(stack, "--only", "redis"):
        redis = stack.part("redis")["pid"]
        supervisor = psutil.Process(redis).parent()
        assert supervisor is not None
        supervisor.kill()
        eventually(lambda: not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE)
        assert psutil.pid_exists(redis)
        assert stack.cdp("status").returncode == 1

        stack.cdp("up", "--detach", "--only", "redis", check=True)
        assert stack.part("redis")["pid"] != redis
        assert not psutil.pid_exists(redis)
    assert sweep.leftovers(stack.settings.data_dir) == []


@pytest.mark.parametrize("said", ["Ready after", "Ctrl-C"])
def test_ctrl_c_stops_what_was_started_in_the_foreground(tmp_path: Path, said: str) -> None:
    import subprocess
    import sys

    stack = make_stack(tmp_path / "data")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background ignores it, and passes that on
    process = subprocess.Popen(
        [sys.executable, "-m", "cdp.main", "up", "--only", "redis"], env=stack.env, stdout=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if said in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        stack.cdp("down")
    assert sweep.leftovers(stack.settings.data_dir) == []


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "data")
    with socket.create_server(("127.0.0.1", stack.settings.port_base + 79)):
        assert_one_sentence(stack, "up", "--detach", says=f"Port {stack.settings.port_base + 79}, which redis needs")
    assert sweep.leftovers(stack.settings.data_dir) == []


def test_a_strangers_or_damaged_data_folder_is_one_sentence(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "data")
    stack.settings.data_dir.mkdir()
    (stack.settings.data_dir / "photo.jpg").write_bytes(b"mine")
    assert_one_sentence(stack, "up", "--detach", says="is not a StreamCDP data folder")
    (stack.settings.data_dir / MARKER).write_text("{")
    assert_one_sentence(stack, "up", "--detach", says="damaged")


def test_a_missing_program_is_one_sentence(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "data")
    stack.env["PATH"] = ""
    assert_one_sentence(stack, "up", "--detach", "--only", "redis", says="redis-server is not installed")


def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "data")
    stack.env["CDP_PARTITIONS"] = "many"
    assert_one_sentence(stack, "status", says="CDP_PARTITIONS")


def test_an_unknown_part_is_one_sentence(tmp_path: Path) -> None:
    assert_one_sentence(make_stack(tmp_path / "data"), "up", "--only", "kafak", says="'kafak'")


@pytest.mark.stack
def test_everything_is_well(stack: Stack) -> None:
    status = stack.status()
    assert status["ok"], status
    assert {"kafka", "redis", "clickhouse", "jobmanager", "api"} <= {part["name"] for part in status["parts"]}
    assert {job["name"]: job["state"] for job in status["jobs"]} == dict.fromkeys(
        ("resolve", "profile", "facts", "dispatcher"), "RUNNING"
    )
    assert all(part["version"] for part in status["parts"])


@pytest.mark.stack
def test_jobs_that_are_cancelled_are_submitted_again(stack: Stack) -> None:
    from infra.flink.rest import cancel, running_jobs

    before = running_jobs(stack.settings)["facts"].id
    cancel(stack.settings, before)

    def runs_anew() -> bool:
        now = running_jobs(stack.settings).get("facts")
        return now is not None and now.id != before and now.all_running

    eventually(runs_anew, seconds=120)
