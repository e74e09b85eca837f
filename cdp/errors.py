"""The errors that users meet. Everything else is a bug and may show its traceback."""


class CdpError(Exception):
    """A failure that a user can understand and mend.

    Args:
        message: one sentence: what is wrong, naming the field, port, file or program.
        remedy: one sentence: what to do about it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Unavailable(CdpError):
    """A part (Kafka, Redis, ClickHouse, Flink) does not answer. Infrastructure: retry later."""


class InvalidEvent(CdpError):
    """An event breaks the contract. Data: never retried, always kept as a dead letter.

    Args:
        reason: a stable code, e.g. ``missing_identifier``.
        field: path of the offending field, e.g. ``ids``.
    """

    def __init__(self, reason: str, field: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.reason = reason
        self.field = field
