"""Count requests by route and status. Plain ASGI; collect counts its own."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import metrics


class CountRequests:
    """A middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its answer under the route's template, never under the path with its ids."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)
