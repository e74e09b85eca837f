"""The OpenAPI document says what people need, and holds together. That answers are as it says: tests/e2e/test_openapi.py."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from cdp.settings import Settings
from serving.app import create_app
from serving.collect import openapi as collect
from serving.collect.enrich import shipped_document
from serving.traffic.models import TABLE_SCHEMA

DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()
OPERATIONS = [
    pytest.param(method, path, operation, id=f"{method} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def lookup(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_every_reference_leads_somewhere_and_every_name_is_one() -> None:
    for node in nodes(DOCUMENT):
        if isinstance(node.get("$ref"), str):
            assert lookup(node["$ref"])
    for section in DOCUMENT["components"].values():
        for name in section:
            assert re.fullmatch(r"[A-Za-z0-9._-]+", name), name


def test_operations_have_names_of_their_own() -> None:
    names = [parameter.values[2]["operationId"] for parameter in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_an_operation_says_what_it_is_who_may_and_what_it_answers(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["description"]
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    for security in operation.get("security", []):
        assert set(security) <= set(DOCUMENT["components"]["securitySchemes"])
    for parameter in operation.get("parameters", []):
        assert parameter.get("description"), parameter["name"]
        assert {"type": "null"} not in parameter["schema"].get("anyOf", [])
    answers = operation["responses"]
    if "security" in operation:
        assert answers["401"]["headers"]["WWW-Authenticate"]
    for status, answer in answers.items():
        assert answer["description"]
        assert all(media.get("schema") for media in answer["content"].values())
        assert ("Retry-After" in answer.get("headers", {})) == (status in ("429", "503") and path != "/readyz")


@pytest.mark.parametrize(("method", "path", "operation"), [one for one in OPERATIONS if "requestBody" in one.values[2]])
def test_a_body_has_an_example_that_fits(method: str, path: str, operation: dict[str, Any]) -> None:
    content = operation["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    resolved = lookup(schema["$ref"]) if "$ref" in schema else content["schema"]
    examples = [content["example"]] if "example" in content else resolved.get("examples", [])
    for example in examples:
        jsonschema_rs.validate(schema, example)
    assert examples or not resolved.get("required")


@pytest.mark.parametrize("kind", [kind for kind in collect.EXAMPLES if kind != "batch"])
def test_the_example_of_a_message_is_one_that_can_be_used(kind: str) -> None:
    schema = DOCUMENT["components"]["schemas"][f"{kind.capitalize()}Message"]
    jsonschema_rs.validate(schema, collect.EXAMPLES[kind])
    assert not jsonschema_rs.is_valid(schema, {})


def test_the_shipped_traffic_table_fits_its_schema() -> None:
    jsonschema_rs.validate(TABLE_SCHEMA, shipped_document())
