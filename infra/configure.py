"""Write the configuration of every embedded part from the settings. The templates stand beside this file; rendering is pure."""

import resource
import shlex
import string
import sys
from collections.abc import Sequence
from pathlib import Path

from cdp import settings as ports
from cdp.kafka import MAX_MESSAGE_BYTES
from cdp.settings import Settings
from infra.flink.home import java_options
from infra.folder import Folder
from infra.parts import Part
from infra.socket_path import socket_path

LOG_BYTES = 20_000_000
LOG_BACKUPS = 3
OPEN_FILES = 65_536
_HERE = Path(__file__).parent


class Template(string.Template):
    """``@{name}`` stands for a value: ``$`` and ``%`` mean something to the programs themselves."""

    delimiter = "@"
    idpattern = r"(?a:[_a-z][_a-z0-9]*)"


def render(template: str, **values: object) -> str:
    """Fill in a template of this package, e.g. ``kafka/server.properties``. Raises KeyError for a value not given."""
    return Template((_HERE / template).read_text()).substitute(values)


def kafka_properties(settings: Settings) -> str:
    """The broker's ``server.properties``."""
    return render(
        "kafka/server.properties",
        port=settings.port(ports.KAFKA),
        controller_port=settings.port(ports.KAFKA_CONTROLLER),
        data=settings.data_dir / "kafka" / "data",
        partitions=settings.partitions,
        max_message_bytes=MAX_MESSAGE_BYTES,
    )


def redis_conf(settings: Settings) -> str:
    """``redis.conf``."""
    return render("redis/redis.conf", port=settings.port(ports.REDIS), data=f'"{settings.data_dir / "redis"}"')


def flink_yaml(settings: Settings) -> str:
    """Flink's ``config.yaml``, for both of its processes."""
    folder = Folder(settings.data_dir)
    return render(
        "flink/config.yaml",
        java_options=java_options(),
        rpc_port=settings.port(ports.FLINK_RPC),
        rest_port=settings.port(ports.FLINK_REST),
        blob_port=settings.port(ports.FLINK_BLOB),
        task_rpc_port=settings.port(ports.FLINK_TASK_RPC),
        task_data_port=settings.port(ports.FLINK_TASK_DATA),
        slots=max(2 * settings.parallelism + settings.profile_parallelism, 4),
        task_log=folder.log("taskmanager"),
        job_log=folder.log("jobmanager"),
        python=sys.executable,
    )


def supervisor_conf(settings: Settings, parts: Sequence[Part], *, open_files: int = 1024) -> str:
    """The supervisor's configuration: one program for each part, restarted whenever it ends, its log rotated."""
    folder = Folder(settings.data_dir)
    sections = [
        f"""\
[unix_http_server]
file={_escape(socket_path(folder.root))}
chmod=0700

[supervisord]
logfile={_escape(folder.log("supervisord"))}
logfile_maxbytes={LOG_BYTES}
logfile_backups={LOG_BACKUPS}
pidfile={_escape(folder.run / "supervisord.pid")}
childlogdir={_escape(folder.logs)}
directory={_escape(folder.root)}
nodaemon=true
silent=true
minfds={open_files}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    for priority, part in enumerate(parts, start=1):
        sections.append(f"""\
[program:{part.name}]
command={_escape(shlex.quote(sys.executable))} -m infra.run {part.name}
priority={priority}
autorestart=true
startsecs=2
startretries=20
stopwaitsecs={part.stop_seconds}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={_escape(folder.log(part.name))}
stdout_logfile_maxbytes={LOG_BYTES}
stdout_logfile_backups={LOG_BACKUPS}
""")
    return "\n".join(sections)


def _escape(value: object) -> str:
    """Supervisor expands ``%(...)s`` in every value."""
    return str(value).replace("%", "%%")


def allowed_open_files() -> int:
    """How many files the supervisor may ask for, for itself and its children: Kafka wants many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)


def write(settings: Settings, parts: Sequence[Part]) -> Path:
    """Write every configuration file into the data folder; returns the supervisor's."""
    folder = Folder(settings.data_dir)
    supervisor = folder.run / "supervisord.conf"
    files = {
        folder.of("kafka") / "server.properties": kafka_properties(settings),
        folder.of("kafka") / "log4j2.properties": render("kafka/log4j2.properties"),
        folder.of("redis") / "redis.conf": redis_conf(settings),
        folder.of("flink") / "conf" / "config.yaml": flink_yaml(settings),
        supervisor: supervisor_conf(settings, parts, open_files=allowed_open_files()),
        # The cluster's, and the one of the client that submits jobs: its name is Flink's choice.
        folder.of("flink") / "conf" / "log4j2.properties": render("flink/log4j2.properties", level="info"),
        folder.of("flink") / "conf" / "log4j-cli.properties": render("flink/log4j2.properties", level="warn"),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return supervisor
