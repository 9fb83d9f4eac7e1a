"""What stands in front of every door: credential, origin, size limits, safe headers. One ASGI middleware.

Pages and APIs behind it need no checks of their own. `/healthz` is open and says only that the door is up.
"""

from __future__ import annotations

import math
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps.access import COOKIE_MAX_AGE_S, MAX_USER_CHARACTERS, OWNER, USER, Attempts, Credential
from serve_apps.door_guards import LimitedBody, refuse_remote_files, with_security_headers
from serve_apps.errors import AccessError, Forbidden, RaydioError, TooManyAttempts
from serve_apps.settings import ASSETS

_FORWARDED = {b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix", b"forwarded"}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_LOGIN_BODY_BYTES = 4096
_TOKEN_PROTOCOL = "openai-insecure-api-key."  # noqa: S105 (what stands before one)
_OPEN: dict[str, Response] = {
    # Browsers ask for these by themselves, without cookies.
    "/manifest.json": JSONResponse({"name": "Raydio", "start_url": "/ui/", "display": "standalone"}),
    "/favicon.ico": Response((ASSETS / "favicon.svg").read_bytes(), media_type="image/svg+xml"),
}
"""Answered to everybody, like `/healthz`."""


class Door:
    """Lets a request through to `app` when its credential, origin and size are right.

    Args:
        app: the pages or API behind the door.
        credential: what callers must know.
        allowed_origins: other origins whose pages may call with a token (never with the cookie).
        public_url: scheme and host that users see, when a proxy in front changes them.
        user_header: where an authenticating proxy names the user; empty: all are one.
        max_body_bytes: larger requests are refused with 413, while they arrive.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        credential: Credential,
        allowed_origins: tuple[str, ...] = (),
        public_url: str = "",
        user_header: str = "",
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._credential = credential
        self._allowed_origins = allowed_origins
        self._public = urlsplit(public_url)
        self._user_header = user_header
        self._max_body_bytes = max_body_bytes
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        send = with_security_headers(send)
        try:
            await self._admit(scope, receive, send)
        except RaydioError as error:
            await _refuse(scope, receive, send, error)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["path"] in _OPEN or scope["path"].endswith("/healthz"):
            await _OPEN.get(scope["path"], PlainTextResponse("ok"))(scope, receive, send)
            return
        if scope["type"] == "http" and "access-control-request-method" in headers:
            await self._app(scope, receive, send)  # a CORS preflight carries no credential by design
            return
        refuse_remote_files(scope)
        scope = self._without_forgeries(scope)
        by_token, by_cookie = self._presented(scope, headers)
        self._check_origin(scope, headers, by_cookie=by_cookie and not by_token)
        answer = await self._at_the_door(scope, receive, headers, known=by_token or by_cookie)
        if answer is not None:
            await answer(scope, receive, send)
            return
        await self._pass_through({**scope, USER: self._user(headers)}, headers, receive, send)

    def _user(self, headers: Headers) -> str:
        """Whom the proxy in front names, where one is configured to; else the one user that there is."""
        name = headers.get(self._user_header, "").strip() if self._user_header else OWNER
        if not 0 < len(name) <= MAX_USER_CHARACTERS:
            raise AccessError(
                "The proxy in front did not say who you are.", f"It must send the header {self._user_header}."
            )
        return name

    def _presented(self, scope: Scope, headers: Headers) -> tuple[bool, bool]:
        """Whether the request carries the token, and whether it carries the cookie."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token", "")
        bearer = bearer if scheme.lower() == "bearer" else ""
        cookie = cookie_parser(headers.get("cookie", "")).get(self._credential.cookie_name)
        by_token = any(self._credential.is_token(t) for t in (bearer, query, _offered(scope)) if t)
        return by_token, cookie is not None and self._credential.is_cookie(cookie)

    def _check_origin(self, scope: Scope, headers: Headers, *, by_cookie: bool) -> None:
        """Browsers send cookies and open WebSockets from any page; only ours may."""
        origin = headers.get("origin")
        if origin is None or origin in self._allowed_origins:
            return
        host = self._public.netloc or headers.get("host", "")
        writes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if urlsplit(origin).netloc != host and (scope["type"] == "websocket" or (writes and by_cookie)):
            raise Forbidden(
                "This page belongs to another site.",
                "Add its origin to RAYDIO_ALLOWED_ORIGINS if you trust it.",
            )

    async def _at_the_door(
        self, scope: Scope, receive: Receive, headers: Headers, *, known: bool
    ) -> Response | None:
        """The answer that the door gives itself: a redirect, a login page; None to pass through."""
        if scope["type"] == "websocket":
            if not known:
                raise AccessError("This WebSocket needs the access token.")
            return None
        is_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        if known:
            return self._exchange(scope) if is_page and b"token=" in scope["query_string"] else None
        if _is_login(scope, headers):
            return await self._log_in(scope, receive)
        if is_page:
            return _login_page(401)
        wait_s = self._attempts.failed() if "authorization" in headers else 0
        return error_response(_refusal(wait_s))

    def _exchange(self, scope: Scope) -> Response:
        """Trade `?token=` for a cookie and a clean address, so that the token is not left in the history."""
        query = [(k, v) for k, v in parse_qsl(scope["query_string"].decode("latin-1")) if k != "token"]
        return self._with_cookie(RedirectResponse(_relative(scope, urlencode(query)), status_code=303), scope)

    def _with_cookie(self, response: Response, scope: Scope) -> Response:
        response.set_cookie(
            self._credential.cookie_name,
            self._credential.cookie_value,
            max_age=COOKIE_MAX_AGE_S,
            httponly=True,
            samesite="lax",
            secure=scope["scheme"] == "https",
        )
        return response

    async def _log_in(self, scope: Scope, receive: Receive) -> Response:
        body = await _read_body(receive, _LOGIN_BODY_BYTES)
        presented = dict(parse_qsl(body.decode("latin-1"))).get("token", "")
        if self._credential.is_token(presented.strip()):
            here = _relative(scope, scope["query_string"].decode("latin-1"))
            return self._with_cookie(RedirectResponse(here, status_code=303), scope)
        return _login_page(429 if self._attempts.failed() else 401, wrong=True)

    def _without_forgeries(self, scope: Scope) -> Scope:
        """Drop forwarding headers, which Gradio trusts from anyone; the public address is configuration."""
        headers = [(k, v) for k, v in scope["headers"] if k not in _FORWARDED]
        if self._public.netloc:
            headers.append((b"x-forwarded-host", self._public.netloc.encode()))
            headers.append((b"x-forwarded-proto", self._public.scheme.encode()))
        return {**scope, "headers": headers}

    async def _pass_through(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Run the app, cutting off a body over the limit, as announced or as it arrives."""
        body = LimitedBody(receive, send, self._max_body_bytes)
        if int(headers.get("content-length") or 0) > self._max_body_bytes:
            raise body.error()
        try:
            await self._app(scope, body.receive, body.send)
        except ClientDisconnect:
            if not body.cut_off:
                raise
        if body.cut_off and not body.answered:
            raise body.error()


def _offered(scope: Scope) -> str:
    """The token among a WebSocket's sub-protocols: the one place where a browser's script can put it.

    Source: https://platform.openai.com/docs/guides/realtime-websocket
    """
    offered = (protocol.partition(_TOKEN_PROTOCOL) for protocol in scope.get("subprotocols", ()))
    return next((token for before, found, token in offered if found and not before), "")


def _is_login(scope: Scope, headers: Headers) -> bool:
    form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return scope["method"] == "POST" and form and "text/html" in headers.get("accept", "")


def _login_page(status: int, *, wrong: bool = False) -> Response:
    note = (
        {429: "Too many wrong tokens. Wait a minute.", 401: "That is not the token."}[status] if wrong else ""
    )
    return HTMLResponse((ASSETS / "login.html").read_text().replace("{{note}}", note), status_code=status)


def _relative(scope: Scope, query: str) -> str:
    """The request's own address without its host; a path of many slashes must not name another one."""
    path: str = scope["path"]
    return "/" + path.lstrip("/\\") + (f"?{query}" if query else "")


async def _read_body(receive: Receive, limit: int) -> bytes:
    body, more = b"", True
    while more and len(body) <= limit:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body[:limit]


def _refusal(wait_s: float) -> AccessError:
    if wait_s:
        return TooManyAttempts("Too many wrong tokens.", f"Wait {wait_s:.0f} s.")
    return AccessError(
        "The access token is missing or wrong.",
        "Send it as 'Authorization: Bearer …'; `raydio token` prints it.",
    )


def error_response(error: RaydioError) -> Response:
    """The error in OpenAI's shape, with Retry-After where waiting helps."""
    wait_s = getattr(error, "retry_after_s", None)
    body = {"error": {"message": str(error), "type": type(error).__name__, "param": None, "code": error.code}}
    headers = {"retry-after": str(math.ceil(wait_s))} if wait_s else None
    return Response(orjson.dumps(body), error.status, headers, "application/json")


async def _refuse(scope: Scope, receive: Receive, send: Send, error: RaydioError) -> None:
    if scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
        await error_response(error)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 4000 + error.status, "reason": error.message})
