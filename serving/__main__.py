"""Run the API: ``python -m serving``."""

import gc
import logging
import sys

import uvicorn

from cdp import keyring, logs
from cdp.errors import CdpError
from cdp.settings import API, settings
from serving.app import create_app
from serving.collect.lane import LaneProtocol
from serving.definitions import migrate

BACKLOG = 1024
GRACE_SECONDS = 15
GARBAGE_COLLECTED_AFTER = (100_000, 50, 1000)  # events are many short-lived containers without cycles


def main() -> int:
    """Serve until told to stop. Returns the exit code."""
    config = settings()
    logs.configure(config.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        keyring.read(keyring.path_of(config))  # said here in one sentence, and not by a server that does not start
        migrate(config)
    except CdpError as error:
        logging.getLogger("serving").error("%s", error)
        return 1
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(config),
            host="127.0.0.1",
            port=config.port(API),
            loop="uvloop",
            http=LaneProtocol,
            lifespan="on",
            proxy_headers=False,  # the collector looks for itself, and must see the application unwrapped
            access_log=False,  # it would write query strings, which may hold personal data
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_SECONDS,
            log_config=None,
        )
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_COLLECTED_AFTER)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
