"""Is the user interrupting the answer? First a suspicion, then a second look at what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serve_apps.errors import RaydioError
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.barge_in import Suspicion
from serve_apps.realtime.echo import MAX_DELAY_S, WINDOW_S, echo_share
from serve_apps.realtime.host import Host
from serve_apps.realtime.input_buffer import InputBuffer
from serve_apps.realtime.vad import VadStream
from serve_apps.wire import STT_RATE_HZ

ECHO_EVERY_S = 0.1
PLAYBACK_AHEAD_S = 0.05
"""The speaker may be this much further than we think: reports of playback travel, too."""
SAID_BEFORE_S = 8.0
"""What the answer said this long ago may still come back out of a speaker and a recogniser."""
SAID_AFTER_S = 0.5
LEAD_S = 0.2
"""Heard before the first voiced frame: soft consonants come before it."""


class Interruption:
    """Follows sound that may be an interruption, from the suspicion to the verdict.

    Args:
        host: the session.
        vad: the detector that follows the same sound.
        buffer: the sound.
        on_real: called with the stream time at which the user began to speak, when it is one.
    """

    def __init__(
        self, host: Host, vad: VadStream, buffer: InputBuffer, on_real: Callable[[float], None]
    ) -> None:
        self._host = host
        self._vad = vad
        self._buffer = buffer
        self._on_real = on_real
        self._suspicion: Suspicion | None = None
        self._second_look: asyncio.Task[None] | None = None
        self._share_known_s = -1.0
        self._share = 0.0
        self._told = False
        self.began_s = 0.0
        """Stream time of the sound in question."""

    @property
    def suspected(self) -> bool:
        """Whether there is something to decide."""
        return self._suspicion is not None

    def suspect(self, began_s: float, zero_s: float) -> None:
        """Somebody, or something, makes sound while the answer is heard or made."""
        self._suspicion = Suspicion(self._host.settings.raydio.barge_in, began_s - zero_s)
        self.began_s = began_s
        self._share_known_s, self._share = -1.0, 0.0
        self._told = False

    def consider(self) -> None:
        """More sound came."""
        suspicion = self._suspicion
        if suspicion is None:
            return
        if not self._host.answering:
            self._judge("interrupt")  # the answer has ended by itself: it is simply the user's turn
            return
        verdict = suspicion.consider(self._vad, self._echo_share())
        if verdict in ("wait", "listen") and not self._told:
            # Only now: the answer's own echo is known at once, and must not make its volume flutter.
            self._told = True
            self._host.emit(tell.suspected(self._host.sounding_id))
        if verdict != "listen":
            self._judge(verdict)
        elif self._second_look is None or self._second_look.done():
            self._second_look = self._host.spawn(self._look_again(suspicion))

    def dismiss(self, reason: str) -> None:
        """It was nothing."""
        if self._suspicion is not None:
            self._end()
            if self._told:
                self._host.emit(tell.dismissed(self._host.sounding_id, reason))
            self._vad.end_turn()

    async def _look_again(self, suspicion: Suspicion) -> None:
        """The second stage: what was said?"""
        try:
            text = await self._host.understand(self._buffer.cut(self.began_s - LEAD_S))
        except RaydioError:
            return  # judged by its length, then
        if self._suspicion is suspicion:
            self._judge(suspicion.understood(text, self._said_lately()))

    def _judge(self, verdict: str) -> None:
        if verdict == "interrupt":
            self._end()
            self._host.emit(tell.confirmed(self._host.sounding_id, self._buffer.end_s))
            self._on_real(self.began_s)
        elif verdict == "dismiss" and self._suspicion is not None:
            self.dismiss(self._suspicion.reason)

    def _end(self) -> None:
        self._suspicion = None
        look, self._second_look = self._second_look, None
        if look is not None and look is not asyncio.current_task():
            look.cancel()

    def _echo_share(self) -> float:
        """How much of the sound is the answer's own, looked at again every tenth of a second."""
        playback = self._host.sounding
        if playback is None or not self._host.settings.raydio.barge_in.echo_guard:
            return 0.0
        end_s = self._buffer.end_s
        if end_s - self._share_known_s >= ECHO_EVERY_S:
            heard = self._buffer.cut(end_s - WINDOW_S)  # from before it began, too: more to judge by
            now = asyncio.get_running_loop().time() + PLAYBACK_AHEAD_S
            played = playback.reference(now - len(heard) / STT_RATE_HZ - MAX_DELAY_S, now)
            self._share_known_s, self._share = end_s, echo_share(heard, played)
        return self._share

    def _said_lately(self) -> str:
        playback = self._host.sounding
        if playback is None:
            return ""
        played_s = playback.played_s()
        return playback.said_between(played_s - SAID_BEFORE_S, played_s + SAID_AFTER_S)
