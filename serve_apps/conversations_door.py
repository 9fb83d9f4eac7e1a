"""`/v1/conversations…`: what pages and programs may do with stored conversations.

Plain Starlette endpoints. The user is the one whom the door in front found out; whatever is not theirs
does not exist for them. Answers stream as server-sent events, a JSON object with a `type` each.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from serve_apps.access import user_of
from serve_apps.contracts_conversations import Conversations
from serve_apps.conversation_requests import (
    AskBody,
    ChangeBody,
    ExportQuery,
    FeedbackBody,
    IdsBody,
    ListQuery,
)
from serve_apps.door import error_response
from serve_apps.errors import RaydioError, StageFailed
from serve_apps.rest import NO_STORE, body, id_of, json_answer, query, told
from serve_apps.wire_conversations import AnswerStored, Asked, AskRequest, ConversationEvent, Exported

Events = AsyncGenerator[ConversationEvent, None]


class ConversationsDoor:
    """The endpoints over one client."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    def routes(self, prefix: str) -> list[Route]:
        """Routes under `prefix`: `/v1`, or nothing where Serve's route prefix is that already."""
        all_, one = f"{prefix}/conversations", f"{prefix}/conversations/{{id}}"
        table: list[tuple[str, str, Any]] = [
            ("GET", all_, self.summaries),
            ("POST", all_, self.begin),
            ("GET", f"{all_}/export", self.export),
            ("POST", f"{all_}/import", self.import_file),
            ("POST", f"{all_}/delete", self.delete_many),
            ("GET", one, self.open),
            ("PATCH", one, self.change),
            ("DELETE", one, self.delete),
            ("POST", f"{one}/messages", self.ask),
            ("GET", f"{one}/stream", self.follow),
            ("POST", f"{one}/stop", self.stop),
            ("PUT", f"{prefix}/messages/{{id}}/feedback", self.feedback),
            ("GET", f"{prefix}/feedback.jsonl", self.export_feedback),
        ]
        return [Route(path, endpoint, methods=[method]) for method, path, endpoint in table]

    # ---- the list ----------------------------------------------------------------------------------

    @told
    async def summaries(self, request: Request) -> Response:
        """GET /v1/conversations: a page of the list, and every folder and tag in use."""
        user, asked = user_of(request.scope), query(ListQuery, request.query_params)
        found = await self._conversations.summaries(asked.to_wire(user))
        folders, tags = await self._conversations.folders(user)
        more = len(found) > asked.limit
        return json_answer({"data": found[: asked.limit], "has_more": more, "folders": folders, "tags": tags})

    @told
    async def open(self, request: Request) -> Response:
        """GET /v1/conversations/{id}."""
        return json_answer(await self._conversations.open(user_of(request.scope), id_of(request)))

    @told
    async def change(self, request: Request) -> Response:
        """PATCH /v1/conversations/{id}: title, folder, tags, pinned, the branch that is shown."""
        change = body(ChangeBody, await request.body()).to_wire()
        return json_answer(await self._conversations.change(user_of(request.scope), id_of(request), change))

    @told
    async def delete(self, request: Request) -> Response:
        """DELETE /v1/conversations/{id}; 404 when there is none."""
        user = user_of(request.scope)
        await self._conversations.open(user, id_of(request))
        return json_answer({"n_deleted": await self._conversations.delete(user, [id_of(request)])})

    @told
    async def delete_many(self, request: Request) -> Response:
        """POST /v1/conversations/delete {"ids": […]}; says how many there were."""
        ids = body(IdsBody, await request.body()).ids
        return json_answer({"n_deleted": await self._conversations.delete(user_of(request.scope), ids)})

    # ---- answers -----------------------------------------------------------------------------------

    @told
    async def begin(self, request: Request) -> Response:
        """POST /v1/conversations: the first question of a new one."""
        return await self._asked(request, None)

    @told
    async def ask(self, request: Request) -> Response:
        """POST /v1/conversations/{id}/messages: a question, streaming or not."""
        return await self._asked(request, id_of(request))

    @told
    async def follow(self, request: Request) -> Response:
        """GET /v1/conversations/{id}/stream: join the running answer; 204 when there is none."""
        user = user_of(request.scope)
        await self._conversations.open(user, id_of(request))
        return await _streamed(self._conversations.follow(user, id_of(request)))

    @told
    async def stop(self, request: Request) -> Response:
        """POST /v1/conversations/{id}/stop."""
        await self._conversations.stop(user_of(request.scope), id_of(request))
        return Response(status_code=204)

    async def _asked(self, request: Request, conversation_id: str | None) -> Response:
        asked = body(AskBody, await request.body())
        wire = asked.to_wire(user_of(request.scope), conversation_id)
        return await (_streamed(self._conversations.ask(wire)) if asked.stream else self._whole(wire))

    async def _whole(self, wire: AskRequest) -> Response:
        """Question and answer as they are stored; an answer that failed says so in its `status`."""
        first: Asked | None = None
        async with aclosing(self._conversations.ask(wire)) as events:
            async for event in events:
                first = event if isinstance(event, Asked) else first
                if isinstance(event, AnswerStored) and first is not None:
                    about = {"conversation": first.conversation, "question": first.question}
                    return json_answer({**about, "answer": event.answer})
        raise StageFailed("chat", "There is no answer.", "Open the conversation to see what was stored.")

    # ---- feedback, files -----------------------------------------------------------------------------

    @told
    async def feedback(self, request: Request) -> Response:
        """PUT /v1/messages/{id}/feedback {"thumb": "up" | "down" | null, "comment": …}."""
        given = body(FeedbackBody, await request.body())
        user = user_of(request.scope)
        return json_answer(
            await self._conversations.feedback(user, id_of(request), given.thumb, given.comment)
        )

    @told
    async def export_feedback(self, request: Request) -> Response:
        """GET /v1/feedback.jsonl."""
        return _file(await self._conversations.export_feedback(user_of(request.scope)))

    @told
    async def export(self, request: Request) -> Response:
        """GET /v1/conversations/export?ids=…&format=markdown|json|pdf; all of them without ids."""
        asked = query(ExportQuery, request.query_params)
        user = user_of(request.scope)
        return _file(await self._conversations.export(user, asked.listed(), asked.format))

    @told
    async def import_file(self, request: Request) -> Response:
        """POST /v1/conversations/import: the file's bytes as the body, and nothing around them."""
        user = user_of(request.scope)
        return json_answer(await self._conversations.import_file(user, await request.body()))


async def _streamed(events: Events) -> Response:
    """The response begins with the first event, so that an error before it keeps its own status."""
    try:
        first = await anext(events)
    except StopAsyncIteration:
        return Response(status_code=204)
    return StreamingResponse(_sse(first, events), media_type="text/event-stream", headers=NO_STORE)


async def _sse(first: ConversationEvent, rest: Events) -> AsyncGenerator[bytes, None]:
    """The events; an error after the first can only be told among them."""
    async with aclosing(rest):
        yield _event(first)
        try:
            async for event in rest:
                yield _event(event)
        except RaydioError as error:
            yield b"data: " + bytes(error_response(error).body) + b"\n\n"


def _event(event: ConversationEvent) -> bytes:
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    fields = orjson.loads(orjson.dumps(event))
    return b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def _file(exported: Exported) -> Response:
    """A download; the name twice, because titles are in every alphabet (RFC 6266)."""
    plain = re.sub(r"[^\w. -]", "_", exported.name, flags=re.ASCII)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(exported.name)}"
    headers = {**NO_STORE, "content-disposition": disposition}
    return Response(exported.data, media_type=exported.media_type, headers=headers)
