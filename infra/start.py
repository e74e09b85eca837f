"""Start the embedded platform and see it become ready."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cdp.errors import CdpError
from cdp.settings import Settings
from infra import configure, folder, preflight, supervise, sweep
from infra.folder import Folder
from infra.logs import tail
from infra.parts import Part
from infra.wait import PROBES

MOST_STARTS = 4  # a part that was started more often than that will not become ready
Report = Callable[[str], None]


@dataclass(frozen=True)
class Started:
    """What starting came to.

    Attributes:
        parts: that run.
        credentials: tokens and write keys by name, made by this start; empty unless it was the first.
        seconds: until everything was ready.
    """

    parts: tuple[Part, ...]
    credentials: dict[str, str]
    seconds: float


def start(settings: Settings, parts: Sequence[Part], timeout: float, report: Report) -> Started:
    """Start `parts` and wait until all answer. Raises CdpError, with everything stopped again, if they do not.

    Args:
        timeout: seconds until the last part must be ready.
        report: takes a line for each part that becomes ready.
    """
    began = time.monotonic()
    folder.read_marker(settings.data_dir)  # a foreign or damaged folder is not touched
    preflight.check_disk(settings.data_dir)
    folder.claim(settings)
    with _alone(settings):
        sweep.end(sweep.leftovers(settings.data_dir))
        preflight.check(settings, parts)
        conf = configure.write(settings, parts)
        supervise.launch(settings, conf)
        try:
            _await_ready(settings, parts, began, timeout, report)
        except BaseException:
            report("stopping again ...")
            supervise.stop(settings.data_dir)
            raise
        # Last, so that a start that fails does not make credentials that nobody sees.
        credentials = _credentials(settings) if any(part.name == "api" for part in parts) else {}
    return Started(tuple(parts), credentials, time.monotonic() - began)


def _await_ready(settings: Settings, parts: Sequence[Part], began: float, timeout: float, report: Report) -> None:
    waiting = {part.name: "" for part in parts}
    pids: dict[str, set[int]] = {part.name: set() for part in parts}
    while waiting:
        states = supervise.programs(settings.data_dir)
        for name in list(waiting):
            state, pid = (states[name].state, states[name].pid) if name in states else ("UNKNOWN", 0)
            pids[name] |= {pid} - {0}
            if state == "FATAL" or len(pids[name]) > MOST_STARTS:
                raise _failure(settings, name, "it ends again and again")
            waiting[name] = "it is not running" if state not in {"RUNNING", "STARTING"} else PROBES[name](settings)
            if not waiting[name] and state == "RUNNING":
                report(f"{name:<12} ready after {time.monotonic() - began:4.1f} s")
                del waiting[name]
        if waiting and time.monotonic() - began > timeout:
            name = next(iter(waiting))
            raise _failure(
                settings, name, f"it was not ready after {timeout:.0f} s{': ' if waiting[name] else ''}{waiting[name]}"
            )
        time.sleep(0.3 if waiting else 0)


def _failure(settings: Settings, name: str, reason: str) -> CdpError:
    log = Folder(settings.data_dir).log(name)
    lines = "".join(f"\n    {line}" for line in tail(log, 15))
    return CdpError(f"{name} did not start: {reason}.", f"The end of its log, {log}:{lines}")


def _credentials(settings: Settings) -> dict[str, str]:
    from serving.definitions import bootstrap_credentials

    return dict(bootstrap_credentials(settings) or {})


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One `cdp up` at a time for each data folder; the lock goes with the process, however it ends."""
    path = Folder(settings.data_dir).run / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise CdpError(f"Another `cdp up` is at work on {settings.data_dir}.", "Wait until it is done.") from error
    try:
        yield
    finally:
        os.close(descriptor)
