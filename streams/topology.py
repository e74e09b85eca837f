"""Which job reads what: known without Flink."""

from cdp.settings import Settings
from cdp.topics import Names

JOBS = ("resolve", "profile", "facts")
HAND_OVER_MS = 20


def facts_sources(names: Names) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The topics that FACTS reads apart from one another: the facts, and what is waited for (who is who, and tags)."""
    return (names.facts, names.actions, names.deliveries, names.dead_letters, names.items), (names.changes,)


def source_topics(job: str, names: Names) -> tuple[str, ...]:
    """The topics that a job reads."""
    return {
        "resolve": (names.events,),
        "profile": (names.resolved,),
        "facts": tuple(topic for topics in facts_sources(names) for topic in topics),
    }[job]


def bundle_ms(job: str, config: Settings) -> int:
    """For how long a batch is filled. Events are gathered by fetches already (see `streams.jobs.Source`): what one has brought is
    handed over at once, and a backlog fills batches in this time. FACTS gathers what is waited for in its batches instead.
    """
    return config.changes_bundle_ms if job == "facts" else HAND_OVER_MS
