"""A headless client of /v1/realtime: a microphone that talks, a speaker that counts, and a clock."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.microphone import Microphone, pcm
from benchmarks.raw_http import Target
from benchmarks.speaker import Speaker
from serve_apps.wire import Samples

RATE_HZ = 24_000
BYTES_PER_S = 2 * RATE_HZ
REPORT_EVERY_S = 0.25
WAIT_S = 20.0
SOUND = "response.output_audio.delta"
DONE = "response.done"

Event = dict[str, Any]


@dataclass(slots=True)
class Conversation:
    """One session, from the client's side. Times are `time.perf_counter`."""

    socket: ClientConnection
    events: list[tuple[float, Event]] = field(default_factory=list)
    """Everything that came, sound without its samples."""
    speakers: dict[str, Speaker] = field(default_factory=dict)
    """By item."""
    microphone: Microphone = field(init=False)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.microphone = Microphone(RATE_HZ, self.append)

    # ---- out -------------------------------------------------------------------------------------

    async def send(self, type_: str, **more: Any) -> None:
        """One event."""
        await self.socket.send(orjson.dumps({"type": type_, **more}).decode())

    async def append(self, data: bytes) -> None:
        """More sound."""
        await self.send("input_audio_buffer.append", audio=base64.b64encode(data).decode())

    async def append_at_once(self, samples: Samples) -> None:
        """A recording, faster than anybody could say it; samples at `RATE_HZ`."""
        await self.append(pcm(samples))

    async def update(self, session: Event) -> None:
        """Change settings, and wait until they hold."""
        mark = self.mark()
        await self.send("session.update", session={"type": "realtime", **session})
        await self.wait("session.updated", mark)

    async def ask(self, text: str) -> None:
        """Type something, and ask for the answer."""
        part = {"type": "input_text", "text": text}
        item = {"type": "message", "role": "user", "content": [part]}
        await self.send("conversation.item.create", item=item)
        await self.send("response.create")

    # ---- in --------------------------------------------------------------------------------------

    def mark(self) -> int:
        """Where in `events` what comes from now on begins."""
        return len(self.events)

    async def wait(self, type_: str, since: int, timeout_s: float = WAIT_S) -> tuple[float, Event]:
        """When the first event of this type came, and the event.

        Raises:
            TimeoutError: it did not.
            ConnectionError: an error came instead, or the connection ended.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                for at, event in self.events[since:]:
                    if event["type"] == type_:
                        return at, event
                    if event["type"] in ("error", "closed"):
                        raise ConnectionError(f"{event} instead of {type_}")
                since = self.mark()
                self._came.clear()
                await self._came.wait()

    async def listen(self) -> None:
        """Take what comes, until the connection ends."""
        try:
            async for message in self.socket:
                self._take(time.perf_counter(), orjson.loads(message))
        except ConnectionClosed as closed:
            self._take(time.perf_counter(), {"type": "closed", "reason": str(closed)})

    def _take(self, at: float, event: Event) -> None:
        if event["type"] == SOUND:
            sound = event.pop("delta")
            duration_s = (len(sound) * 3 // 4 - sound.count("=", -2)) / BYTES_PER_S
            self.speakers.setdefault(event["item_id"], Speaker()).add(at, duration_s)
        elif event["type"] == "input_audio_buffer.speech_started":
            for speaker in self.speakers.values():
                speaker.stop(at)
        self.events.append((at, event))
        self._came.set()

    async def report(self) -> None:
        """Tell how much was played, as the page does, until cancelled."""
        told: set[str] = set()
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            now = time.perf_counter()
            for item_id, speaker in self.speakers.items():
                playing = speaker.playing(now)
                if playing or item_id not in told:
                    played_ms = 1000 * speaker.played_s(now)
                    about = {"item_id": item_id, "played_ms": played_ms, "playing": playing}
                    await self.send("raydio.playback", **about)
                if not playing:
                    told.add(item_id)


@asynccontextmanager
async def conversation(target: Target, *, microphone: bool = True) -> AsyncGenerator[Conversation]:
    """A session, its microphone open."""
    url = f"{target.url.replace('http', 'ws', 1)}/v1/realtime?model=raydio"
    # compression would cost both sides more than loopback's bytes
    async with connect(url, additional_headers=target.headers, compression=None, max_size=None) as socket:
        held = Conversation(socket)
        work: list[Callable[[], Any]] = [held.listen, held.report]
        work += [held.microphone.run] if microphone else []
        tasks = [asyncio.create_task(each()) for each in work]
        try:
            await held.wait("session.created", 0)
            yield held
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
