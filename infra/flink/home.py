"""The Flink distribution inside the apache-flink package: found without importing PyFlink, which is slow."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import yaml

from cdp.errors import CdpError


@lru_cache(maxsize=1)
def flink_home() -> Path:
    """The folder with Flink's ``lib``, ``opt`` and ``conf``. Raises CdpError if the package is not installed."""
    spec = find_spec("pyflink")
    if spec is None or not spec.submodule_search_locations:
        raise CdpError("The package apache-flink is not installed.", "Run `make setup`.")
    return Path(spec.submodule_search_locations[0])


def java_options() -> str:
    """What Java 17 must be told for Flink, from the configuration that Flink ships: without it Arrow and Kryo fail."""
    shipped = yaml.safe_load((flink_home() / "conf" / "config.yaml").read_text())
    return str(shipped["env"]["java"]["opts"]["all"])


def classpath() -> str:
    """Flink's libraries; flink-dist goes last, as in Flink's own scripts."""
    libraries = sorted((flink_home() / "lib").glob("*.jar"), key=lambda jar: (jar.name.startswith("flink-dist"), jar.name))
    return ":".join(str(jar) for jar in libraries)


def version() -> str:
    """Flink's version, from the name of its jar."""
    return next((flink_home() / "lib").glob("flink-dist-*.jar")).stem.removeprefix("flink-dist-")
