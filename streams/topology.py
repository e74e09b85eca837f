"""Which job reads what: known without Flink."""

from cdp.topics import Names

JOBS = ("resolve", "profile", "facts")


def source_topics(job: str, names: Names) -> tuple[str, ...]:
    """The topics that a job reads."""
    return {
        "resolve": (names.events,),
        "profile": (names.resolved,),
        "facts": (names.facts, names.changes, names.actions, names.deliveries, names.dead_letters, names.items),
    }[job]
