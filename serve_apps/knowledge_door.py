"""`/v1/collections…`, `/v1/documents…`, `/v1/search`: what pages and programs may do with documents.

Plain Starlette endpoints. The user is the one whom the door in front found out; whatever they may not read
does not exist for them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve_apps.access import user_of
from serve_apps.args import RetrievalArgs
from serve_apps.contracts import Clients
from serve_apps.document_file import file_answer
from serve_apps.ingest_stream import answered, wants_stream
from serve_apps.ingest_uploads import received
from serve_apps.ingestion.spool import Spool
from serve_apps.knowledge_requests import CollectionChangeBody, NewCollectionBody, SearchBody, TagsBody
from serve_apps.rest import body, id_of, json_answer, told
from serve_apps.retrieval import Ranking, Retriever
from serve_apps.wire_knowledge import Collection, Deleted, Scored


class KnowledgeDoor:
    """The endpoints over the clients that they call.

    Args:
        clients: knowledge, ingest, and what a search needs.
        args: how a search is done where the caller does not say.
        spool: where uploads wait; by default in the home folder.
    """

    def __init__(
        self, clients: Clients, args: RetrievalArgs | None = None, spool: Spool | None = None
    ) -> None:
        self._knowledge = clients.knowledge
        self._ingest = clients.ingest
        self._spool = spool or Spool()
        self._retriever = Retriever(
            clients.embeddings, clients.knowledge, clients.reranker, args or RetrievalArgs()
        )

    def routes(self, prefix: str) -> list[Route]:
        """Routes under `prefix`: `/v1`, or nothing where Serve's route prefix is that already."""
        collection, document = f"{prefix}/collections/{{id}}", f"{prefix}/documents/{{id}}"
        table: list[tuple[str, str, Any]] = [
            ("GET", f"{prefix}/collections", self.collections),
            ("POST", f"{prefix}/collections", self.create_collection),
            ("PATCH", collection, self.change_collection),
            ("DELETE", collection, self.delete_collection),
            ("GET", f"{collection}/documents", self.documents),
            ("POST", f"{collection}/documents", self.add),
            ("POST", f"{collection}/reindex", self.reindex),
            ("GET", document, self.document),
            ("PATCH", document, self.tag),
            ("DELETE", document, self.delete),
            ("GET", f"{document}/original", self.original),
            ("GET", f"{document}/vectors/count", self.n_vectors),
            ("POST", f"{prefix}/search", self.search),
        ]
        return [Route(path, endpoint, methods=[method]) for method, path, endpoint in table]

    # ---- collections -------------------------------------------------------------------------------

    @told
    async def collections(self, request: Request) -> Response:
        """GET /v1/collections."""
        user = user_of(request.scope)
        return json_answer(
            {"data": [_collection(found, user) for found in await self._knowledge.collections(user)]}
        )

    @told
    async def create_collection(self, request: Request) -> Response:
        """POST /v1/collections."""
        user, asked = user_of(request.scope), body(NewCollectionBody, await request.body())
        made = await self._knowledge.create_collection(user, asked.name, shared=asked.shared)
        return json_answer(_collection(made, user), status=201)

    @told
    async def change_collection(self, request: Request) -> Response:
        """PATCH /v1/collections/{id}."""
        user, change = user_of(request.scope), body(CollectionChangeBody, await request.body())
        changed = await self._knowledge.change_collection(
            user, id_of(request), name=change.name, shared=change.shared
        )
        return json_answer(_collection(changed, user))

    @told
    async def delete_collection(self, request: Request) -> Response:
        """DELETE /v1/collections/{id}, with its documents."""
        return json_answer(
            _deleted(await self._knowledge.delete_collection(user_of(request.scope), id_of(request)))
        )

    @told
    async def reindex(self, request: Request) -> Response:
        """POST /v1/collections/{id}/reindex: new vectors by the model that runs now."""
        events = self._ingest.stream_reindex(user_of(request.scope), id_of(request))
        return await answered(request, events, streamed=wants_stream(request))

    # ---- documents ---------------------------------------------------------------------------------

    @told
    async def documents(self, request: Request) -> Response:
        """GET /v1/collections/{id}/documents."""
        return json_answer({"data": await self._knowledge.documents(user_of(request.scope), id_of(request))})

    @told
    async def add(self, request: Request) -> Response:
        """POST /v1/collections/{id}/documents: files as a form, or URLs as JSON."""
        upload = await received(request, self._spool, user_of(request.scope), id_of(request))
        events = self._ingest.stream_ingest(upload.request)
        return await answered(request, events, streamed=wants_stream(request), done=upload.close)

    @told
    async def document(self, request: Request) -> Response:
        """GET /v1/documents/{id}."""
        return json_answer(await self._knowledge.document(user_of(request.scope), id_of(request)))

    @told
    async def tag(self, request: Request) -> Response:
        """PATCH /v1/documents/{id}: its tags."""
        tags = body(TagsBody, await request.body()).cleaned()
        return json_answer(await self._knowledge.tag(user_of(request.scope), id_of(request), tags))

    @told
    async def delete(self, request: Request) -> Response:
        """DELETE /v1/documents/{id}; the answer comes when the store has been counted."""
        user = user_of(request.scope)
        document = await self._knowledge.document(user, id_of(request))
        deleted = await self._knowledge.delete(user, document.id)
        n_vectors = await self._knowledge.n_vectors(user, document.collection_id)
        return json_answer({**_deleted(deleted), "n_vectors": n_vectors})

    @told
    async def original(self, request: Request) -> Response:
        """GET /v1/documents/{id}/original: the file as it was given, for saving and playing; knows ranges."""
        user = user_of(request.scope)
        document = await self._knowledge.document(user, id_of(request))
        return await file_answer(self._knowledge, user, document, request.headers)

    @told
    async def n_vectors(self, request: Request) -> Response:
        """GET /v1/documents/{id}/vectors/count, counted in the store."""
        user = user_of(request.scope)
        document = await self._knowledge.document(user, id_of(request))
        n_vectors = await self._knowledge.n_vectors(user, document.collection_id, document.id)
        return json_answer({"n_vectors": n_vectors})

    # ---- search ------------------------------------------------------------------------------------

    @told
    async def search(self, request: Request) -> Response:
        """POST /v1/search."""
        asked = body(SearchBody, await request.body())
        ranking = await self._retriever.rank(user_of(request.scope), asked.query, asked.to_wire())
        return json_answer(_found(ranking, asked.top_k))


