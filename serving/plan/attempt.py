"""Try a plan on events: what would become of them. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from serving.plan.compile import CompiledPlan, Violation

MAX_EXAMPLES = 3

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass
class Tried:
    """What became of the events of one name, by action, with examples of what is wrong."""

    actions: Counter[str] = field(default_factory=Counter)
    examples: list[Violation] = field(default_factory=list)

    def keep_examples(self, violations: Iterable[Violation]) -> None:
        """Keep the first of each kind."""
        for violation in violations:
            known = {(example.path, example.keyword) for example in self.examples}
            if len(known) < MAX_EXAMPLES and (violation.path, violation.keyword) not in known:
                self.examples.append(violation)


def attempt(plan: CompiledPlan, rows: Iterable[tuple[str, str, str]]) -> dict[str, Tried]:
    """Check rows of (name, kind, properties as JSON text). Rows that cannot be read are passed over."""
    found: dict[str, Tried] = {}
    for name, kind, text in rows:
        try:
            properties = _decode(text or "{}")
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        verdict = plan.check(kind, name, properties)
        tried = found.setdefault(name, Tried())
        tried.actions[verdict.action] += 1
        tried.keep_examples(verdict.violations)
    return found
