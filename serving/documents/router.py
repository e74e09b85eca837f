"""The endpoints that all documents have in common, made for each kind: read, put, publish, go back, history, difference."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from serving.auth import Analyst, Ops, PartsDep
from serving.definitions.http import run
from serving.documents import models, store
from serving.documents.compare import compare
from serving.documents.document import Document, Edit, Kind, Version
from serving.documents.http import TAGGED, From, IfMatch, Limit, Note, Publish, VersionNumber, expected_version
from serving.errors import documented
from serving.parts import Parts


async def _no_others(_: Parts, __: Kind, ___: Document) -> None:
    """Nobody needs to be told."""


def _as_given(_: Kind, given: Any) -> Any:
    return given


@dataclass(frozen=True)
class Endpoints:
    """What is special about the endpoints of a kind.

    Attributes:
        title: for summaries, such as ``the tracking plan``.
        kind: a FastAPI dependency that gives the kind, perhaps by the path.
        body: a FastAPI dependency that gives what was sent to be put.
        model, answer: what an answer with a version looks like, and how it is made; the version's own fields are added.
        versions_model, version: the same of the history, and of a line of it.
        decode: from what was sent to a body; runs in a thread, and raises CdpError.
        announce: tells others what is in force by now. Raises Unavailable.
        effect: when a new version holds, as a sentence.
        reading: what is read before the first change, as the rest of a sentence.
        body_schema: of what can be put, if `body` does not say it to FastAPI.
        noun: in names of operations, such as ``plan`` in ``get_plan``.
        prefix: before the others' names, where several kinds share a subject.
    """

    title: str
    kind: Callable[..., Kind]
    body: Callable[..., Any]
    model: type[BaseModel]
    answer: Callable[[Document], dict[str, Any]]
    effect: str
    reading: str
    noun: str
    prefix: str = ""
    versions_model: type[BaseModel] = models.Versions
    version: Callable[[Version], dict[str, Any]] = models.VersionView.fields_of
    decode: Callable[[Kind, Any], Any] = _as_given
    announce: Callable[[Parts, Kind, Document], Awaitable[None]] = _no_others
    body_schema: dict[str, Any] | None = None


def add_endpoints(router: APIRouter, of: Endpoints, path: str = "") -> None:
    """Add all of them below a path."""
    _add_reading(router, of, path)
    _add_writing(router, of, path)


def _add_reading(router: APIRouter, of: Endpoints, path: str) -> None:
    kind_of = Depends(of.kind)

    async def get(
        parts: PartsDep, _: Analyst, response: Response, version: VersionNumber = None, kind: Kind = kind_of
    ) -> BaseModel:  # fmt: skip
        return _answer(of, await run(store.read, parts.settings, kind, version), response)

    async def get_versions(parts: PartsDep, _: Analyst, limit: Limit = 100, kind: Kind = kind_of) -> BaseModel:
        found = await run(store.history, parts.settings, kind, limit)
        return of.versions_model.model_validate({"versions": [of.version(version) for version in found]})

    async def get_difference(
        parts: PartsDep, _: Analyst, from_: From = None, to: VersionNumber = None, kind: Kind = kind_of
    ) -> models.DifferenceAnswer:
        found = await run(compare, parts.settings, kind, from_, to)
        changes = models.change_views(found.changes)
        return models.DifferenceAnswer.model_validate({"from": found.from_, "to": found.to, "changes": changes})

    add = router.add_api_route
    add(
        path, get, name=f"get_{of.noun}", summary=_capital(of.title), response_model=of.model,
        description=f"The version in force, or another{of.reading}. Least role: analyst.", responses=documented(404) | TAGGED,
    )  # fmt: skip
    add(
        f"{path}/versions", get_versions, name=f"get_{of.prefix}versions", response_model=of.versions_model,
        summary=f"Who changed {of.title}, and when", responses=documented(404),
        description="The newest first, drafts included. Least role: analyst.",
    )  # fmt: skip
    add(
        f"{path}/diff", get_difference, name=f"get_{of.prefix}difference", response_model=models.DifferenceAnswer,
        summary=f"What differs between two versions of {of.title}", responses=documented(404),
        description="Or between a version and what comes with the platform. Least role: analyst.",
    )  # fmt: skip


def _add_writing(router: APIRouter, of: Endpoints, path: str) -> None:
    kind_of, body_of = Depends(of.kind), Depends(of.body)

    def write(parts: Parts, kind: Kind, given: Any, edit: Edit, draft: bool) -> Document:
        return store.put(parts.settings, kind, of.decode(kind, given), edit, draft=draft)

    async def said(parts: Parts, kind: Kind, document: Document, response: Response) -> BaseModel:
        if document.published:
            await of.announce(parts, kind, document)
        return _answer(of, document, response)

    async def put(  # noqa: PLR0913 - each is a parameter of the request
        parts: PartsDep, grant: Ops, response: Response, if_match: IfMatch = "", note: Note = "", publish: Publish = True,
        kind: Kind = kind_of, body: Any = body_of,
    ) -> BaseModel:  # fmt: skip
        edit = Edit(grant.name, note, expected_version(if_match))
        return await said(parts, kind, await run(write, parts, kind, body, edit, not publish), response)

    async def post_publish(
        parts: PartsDep, grant: Ops, response: Response, request: models.PublishRequest, if_match: IfMatch = "",
        kind: Kind = kind_of,
    ) -> BaseModel:  # fmt: skip
        edit = Edit(grant.name, expected=expected_version(if_match))
        return await said(parts, kind, await run(store.publish, parts.settings, kind, request.version, edit), response)

    async def post_rollback(
        parts: PartsDep, grant: Ops, response: Response, request: models.RollbackRequest, if_match: IfMatch = "", note: Note = "",
        kind: Kind = kind_of,
    ) -> BaseModel:  # fmt: skip
        edit = Edit(grant.name, note, expected_version(if_match))
        return await said(parts, kind, await run(store.rollback, parts.settings, kind, request.to, edit), response)

    add, model, refusals = router.add_api_route, of.model, documented(400, 404, 409) | TAGGED
    add(
        path, put, methods=["PUT"], name=f"put_{of.noun}", summary=f"Put {of.title} in force", response_model=model,
        responses=documented(400, 409) | TAGGED, openapi_extra=of.body_schema,
        description=f"{of.effect} A mistake is 422 with its path in `field`. Least role: ops.",
    )  # fmt: skip
    add(
        f"{path}/publish", post_publish, methods=["POST"], name=f"post_{of.prefix}publish", response_model=model,
        summary=f"Put a draft of {of.title} in force", responses=refusals,
        description="409 if a newer version is in force: roll back to the draft then. Least role: ops.",
    )  # fmt: skip
    add(
        f"{path}/rollback", post_rollback, methods=["POST"], name=f"post_{of.prefix}rollback", response_model=model,
        summary=f"Put an old version of {of.title} in force again", responses=refusals,
        description="As a new version, so that nothing of the history is lost. Least role: ops.",
    )  # fmt: skip


def _answer(of: Endpoints, document: Document, response: Response) -> BaseModel:
    response.headers["ETag"] = f'"{document.version}"'
    return of.model.model_validate(of.version(document) | of.answer(document))


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
