"""Schemathesis, as an outsider would run it: its command line and its default checks over the OpenAPI document.

It talks to a platform of its own: made-up tracking plans, keys and identity rules must not reach the other tests, and no other
API may put the rules back meanwhile. Afterwards everything is accounted for, and nobody waits.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdp.settings import Settings
from loadtest.send import Connection, batch, encode
from serving.app import create_app
from serving.definitions import mint_token, mint_write_key
from tests.conftest import START_SECONDS, Stack, make_stack, running

METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": item[method]["tags"]
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}
COLLECT = {operation for operation, tags in OPERATIONS.items() if "collect" in tags}
OPEN = {"GET /healthz", "GET /readyz"}
# Their examples name people and letters that are not there, so 404 may be all that they are answered; others test them.
OF_SOMEBODY = {
    "GET /v1/profiles", "GET /v1/profiles/{one_id}", "GET /v1/dead-letters/{id}", "POST /v1/dead-letters/{id}/repair",
    "GET /v1/identity/{id}", "POST /v1/identity/unmerge", "POST /v1/identity/merge", "POST /v1/identity/reviews/{id}",
}  # fmt: skip
# Their examples name a draft; by then a newer version may be in force.
OF_DRAFTS = {operation for operation in OPERATIONS if operation.endswith("/publish")}
CHECKS = {
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "missing_required_header",
    "unsupported_method", "allow_header_conformance", "use_after_free", "ensure_resource_availability", "ignored_auth",
}  # fmt: skip
# Rules can have the right shape and contradict themselves, or hold a pattern or an expression that is none: no schema says that.
RULES = "".join(
    f"""
[[operations]]
include-name = "{operation}"
checks.positive_data_acceptance.enabled = false
"""
    for operation in (
        "PUT /v1/identity/rules", "PUT /v1/rules/tags/{name}", "PUT /v1/rules/triggers/{name}", "POST /v1/rules/check",
    )
)  # fmt: skip
SECONDS = 600  # that one run may take on a machine that has other things to do; 10 to 45 are usual
SETTLE_SECONDS = 120
PEOPLE = 100

pytestmark = pytest.mark.timeout(START_SECONDS + SECONDS + 60)  # whichever test is the first pays for the start


@dataclass(frozen=True)
class Report:
    """What a run did and found.

    Attributes:
        text: the report for people; it has the failures, and how to reproduce them.
        called: operations that were called.
        succeeded: those that were answered 2xx at least once.
        checks: what was checked of the answers.
    """

    code: int
    text: str
    called: frozenset[str]
    succeeded: frozenset[str]
    checks: frozenset[str]


class Api:
    """A platform's API, and Schemathesis against it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.settings = stack.settings
        self._folder = folder

    def run(self, *args: str, examples: int, config: str = "") -> Report:
        """Every phase, if `args` name none, with so many random examples of each operation. No check is switched off.

        Args:
            config: of Schemathesis, for what its command line cannot say.
        """
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        (folder / "schemathesis.toml").write_text(config)
        events = folder / "events.ndjson"
        done = subprocess.run(
            [
                Path(sys.executable).parent / "schemathesis", "run", f"{self.settings.api_url}/openapi.json", *args, "--seed=1",
                f"--max-examples={examples}", "--report=ndjson", f"--report-ndjson-path={events}", "--output-truncate=false",
            ],
            cwd=folder, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        return _report(done.returncode, done.stdout + done.stderr, events)


def _report(code: int, text: str, events: Path) -> Report:
    answered: dict[str, set[int]] = {}
    checks: set[str] = set()
    for line in events.read_text(encoding="utf-8").splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        checks |= {check["name"] for made in recorder.get("checks", {}).values() for check in made}
        for case_id, exchange in recorder.get("interactions", {}).items():
            case = recorder["cases"][case_id]["value"]
            if exchange["response"] is not None:
                answered.setdefault(f"{case['method']} {case['path']}", set()).add(exchange["response"]["status_code"])
    called = answered.keys() & OPERATIONS.keys()
    succeeded = {operation for operation in called if any(200 <= status < 300 for status in answered[operation])}
    return Report(code, text, frozenset(called), frozenset(succeeded), frozenset(checks))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("openapi")
    with running(make_stack(folder / "data")) as started:
        have_people(started)
        before = started.part("api")["pid"]
        yield Api(started, folder)
        assert started.part("api")["pid"] == before  # the supervisor would start one again that had crashed


def have_people(stack: Stack) -> None:
    """Examples name people of small numbers: they must be there."""
    connection = Connection(stack.settings.api_url, stack.write_key)
    messages = [{"type": "track", "event": "Product Viewed", "userId": f"u-{number}"} for number in range(PEOPLE)]
    connection.deliver("/v1/batch", batch(list(map(encode, messages)), "test").body, patience=30)
    connection.close()
    assert json.loads(stack.cdp("ledger", "--json", "--wait", str(SETTLE_SECONDS)).stdout)["balanced"]


def header(scheme: str, credential: str) -> str:
    return f"--header=Authorization: {scheme} {credential}"


def basic(write_key: str) -> str:
    return header("Basic", base64.b64encode(f"{write_key}:".encode()).decode())


def test_an_administrator_finds_nothing_wrong(api: Api) -> None:
    report = api.run(
        header("Bearer", mint_token(api.settings, "openapi", "admin")), "--exclude-tag=collect", examples=5, config=RULES
    )
    assert report.code == 0, report.text
    assert report.checks >= CHECKS
    assert report.called == OPERATIONS.keys() - COLLECT
    assert report.succeeded >= OPERATIONS.keys() - COLLECT - OF_SOMEBODY - OF_DRAFTS


def test_a_sender_finds_nothing_wrong(api: Api) -> None:
    report = api.run(basic(mint_write_key(api.settings, "sender")), "--include-tag=collect", examples=5)
    assert report.code == 0, report.text
    assert report.checks >= CHECKS
    assert report.called == report.succeeded == COLLECT


@pytest.mark.parametrize("scheme", ["bearer", "query"])
def test_a_write_key_may_stand_elsewhere(api: Api, scheme: str) -> None:
    key = mint_write_key(api.settings, f"sender-{scheme}")
    args = ["--include-tag=collect", "--phases=examples"]
    if scheme == "bearer":
        report = api.run(header("Bearer", key), *args, examples=1)
    else:
        report = api.run(*args, examples=1, config=f'[auth.openapi.write_key_query]\napi_key = "{key}"\n')
    assert report.code == 0, report.text
    assert report.called == report.succeeded == COLLECT


def test_nobody_gets_in_without_a_credential(api: Api) -> None:
    report = api.run("--phases=examples,fuzzing", examples=2)
    assert report.code == 0, report.text
    assert report.called == OPERATIONS.keys()
    assert report.succeeded == OPEN


def test_afterwards_everything_is_accounted_for_and_nobody_waits(api: Api) -> None:
    ledger = json.loads(api.stack.cdp("ledger", "--json", "--wait", str(SETTLE_SECONDS)).stdout)
    assert ledger["balanced"], ledger
    status = api.stack.status()
    assert status["ok"], status
    assert (status["people_waiting"], status["waiting"]) == (0, [])
