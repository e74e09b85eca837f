"""The API's application: every subject brings its router, and this file puts them together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from cdp import __version__
from cdp.settings import Settings
from serving import analytics, errors, operations
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
from serving.openapi import document, operation_id
from serving.parts import Parts
from serving.plan.router import router as plan_router
from serving.profiles.router import router as profiles_router
from serving.rules.router import router as rules_router
from serving.rules.shipped import follow_shipped
from serving.tags.router import router as tags_router
from serving.traffic.router import router as traffic_router


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
        follow_shipped(settings)
        parts = app.state.parts = Parts.start(settings)
        try:
            async with live_finish(parts) as (finish, quick):
                app.state.collector = collector(parts, finish, quick)
                app.collect = endpoints(app.state.collector)
                yield
        finally:
            await parts.stop()

    app = Application(title="StreamCDP", version=__version__, generate_unique_id_function=operation_id, lifespan=lifespan)
    app.state.settings = settings
    errors.install(app)
    app.add_middleware(CountRequests)
    app.include_router(profiles_router)
    app.include_router(tags_router)
    app.include_router(rules_router)
    for subject in (analytics, operations):
        app.include_router(subject.router)
    for router in (dead_letters_router, identity_router, imports_router, keys_router, plan_router, traffic_router):
        app.include_router(router)
    app.include_router(questions(trust_proxy=settings.trust_proxy))
    app.openapi = partial(document, app)  # type: ignore[method-assign]
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
