"""The pure parts of infra: configuration, choice of parts, the data folder, what is read from others' output."""

import json
import os
import socket
from pathlib import Path

import pytest
import yaml

from cdp.errors import CdpError
from cdp.settings import Settings
from infra import configure, folder, preflight, programs, sweep
from infra.flink.rest import heart
from infra.lag import behind
from infra.logs import tail
from infra.parts import BY_NAME, PARTS, address, select
from infra.show import duration, plain
from infra.socket_path import LONGEST, socket_path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", port_base=21_000)


def test_no_two_parts_share_a_port() -> None:
    offsets = [offset for part in PARTS for offset in part.ports]
    assert len(offsets) == len(set(offsets))


def test_every_need_has_a_probe() -> None:
    from infra.wait import PROBES

    assert {need for part in PARTS for need in part.needs} | set(BY_NAME) <= set(PROBES)


def test_parts_replaced_by_outside_services_are_not_run(settings: Settings) -> None:
    outside = settings.model_copy(update={"kafka": "k1:9092", "flink": "f:8081", "redis": "redis://u:secret@r:6379/0"})
    assert [part.name for part in select(outside)] == ["clickhouse", "jobs", "ticker", "housekeeper", "dispatcher", "api"]
    assert address(BY_NAME["redis"], outside) == "r:6379/0"  # without the password


def test_only_some_parts_can_be_chosen_in_the_order_of_starting(settings: Settings) -> None:
    assert [part.name for part in select(settings, ["redis", "kafka"])] == ["kafka", "redis"]
    with pytest.raises(CdpError, match="no part named 'kafak'"):
        select(settings, ["kafak"])


def test_kafka_listens_on_loopback_and_makes_no_topics_by_itself(settings: Settings) -> None:
    lines = configure.kafka_properties(settings).splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:21092,CONTROLLER://127.0.0.1:21093" in lines
    assert "controller.quorum.voters=1@127.0.0.1:21093" in lines
    assert "auto.create.topics.enable=false" in lines
    assert f"log.dirs={settings.data_dir}/kafka/data" in lines


def test_offsets_outlive_the_records() -> None:
    properties = dict(line.split("=", 1) for line in configure.kafka_properties(Settings()).splitlines() if "=" in line)
    assert int(properties["offsets.retention.minutes"]) >= int(properties["log.retention.hours"]) * 60


def test_redis_writes_every_batch_through(settings: Settings) -> None:
    lines = configure.redis_conf(settings).splitlines()
    assert {"bind 127.0.0.1", "port 21079", "appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)


def test_flink_is_valid_yaml_on_loopback_with_a_slot_for_every_job(settings: Settings) -> None:
    conf = yaml.safe_load(configure.flink_yaml(settings))
    assert conf["rest"]["bind-address"] == conf["taskmanager"]["bind-host"] == "127.0.0.1"
    assert conf["rest"]["port"] == 21_081
    assert conf["taskmanager"]["numberOfTaskSlots"] == 4
    assert conf["heartbeat"] == {"interval": 500, "timeout": 4000}
    assert "--add-opens=java.base/java.nio=ALL-UNNAMED" in conf["env"]["java"]["opts"]["all"]
    wider = yaml.safe_load(configure.flink_yaml(settings.model_copy(update={"parallelism": 4, "profile_parallelism": 4})))
    assert wider["taskmanager"]["numberOfTaskSlots"] >= 12


def test_flinks_sizes_agree_with_the_java_options(settings: Settings) -> None:
    memory = yaml.safe_load(configure.flink_yaml(settings))["taskmanager"]["memory"]

    def megabytes(*sizes: str) -> int:
        return sum(int(size.removesuffix("m")) for size in sizes)

    framework, task = memory["framework"], memory["task"]
    heap = megabytes(framework["heap"]["size"], task["heap"]["size"])
    direct = megabytes(framework["off-heap"]["size"], task["off-heap"]["size"], memory["network"]["max"])
    command = programs.command("taskmanager", settings)
    assert f"-Xmx{heap}m" in command
    assert f"-XX:MaxDirectMemorySize={direct}m" in command


def test_the_supervisor_restarts_every_part_and_survives_odd_paths(tmp_path: Path) -> None:
    from configparser import RawConfigParser

    settings = Settings(data_dir=tmp_path / "100% mine")
    text = configure.supervisor_conf(settings, PARTS)
    conf = RawConfigParser()
    conf.read_string(text)
    assert [name for name in conf.sections() if name.startswith("program:")] == [f"program:{part.name}" for part in PARTS]
    assert all(conf[f"program:{part.name}"]["autorestart"] == "true" for part in PARTS)
    assert "100%% mine" in conf["program:kafka"]["stdout_logfile"]


def test_a_value_not_given_to_a_template_is_an_error() -> None:
    with pytest.raises(KeyError):
        configure.render("redis/redis.conf", port=1)


def test_the_socket_path_is_short_however_deep_the_folder(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 8)
    assert len(os.fsencode(socket_path(deep))) <= LONGEST
    assert socket_path(deep) == socket_path(deep) != socket_path(deep / "other")
    assert socket_path(Path("/srv/cdp")) == Path("/srv/cdp/run/supervisor.sock")


def test_a_new_folder_is_claimed_and_recognised(settings: Settings) -> None:
    made = folder.claim(settings)
    assert folder.claim(settings) == made
    assert folder.read_marker(settings.data_dir) == made
    assert settings.secrets_dir.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_only_a_demo_in_it_is_new(settings: Settings) -> None:
    (settings.data_dir / "demo").mkdir(parents=True)
    assert folder.read_marker(settings.data_dir) is None


def test_a_strangers_folder_is_refused_and_left_alone(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "thesis.doc").write_text("precious")
    with pytest.raises(CdpError, match=r"not a StreamCDP data folder: it holds 'thesis.doc'"):
        folder.claim(settings)
    assert [path.name for path in settings.data_dir.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b'{"layout": 1}', "damaged"),
        (b'{"layout": 9, "partitions": 16, "kafka_cluster_id": "x"}', "layout 9"),
        (b'{"layout": 1, "partitions": 16, "kafka_cluster_id": "x"}', "cluster id"),
    ],
)
def test_a_damaged_marker_is_one_sentence(settings: Settings, content: bytes, sentence: str) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / folder.MARKER).write_bytes(content)
    with pytest.raises(CdpError, match=sentence):
        folder.claim(settings)


