"""Guards of a door that need no credential: safe headers, body limits, no fetching of remote files."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from serve_apps.errors import BodyTooLarge, Forbidden

SECURITY_HEADERS = {
    # Gradio compiles its templates in the browser: without 'unsafe-eval' no page renders. So this policy
    # stops data from leaving for other hosts, and leaves script injection to Gradio's sanitiser.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self' data: blob:; "
        "font-src 'self' data:; worker-src 'self' blob:; frame-src 'self'; frame-ancestors 'self'; "
        "form-action 'self'; base-uri 'self'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}
_REMOTE_FILE = re.compile(r"(file[=/]\s*(//|.*?(https?|ftp)\s*:)|/proxy=)", re.IGNORECASE | re.DOTALL)


class LimitedBody:
    """A request's two ASGI channels, with the body counted. Over the limit the app sees a disconnect."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._n_bytes = 0
        self.answered = False

    @property
    def cut_off(self) -> bool:
        """Whether the body went over the limit."""
        return self._n_bytes > self._limit

    def error(self) -> BodyTooLarge:
        """What to answer then."""
        return BodyTooLarge("The request is too large.", f"The limit here is {self._limit >> 20} MiB.")

    async def receive(self) -> Message:
        """The next message for the app."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._n_bytes += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.cut_off else message

    async def send(self, message: Message) -> None:
        """The app's answer, unless the body was cut off before it began."""
        if not self.cut_off:
            self.answered = True
        if self.answered:
            await self._send(message)


def refuse_remote_files(scope: Scope) -> None:
    """Gradio's file route fetches http addresses for whoever asks: a way to send data out past the CSP.

    Raises:
        Forbidden: the path or query names a remote address, however often it is percent-encoded.
    """
    text = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
    text = f"{text}?{scope['query_string'].decode('latin-1')}"
    while (decoded := unquote(text)) != text:
        text = decoded
    if _REMOTE_FILE.search(text):
        raise Forbidden("Remote files are not served here.", "Download the file and upload it instead.")


def with_security_headers(send: Send) -> Send:
    """`send`, adding SECURITY_HEADERS to every response."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
        await send(message)

    return send_with_headers
