"""The paths of the collector: every dialect's, on one port, and what SDKs ask for besides."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from serving.collect.collector import Collector
from serving.collect.dialects import jitsu, mparticle, posthog, segment, segment_settings, sensors, snowplow
from serving.collect.draft import Answer, Dialect
from serving.collect.endpoint import Collect

DIALECTS: tuple[Mapping[str, Dialect], ...] = (
    segment.ROUTES, sensors.ROUTES, snowplow.ROUTES, posthog.ROUTES, jitsu.ROUTES, mparticle.ROUTES,
)  # fmt: skip
BY_GET = sensors.BY_GET | snowplow.BY_GET | posthog.BY_GET
"""Paths of image pixels and the like."""

FORWARDED_PROTO = "x-forwarded-proto"


def endpoints(collector: Collector) -> dict[str, Collect]:
    """An endpoint for each path."""
    return {path: Collect(collector, dialect, gets=path in BY_GET) for routes in DIALECTS for path, dialect in routes.items()}


def questions(*, trust_proxy: bool) -> APIRouter:
    """What SDKs ask before they send: settings, flags. Open to everyone, since browsers ask it."""
    router = APIRouter(include_in_schema=False)

    async def settings(request: HttpRequest) -> Response:
        forwarded = request.headers.get(FORWARDED_PROTO) if trust_proxy else None
        scheme = "https" if forwarded == "https" else request.url.scheme
        host = request.headers.get("host") or request.url.netloc
        return _respond(segment_settings.settings(request.path_params["write_key"], scheme, host))

    for path in segment_settings.PATHS:
        router.add_route(path, settings, ["GET"])
    for path, answer in posthog.static_answers().items():
        router.add_route(path, _always(answer), ["GET", "POST", "OPTIONS"])
    return router


def _always(answer: Answer) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def endpoint(_: HttpRequest) -> Response:
        return _respond(answer)

    return endpoint


def _respond(answer: Answer) -> Response:
    headers = {"access-control-allow-origin": "*", "access-control-allow-headers": "*"}
    return Response(answer.body, answer.status, headers | dict(answer.headers), answer.content_type)
