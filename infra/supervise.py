"""The process supervisor (Supervisor, from PyPI): start it, ask it, stop it."""

import os
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cdp.errors import CdpError
from cdp.settings import Settings
from infra import sweep
from infra.folder import Folder
from infra.socket_path import prepare, socket_path


@dataclass(frozen=True)
class Program:
    """A supervised program as the supervisor sees it.

    Attributes:
        state: Supervisor's word: RUNNING, STARTING, BACKOFF, FATAL, STOPPED ...
        uptime: seconds since it was started; 0 if it does not run.
    """

    name: str
    state: str
    pid: int
    uptime: int
    exit_status: int


def is_running(root: Path) -> bool:
    """Whether the folder's supervisor answers."""
    try:
        _server(root).supervisor.getState()
    except (OSError, xmlrpc.client.Error):
        return False
    return True


def programs(root: Path) -> dict[str, Program]:
    """The supervised programs by name; empty if the supervisor does not run."""
    try:
        answer: Any = _server(root).supervisor.getAllProcessInfo()
    except (OSError, xmlrpc.client.Error):
        return {}
    return {
        info["name"]: Program(
            info["name"],
            info["statename"],
            info["pid"],
            max(0, info["now"] - info["start"]) if info["pid"] else 0,
            info["exitstatus"],
        )
        for info in answer
    }


def launch(settings: Settings, conf: Path) -> "subprocess.Popen[bytes]":
    """Start the supervisor in a session of its own, so that a Ctrl-C in the terminal reaches only us."""
    folder = Folder(settings.data_dir)
    socket = socket_path(folder.root)
    try:
        prepare(socket)
    except OSError as error:
        raise CdpError(
            f"The supervisor's socket {socket} cannot be made: {error}.", "Set CDP_DATA_DIR to a shorter path."
        ) from error
    socket.unlink(missing_ok=True)  # left by a crash; nobody listens, or is_running had said so
    environment = {
        **os.environ,
        "CDP_DATA_DIR": str(folder.root),
        "CDP_PORT_BASE": str(settings.port_base),
        sweep.MARK: str(folder.root),
    }
    with (folder.logs / "supervisord.out").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(conf)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env=environment, cwd=folder.root, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 20
    while not is_running(folder.root):
        if process.poll() is not None or time.monotonic() > deadline:
            raise CdpError(
                "The supervisor did not start.", f"See {folder.log('supervisord.out')} and {folder.log('supervisord')}."
            )
        time.sleep(0.05)
    return process


def stop(root: Path, seconds: float = 150.0) -> None:
    """Stop every program in the reverse order of starting, then the supervisor; end whatever is left."""
    folder = Folder(root)
    supervisor = [process for process in sweep.marked(root) if _is_supervisor(process)]
    if is_running(root):
        try:
            _server(root).supervisor.shutdown()
        except (OSError, xmlrpc.client.Error):
            sweep.end(supervisor, seconds)  # SIGTERM stops the programs in order, too
    psutil.wait_procs(supervisor, timeout=seconds)
    sweep.end(sweep.leftovers(root))
    for path in folder.run.glob("*.pid"):
        path.unlink(missing_ok=True)
    socket_path(root).unlink(missing_ok=True)


def stop_program(root: Path, name: str) -> None:
    """Stop one program and keep it stopped."""
    _call(root, "stopProcess", name)


def start_program(root: Path, name: str) -> None:
    """Start one program that was stopped."""
    _call(root, "startProcess", name)


def _call(root: Path, method: str, name: str) -> None:
    try:
        getattr(_server(root).supervisor, method)(name, True)
    except xmlrpc.client.Fault as fault:
        if fault.faultString.split(":")[0] not in {"NOT_RUNNING", "ALREADY_STARTED"}:
            raise CdpError(
                f"The supervisor refused {method} of {name}: {fault.faultString}.", "`cdp status` shows the parts."
            ) from fault


def _server(root: Path) -> Any:
    from supervisor.xmlrpc import SupervisorTransport

    path = socket_path(root)
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{path}"))


def _is_supervisor(process: psutil.Process) -> bool:
    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.Error:
        return False
