"""A document's file over HTTP: piece by piece, or the one range that a media player asks for.

Ranges are those of RFC 9110, section 14: a browser jumps to a place in a recording only where they are known.
Several at once, which only programs ask for, are answered with the whole file, as that allows.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from serve_apps.contracts_knowledge import Knowledge
from serve_apps.rest import NO_STORE
from serve_apps.wire_knowledge import Document

__all__ = ["PIECE_BYTES", "file_answer"]

PIECE_BYTES = 1 << 20
"""What one call brings: whole files would be in the memory of two processes."""
_RANGE = re.compile(r"bytes=(?!-$)(\d{0,15})-(\d{0,15})", re.ASCII)


async def file_answer(knowledge: Knowledge, user: str, document: Document, headers: Headers) -> Response:
    """The file for saving or playing only, never to be shown as a page of ours.

    Raises:
        NotFound: the file was not kept.
    """
    size, told = document.size_bytes, _headers(document)
    asked = headers.get("range", "") if headers.get("if-range", told["etag"]) == told["etag"] else ""
    part = _RANGE.fullmatch(asked)
    wanted = _range(part, size) if part else range(size)
    if part and not wanted:
        return Response(None, 416, {**told, "content-range": f"bytes */{size}"})
    if part:
        told["content-range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
    told["content-length"] = str(len(wanted))
    pieces = _pieces(knowledge, user, document.id, wanted)
    first = await anext(pieces, b"")  # before anything is answered: the file may not be there
    return StreamingResponse(_chained(first, pieces), 206 if part else 200, told, "application/octet-stream")


def _headers(document: Document) -> dict[str, str]:
    return {
        **NO_STORE,
        "accept-ranges": "bytes",
        "content-disposition": "attachment",
        "etag": f'"{document.sha256}"',
        "x-content-type-options": "nosniff",
    }


def _range(part: re.Match[str], size: int) -> range:
    first, last = part.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)


async def _pieces(knowledge: Knowledge, user: str, document_id: str, wanted: range) -> AsyncIterator[bytes]:
    for start in range(wanted.start, wanted.stop, PIECE_BYTES):
        yield await knowledge.original(user, document_id, start, min(PIECE_BYTES, wanted.stop - start))


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
