"""The voice conductor: a spoken turn, stt → chat → tts, clause by clause."""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.
import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ray import serve
from ray.serve import Application

from serve_apps.args import ConductorArgs
from serve_apps.clients import ChatClient, SttClient, TtsClient
from serve_apps.contracts import Chat, Stt, Tts
from serve_apps.errors import EmptyInput, NoSpeech, RaydioError, StageFailed
from serve_apps.speech_text import Clause, ClauseSplitter
from serve_apps.turns import TurnClock, close, failed, prompt, span
from serve_apps.wire import (
    Audio,
    AudioSegment,
    FinalTranscript,
    Message,
    Span,
    SpeakRequest,
    SttOptions,
    TextDelta,
    TurnDone,
    TurnEvent,
    TurnFailed,
    TurnRequest,
    VoiceTurnRequest,
)

MAX_ONGOING_TURNS = 500
MAX_SPOKEN_TOKENS = 200
"""Length of an answer when the caller names none: about a minute of speech."""
LOOK_AHEAD_CHUNKS = 32
"""Audio made before the caller takes it. More would be synthesised in vain when the user interrupts."""
RUNNING_OUT_S = 0.6
"""Sound left to play below which the next clause may be cut short. Time for a slow voice's first sound."""


class VoiceConductor:
    """Leads a spoken turn: what was said to text, the text to an answer, its clauses to speech.

    Args:
        stt: speech to text.
        chat: the written turn.
        tts: text to speech.
        args: the turn's limits.
    """

    def __init__(self, stt: Stt, chat: Chat, tts: Tts, args: ConductorArgs) -> None:
        self._stt = stt
        self._chat = chat
        self._tts = tts
        self._args = args
        self._prompt = prompt("voice")

    async def stream_turn(self, request: VoiceTurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Yield FinalTranscript, TextDelta and AudioSegment as they come, then TurnDone or TurnFailed.

        Text never waits for audio. The first clause is spoken as soon as it is complete; later ones are
        made while earlier ones are sent. Where a slow model has not completed the next clause when the
        sound made so far is about to be over, what there is of it is said. When the voice fails, the text
        goes on and a note says so. Closing the iterator stops all models.
        """
        outbox = _Outbox()
        # A task of its own: cancel scopes must not span the steps of a generator that others iterate.
        turn = asyncio.create_task(self._run(request, outbox))
        turn.add_done_callback(lambda _: outbox.end())
        try:
            while (event := await outbox.take()) is not None:
                yield event
            await turn
        finally:
            turn.cancel()
            await asyncio.wait([turn])

    async def _run(self, request: VoiceTurnRequest, outbox: "_Outbox") -> None:
        turn = _Turn(TurnClock(self._args.turn_timeout_s), outbox)
        try:
            messages = await self._messages(turn, request)
        except RaydioError as error:
            outbox.tell_last(failed(error, "stt"))
            return
        async with asyncio.TaskGroup() as group:
            speech = group.create_task(self._speak(turn, request))
            ending = await self._answer(turn, self._chat_turn(request, messages))
            if isinstance(ending, TurnFailed):
                speech.cancel()
        outbox.tell_last(turn.summed_up(ending) if isinstance(ending, TurnDone) else ending)

    async def _messages(self, turn: "_Turn", request: VoiceTurnRequest) -> tuple[Message, ...]:
        """The conversation, ending with what the user said or typed."""
        if request.audio is None:
            return request.turn.messages
        heard = await self._hear(turn, request.audio, request.language)
        turn.outbox.tell(FinalTranscript(text=heard))
        return (*request.turn.messages, Message(role="user", content=heard))

    async def _hear(self, turn: "_Turn", audio: Audio, language: str) -> str:
        try:
            async with turn.clock.limit():
                transcript = await self._stt.transcribe(audio, SttOptions(language=language or None))
        except TimeoutError as error:
            raise turn.clock.expired("stt") from error
        turn.heard_ms = turn.clock.now_ms()
        if not transcript.text:
            raise NoSpeech(
                "I heard no words in that.", "Hold the button while you speak, close to the microphone."
            )
        return transcript.text

    def _chat_turn(self, request: VoiceTurnRequest, messages: tuple[Message, ...]) -> TurnRequest:
        return replace(
            request.turn,
            messages=messages,
            system_prompt=request.turn.system_prompt or self._prompt,
            max_tokens=request.turn.max_tokens or MAX_SPOKEN_TOKENS,
        )

    async def _answer(self, turn: "_Turn", request: TurnRequest) -> TurnDone | TurnFailed:
        """Tell the answer's text, hand its clauses over to be spoken, and return how it ended."""
        events = turn.clock.until_deadline(self._chat.stream_turn(request), "chat")
        try:
            async for event in events:
                if isinstance(event, TurnDone | TurnFailed):
                    return event
                turn.outbox.tell(event)
                if isinstance(event, TextDelta):
                    turn.wrote(event.text)
        except RaydioError as error:
            return failed(error, "chat")
        finally:
            turn.wrote_all()
            await close(events)
        return failed(StageFailed("chat", "The answer ended before it was complete.", "Try again."), "chat")

    async def _speak(self, turn: "_Turn", request: VoiceTurnRequest) -> None:
        """Say the clauses in order, the next as soon as the engine is done with the one before."""
        index = 0
        while (clause := await turn.next_clause()) is not None:
            try:
                index += await self._say(turn, request, clause, index)
            except EmptyInput:
                continue  # the engine finds nothing to say in it
            except RaydioError as error:
                turn.notes.append(f"The rest of the answer is not spoken: {error}")
                return

    async def _say(self, turn: "_Turn", request: VoiceTurnRequest, clause: Clause, index: int) -> bool:
        """Speak one clause; whether it made a sound."""
        speak = SpeakRequest(
            text=clause.spoken, voice=request.voice, language=request.language, speed=request.speed
        )
        chunks = turn.clock.until_deadline(self._tts.stream_speak(speak), "tts")
        text, said = clause.shown, clause.spoken
        sounded = False
        try:
            async for audio in chunks:
                turn.sounded(audio)
                await turn.outbox.tell_audio(AudioSegment(index=index, text=text, spoken=said, audio=audio))
                text, said, sounded = "", "", True
        finally:
            await close(chunks)
        return sounded


class _Outbox:
    """Events on their way out: text overtakes audio, audio waits for room, the end comes last."""

    def __init__(self) -> None:
        self._queue: asyncio.PriorityQueue[tuple[int, int, TurnEvent | None]] = asyncio.PriorityQueue()
        self._order = itertools.count()
        self._room = asyncio.Semaphore(LOOK_AHEAD_CHUNKS)

    def tell(self, event: TurnEvent) -> None:
        self._put(0, event)

    async def tell_audio(self, event: AudioSegment) -> None:
        await self._room.acquire()
        self._put(1, event)

    def tell_last(self, event: TurnEvent) -> None:
        self._put(2, event)

    def end(self) -> None:
        self._put(3, None)

    async def take(self) -> TurnEvent | None:
        """The next event; None when there are no more."""
        _, _, event = await self._queue.get()
        if isinstance(event, AudioSegment):
            self._room.release()
        return event

    def _put(self, priority: int, event: TurnEvent | None) -> None:
        self._queue.put_nowait((priority, next(self._order), event))


@dataclass(slots=True)
class _Turn:
    """What a turn has seen so far; times are its clock's, in milliseconds."""

    clock: TurnClock
    outbox: _Outbox
    clauses: asyncio.Queue[Clause | None] = field(default_factory=asyncio.Queue)
    """Complete clauses to say; None after the last."""
    notes: list[str] = field(default_factory=list)
    heard_ms: float = 0.0
    first_text_ms: float | None = None
    first_clause_ms: float | None = None
    first_audio_ms: float | None = None
    last_audio_ms: float = 0.0
    silent_ms: float = 0.0
    """When a caller who plays the sound as it is made will have played it all."""
    _splitter: ClauseSplitter = field(default_factory=ClauseSplitter)
    _hurried: bool = False

    def wrote(self, text: str) -> None:
        """More of the answer came."""
        self.first_text_ms = self.clock.now_ms() if self.first_text_ms is None else self.first_text_ms
        self._hand_over(self._splitter.feed(text))
        self._hurry()

    def wrote_all(self) -> None:
        """The answer is complete, or will never be."""
        self._hand_over(self._splitter.finish())
        self.clauses.put_nowait(None)

    async def next_clause(self) -> Clause | None:
        """The next clause to say, or a part of one when the voice would fall silent; None after the last."""
        if self.first_audio_ms is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout((self.silent_ms - self.clock.now_ms()) / 1000 - RUNNING_OUT_S):
                    return await self.clauses.get()
            self._hurried = True
        try:
            self._hurry()
            return await self.clauses.get()
        finally:
            self._hurried = False

    def sounded(self, audio: Audio) -> None:
        """More speech came."""
        self.last_audio_ms = self.clock.now_ms()
        self.silent_ms = max(self.silent_ms, self.last_audio_ms) + audio.duration_s * 1000
        self.first_audio_ms = self.last_audio_ms if self.first_audio_ms is None else self.first_audio_ms

    def summed_up(self, done: TurnDone) -> TurnDone:
        """The written turn's end as the spoken turn's."""
        return replace(
            done,
            first_token_ms=self.heard_ms + done.first_token_ms,
            waterfall=self._waterfall(done.waterfall),
            notes=(*done.notes, *self.notes),
        )

    def _hurry(self) -> None:
        if self._hurried and self.clauses.empty():
            self._hand_over(self._splitter.hurry())

    def _hand_over(self, clauses: list[Clause]) -> None:
        for clause in clauses:
            if clause.spoken:
                self.clauses.put_nowait(clause)
                if self.first_clause_ms is None:
                    self.first_clause_ms = self.clock.now_ms()

    def _waterfall(self, chat: tuple[Span, ...]) -> tuple[Span, ...]:
        spans = [span("transcript", 0.0, self.heard_ms)] if self.heard_ms else []
        spans += [replace(s, start_ms=s.start_ms + self.heard_ms) for s in chat]
        if self.first_text_ms is not None and self.first_clause_ms is not None:
            spans.append(span("first clause", self.first_text_ms, self.first_clause_ms))
        if self.first_clause_ms is not None and self.first_audio_ms is not None:
            spans.append(span("first audio", self.first_clause_ms, self.first_audio_ms))
            spans.append(span("speech", self.first_audio_ms, self.last_audio_ms))
        return tuple(spans)


class _VoiceApplication(VoiceConductor):
    """The conductor as a deployment of its own, over handles to the other applications."""

    def __init__(self, args: ConductorArgs) -> None:
        super().__init__(SttClient(), ChatClient(), TtsClient(), args)


def app(args: ConductorArgs) -> Application:
    """Voice as a Serve application."""
    deployment = serve.deployment(name="voice", max_ongoing_requests=MAX_ONGOING_TURNS)(_VoiceApplication)
    return deployment.bind(args)
