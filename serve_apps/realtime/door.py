"""`/v1/realtime`: where live sessions begin and are taken up again. `serve_apps.door` asks who comes in."""

from __future__ import annotations

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_apps.access import user_of
from serve_apps.args import RealtimeArgs
from serve_apps.contracts import Clients
from serve_apps.errors import RaydioError
from serve_apps.realtime.connection import Connection
from serve_apps.realtime.sessions import Live, Sessions

SUBPROTOCOL = "realtime"
"""What browsers offer beside the token; a server must choose one of what was offered."""
MAX_REASON_BYTES = 123
"""Of a close frame (RFC 6455, 5.5)."""


class Realtime:
    """The endpoint, with the sessions of this replica.

    Args:
        clients: what the sessions call.
        args: limits.
    """

    def __init__(self, clients: Clients, args: RealtimeArgs) -> None:
        self.sessions = Sessions(clients, args)
        self._args = args

    def routes(self, prefix: str) -> list[WebSocketRoute]:
        """Routes under `prefix`: `/v1`, or nothing where Serve's route prefix is that already."""
        return [WebSocketRoute(f"{prefix}/realtime", self.converse)]

    async def converse(self, socket: WebSocket) -> None:
        """Begin a session, or take one up with `?resume=<session id>&after=<event id>`, and serve it."""
        offered = socket.scope.get("subprotocols", [])
        try:
            # Browsers learn a close's code and reason only of a socket that was open.
            await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            live = self._enter(socket)
        except WebSocketDisconnect:
            return
        except RaydioError as error:
            await socket.close(4000 + error.status, _reason(error))
            return
        await self._serve(socket, live)

    def _enter(self, socket: WebSocket) -> Live:
        asked, user = socket.query_params, user_of(socket.scope)
        if "resume" in asked:
            return self.sessions.take_up(asked["resume"], asked.get("after"), user)
        return self.sessions.begin(user)

    async def _serve(self, socket: WebSocket, live: Live) -> None:
        connection = Connection(socket, live, self._args)
        self.sessions.join(live, connection)
        session_ends = False
        try:
            session_ends = (await connection.run()).session_ends
        finally:
            if session_ends:
                self.sessions.end(live)
            else:
                self.sessions.leave(live, connection)


def _reason(error: RaydioError) -> str:
    return str(error).encode()[:MAX_REASON_BYTES].decode(errors="ignore")
