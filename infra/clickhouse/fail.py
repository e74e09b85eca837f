"""ClickHouse's errors: codes, names, HTTP status and the text that clients parse."""

import re
from itertools import pairwise

ACCESS_DENIED = (497, "ACCESS_DENIED")
AUTHENTICATION_FAILED = (516, "AUTHENTICATION_FAILED")
BAD_REQUEST = (36, "BAD_ARGUMENTS")
CANNOT_DECOMPRESS = (271, "CANNOT_DECOMPRESS")
CANNOT_PARSE_NUMBER = (72, "CANNOT_PARSE_NUMBER")
CHECKSUM_DOESNT_MATCH = (40, "CHECKSUM_DOESNT_MATCH")
INVALID_SESSION_TIMEOUT = (374, "INVALID_SESSION_TIMEOUT")
NOT_IMPLEMENTED = (48, "NOT_IMPLEMENTED")
QUERY_TOO_LARGE = (1003, "QUERY_IS_TOO_LARGE")
READONLY = (164, "READONLY")
REQUIRED_PASSWORD = (194, "REQUIRED_PASSWORD")
SESSION_NOT_FOUND = (372, "SESSION_NOT_FOUND")
SYNTAX_ERROR = (62, "SYNTAX_ERROR")
TOO_MANY_QUERIES = (202, "TOO_MANY_SIMULTANEOUS_QUERIES")
UNKNOWN_EXCEPTION = (1002, "UNKNOWN_EXCEPTION")
UNKNOWN_ROLE = (511, "UNKNOWN_ROLE")
UNKNOWN_SETTING = (115, "UNKNOWN_SETTING")

# As in ClickHouse's exceptionCodeToHTTPStatus: what the client got wrong, what is not there, and so on; the rest is 500.
_STATUS = {
    **dict.fromkeys((26, 27, 36, 38, 40, 41, 43, 44, 53, 62, 69, 70, 72, 117, 130, 131, 195, 271, 321, 456, 457), 400),
    **dict.fromkeys((194,), 401),
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115, 211, 336, 511), 404),
    159: 408,
    1003: 413,
    48: 501,
    **dict.fromkeys((202, 439), 503),
}
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_TAIL = re.compile(r"(?: \(version [^)]*\))?\.?\s*$")
_NAME = re.compile(r" \(([A-Z][A-Z0-9_]+)\)$")


class ClickHouseError(Exception):
    """An error as a ClickHouse server reports it.

    Args:
        code: number and name, e.g. ``(60, "UNKNOWN_TABLE")``.
        message: what is wrong, without code and name.
    """

    def __init__(self, code: tuple[int, str], message: str) -> None:
        super().__init__(message)
        self.code, self.name = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that a ClickHouse server answers with."""
        return _STATUS.get(self.code, 500)

    def text(self, version: str) -> str:
        """The body of the answer; `version` is the engine's."""
        return f"Code: {self.code}. DB::Exception: {self.message} ({self.name}) (version {version})\n"


def from_engine(error: Exception) -> ClickHouseError:
    """Read the engine's text, which may hold itself once more: ``Code: 1. DB::Exception: Code: 1. DB::Exception: ...``."""
    text = str(error)
    found = list(_CODE.finditer(text))
    if not found:
        return ClickHouseError(UNKNOWN_EXCEPTION, text)
    number = int(found[0][1])
    start = found[0].end()
    for before, after in pairwise(found):
        if after.start() != before.end():
            break
        number, start = int(after[1]), after.end()
    message, name = text[start:].strip(), "UNKNOWN_EXCEPTION"
    while True:
        shorter = _TAIL.sub("", message)
        match = _NAME.search(shorter)
        if match is None:
            return ClickHouseError((number, name), message)
        name, message = match[1], shorter[: match.start()]