def test_another_clusters_storage_is_refused(settings: Settings) -> None:
    folder.claim(settings)
    data = settings.data_dir / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("cluster.id=somebody-elses\n")
    with pytest.raises(CdpError, match=r"meta.properties does not belong"):
        folder.claim(settings)


def test_the_number_of_partitions_is_fixed_for_life(settings: Settings) -> None:
    folder.claim(settings)
    with pytest.raises(CdpError, match="made with 4 partitions, but CDP_PARTITIONS is 8"):
        folder.claim(settings.model_copy(update={"partitions": 8}))


def test_a_file_in_place_of_the_folder_is_refused(settings: Settings) -> None:
    settings.data_dir.write_text("")
    with pytest.raises(CdpError, match="not a folder"):
        folder.claim(settings)


def test_cluster_ids_are_what_kafka_wants() -> None:
    ids = {folder.new_cluster_id() for _ in range(300)}
    assert len(ids) == 300
    assert all(len(text) == 22 and not text.startswith("-") for text in ids)


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", 0),
    ],
)
def test_javas_version_is_read(output: str, version: int) -> None:
    assert preflight.java_version(output) == version


def test_a_taken_port_is_named_with_its_part(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        base = taken.getsockname()[1] - 79
        with pytest.raises(CdpError, match=rf"Port {base + 79}, which redis needs, is taken.*CDP_PORT_BASE"):
            preflight.check_ports(settings.model_copy(update={"port_base": base}), [BY_NAME["redis"]])


def test_a_full_disk_is_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "FREE_BYTES", 1 << 60)
    with pytest.raises(CdpError, match="nearly full"):
        preflight.check_disk(settings.data_dir)


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CdpError, match="apt-get install -y no-such-program"):
        programs.find_program("no-such-program")


def test_a_stale_note_of_a_process_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "kafka.pid").write_text(json.dumps({"pid": os.getpid(), "started": 12.5}))  # our id, another start
    (tmp_path / "redis.pid").write_text("not json")
    (tmp_path / "supervisord.pid").write_text("1\n")
    assert sweep.recorded(tmp_path) == []
    sweep.record(tmp_path, "kafka")
    assert [process.pid for process in sweep.recorded(tmp_path)] == [os.getpid()]
    assert sweep.leftovers(tmp_path.parent) == []  # never ourselves


def test_lag_counts_what_was_never_committed() -> None:
    ends = {("a", 0): 10, ("a", 1): 5, ("b", 0): 100}
    assert behind(ends, {("a", 0): 4}, ("a",)) == 11
    assert behind(ends, {("a", 0): 12, ("a", 1): 5}, ("a",)) == 0


@pytest.mark.parametrize(
    ("stacktrace", "line"),
    [
        (
            "java.lang.RuntimeException: Failed to create stage bundle factory! INFO\nTraceback (most recent call last):\n"
            "  File 'x.py', line 1\nAttributeError: module 'profile' has no attribute 'run'\n\tat org.x\n"
            "Caused by: java.lang.X: Process died",
            "AttributeError: module 'profile' has no attribute 'run'",
        ),
        ("org.x.Failed: no\n\tat y\nCaused by: a.B: outer\nCaused by: c.D: inner\n\tat z", "c.D: inner"),
        ("only this", "only this"),
        ("", ""),
    ],
)
def test_the_heart_of_a_stack_trace_is_found(stacktrace: str, line: str) -> None:
    assert heart(stacktrace) == line


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert tail(log, 3) == []
    log.write_text("".join(f"line {i}\n" for i in range(5000)))
    assert tail(log, 2) == ["line 4998", "line 4999"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, ""), (59, "59 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")]
)
def test_durations(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_plain_columns_line_up() -> None:
    assert plain(("a", "long"), [("xyz", "1"), ("", "22")]) == "a    long\nxyz  1\n     22\n"
