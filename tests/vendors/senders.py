"""Who sends: one for each vendor's package, or way of using it."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VENDORS = Path(__file__).resolve().parent
REPO = VENDORS.parent.parent
SECONDS = 60  # a sender's longest run

Object = dict[str, Any]


@dataclass(frozen=True)
class Sender:
    """A package, and how it behaves.

    Attributes:
        package: its folder in node_modules, "" if it is Python's.
        app: the word for --app; "{name}" becomes the name of the write key.
        by_app: whether it can say no write key, only the name of an application.
        retries: whether it sends again what was answered by 503.
        browser: whether it needs one.
    """

    name: str
    file: str
    package: str = ""
    app: str = ""
    by_app: bool = False
    retries: bool = True
    browser: bool = False

    def missing(self) -> str:
        """Why it cannot run here; "" if it can."""
        if self.package and not shutil.which("node"):
            return "node is not installed"
        if self.package and not (VENDORS / "node_modules" / self.package / "package.json").is_file():
            return "the packages of tests/vendors are not installed: npm ci --prefix tests/vendors --ignore-scripts"
        if self.browser and not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
            return "no Chromium is installed"
        return ""

    def run(self, url: str, key: str, run: str, app: str = "", *, one: bool = False) -> Object:
        """Let it send, and return what it says."""
        file = Path(self.file)
        program = ["node", str(VENDORS / file)] if file.suffix == ".mjs" else [sys.executable, "-m", f"tests.vendors.{file.stem}"]
        said = ["--url", url, "--key", key, "--run", run, "--app", app, *(["--one"] if one else [])]
        done = subprocess.run([*program, *said], cwd=REPO, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, f"{self.name}: {done.stderr[-3000:]}"
        return dict(json.loads(done.stdout.splitlines()[-1]))


SENDERS = [
    Sender("segment-browser", "send_browser.py", "@segment/analytics-next", app="segment", browser=True),
    Sender("sensors-browser", "send_browser.py", "sa-sdk-javascript", app="sensors", browser=True, retries=False),
    Sender("posthog-browser", "send_browser.py", "posthog-js", app="posthog", browser=True),
    Sender("segment-python", "send_segment.py"),
    Sender("segment-node", "send_segment.mjs", "@segment/analytics-node"),
    Sender("rudder-python", "send_rudder.py"),
    Sender("rudder-node", "send_rudder.mjs", "@rudderstack/rudder-sdk-node"),
    Sender("sensors-python", "send_sensors.py", retries=False),
    Sender("sensors-node", "send_sensors.mjs", "sa-sdk-node", app="{name}", by_app=True, retries=False),
    Sender("posthog-python", "send_posthog.py"),
    Sender("posthog-python-v1", "send_posthog.py", app="v1"),
    Sender("posthog-node", "send_posthog.mjs", "posthog-node"),
    Sender("posthog-node-v1", "send_posthog.mjs", "posthog-node", app="v1"),
    Sender("snowplow-python", "send_snowplow.py", app="{name}", by_app=True),
    Sender("snowplow-node", "send_snowplow.mjs", "@snowplow/node-tracker", app="{name}", by_app=True),
]
