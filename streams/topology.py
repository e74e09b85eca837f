"""Which job reads what: known without Flink."""

from cdp.topics import Names

JOBS = ("resolve", "profile", "facts")
HAND_OVER_MS = 20  # a batch is what fetches have brought, which gather (see `streams.jobs.Source`): it need not wait for more


def facts_sources(names: Names) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The topics that FACTS reads apart from one another: the facts, and what is waited for (who is who)."""
    return (
        (names.facts, names.changes, names.actions, names.deliveries, names.dead_letters, names.items),
        (names.merges,),
    )


def source_topics(job: str, names: Names) -> tuple[str, ...]:
    """The topics that a job reads."""
    return {
        "resolve": (names.events,),
        "profile": (names.resolved,),
        "facts": tuple(topic for topics in facts_sources(names) for topic in topics),
    }[job]
