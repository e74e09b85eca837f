"""Say what is wrong once, however long it lasts: what looks every second would fill the log."""

from collections.abc import Callable


class Complaints:
    """What was said last.

    Args:
        say: writes a line to the log.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = ""

    def about(self, error: Exception) -> None:
        """Say it, unless it was the last thing that was said."""
        trouble = str(error) or type(error).__name__
        if trouble != self._said:
            self._say(trouble)
        self._said = trouble

    def over(self) -> None:
        """All is well: the next trouble is said, even if it is the same."""
        self._said = ""
