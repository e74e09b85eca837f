"""Logs of the platform's own processes: on stderr, one line each, with phones and e-mail addresses masked."""

import logging
import sys

from cdp.mask import mask_all

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Masking(logging.Formatter):
    """Masks whatever a message, or the text of an exception, quotes of what came from outside."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback if there is one."""
        return mask_all(super().format(record))


def configure(level: str) -> None:
    """Log from `level` on. Call once, when a process starts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Masking(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
