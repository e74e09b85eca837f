"""Every kind of document, a row for each. Each tag and each trigger is a document of its own."""

from functools import partial

from rules.definitions.load import check_rule, shipped_bodies
from serving.collect.enrich import parse_table, shipped_document
from serving.documents.document import PLATFORM, Document, Kind
from serving.identity.text import as_object, check_text, shipped_text
from serving.plan.compile import compile_plan
from serving.rules.books import changing_book

MAX_RULE_BYTES = 65_536


def _shipped_identity() -> Document:
    return Document(version=1, author=PLATFORM, note="as it comes with the platform", shipped=True, body=shipped_text())


PLAN = Kind(
    key="tracking_plan", title="the tracking plan", path="/v1/plan", check=compile_plan,
    first=lambda: Document(version=0, body={}),
)  # fmt: skip

TRAFFIC = Kind(
    key="traffic", title="the traffic table", path="/v1/traffic", check=parse_table,
    first=lambda: Document(version=0, body=shipped_document()), shipped=shipped_document,
)  # fmt: skip

IDENTITY = Kind(
    key="identity", title="the identity rules", path="/v1/identity/rules", check=check_text, first=_shipped_identity,
    shipped=shipped_text, plain=as_object, max_bytes=1_000_000,
)  # fmt: skip
"""A version's body is the text of the file, so that its comments are kept."""


def tag(name: str) -> Kind:
    """The tag of a name. Its body is an entry of tags.yaml as JSON values, with its name and state."""
    return _rule("tags", "tag", name)


def trigger(name: str) -> Kind:
    """The trigger of a name, an entry of triggers.yaml."""
    return _rule("triggers", "trigger", name)


def _rule(kind: str, word: str, name: str) -> Kind:
    return Kind(
        key=f"{kind}/{name}", title=f"the {word} {name!r}", path=f"/v1/rules/{kind}/{name}", check=partial(check_rule, kind),
        shipped=lambda: shipped_bodies().get((kind, name)), max_bytes=MAX_RULE_BYTES, changing=changing_book,
    )  # fmt: skip
