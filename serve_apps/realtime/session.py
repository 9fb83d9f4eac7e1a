"""A live conversation: what a client says in, what it is told out; turns, answers and their interruption.

A conductor: it holds clients and leads them, and knows nothing of sockets. Everything happens on the
event loop; `handle` never waits, so that a cancel is never behind anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from serve_apps.contracts import Clients
from serve_apps.errors import AudioTooLong, EmptyInput, InputError, RaydioError, StageFailed
from serve_apps.realtime import client_events as said
from serve_apps.realtime import config
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.conversation import Conversation, Item, as_messages, new_id
from serve_apps.realtime.formats import Decoder
from serve_apps.realtime.input_buffer import InputBuffer
from serve_apps.realtime.listening import Listening, UserTurn
from serve_apps.realtime.playback import Playback
from serve_apps.realtime.response import Moments, Outlet, Response
from serve_apps.realtime.speculation import Speculation
from serve_apps.turns import prompt, span
from serve_apps.wire import (
    STT_RATE_HZ,
    Audio,
    Message,
    Samples,
    SttOptions,
    TurnRequest,
    VoiceTurnRequest,
)

MIN_COMMIT_S = 0.1
MAX_BUFFER_S = 120.0
"""Audio that waits for a commit; what stt takes in one call."""
RESPONSES_A_MINUTE = 60
log = logging.getLogger(__name__)


class Session:
    """One conversation.

    Args:
        clients: stt, chat and voice are called.
        outbox: what the client is told goes there.
        resume_s: how long a lost socket may come back; told to the client.
    """

    def __init__(self, clients: Clients, outbox: Outlet, *, resume_s: float = 30.0) -> None:
        self.id = new_id("sess")
        self.settings = config.Session()
        self._clients = clients
        self._outbox = outbox
        self._resume_s = resume_s
        self._instructions = prompt("voice")
        self._conversation = Conversation()
        self._decoder = Decoder(self.settings.audio.input.format)
        self._buffer = InputBuffer()
        self._listening = self._new_listening()
        self._response: Response | None = None
        self._spoken: Item | None = None
        self._understanding: set[asyncio.Task[None]] = set()
        self._moments: Moments | None = None
        self._asked_at: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- as the door sees it ---------------------------------------------------------------------

    def start(self) -> None:
        """Say what this session is."""
        self.emit(tell.session("session.created", self.id, self.settings, self._instructions))
        self.attach(resumed=False)

    def attach(self, *, resumed: bool) -> None:
        """A socket is there; after a break it is another one."""
        about = {"session_id": self.id, "resumed": resumed, "resume_s": self._resume_s}
        self.emit({"type": "raydio.session", **about})

    def handle(self, event: said.ClientEvent) -> None:  # noqa: C901, PLR0912 (one case an event, one line each)
        """Do what the client says.

        Raises:
            RaydioError: it cannot be done; nothing has changed.
        """
        match event:
            case said.AppendAudio(data=data):
                self._append(data)
            case said.UpdateSession(session=settings):
                self._update(settings)
            case said.CommitAudio():
                self._commit()
            case said.ClearAudio():
                self._clear()
            case said.CreateItem():
                self._create_item(event)
            case said.RetrieveItem(item_id=item_id):
                found = self._conversation.get(item_id)
                self.emit(tell.item_retrieved(found, self.settings.audio.input.format))
            case said.DeleteItem(item_id=item_id):
                self._conversation.remove(item_id)
                self.emit(tell.item_deleted(item_id))
            case said.TruncateItem():
                self._truncate(event)
            case said.CreateResponse(options=options):
                self._asked_to_respond(options)
            case said.CancelResponse(response_id=response_id):
                self._cancel_response(response_id)
            case said.ClearOutput():
                self._clear_output()
            case said.PlaybackReport(item_id=item_id, played_ms=played_ms, playing=playing):
                if self._spoken is not None and self._spoken.id == item_id and self._spoken.playback:
                    self._spoken.playback.report(played_ms / 1000, playing=playing)

    async def close(self) -> None:
        """End every task and every model's work."""
        if self._listening is not None:
            self._listening.drop()
        if self._response is not None:
            self._response.cancel("client_cancelled")
        tasks = [*self._tasks]
        # What was just told to stop may do so; whatever still works is stopped.
        await asyncio.wait(tasks, timeout=1.0) if tasks else None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait([*self._tasks])

    # ---- as listening sees it --------------------------------------------------------------------

    def emit(self, event: dict[str, Any]) -> None:
        """Tell the client."""
        self._outbox.emit(event)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it until the session ends; the client hears of its failure."""
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def answering(self) -> bool:
        """Whether an answer is being made or can be heard."""
        return self._response is not None or self.sounding is not None

    @property
    def sounding(self) -> Playback | None:
        """The answer that can be heard now."""
        playback = self._spoken.playback if self._spoken is not None else None
        return playback if playback is not None and playback.audible else None

    @property
    def sounding_id(self) -> str | None:
        """Its item's id."""
        return self._spoken.id if self._spoken is not None else None

    async def understand(self, heard: Samples) -> str:
        """Transcribe speech at 16 kHz."""
        wanted = self.settings.audio.input.transcription
        options = SttOptions(
            language=(wanted.language if wanted else None) or None,
            prompt=(wanted.prompt if wanted else None) or "",
        )
        transcript = await self._clients.stt.transcribe(Audio(samples=heard, rate_hz=STT_RATE_HZ), options)
        return transcript.text

    def think(self, text: str) -> Answer:
        """Begin the answer to what the user seems to have said."""
        said_now = Item(role="user", kind="audio", text=text)
        return self._ask(self.settings, as_messages([*self._conversation, said_now]))

    def interrupt(self) -> None:
        """The user speaks: stop the answer; the words that were played stay."""
        if self._spoken is not None and self._spoken.playback is not None and self._spoken.playback.audible:
            self._spoken.playback.stop()
        if (response := self._response) is not None:
            self._silence(response)
            response.cancel("turn_detected")
            self.spawn(response.drop())

    def turn_ended(self, turn: UserTurn) -> None:
        """The user has finished: their words become an item, and an answer follows."""
        speculation = turn.speculation
        if speculation is None or turn.audio is None:
            return
        self.emit(tell.speech_stopped(turn.item_id, round(1000 * turn.end_s)))
        moments = Moments(turn.speech_ended_at, _now_s(), user_item_id=turn.item_id)
        item = Item(id=turn.item_id, role="user", kind="audio", audio=turn.audio)
        self._add_speech(item, speculation, moments, respond=turn.respond)

    # ---- hearing ---------------------------------------------------------------------------------

    def _new_listening(self) -> Listening | None:
        detection = self.settings.audio.input.turn_detection
        return None if detection is None else Listening(self, detection, self._buffer)

    def _append(self, data: bytes) -> None:
        samples = self._decoder(data)
        if not len(samples):
            return
        if self._listening is None and self._buffer.end_s - self._buffer.start_s > MAX_BUFFER_S:
            raise AudioTooLong(
                f"More than {MAX_BUFFER_S:.0f} seconds of audio wait for a commit.",
                "Send input_audio_buffer.commit, or input_audio_buffer.clear to drop them.",
            )
        self._buffer.append(samples)
        if self._listening is not None:
            self._listening.hear(samples)

    def _update(self, settings: config.Session) -> None:
        old, self.settings = self.settings, settings
        if settings.audio.input.format != old.audio.input.format:
            self._decoder = Decoder(settings.audio.input.format)
        if settings.audio.input.turn_detection != old.audio.input.turn_detection:
            self._stop_listening()
            self._listening = self._new_listening()
        self.emit(tell.session("session.updated", self.id, settings, self._instructions))

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.drop()
        self._buffer.forget_before(self._buffer.end_s)

    def _clear(self) -> None:
        self._stop_listening()
        self.emit({"type": "input_audio_buffer.cleared"})

    def _commit(self) -> None:
        if self._listening is not None:
            self._listening.commit()
            return
        heard = self._buffer.cut(self._buffer.start_s)
        if len(heard) < MIN_COMMIT_S * STT_RATE_HZ:
            raise InputError(
                f"The buffer holds {1000 * len(heard) / STT_RATE_HZ:.0f} ms of audio.",
                f"Append at least {1000 * MIN_COMMIT_S:.0f} ms before you commit.",
            )
        self._buffer.forget_before(self._buffer.end_s)
        item = Item(role="user", kind="audio", audio=heard)
        moments = Moments(_now_s(), _now_s(), user_item_id=item.id)
        self._add_speech(item, Speculation(lambda: self.understand(heard), None), moments, respond=False)

    def _add_speech(self, item: Item, speculation: Speculation, moments: Moments, *, respond: bool) -> None:
        previous = self._conversation.insert(item)
        self.emit(tell.committed(item.id, previous))
        self.emit(tell.item_added(item, previous))
        self.emit(tell.item_done(item, previous))
        self._moments = moments
        self._await_words(item, speculation, moments, respond=respond)

    def _await_words(self, item: Item, speculation: Speculation, moments: Moments, *, respond: bool) -> None:
        task = self.spawn(self._words_came(item, speculation, moments, respond=respond))
        self._understanding.add(task)
        task.add_done_callback(self._understanding.discard)

    async def _words_came(
        self, item: Item, speculation: Speculation, moments: Moments, *, respond: bool
    ) -> None:
        try:
            item.text = await speculation.understood()
        except RaydioError as error:
            self.emit(tell.not_transcribed(item.id, error))
            return
        except asyncio.CancelledError:
            await speculation.drop()
            raise
        began, done = speculation.began_at, speculation.understood_at or _now_s()
        ended = moments.speech_ended_at
        moments.transcript = span("transcript", 1000 * (began - ended), 1000 * (done - ended))
        duration_s = 0.0 if item.audio is None else len(item.audio) / STT_RATE_HZ
        if self.settings.audio.input.transcription is not None:
            for event in tell.transcribed(item.id, item.text, duration_s):
                self.emit(event)
        answer = speculation.take_answer()
        if respond and item.text:
            self._respond(said.ResponseOptions(session=self.settings), moments, answer)
        elif answer is not None:
            await answer.drop()

    # ---- items -----------------------------------------------------------------------------------

    def _create_item(self, event: said.CreateItem) -> None:
        new = event.item
        heard = Decoder(self.settings.audio.input.format)(new.audio) if new.audio else None
        kind = "text" if heard is None else "audio"
        item = Item(role=new.role, kind="text" if heard is None else "audio", text=new.text, audio=heard)
        item.id = new.id or item.id
        previous = self._conversation.insert(item, event.previous_item_id)
        self.emit(tell.item_added(item, previous))
        self.emit(tell.item_done(item, previous))
        if kind == "audio" and heard is not None:
            moments = Moments(_now_s(), _now_s(), user_item_id=item.id)
            self._moments = moments
            words = Speculation(lambda: self.understand(heard), None)
            self._await_words(item, words, moments, respond=False)

    def _truncate(self, event: said.TruncateItem) -> None:
        item = self._conversation.get(event.item_id)
        if item.playback is None or event.content_index != 0:
            raise InputError(f"Item {item.id!r} is not a spoken answer.", "Only those can be truncated.")
        sent_ms = 1000 * item.playback.sent_s
        if not 0 <= event.audio_end_ms <= sent_ms + 1:
            raise InputError(
                f"The answer's audio is {sent_ms:.0f} ms long, and audio_end_ms is {event.audio_end_ms}.",
                "Send how much of it was played.",
            )
        item.playback.stop(event.audio_end_ms / 1000)
        self.emit(tell.item_truncated(item.id, event.audio_end_ms))

    # ---- answering -------------------------------------------------------------------------------

    def _asked_to_respond(self, options: said.ResponseOptions) -> None:
        if self._response is not None:
            raise InputError(
                f"Response {self._response.id} is still under way.", "Cancel it, or wait for response.done."
            )
        self._check_budget()
        moments, self._moments = self._moments, None
        if moments is None or options.input is not None:
            moments = Moments(_now_s(), _now_s())
        if self._understanding:
            self.spawn(self._respond_when_understood(options, moments))
        else:
            self._respond(options, moments, None)

    async def _respond_when_understood(self, options: said.ResponseOptions, moments: Moments) -> None:
        await asyncio.wait([*self._understanding])
        self._respond(options, moments, None)

    def _respond(self, options: said.ResponseOptions, moments: Moments, answer: Answer | None) -> None:
        """Begin a response, with an answer that is under way already if it is to the same question."""
        if self._response is not None:  # the user was not allowed to interrupt it: it is done with first
            self._silence(self._response)
            self._response.cancel("turn_detected")
            self.spawn(self._response.drop())
        messages = self._messages(options)
        if answer is not None and answer.messages != messages:
            self.spawn(answer.drop())
            answer = None
        if answer is None:
            answer = self._ask(options.session, messages)
        response = self._new_response(options, moments)
        response.begin(self._limits())
        self.spawn(response.run(answer))

    def _new_response(self, options: said.ResponseOptions, moments: Moments) -> Response:
        spoken = "audio" in options.session.output_modalities
        guard = options.session.raydio.barge_in.echo_guard
        item = Item(role="assistant", kind="audio" if spoken else "text", status="in_progress")
        item.playback = Playback(keep_reference=guard) if spoken else None
        kept = options.in_conversation
        self._spoken = item if spoken else self._spoken
        self._response = Response(
            outbox=self._outbox,
            options=options,
            item=item,
            previous_item_id=self._conversation.insert(item) if kept else None,
            conversation_id=self._conversation.id if kept else None,
            moments=moments,
            on_end=self._ended,
        )
        return self._response

    def _ended(self, response: Response) -> None:
        if self._response is response:
            self._response = None

    def _messages(self, options: said.ResponseOptions) -> tuple[Message, ...]:
        if options.input is None:
            return self._conversation.messages()
        items = [
            self._conversation.get(part)
            if isinstance(part, str)
            else Item(role=part.role, kind="text", text=part.text)
            for part in options.input
        ]
        return as_messages(items)

    def _ask(self, settings: config.Session, messages: tuple[Message, ...]) -> Answer:
        """Start the models on an answer.

        Raises:
            EmptyInput: there is nothing to answer.
        """
        if not messages or messages[-1].role == "assistant":
            raise EmptyInput("There is nothing to answer.", "Say or write something first.")
        spoken = "audio" in settings.output_modalities
        limit = settings.max_output_tokens
        default = config.MAX_SPOKEN_TOKENS if spoken else None
        turn = TurnRequest(
            messages=messages,
            system_prompt=settings.instructions or self._instructions,
            max_tokens=default if limit == "inf" else limit,
            temperature=settings.raydio.temperature,
            caller=self.id,
        )
        if not spoken:
            return Answer(self._clients.chat.stream_turn(turn), "chat", messages)
        out = settings.audio.output
        request = VoiceTurnRequest(audio=None, turn=turn, voice=out.voice, speed=out.speed)
        return Answer(self._clients.voice.stream_turn(request), "voice", messages)

    def _cancel_response(self, response_id: str | None) -> None:
        response = self._response
        if response is None or response_id not in (None, response.id):
            raise InputError("That response is not under way.", "It has ended, or was never begun.")
        response.cancel("client_cancelled")
        self.spawn(response.drop())

    def _clear_output(self) -> None:
        if self._spoken is not None and self._spoken.playback is not None:
            self._spoken.playback.stop()
        response = self._response
        if response is not None:
            self._cancel_response(None)
        self.emit({"type": "output_audio_buffer.cleared", "response_id": response.id if response else ""})

    def _silence(self, response: Response) -> None:
        """What was sent of it but not played was never said."""
        playback = response.item.playback
        if playback is not None and playback.heard_text is None:
            playback.stop()

    # ---- limits, failures ------------------------------------------------------------------------

    def _check_budget(self) -> None:
        now = _now_s()
        while self._asked_at and now - self._asked_at[0] > 60:  # noqa: PLR2004 (a minute)
            self._asked_at.popleft()
        if len(self._asked_at) >= RESPONSES_A_MINUTE:
            wait_s = 60 - (now - self._asked_at[0])
            raise InputError(
                f"This session has asked for {RESPONSES_A_MINUTE} responses within a minute.",
                f"Wait {wait_s:.0f} s.",
            )

    def _limits(self) -> dict[str, Any]:
        self._asked_at.append(_now_s())
        left = max(0, RESPONSES_A_MINUTE - len(self._asked_at))
        return tell.rate_limits(RESPONSES_A_MINUTE, left, 60 - (_now_s() - self._asked_at[0]))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RaydioError as error:
            self.emit(tell.error(error))
        # A bug of ours must not leave the user before a silent page.
        except Exception:
            log.exception("A live session's work failed")
            self.emit(tell.error(StageFailed("voice", "Something in this session failed.", "Try again.")))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
