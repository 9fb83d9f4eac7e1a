"""Files that a request brings, on this machine's disk for as long as their ingest takes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from serve_apps.errors import EmptyInput, InputError
from serve_apps.ingestion.spool import Room, Spool
from serve_apps.knowledge_requests import MAX_URLS, TagsBody, UrlsBody, cleaned_tags
from serve_apps.rest import body
from serve_apps.wire_knowledge import GivenFile, IngestRequest

MAX_FILES = 10_000
"""Of one request; ingest has a limit of its own."""
_FIELDS = {"files", "file", "urls", "tags"}


@dataclass(frozen=True, slots=True)
class Upload:
    """What is to be ingested, and what to call when that is over."""

    request: IngestRequest
    close: Callable[[], None]


async def received(request: Request, spool: Spool, user: str, collection_id: str) -> Upload:
    """Read a request's files into a room of the spool, or its URLs.

    Raises:
        InputError: neither a proper form nor proper JSON.
        EmptyInput: a form without files and URLs.
    """
    if "multipart/form-data" not in request.headers.get("content-type", ""):
        given = body(UrlsBody, await request.body())
        wanted = IngestRequest(
            user=user, collection_id=collection_id, urls=tuple(given.urls), tags=cleaned_tags(given.tags)
        )
        return Upload(wanted, lambda: None)
    with ExitStack() as stack:
        room = stack.enter_context(spool.room())
        wanted = await _from_form(request, room, user, collection_id)
        return Upload(wanted, stack.pop_all().close)


async def _from_form(request: Request, room: Room, user: str, collection_id: str) -> IngestRequest:
    try:
        async with request.form(max_files=MAX_FILES, max_fields=MAX_URLS) as form:
            _judge(form)
            uploads = [item for _, item in form.multi_items() if isinstance(item, UploadFile)]
            files = [await _saved(upload, room) for upload in uploads]
    except (HTTPException, MultiPartException) as error:
        raise InputError("The form could not be read.", "Send multipart/form-data with 'files'.") from error
    urls = tuple(str(url) for url in form.getlist("urls") if str(url).strip())
    if not files and not urls:
        raise EmptyInput("There are no files to add.", "Send them in the form's field 'files'.")
    tags = body(TagsBody, orjson.dumps({"tags": [str(tag) for tag in form.getlist("tags")]})).cleaned()
    return IngestRequest(user=user, collection_id=collection_id, files=tuple(files), urls=urls, tags=tags)


def _judge(form: FormData) -> None:
    unknown = next((name for name in form if name not in _FIELDS), None)
    if unknown is not None:
        raise InputError(f"The form has an unknown field {unknown!r}.", f"Use {', '.join(sorted(_FIELDS))}.")


async def _saved(upload: UploadFile, room: Room) -> GivenFile:
    path = room.new_path()
    await asyncio.get_running_loop().run_in_executor(None, _copy, upload, path)
    return GivenFile(name=upload.filename or "unnamed", path=str(path))


def _copy(upload: UploadFile, path: Path) -> None:
    upload.file.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file, 2**20)
