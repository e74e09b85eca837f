"""Schemathesis over the OpenAPI document: no server error, and every answer is as the document says.

It talks to an API process of its own beside the platform, with its own definitions: made-up tracking plans and keys must not
reach the other tests.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from cdp.clickhouse import PLATFORM_USER, embedded_password
from cdp.keyring import path_of
from cdp.settings import Settings
from loadtest.stack import free_port_base
from serving.app import create_app
from serving.definitions import mint_token, mint_write_key
from tests.conftest import Stack

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 20
METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()
OPERATIONS = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in METHODS if method in item]


class Api:
    """A running API, and its document as Schemathesis reads it."""

    def __init__(self, settings: Settings) -> None:
        self.schema = schemathesis.openapi.from_url(f"{settings.api_url}/openapi.json")
        self._write_key = mint_write_key(settings, "openapi")
        self._token = mint_token(settings, "openapi", "admin")

    def headers(self, method: str, path: str) -> dict[str, str]:
        """What the operation's own security asks for."""
        wanted = {name for one in DOCUMENT["paths"][path][method.lower()].get("security", []) for name in one}
        return {"Authorization": f"Bearer {self._token if wanted == {'token'} else self._write_key}"} if wanted else {}


@pytest.fixture(scope="module")
def api(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    own = Settings(data_dir=tmp_path_factory.mktemp("openapi") / "data", port_base=free_port_base())
    password = embedded_password(stack.settings, PLATFORM_USER)
    env = stack.env | {
        "CDP_DATA_DIR": str(own.data_dir),
        "CDP_PORT_BASE": str(own.port_base),
        "CDP_KEYRING_FILE": str(path_of(stack.settings)),
        "CDP_KAFKA": stack.settings.kafka_servers,
        "CDP_REDIS": stack.settings.redis_url,
        "CDP_CLICKHOUSE": stack.settings.clickhouse_url.replace("://", f"://{PLATFORM_USER}:{password}@"),
    }
    process = subprocess.Popen([sys.executable, "-m", "serving"], env={**os.environ, **env}, cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(f"{own.api_url}/healthz", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield Api(own)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.stack
@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda value: str(value).strip("/").replace("/", "-"))
def test_answers_are_as_documented(api: Api, method: str, path: str) -> None:
    operation = api.schema[path][method]
    headers = api.headers(method, path)

    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, headers=headers, timeout=15)

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        examples = given(case=operation.as_strategy(generation_mode=mode))(check)
        quick = hypothesis_settings(
            max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        with suppress(Unsatisfiable):  # an operation without parameters cannot be called wrongly
            seed(1)(quick(examples))()


@pytest.mark.stack
def test_every_operation_is_tested(api: Api) -> None:
    assert {(one.ok().method.upper(), one.ok().path) for one in api.schema.get_all_operations()} == set(OPERATIONS)
