"""The OpenAPI document: what FastAPI finds in the routes, the collector's part, and what holds for all of it."""

from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from cdp import __version__
from serving.collect import openapi as collect
from serving.imports import openapi as imports

DESCRIPTION = """Send events with a write key; read profiles, tags, rules, analytics and operations with a token.

Roles: an **analyst** reads, **ops** run the platform, an **admin** may do everything.
Every error has a `code` and a `message`, and often a `remedy` and the `field` that is wrong."""
LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
TAGS = {
    "collect": "Send events, orders and members, with a write key. The paths of other SDKs' formats are in docs/collect.md.",
    "identity": "Why somebody is who they are: explain it, change it by hand, try out and change its rules.",
    "profiles": "Who somebody is, what they did, and which tags they have.",
    "tags": "The tags that people can have.",
    "rules": "What fires actions, and how people are recognised.",
    "analytics": "Questions over all people.",
    "operations": "Is everything there, and is every event accounted for?",
    "dead letters": "Messages that could not be used: find, repair and replay them.",
    "keys": "Write keys, for administrators.",
    "plan": "The tracking plan: how events must look.",
    "traffic": "The table that says which channel a visit came through.",
}

Schema = dict[str, Any]


def operation_id(route: APIRoute) -> str:
    """Subject and function's name: short enough for generated clients."""
    return "_".join([str(route.tags[0]).replace(" ", "_"), route.name]) if route.tags else route.name


def document(app: FastAPI) -> Schema:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=__version__, description=DESCRIPTION, license_info=LICENSE, routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        )  # fmt: skip
        made["paths"] = collect.paths() | made["paths"]
        components = made["components"]
        components["schemas"] |= collect.schemas() | imports.schemas()
        components["securitySchemes"] |= collect.SECURITY_SCHEMES
        for item in made["paths"].values():
            for operation in item.values():
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _without_null(parameter["schema"])
        app.openapi_schema = made
    return app.openapi_schema


def _without_null(schema: Schema) -> Schema:
    """A parameter that is not sent is left out: there is no way to send a null."""
    given = cast("list[Schema]", schema.get("anyOf", []))
    kinds = [kind for kind in given if kind.get("type") != "null"]
    if len(kinds) == len(given):
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return (kinds[0] | rest) if len(kinds) == 1 else {"anyOf": kinds} | rest
