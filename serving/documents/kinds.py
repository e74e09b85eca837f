"""Every kind of document, a row for each."""

from serving.collect.enrich import parse_table, shipped_document
from serving.documents.document import PLATFORM, Document, Kind
from serving.identity.text import as_object, check_text, shipped_text
from serving.plan.compile import compile_plan


def _shipped_identity() -> Document:
    return Document(version=1, author=PLATFORM, note="as it comes with the platform", shipped=True, body=shipped_text())


PLAN = Kind(
    key="tracking_plan", title="the tracking plan", history="/v1/plan/versions", check=compile_plan,
    first=lambda: Document(version=0, body={}),
)  # fmt: skip

TRAFFIC = Kind(
    key="traffic", title="the traffic table", history="/v1/traffic/versions", check=parse_table,
    first=lambda: Document(version=0, body=shipped_document()), shipped=shipped_document,
)  # fmt: skip

IDENTITY = Kind(
    key="identity", title="the identity rules", history="/v1/identity/rules/versions", check=check_text, first=_shipped_identity,
    shipped=shipped_text, plain=as_object, max_bytes=1_000_000,
)  # fmt: skip
"""A version's body is the text of the file, so that its comments are kept."""
