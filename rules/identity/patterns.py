"""Patterns that a whole value may match, put together: one look at a value takes the time of a few."""

import re
from collections.abc import Iterable

_FLAGS = {"i": re.IGNORECASE, "s": re.DOTALL, "x": re.VERBOSE, "m": re.MULTILINE, "a": re.ASCII}
_BEFORE = re.compile(r"\(\?[a-zA-Z]+\)")  # flags of a whole pattern stand only at its beginning


def join_patterns(patterns: Iterable[re.Pattern[str]]) -> tuple[re.Pattern[str], ...]:
    """Patterns of which one matches a whole value if one of those does. What has groups, which have numbers, stays by itself."""
    given = tuple(patterns)
    alike = [pattern for pattern in given if not pattern.groups]
    alone = tuple(pattern for pattern in given if pattern.groups)
    return (re.compile("|".join(_scoped(pattern) for pattern in alike)), *alone) if alike else alone


def _scoped(pattern: re.Pattern[str]) -> str:
    """A pattern with its flags for itself alone. It may end with a remark, so the line does too."""
    flags = "".join(letter for letter, flag in _FLAGS.items() if pattern.flags & flag)
    end = "\n)" if "x" in flags else ")"
    return f"(?{flags}:{_BEFORE.sub('', pattern.pattern, count=1) if _BEFORE.match(pattern.pattern) else pattern.pattern}{end}"
