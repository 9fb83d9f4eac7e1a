"""Hands-free listening: when the user speaks, pauses, has finished, or interrupts the answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from serve_apps.errors import InputError, RaydioError
from serve_apps.realtime import config
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.endpointing import patience_s
from serve_apps.realtime.host import Host, UserTurn
from serve_apps.realtime.input_buffer import InputBuffer
from serve_apps.realtime.interruption import Interruption
from serve_apps.realtime.speculation import Speculation
from serve_apps.realtime.vad import SpeechPaused, SpeechResumed, SpeechStarted, VadStream
from serve_apps.wire import Samples

PREFIX_S = 0.3
"""Kept before the first voiced frame: soft consonants come before it. `prefix_padding_ms` of server_vad."""
MAX_TURN_S = 60.0
"""A longer turn is taken as it is: a television that talks for an hour must not fill the memory."""
CONTEXT_S = 6.0
"""A recogniser hears a sentence better with the one before it. Of two readers and a dialogue, cut at pauses
of 0.35 to 0.6 s, Moonshine misread 8 to 4 % by themselves, 2 % with this much before them, 0.6 % whole."""
CONTEXT_GAP_S = 2.0
"""After a longer pause what was said before tells nothing."""
PARTIAL_EVERY_S = 0.4
PARTIAL_SHARE = 4.0
"""Partial transcripts decode the turn again: at most a quarter of the time is spent on that."""
PARTIAL_S = 25.0
"""Of a long turn, the partial shows the end."""
NEXT_PIECE_S = 0.04
"""A turn that ends sooner than the next piece of sound comes ends by the clock."""
STALL_S = 1.0
"""Audio that stops coming in mid-turn is silence: a muted microphone sends none."""


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
        self._interruption = Interruption(host, self._vad, buffer, self._interrupted)
        self._starts_s: list[float] = []  # of the turns that followed one another without a long pause
        self._last_end_s = 0.0
        self._partial: asyncio.Task[None] | None = None
        self._next_partial_s = 0.0
        self._stall: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._behind_s = 0.0
        self._heard_at = 0.0

    # ---- sound in --------------------------------------------------------------------------------

    def hear(self, samples: Samples, behind_s: float) -> None:
        """More sound came; it is in the buffer already.

        Args:
            samples: 16 kHz.
            behind_s: sound that came, too, and is still in the resampler.
        """
        self._behind_s, self._heard_at = behind_s, _now_s()
        for event in self._vad.feed(samples):
            self._notice(event)
        self._interruption.consider()
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
        for timer in (self._stall, self._ending):
            if timer is not None:
                timer.cancel()
        if self._turn is not None:
            self._drop_speculation(self._turn)
        self._turn = None
        self._interruption.dismiss("cleared")
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
        self._interruption.suspect(at_s, self._zero_s)

    def _interrupted(self, began_s: float) -> None:
        self._begin(began_s)
        self._host.interrupt()
        if self._turn is not None and not self._vad.speaking:
            self._speculate(self._turn)

    # ---- the user's turn -------------------------------------------------------------------------

    def _begin(self, at_s: float) -> None:
        start_s = max(self._buffer.start_s, at_s - self._prefix_s)
        context_s = self._context_s(start_s)
        respond = self._detection.create_response
        turn = self._turn = UserTurn(start_s=start_s, context_s=context_s, respond=respond)
        self._next_partial_s = at_s + PARTIAL_EVERY_S
        self._host.emit(tell.speech_started(turn.item_id, round(1000 * start_s)))

    def _context_s(self, start_s: float) -> float:
        """Where the recogniser should begin to listen for a turn that begins at `start_s`."""
        if start_s - self._last_end_s > CONTEXT_GAP_S:
            self._starts_s.clear()
        near = [earlier_s for earlier_s in self._starts_s if start_s - earlier_s <= CONTEXT_S]
        self._starts_s = [*near, start_s]
        return max(self._starts_s[0], self._buffer.start_s)

    def _follow(self, turn: UserTurn) -> None:
        if self._ending is not None:
            self._ending.cancel()
        silence_s = self._silence_s()
        left_s = patience_s(self._detection, _understood(turn)) - silence_s
        if self._buffer.end_s - turn.start_s > MAX_TURN_S or (silence_s > 0 and left_s <= 0):
            self._end_turn(turn)
        elif silence_s > 0 and left_s <= NEXT_PIECE_S:
            self._ending = asyncio.get_running_loop().call_later(left_s, self._end_turn, turn)
        elif silence_s == 0 and self._buffer.end_s >= self._next_partial_s:
            self._hear_partly(turn)

    def _silence_s(self) -> float:
        """Since the last voiced frame until now; 0 while the user speaks."""
        silent_s = self._vad.silent_s
        return silent_s + self._behind_s + (_now_s() - self._heard_at) if silent_s else 0.0

    def _speculate(self, turn: UserTurn) -> None:
        self._drop_speculation(turn)
        heard, skip_s = self._buffer.cut(turn.context_s), turn.start_s - turn.context_s
        think = self._host.think if turn.respond else None
        turn.speculation = Speculation(lambda: self._host.understand(heard, skip_s), think)

    def _drop_speculation(self, turn: UserTurn) -> None:
        speculation, turn.speculation = turn.speculation, None
        if speculation is not None:
            self._host.spawn(speculation.drop())

    def _end_turn(self, turn: UserTurn) -> None:
        if turn is not self._turn:
            return  # dropped before its time was up
        if turn.speculation is None or turn.speculation.error is not None:
            self._speculate(turn)
        turn.end_s = self._last_end_s = self._buffer.end_s - self._vad.silent_s
        turn.speech_ended_at = _now_s() - self._silence_s()
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

    # ---- the past, and sound that stops ----------------------------------------------------------

    def _forget(self) -> None:
        if self._turn is not None:
            return
        needed_s = self._interruption.began_s if self._interruption.suspected else self._buffer.end_s
        if self._starts_s and needed_s - self._last_end_s <= CONTEXT_GAP_S + self._prefix_s:
            needed_s = min(needed_s, self._starts_s[0])  # the next turn's context
        self._buffer.forget_before(needed_s - self._prefix_s - 1.0)

    def _watch_for_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        if self._turn is not None or self._interruption.suspected:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._stalled)

    def _stalled(self) -> None:
        if self._turn is not None:
            self._end_turn(self._turn)
        else:
            self._interruption.dismiss("noise")

    def _cancel(self, task: asyncio.Task[None] | None) -> None:
        if task is not None and task is not asyncio.current_task():
            task.cancel()


def _understood(turn: UserTurn) -> str | None:
    """What was said so far; None while that is not known, and nothing when it cannot be."""
    if turn.speculation is None:
        return None
    return "" if turn.speculation.error is not None else turn.speculation.text


def _busy(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
