"""The live sessions of a replica: begun, left by a lost socket, taken up again, ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from serve_apps.access import OWNER
from serve_apps.args import RealtimeArgs
from serve_apps.contracts import Clients
from serve_apps.errors import StageBusy, UnknownName
from serve_apps.realtime.outbox import Outbox
from serve_apps.realtime.session import Session


class Listener(Protocol):
    """Who is connected to a session."""

    def replace(self) -> None:
        """Hang up: the session's client has come back over another socket."""


@dataclass(slots=True)
class Live:
    """A session, its way out, and who listens; `expiry` runs while nobody does."""

    session: Session
    outbox: Outbox
    listener: Listener | None = None
    expiry: asyncio.TimerHandle | None = None


class Sessions:
    """All of them, by id. A session belongs to the replica that began it, and ends with it.

    Args:
        clients: what the sessions call.
        args: how many there may be, and how long they wait.
    """

    def __init__(self, clients: Clients, args: RealtimeArgs) -> None:
        self._clients = clients
        self._args = args
        self._live: dict[str, Live] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._live)

    def begin(self, user: str = OWNER) -> Live:
        """A new session of `user`.

        Raises:
            StageBusy: there are as many as there may be.
        """
        if len(self._live) >= self._args.max_sessions:
            raise StageBusy("voice", "There are too many live sessions here.", "Try again in a moment.", 5.0)
        outbox = Outbox()
        live = Live(Session(self._clients, outbox, resume_s=self._args.resume_s, user=user), outbox)
        live.session.start()
        self._live[live.session.id] = live
        return live

    def take_up(self, session_id: str, after: str | None, user: str = OWNER) -> Live:
        """A session whose socket was lost; one that is not known to be lost yet is hung up.

        Args:
            session_id: from `raydio.session`.
            after: the last `event_id` that its client has seen; None: what was not sent yet follows.
            user: who asks; another one's session does not exist.

        Raises:
            UnknownName: it has ended, or what its client has missed is not kept.
        """
        live = self._live.get(session_id)
        if live is None or live.session.user != user:
            raise UnknownName("This session has ended.", "Start a new one.")
        if live.listener is not None:
            live.listener.replace()
            live.listener = None
        if after is not None:
            live.outbox.rewind(after)
        live.session.attach(resumed=True)
        return live

    def join(self, live: Live, listener: Listener) -> None:
        """From now on `listener` takes what the session tells."""
        self._keep(live)
        live.listener = listener

    def leave(self, live: Live, listener: Listener) -> None:
        """The socket was lost; its client may come back."""
        if live.listener is listener:
            live.listener = None
            self._keep(live)
            loop = asyncio.get_running_loop()
            live.expiry = loop.call_later(self._args.resume_s, self.end, live)

    def end(self, live: Live) -> None:
        """Forget the session, and stop its work."""
        self._keep(live)
        if self._live.pop(live.session.id, None) is not None:
            task = asyncio.create_task(live.session.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    @staticmethod
    def _keep(live: Live) -> None:
        if live.expiry is not None:
            live.expiry.cancel()
            live.expiry = None
