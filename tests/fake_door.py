"""The session's side of `/v1/realtime`, played by a test: says what it is told, remembers what it hears."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_apps.samples import resample, to_int16
from serve_apps.wire import Audio, Samples
from tests.fake_clients import hum

RATE_HZ = 24_000
PATIENCE_S = 10.0
Event = dict[str, Any]


class FakeDoor:
    """One session after the other; each socket but a resumed one is a new session."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        """What the page said, but its sound."""
        self.audio: list[bytes] = []
        """The sound of each append."""
        self.queries: list[dict[str, str]] = []
        """Of each socket, in order."""
        self.refuse_resume = False
        self._n_events = 0
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: list[WebSocket] = []

    async def endpoint(self, socket: WebSocket) -> None:
        """The WebSocket route."""
        await socket.accept()
        self._loop = asyncio.get_running_loop()
        query = dict(socket.query_params)
        self._note(lambda: self.queries.append(query))
        if "resume" in query and self.refuse_resume:
            await socket.close(4404, "The session has expired.")
            return
        self._sockets.append(socket)
        session_id = query.get("resume", f"sess_{len(self.queries)}")
        if "resume" not in query:
            await socket.send_json(self._event({"type": "session.created", "session": {"id": session_id}}))
        welcome = {"type": "raydio.session", "session_id": session_id, "resumed": "resume" in query}
        await socket.send_json(self._event({**welcome, "resume_s": 30}))
        await self._listen(socket)

    async def _listen(self, socket: WebSocket) -> None:
        try:
            while True:
                self._take(await socket.receive_json())
        except WebSocketDisconnect:
            if socket in self._sockets:
                self._sockets.remove(socket)

    def _take(self, event: Event) -> None:
        if event["type"] == "input_audio_buffer.append":
            self._note(lambda: self.audio.append(base64.b64decode(event["audio"])))
        else:
            self._note(lambda: self.heard.append(event))

    def _note(self, remember: Callable[[], None]) -> None:
        with self._changed:
            remember()
            self._changed.notify_all()

    def _event(self, event: Event) -> Event:
        self._n_events += 1
        return {"event_id": f"event_{self._n_events}", **event}

    # ---- for the test's thread ---------------------------------------------------------------------

    def say(self, *events: Event, to: int = -1) -> None:
        """Send events to the newest socket, or another one; returns when they are on their way."""
        self._run(self._say(events, to))

    async def _say(self, events: tuple[Event, ...], to: int) -> None:
        for event in events:
            await self._sockets[to].send_json(self._event(event))

    def cut(self, code: int = 1011) -> None:
        """Lose the newest socket."""
        self._run(self._sockets.pop().close(code))

    def _run(self, doing: Any) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(PATIENCE_S)

    def wait(self, type_: str, n: int = 1) -> Event:
        """The n-th event of a type that the page says, waiting for it."""
        self.wait_until(lambda: len(self.all(type_)) >= n)
        return self.all(type_)[n - 1]

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait for something that depends on what was heard."""
        with self._changed:
            if not self._changed.wait_for(true, PATIENCE_S):
                heard = [event["type"] for event in self.heard]
                raise AssertionError(f"The page did not say that. It said {heard}, {len(self.audio)} sounds.")

    def all(self, type_: str) -> list[Event]:
        """Every event of a type so far."""
        return [event for event in self.heard if event["type"] == type_]

    @property
    def samples(self) -> Samples:
        """All sound so far."""
        return np.frombuffer(b"".join(self.audio), "<i2").astype(np.float32) / 32_768

    @property
    def heard_s(self) -> float:
        """Length of all sound so far."""
        return sum(map(len, self.audio)) / 2 / RATE_HZ


def sound(audio: Audio) -> str:
    """Audio as a delta carries it."""
    samples = to_int16(resample(audio.samples, audio.rate_hz, RATE_HZ))
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def question(item_id: str, text: str, *, start_ms: int = 0, end_ms: int = 500) -> list[Event]:
    """The events of a spoken question."""
    about = {"item_id": item_id}
    transcribed = "conversation.item.input_audio_transcription.completed"
    return [
        {"type": "input_audio_buffer.speech_started", **about, "audio_start_ms": start_ms},
        {"type": "raydio.transcript.partial", **about, "text": text.split(maxsplit=1)[0]},
        {"type": "input_audio_buffer.speech_stopped", **about, "audio_end_ms": end_ms},
        {"type": "input_audio_buffer.committed", **about, "previous_item_id": None},
        {"type": transcribed, **about, "content_index": 0, "transcript": text},
    ]


def answer_begins(item_id: str, text: str, duration_s: float, *, response: str = "resp") -> list[Event]:
    """An answer with its sound and captions, still being made: one clause, its words evenly spread."""
    about = {"response_id": response, "item_id": item_id}
    words = text.split()
    step_ms = 1000 * duration_s / len(words)
    times = [
        {"text": word, "start_ms": i * step_ms, "end_ms": (i + 1) * step_ms} for i, word in enumerate(words)
    ]
    caption = {"clause": 0, "text": text, "audio_start_ms": 0, "words": times, "final": True}
    return [
        {"type": "response.created", "response": {"id": response, "status": "in_progress"}},
        {
            "type": "response.output_item.added",
            **about,
            "item": {"id": item_id, "role": "assistant", "content": []},
        },
        {"type": "response.output_audio_transcript.delta", **about, "delta": text},
        {"type": "raydio.captions", **about, **caption},
        {"type": "response.output_audio.delta", **about, "delta": sound(hum(duration_s))},
    ]


def answer_ends(item_id: str, text: str, *, response: str = "resp", status: str = "completed") -> list[Event]:
    """The end of that answer, and where its time went."""
    about = {"response_id": response, "item_id": item_id}
    spans = [
        {"name": "silence", "start_ms": 0, "duration_ms": 400},
        {"name": "first token", "start_ms": 400, "duration_ms": 80},
        {"name": "first audio", "start_ms": 480, "duration_ms": 20},
    ]
    turn = {"silence_ms": 400, "voice_to_voice_ms": 500, "spans": spans, "tokens_per_s": 50, "notes": []}
    return [
        {"type": "response.output_audio.done", **about},
        {"type": "response.output_audio_transcript.done", **about, "transcript": text},
        {
            "type": "response.done",
            "response": {"id": response, "status": status, "status_details": None, "output": []},
        },
        {"type": "raydio.turn", **about, "user_item_id": None, **turn},
    ]


def answer(item_id: str, text: str, duration_s: float = 0.5, *, response: str = "resp") -> list[Event]:
    """A whole answer."""
    return [
        *answer_begins(item_id, text, duration_s, response=response),
        *answer_ends(item_id, text, response=response),
    ]
