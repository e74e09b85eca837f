"""What each part runs: its command line and environment. Pure: nothing is started here."""

import shutil
import sys
from pathlib import Path

from cdp.errors import CdpError
from cdp.settings import Settings
from infra.flink.home import classpath, java_options
from infra.folder import Folder
from infra.jars import jars, jars_dir

# Small heaps on a small machine: the serial collector costs the least. Compiling is what a JVM spends most on in its first
# minutes, on the cores that the platform needs: the quick compiler alone (C1) reaches most of the speed at once.
_KAFKA_JVM = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_JOBMANAGER_JVM = ["-Xms64m", "-Xmx256m", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# Heap = framework + task; direct = framework + task off-heap + network, in infra/flink/config.yaml.
_TASKMANAGER_JVM = [
    "-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=320m", "-XX:MaxMetaspaceSize=384m",
    "-XX:+UseParallelGC", "-XX:TieredStopAtLevel=1",
]  # fmt: skip
_SHORT_JVM = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_ANY_JVM = [
    "-server",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
]

_PYTHON_PROGRAMS = {
    "clickhouse": "infra.clickhouse.server",
    "jobs": "infra.jobs",
    "ticker": "streams.ticker",
    "housekeeper": "sinks.housekeeping",
    "dispatcher": "serving.dispatch",
    "api": "serving",
}
_FLINK_CLASSES = {
    "jobmanager": "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
    "taskmanager": "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
}


def command(part: str, settings: Settings) -> list[str]:
    """The command line of a part. Raises CdpError if a program that it needs is not installed."""
    folder = Folder(settings.data_dir)
    if part == "kafka":
        return [*_kafka_java(folder, _KAFKA_JVM), "kafka.Kafka", str(folder.of("kafka") / "server.properties")]
    if part == "redis":
        return [find_program("redis-server"), str(folder.of("redis") / "redis.conf")]
    if part in _FLINK_CLASSES:
        return _flink(part, folder)
    return [sys.executable, "-m", _PYTHON_PROGRAMS[part]]


def kafka_format(settings: Settings, cluster_id: str) -> list[str]:
    """The command that prepares the broker's storage, once; does nothing the second time."""
    folder = Folder(settings.data_dir)
    properties = str(folder.of("kafka") / "server.properties")
    return [
        *_kafka_java(folder, _SHORT_JVM),
        "kafka.tools.StorageTool",
        "format",
        "-t",
        cluster_id,
        "-c",
        properties,
        "--ignore-formatted",
    ]


def environment(settings: Settings) -> dict[str, str]:
    """What every part's environment needs beside the one that `cdp up` was called with."""
    folder = Folder(settings.data_dir)
    return {
        "CDP_DATA_DIR": str(folder.root),
        "CDP_PORT_BASE": str(settings.port_base),
        "PYTHONUNBUFFERED": "1",
        "OPENBLAS_NUM_THREADS": "1",  # numpy would start a thread for each core in every worker
    }


def flink_client(folder: Folder) -> dict[str, str]:
    """Environment of a process that submits jobs: the connector's jar, its JVM's size, configuration and log."""
    environment = {
        "CDP_FLINK_JARS": ":".join(str(jar) for jar in jars("flink")),
        "JVM_ARGS": " ".join(_SHORT_JVM),
    }
    if (folder.of("flink") / "conf").exists():  # without an embedded Flink its package's own configuration serves
        environment |= {"FLINK_CONF_DIR": str(folder.of("flink") / "conf"), "FLINK_LOG_DIR": str(folder.logs)}
    return environment


def find_program(name: str) -> str:
    """The path of a program. Raises CdpError with the package to install."""
    path = shutil.which(name)
    if path is None:
        package = {"java": "openjdk-17-jre-headless"}.get(name, name)
        raise CdpError(f"The program {name} is not installed.", f"Install it: sudo apt-get install -y {package}.")
    return path


def _kafka_java(folder: Folder, options: list[str]) -> list[str]:
    log4j = folder.of("kafka") / "log4j2.properties"
    return [
        find_program("java"), *_ANY_JVM, *options, f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{jars_dir('kafka')}/*",
    ]  # fmt: skip


def _flink(part: str, folder: Folder) -> list[str]:
    """Straight to Java, as Flink's own scripts end up doing: the supervisor owns the process, and no pid files are left."""
    conf = folder.of("flink") / "conf"
    return [
        find_program("java"),
        *_ANY_JVM,
        *(_JOBMANAGER_JVM if part == "jobmanager" else _TASKMANAGER_JVM),
        *java_options().split(),
        f"-Dlog4j2.configurationFile={conf / 'log4j2.properties'}",
        f"-Dlog.file={folder.log(part)}",
        "-cp", classpath(),
        _FLINK_CLASSES[part],
        "--configDir", str(conf),
        "-D", f"io.tmp.dirs={scratch(part, folder)}",
        *(["--executionMode", "cluster"] if part == "jobmanager" else []),
    ]  # fmt: skip


def scratch(part: str, folder: Folder) -> Path:
    """Where a Flink process keeps its temporary files; emptied before each start, or kills would fill the disk."""
    return folder.of("flink") / "tmp" / part
