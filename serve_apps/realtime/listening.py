"""Hands-free listening: when the user speaks, pauses, has finished, or interrupts the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve_apps.errors import InputError, RaydioError
from serve_apps.realtime import config
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.barge_in import Suspicion
from serve_apps.realtime.conversation import new_id
from serve_apps.realtime.echo import MAX_DELAY_S, echo_share
from serve_apps.realtime.endpointing import patience_s
from serve_apps.realtime.input_buffer import InputBuffer
from serve_apps.realtime.playback import Playback
from serve_apps.realtime.speculation import Speculation
from serve_apps.realtime.vad import SpeechPaused, SpeechResumed, SpeechStarted, VadStream
from serve_apps.wire import Samples

PREFIX_S = 0.3
"""Kept before the first voiced frame: soft consonants come before it. `prefix_padding_ms` of server_vad."""
MAX_TURN_S = 60.0
"""A longer turn is taken as it is: a television that talks for an hour must not fill the memory."""
PARTIAL_EVERY_S = 0.4
PARTIAL_SHARE = 4.0
"""Partial transcripts decode the turn again: at most a quarter of the time is spent on that."""
PARTIAL_S = 25.0
"""Of a long turn, the partial shows the end."""
STALL_S = 1.0
"""Audio that stops coming in mid-turn is silence: a muted microphone sends none."""
ECHO_WINDOW_S = 0.5
ECHO_EVERY_S = 0.1
SAID_BEFORE_S = 8.0
"""What the answer said this long ago may still come back out of a speaker and a recogniser."""


class Host(Protocol):
    """The session, as far as listening needs it."""

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

    async def understand(self, heard: Samples) -> str:
        """Transcribe speech at 16 kHz."""
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


@dataclass(slots=True, kw_only=True)
class UserTurn:
    """What the user says until it is the answer's turn."""

    item_id: str = field(default_factory=lambda: new_id("item"))
    start_s: float
    """Stream time of its first sample, padding included."""
    end_s: float = 0.0
    speech_ended_at: float = 0.0
    """On the event loop's clock."""
    speculation: Speculation | None = None
    audio: Samples | None = None
    respond: bool = True


