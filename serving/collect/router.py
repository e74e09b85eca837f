"""The paths of the collector."""

from serving.collect.endpoint import Collect, Collector
from serving.collect.segment import KINDS

SHORT = {"track": "t", "identify": "i", "page": "p", "screen": "s", "alias": "a", "group": "g"}


def endpoints(collector: Collector) -> dict[str, Collect]:
    """An endpoint for the path of each type of message, its short form that browsers use, and batch."""
    found = {f"/v1/{kind}": Collect(collector, kind) for kind in (*KINDS, "group")}
    found |= {f"/v1/{short}": found[f"/v1/{kind}"] for kind, short in SHORT.items()}
    batch = Collect(collector, "")
    return found | {"/v1/batch": batch, "/v1/import": batch, "/v1/b": batch}
