"""Remembers Gradio's static files: the same for every page, and asked for by the dozen on a first visit.

Gradio reads and compresses a file for every request; here that happens once a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ASSET = re.compile(r"^(?:/ui)?(?:/\w+)?(/(?:assets|static)/[\w./@-]+)$")
"""Right under a page, and not in what people sent: a folder of theirs may have such a name."""
_CODINGS = ("br", "gzip", "zstd")
MAX_BYTES = 32 << 20
"""Gradio's whole frontend is 20 MB uncompressed."""
IMMUTABLE = b"public, max-age=31536000, immutable"

_Key = tuple[str, tuple[str, ...]]
"""A file, and the codings that the browser takes."""


@dataclass(slots=True)
class _Answer:
    """A complete response, as ASGI messages."""

    start: Message = field(default_factory=dict)
    body: bytes = b""


class AssetCache:
    """Answers GETs of static files from memory after the first.

    Args:
        app: what serves them; asked once for a file and content coding.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers: dict[_Key, _Answer] = {}
        self._n_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or pass through and remember."""
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
        elif answer := self._answers.get(key):
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body})
        else:
            await self._ask(key, scope, receive, send)

    async def _ask(self, key: _Key, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer()

        async def remember(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = _lasting(message, key[0])
                answer.start = message
            elif message["type"] == "http.response.body":
                answer.body += message.get("body", b"")
                self._keep(key, answer, complete=not message.get("more_body", False))
            await send(message)

        await self._app(scope, receive, remember)

    def _keep(self, key: _Key, answer: _Answer, *, complete: bool) -> None:
        fits = self._n_bytes + len(answer.body) <= MAX_BYTES
        if complete and fits and answer.start.get("status") == 200:  # noqa: PLR2004
            self._answers[key] = answer
            self._n_bytes += len(answer.body)


def _key(scope: Scope) -> _Key | None:
    """The file, whichever page's mount it is asked from."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    headers = Headers(scope=scope)
    found = _ASSET.match(scope["path"])
    if found is None or ".." in found[1] or "range" in headers or "if-none-match" in headers:
        return None
    taken = headers.get("accept-encoding", "")
    return found[1], tuple(coding for coding in _CODINGS if coding in taken)


def _lasting(start: Message, path: str) -> Message:
    """The response's start, telling browsers to keep what has a hash in its name."""
    if not path.startswith("/assets/"):
        return start
    headers = [(k, v) for k, v in start["headers"] if k != b"cache-control"]
    return {**start, "headers": [*headers, (b"cache-control", IMMUTABLE)]}
