"""The API's HTTP server around an endpoint that does nothing: ``python -m loadtest.empty_endpoint PORT``.

What it costs is the price of HTTP itself; the benches set it beside the collector's figures.
"""

import sys

import uvicorn
from starlette.types import Receive, Scope, Send

BODY = b'{"success":true}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def empty(_: Scope, receive: Receive, send: Send) -> None:
    """Read the request and answer 200."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def main(port: int) -> None:
    """Serve on 127.0.0.1 until told to stop, with the settings of `serving`."""
    uvicorn.run(
        empty, host="127.0.0.1", port=port, loop="uvloop", http="httptools", lifespan="off", access_log=False,
        server_header=False, date_header=False, log_config=None,
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]))
