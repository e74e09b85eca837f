"""Fetch the jars of Kafka and of Flink's Kafka connector by Maven, once for each interpreter."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from cdp.errors import CdpError
from infra.jars import jars_dir

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
PARTS = ("kafka", "flink")
_STAMP = "pom.sha256"


def pom(part: str) -> Path:
    """The file that names a part's jars and their versions."""
    return Path(__file__).parent / part / "pom.xml"


def is_fetched(part: str) -> bool:
    """Whether the jars that the pom names are there."""
    stamp = jars_dir(part) / _STAMP
    return stamp.exists() and stamp.read_text() == _digest(part)


def fetch(part: str, report: Callable[[str], None]) -> None:
    """Bring a part's jars into place; nothing to do if they are there. Raises CdpError if Maven is missing or fails."""
    if is_fetched(part):
        report(f"{part}: jars are in {jars_dir(part)}")
        return
    target = jars_dir(part)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CdpError(
            f"{target.parent} cannot be written: {error.strerror}.", "Install StreamCDP into a venv of your own."
        ) from error
    report(f"{part}: fetching jars with Maven ...")
    # A folder beside the target: half a set of jars never stands where a whole one is expected.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{part}-") as draft:
        copy_jars(pom(part), Path(draft))
        (Path(draft) / _STAMP).write_text(_digest(part))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(draft, target)
    report(f"{part}: {len(list(target.glob('*.jar')))} jars in {target}")


def copy_jars(pom_file: Path, folder: Path) -> None:
    """Copy the jars that a pom names, with all they need, into a folder. Raises CdpError if Maven is missing or fails."""
    maven = shutil.which("mvn")
    if maven is None:
        raise CdpError("Maven (mvn) is not installed.", "Install it: sudo apt-get install -y maven openjdk-17-jre-headless.")
    done = subprocess.run(
        [maven, "-q", "-B", "-f", str(pom_file), PLUGIN, f"-DoutputDirectory={folder}", "-DincludeScope=runtime"],
        capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        reason = lines[0] if lines else f"exit code {done.returncode}"
        raise CdpError(
            f"Maven could not fetch the jars of {pom_file.parent.name}: {reason[:300]}",
            "Check the network and ~/.m2/settings.xml, then run it again.",
        )


def _digest(part: str) -> str:
    return hashlib.sha256(pom(part).read_bytes()).hexdigest()
