"""``python -m infra.run PART``: what the supervisor starts. Waits for what the part needs, prepares it, then becomes it."""

import os
import shutil
import subprocess
import sys
from datetime import datetime

from cdp.errors import CdpError
from cdp.settings import Settings, settings
from infra import programs, sweep
from infra.folder import Folder, read_marker
from infra.parts import BY_NAME
from infra.wait import wait_for

WAIT_SECONDS = 170


def prepare(part: str, config: Settings) -> None:
    """What must be done before a part starts: format Kafka's storage, empty scratch folders, end a dead TaskManager's workers."""
    folder = Folder(config.data_dir)
    if part in {"kafka", "redis", "clickhouse"}:
        folder.of(part).mkdir(parents=True, exist_ok=True)
    if part == "kafka" and not (folder.of("kafka") / "data" / "meta.properties").exists():
        marker = read_marker(config.data_dir)
        if marker is None:
            raise CdpError(f"{config.data_dir} is not a StreamCDP data folder.", "Start the platform with `cdp up`.")
        subprocess.run(programs.kafka_format(config, marker.kafka_cluster_id), check=True, timeout=120)
    if part == "taskmanager":
        sweep.end(sweep.python_workers(config.data_dir), seconds=1)
    if part in {"jobmanager", "taskmanager"}:
        scratch = programs.scratch(part, folder)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)


def main(part: str) -> None:
    """Become the part. Exits with 1 and one line if something that it needs is missing."""
    config = settings()
    sweep.record(config.data_dir / "run", part)
    try:
        wait_for(config, BY_NAME[part].needs, WAIT_SECONDS, _log)
        prepare(part, config)
        argv = programs.command(part, config)
    except (CdpError, OSError, subprocess.SubprocessError) as error:
        _log(f"cannot start {part}: {error}")
        sys.exit(1)
    os.environ.update(programs.environment(config))
    _log(f"starting {part}")
    os.execv(argv[0], argv)  # noqa: S606 - the same process id, owned by the supervisor


def _log(line: str) -> None:
    sys.stdout.write(f"{datetime.now().isoformat(sep=' ', timespec='milliseconds')} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
