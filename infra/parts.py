"""The parts of the embedded platform: what each one needs, where it listens, in which order it starts."""

from collections.abc import Iterable
from dataclasses import dataclass

from cdp import settings as ports
from cdp.errors import CdpError
from cdp.settings import Settings


@dataclass(frozen=True)
class Part:
    """One supervised program.

    Attributes:
        name: of the program; its log is ``logs/<name>.log``.
        ports: offsets from CDP_PORT_BASE; the first one is its address.
        needs: probes (see infra/wait.py) that must succeed before it starts.
        outside: the setting that, when it holds an address, replaces this part by an outside service.
        java: whether it runs on a JVM.
        stop_seconds: how long it may take to end by itself.
    """

    name: str
    ports: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    outside: str = ""
    java: bool = False
    stop_seconds: int = 10


# In the order of starting; stopped in the reverse order, each before the one that it needs.
PARTS = (
    Part("kafka", (ports.KAFKA, ports.KAFKA_CONTROLLER), outside="kafka", java=True, stop_seconds=30),
    Part("redis", (ports.REDIS,), outside="redis", stop_seconds=30),
    Part("clickhouse", (ports.CLICKHOUSE,), outside="clickhouse", stop_seconds=30),
    Part("jobmanager", (ports.FLINK_REST, ports.FLINK_RPC, ports.FLINK_BLOB), outside="flink", java=True),
    Part("taskmanager", (ports.FLINK_TASK_RPC, ports.FLINK_TASK_DATA), outside="flink", java=True),
    Part("jobs", needs=("kafka", "redis", "clickhouse", "taskmanager"), stop_seconds=30),
    Part("ticker", needs=("topics", "redis")),
    Part("housekeeper", needs=("jobs", "clickhouse")),
    Part("dispatcher", (ports.METRICS_DISPATCHER,), needs=("topics", "redis")),
    Part("api", (ports.API,)),  # needs nothing: it collects into its spool while the others are away
)
BY_NAME = {part.name: part for part in PARTS}


def is_embedded(part: Part, settings: Settings) -> bool:
    """Whether we run the part ourselves: no outside address replaces it."""
    return not (part.outside and getattr(settings, part.outside))


def select(settings: Settings, only: Iterable[str] = ()) -> list[Part]:
    """The parts to run, in the order of starting. Raises CdpError for a name that is none."""
    wanted = set(only) or set(BY_NAME)
    for name in sorted(wanted - set(BY_NAME)):
        raise CdpError(f"There is no part named {name!r}.", f"The parts are: {', '.join(BY_NAME)}.")
    return [part for part in PARTS if part.name in wanted and is_embedded(part, settings)]


def address(part: Part, settings: Settings) -> str:
    """Where a part answers, for people: a URL for those that a browser can open."""
    outside = getattr(settings, part.outside) if part.outside else ""
    if outside:
        return str(outside).rpartition("@")[2]  # a URL may carry a password
    if not part.ports:
        return ""
    scheme = "http://" if part.name in {"api", "jobmanager", "clickhouse"} else ""
    return f"{scheme}127.0.0.1:{settings.port(part.ports[0])}"
