"""The API's application: every subject brings its router, and this file puts them together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import Receive, Scope, Send

from cdp import __version__
from cdp.settings import Settings
from serving import analytics, errors, operations, profiles, rules, tags
from serving.collect import openapi as collect_openapi
from serving.collect.collector import Collector
from serving.collect.endpoint import Collect
from serving.collect.finish import Finish
from serving.collect.quick import Quick
from serving.collect.router import endpoints, questions
from serving.count_requests import CountRequests
from serving.dead_letters.router import router as dead_letters_router
from serving.definitions import migrate
from serving.identity.router import router as identity_router
from serving.imports.router import router as imports_router
from serving.keys.router import router as keys_router
from serving.live import live_finish
from serving.parts import Parts
from serving.plan.router import router as plan_router
from serving.traffic.router import router as traffic_router

DESCRIPTION = """Send events with a write key; read profiles, tags, rules, analytics and operations with a token.

Roles: an **analyst** reads, **ops** run the platform, an **admin** may do everything.
Every error has a `code` and a `message`."""


class Application(FastAPI):
    """FastAPI, but collecting goes straight to its endpoints: routing and middleware cost as much as the work itself."""

    collect: Mapping[str, Collect] = MappingProxyType({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        endpoint = self.collect.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or super().__call__)(scope, receive, send)


def create_app(settings: Settings) -> Application:
    """The application; its parts are made when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[None]:
        migrate(settings)
        parts = app.state.parts = Parts.start(settings)
        try:
            async with live_finish(parts) as (finish, quick):
                app.state.collector = collector(parts, finish, quick)
                app.collect = endpoints(app.state.collector)
                yield
        finally:
            await parts.stop()

    app = Application(title="StreamCDP", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.state.settings = settings
    errors.install(app)
    app.add_middleware(CountRequests)
    for subject in (profiles, tags, rules, analytics, operations):
        app.include_router(subject.router)
    for router in (dead_letters_router, identity_router, imports_router, keys_router, plan_router, traffic_router):
        app.include_router(router)
    app.include_router(questions(trust_proxy=settings.trust_proxy))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def collector(parts: Parts, finish: Finish, quick: Quick | None = None) -> Collector:
    """What collecting needs, out of the process's parts."""
    return Collector(
        names=parts.names,
        publisher=parts.publisher,
        credentials=parts.credentials,
        clock=parts.clock,
        finish=finish,
        quick=quick,
        count_rejected=parts.count_rejected,
        max_batch_bytes=parts.settings.max_batch_bytes,
        trust_proxy=parts.settings.trust_proxy,
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schema["paths"] = collect_openapi.paths() | schema["paths"]
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["write key"] = {"type": "http", "scheme": "basic", "description": "A write key as user name, no password."}
        app.openapi_schema = schema
    return app.openapi_schema