def _found(ranking: Ranking, top_k: int) -> dict[str, Any]:
    timings = {f"{span.name}_ms": round(span.duration_ms, 2) for span in ranking.spans}
    ends_ms = [span.start_ms + span.duration_ms for span in ranking.spans]
    return {
        "hits": [_hit(item) for item in ranking.hits[:top_k]],
        "timings": {**timings, "total_ms": round(max(ends_ms, default=0.0), 2)},
        "notes": ranking.notes,
    }


def _hit(item: Scored) -> dict[str, Any]:
    hit, passage = item.hit, item.hit.passage
    place = f"{passage.page}?start={passage.start}&end={passage.end}"
    return {
        "score": item.score,
        "reranked": item.reranked,
        "search_score": hit.score,
        "cosine": hit.cosine,
        "dense_rank": hit.dense_rank,
        "bm25": hit.bm25,
        "bm25_rank": hit.bm25_rank,
        "passage": passage,
        "document": hit.document,
        "url": f"v1/documents/{hit.document.id}/pages/{place}",
    }


def _collection(collection: Collection, user: str) -> dict[str, Any]:
    return {**asdict(collection), "readonly": collection.owner != user}


def _deleted(deleted: Deleted) -> dict[str, Any]:
    return {"deleted": True, **asdict(deleted)}
