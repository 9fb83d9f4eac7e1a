"""The door to documents' pages, what a citation opens: HTML for people, JSON for programs, PDFs as PNG."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from serve_apps.access import user_of
from serve_apps.contracts import Clients
from serve_apps.document_html import PageView, page_html, problem_html, query_of
from serve_apps.door import error_response
from serve_apps.errors import NotFound, RaydioError
from serve_apps.page_pictures import PagePictures, Wanted
from serve_apps.wire_knowledge import Document, Passage

PICTURE_KEPT_S = 300
MOST_PASSAGES = 2000
"""Of a recording that are listed with their times."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_PRIVATE = {"cache-control": "private, no-cache", "vary": "accept, cookie"}


class DocumentView:
    """The endpoints, holding the client that they call."""

    def __init__(self, clients: Clients) -> None:
        self._knowledge = clients.knowledge
        self._pictures = PagePictures(clients.knowledge)

    def routes(self, prefix: str) -> list[Route]:
        """Routes under `prefix`: `/v1`, or nothing where Serve's route prefix is that already."""
        pages = f"{prefix}/documents/{{document_id}}/pages/{{number}}"
        return [Route(f"{pages}.png", self.png, methods=["GET"]), Route(pages, self.page, methods=["GET"])]

    async def page(self, request: Request) -> Response:
        """GET …/documents/{id}/pages/{n}?start=&end=: the page with the passage marked."""
        if _wants_json(request):
            return await _answered(request, self._json)
        return await _answered(request, self._html)

    async def png(self, request: Request) -> Response:
        """GET …/documents/{id}/pages/{n}.png?start=&end=: a PDF's page as a picture."""
        return await _answered(request, self._png)

    async def _html(self, request: Request) -> Response:
        return HTMLResponse(page_html(await self._view(request)), headers=_PRIVATE)

    async def _json(self, request: Request) -> Response:
        view = await self._view(request)
        body = {
            "document": view.document,
            "page": view.page.number,
            "label": view.page.label,
            "text": view.page.text,
            "start": view.start,
            "end": view.end,
            **await self._picture(request, view),
        }
        return Response(orjson.dumps(body), headers=_PRIVATE, media_type="application/json")

    async def _png(self, request: Request) -> Response:
        view = await self._view(request)
        if view.document.kind != "pdf":
            raise NotFound("Only pages of PDF documents have pictures.", "Leave .png out of the address.")
        drawn = await self._pictures.get(_wanted(request, view))
        headers = {"cache-control": f"private, max-age={PICTURE_KEPT_S}", "vary": "cookie"}
        return Response(drawn.png, headers=headers, media_type="image/png")

    async def _picture(self, request: Request, view: PageView) -> dict[str, Any]:
        """What draws the page; the text is there without it."""
        if view.document.kind != "pdf":
            return {"picture": None}
        try:
            drawn = await self._pictures.get(_wanted(request, view))
        except RaydioError as error:
            return {"picture": None, "problem": str(error)}
        url = f"{view.page.number}.png{query_of(view)}"
        sizes = {"width_px": drawn.width_px, "height_px": drawn.height_px}
        return {"picture": {"url": url, **sizes, "marks": drawn.marks}}

    async def _view(self, request: Request) -> PageView:
        """The page that is asked for, if this user may read it."""
        user, document_id = user_of(request.scope), request.path_params["document_id"]
        document = await self._knowledge.document(user, document_id)
        page = await self._knowledge.page(user, document_id, _page_number(request))
        start, end = (_offset(request, name, len(page.text)) for name in ("start", "end"))
        passages = await self._times(user, document)
        return PageView(document=document, page=page, start=start, end=max(start, end), passages=passages)

    async def _times(self, user: str, document: Document) -> tuple[Passage, ...]:
        """When a recording says what; empty for everything else."""
        if document.kind != "audio":
            return ()
        n_after = min(document.n_passages, MOST_PASSAGES)
        return tuple(await self._knowledge.neighbours(user, document.id, 0, n_before=0, n_after=n_after))


def _wanted(request: Request, view: PageView) -> Wanted:
    return Wanted(user_of(request.scope), view.document.id, view.page.number, view.start, view.end)


def _page_number(request: Request) -> int:
    given: str = request.path_params["number"]
    if not _NUMBER.fullmatch(given):
        raise NotFound(f"There is no page {given[:20]!r}.", "Pages are counted from 1.")
    return int(given)


def _offset(request: Request, name: str, n_characters: int) -> int:
    """A place in the page's text; nonsense is its beginning."""
    given = request.query_params.get(name, "")
    return min(int(given), n_characters) if _NUMBER.fullmatch(given) else 0


def _wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


async def _answered(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        return await answer(request)
    except RaydioError as error:
        if request.url.path.endswith(".png") or _wants_json(request):
            return error_response(error)
        return HTMLResponse(_problem(error), error.status, headers=_PRIVATE)


def _problem(error: RaydioError) -> str:
    if isinstance(error, NotFound):
        what = "Or it was replaced, or you may not read it. An answer that cites it keeps the words it read."
        return problem_html("This document was deleted.", what)
    return problem_html(error.message, error.hint or "Try again.")