class Listening:
    """Follows the microphone of a session whose turns are detected.

    Args:
        host: the session.
        detection: how.
        buffer: where the session keeps what it hears.
    """

    def __init__(
        self, host: Host, detection: config.ServerVad | config.SemanticVad, buffer: InputBuffer
    ) -> None:
        self._host = host
        self._detection = detection
        self._buffer = buffer
        self._zero_s = buffer.end_s  # the detector's time starts here
        self._prefix_s = PREFIX_S
        self._vad = VadStream()
        if isinstance(detection, config.ServerVad):
            self._prefix_s = detection.prefix_padding_ms / 1000
            self._vad = VadStream(detection.threshold)
        self._turn: UserTurn | None = None
        self._suspicion: Suspicion | None = None
        self._suspected_s = 0.0
        self._second_look: asyncio.Task[None] | None = None
        self._echo = (-1.0, 0.0)  # when the share was computed, and the share
        self._partial: asyncio.Task[None] | None = None
        self._next_partial_s = 0.0
        self._stall: asyncio.TimerHandle | None = None

    # ---- sound in --------------------------------------------------------------------------------

    def hear(self, samples: Samples) -> None:
        """More sound came; it is in the buffer already."""
        for event in self._vad.feed(samples):
            self._notice(event)
        if self._suspicion is not None:
            self._consider(self._suspicion)
        if self._turn is not None:
            self._follow(self._turn)
        self._forget()
        self._watch_for_stall()

    def commit(self) -> None:
        """The client says that the turn is over.

        Raises:
            InputError: nobody has spoken.
        """
        if self._turn is None:
            raise InputError("There is no speech to commit.", "Append audio with speech in it first.")
        self._end_turn(self._turn)

    def drop(self) -> None:
        """Forget the turn under way."""
        if self._stall is not None:
            self._stall.cancel()
        if self._turn is not None:
            self._drop_speculation(self._turn)
        self._turn = None
        self._dismiss("")
        self._cancel(self._partial)
        self._vad.end_turn()

    def _notice(self, event: SpeechStarted | SpeechPaused | SpeechResumed) -> None:
        at_s = self._zero_s + event.at_s
        match event:
            case SpeechStarted() if self._turn is None:
                self._started(at_s)
            case SpeechPaused() if self._turn is not None:
                self._speculate(self._turn)
            case SpeechResumed() if self._turn is not None:
                self._drop_speculation(self._turn)

    def _started(self, at_s: float) -> None:
        if not self._host.answering or not self._detection.interrupt_response:
            self._begin(at_s)
            return
        self._suspicion = Suspicion(self._host.settings.raydio.barge_in, at_s - self._zero_s)
        self._suspected_s = at_s
        self._host.emit(tell.suspected(self._host.sounding_id))

    # ---- the user's turn -------------------------------------------------------------------------

    def _begin(self, at_s: float) -> None:
        start_s = max(self._buffer.start_s, at_s - self._prefix_s)
        turn = self._turn = UserTurn(start_s=start_s, respond=self._detection.create_response)
        self._next_partial_s = at_s + PARTIAL_EVERY_S
        self._host.emit(tell.speech_started(turn.item_id, round(1000 * start_s)))

    def _follow(self, turn: UserTurn) -> None:
        quiet_s = self._vad.quiet_s
        understood = turn.speculation.text if turn.speculation else None
        if (quiet_s > 0 and quiet_s >= patience_s(self._detection, understood)) or self._buffer.end_s - turn.start_s > MAX_TURN_S:
            self._end_turn(turn)
        elif quiet_s == 0 and self._buffer.end_s >= self._next_partial_s:
            self._hear_partly(turn)

    def _speculate(self, turn: UserTurn) -> None:
        self._drop_speculation(turn)
        heard = self._buffer.cut(turn.start_s)
        think = self._host.think if turn.respond else None
        turn.speculation = Speculation(lambda: self._host.understand(heard), think)

    def _drop_speculation(self, turn: UserTurn) -> None:
        speculation, turn.speculation = turn.speculation, None
        if speculation is not None:
            self._host.spawn(speculation.drop())

    def _end_turn(self, turn: UserTurn) -> None:
        quiet_s = self._vad.quiet_s
        if turn.speculation is None or turn.speculation.error is not None:
            self._speculate(turn)
        turn.end_s = self._buffer.end_s - quiet_s
        turn.speech_ended_at = _now_s() - quiet_s
        turn.audio = self._buffer.cut(turn.start_s, turn.end_s + self._prefix_s)
        self._turn = None
        self._cancel(self._partial)
        self._vad.end_turn()
        self._host.turn_ended(turn)

    def _hear_partly(self, turn: UserTurn) -> None:
        if not self._host.settings.raydio.partial_transcripts or _busy(self._partial):
            return
        self._partial = self._host.spawn(self._tell_partial(turn))

    async def _tell_partial(self, turn: UserTurn) -> None:
        began_at = _now_s()
        end_s = self._buffer.end_s
        # A partial that fails is not missed: the next one comes, and the final one says what is wrong.
        with suppress(RaydioError):
            text = await self._host.understand(self._buffer.cut(max(turn.start_s, end_s - PARTIAL_S)))
            if self._turn is turn and text:
                self._host.emit(tell.partial(turn.item_id, text))
        took_s = _now_s() - began_at
        self._next_partial_s = end_s + max(PARTIAL_EVERY_S, PARTIAL_SHARE * took_s)

    # ---- interruptions ---------------------------------------------------------------------------

    def _consider(self, suspicion: Suspicion) -> None:
        if not self._host.answering:
            self._interrupted()  # the answer has ended by itself: it is simply the user's turn
            return
        verdict = suspicion.consider(self._vad, self._echo_share())
        if verdict == "listen" and not _busy(self._second_look):
            self._second_look = self._host.spawn(self._look_again(suspicion))
        else:
            self._judge(suspicion, verdict)

    async def _look_again(self, suspicion: Suspicion) -> None:
        """The second stage: what was said?"""
        try:
            text = await self._host.understand(self._buffer.cut(self._suspected_s - self._prefix_s))
        except RaydioError:
            return  # judged by its length, then
        if suspicion is self._suspicion:
            self._judge(suspicion, suspicion.understood(text, self._said_lately()))

    def _judge(self, suspicion: Suspicion, verdict: str) -> None:
        if verdict == "interrupt":
            self._interrupted()
        elif verdict == "dismiss":
            self._dismiss(suspicion.reason)
            self._vad.end_turn()

    def _interrupted(self) -> None:
        self._suspicion = None
        self._cancel(self._second_look)
        self._begin(self._suspected_s)
        self._host.interrupt()
        if self._turn is not None and not self._vad.speaking:
            self._speculate(self._turn)

    def _dismiss(self, reason: str) -> None:
        if self._suspicion is not None:
            self._suspicion = None
            self._host.emit(tell.dismissed(self._host.sounding_id, reason))

    def _echo_share(self) -> float:
        playback = self._host.sounding
        if playback is None or not self._host.settings.raydio.barge_in.echo_guard:
            return 0.0
        end_s, now = self._buffer.end_s, _now_s()
        if end_s - self._echo[0] >= ECHO_EVERY_S:
            heard = self._buffer.cut(max(self._suspected_s, end_s - ECHO_WINDOW_S))
            length_s = end_s - max(self._suspected_s, end_s - ECHO_WINDOW_S)
            self._echo = end_s, echo_share(heard, playback.reference(now - length_s - MAX_DELAY_S, now))
        return self._echo[1]

    def _said_lately(self) -> str:
        playback = self._host.sounding
        if playback is None:
            return ""
        played_s = playback.played_s()
        return playback.said_between(played_s - SAID_BEFORE_S, played_s + 0.5)

    # ---- the past, and sound that stops ----------------------------------------------------------

    def _forget(self) -> None:
        if self._turn is not None:
            return
        needed_s = self._suspected_s if self._suspicion else self._buffer.end_s
        self._buffer.forget_before(needed_s - self._prefix_s - 1.0)

    def _watch_for_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        if self._turn is not None or self._suspicion is not None:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._stalled)

    def _stalled(self) -> None:
        if self._turn is not None:
            self._end_turn(self._turn)
        elif self._suspicion is not None:
            self._dismiss("noise")
            self._vad.end_turn()

    def _cancel(self, task: asyncio.Task[None] | None) -> None:
        if task is not None and task is not asyncio.current_task():
            task.cancel()


def _busy(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
