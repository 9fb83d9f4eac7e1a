"""What the parts of a session need of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve_apps.realtime import config
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.conversation import new_id
from serve_apps.realtime.playback import Playback
from serve_apps.realtime.speculation import Speculation
from serve_apps.wire import Samples


@dataclass(slots=True, kw_only=True)
class UserTurn:
    """What the user says until it is the answer's turn."""

    item_id: str = field(default_factory=lambda: new_id("item"))
    start_s: float
    """Stream time of its first sample, padding included."""
    context_s: float
    """Stream time from which the recogniser listens: earlier, where the user had hardly paused."""
    end_s: float = 0.0
    speech_ended_at: float = 0.0
    """On the event loop's clock."""
    speculation: Speculation | None = None
    audio: Samples | None = None
    respond: bool = True


class Host(Protocol):
    """The session, as far as its parts need it."""

    settings: config.Session

    def emit(self, event: dict[str, Any]) -> None:
        """Tell the client."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it until the session ends."""
        ...

    @property
    def answering(self) -> bool:
        """Whether an answer is being made or can be heard."""
        ...

    @property
    def sounding(self) -> Playback | None:
        """The answer that can be heard now."""
        ...

    @property
    def sounding_id(self) -> str | None:
        """Its item's id."""
        ...

    async def understand(self, heard: Samples, skip_s: float = 0.0) -> str:
        """Transcribe speech at 16 kHz; what was said in its first `skip_s` is known already."""
        ...

    def think(self, text: str) -> Answer:
        """Begin the answer to what the user seems to have said."""
        ...

    def interrupt(self) -> None:
        """The user speaks: stop the answer."""
        ...

    def turn_ended(self, turn: UserTurn) -> None:
        """The user has finished."""
        ...
