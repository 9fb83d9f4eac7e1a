"""A client of `/v1/realtime` as the page is one: a socket, a speaker that reports, a microphone beside it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_apps.samples import from_int16, to_int16
from serve_apps.wire import Samples

RATE_HZ = 24_000
FRAME_S = 0.02
FRAME = round(FRAME_S * RATE_HZ)
REPORT_S = 0.25
PIECE_BYTES = 4800
"""A tenth of a second of PCM16."""
PATIENCE_S = 30.0

Event = dict[str, Any]


def pcm16(samples: Samples) -> bytes:
    """24 kHz samples as the protocol sends them."""
    return to_int16(samples).astype("<i2", copy=False).tobytes()


class Realtime:
    """One socket, and everything that came over it.

    `speaker` plays what comes only while a `room` is open.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.events: list[Event] = []
        self.speaker = Speaker()
        self.closed: tuple[int, str] | None = None
        """Close code and reason, once it is."""
        self._socket = socket
        self._n_seen = 0
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def send(self, type_: str, **fields: Any) -> None:
        """Send one event."""
        await self._socket.send(json.dumps({"type": type_, **fields}))

    async def append(self, sound: bytes) -> None:
        """Sound in the session's input format."""
        await self.send("input_audio_buffer.append", audio=base64.b64encode(sound).decode())

    async def expect(
        self, *types: str, timeout_s: float = PATIENCE_S, where: Callable[[Event], bool] = bool
    ) -> Event:
        """The next event of one of `types` after the one that was expected last.

        Fails at an `error` that was not expected, when the socket closes, and after `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s), self._news:
                while (found := self._search(types, where)) is None:
                    assert self.closed is None, f"closed ({self.closed}) before {types}: {self.tail()}"
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {types} within {timeout_s} s: {self.tail()}") from None
        return found

    def _search(self, types: tuple[str, ...], where: Callable[[Event], bool]) -> Event | None:
        for n in range(self._n_seen, len(self.events)):
            event = self.events[n]
            if event["type"] in types and where(event):
                self._n_seen = n + 1
                return event
            assert event["type"] != "error", f"{event} before {types}"
        return None

    def all(self, type_: str) -> list[Event]:
        """Every event of a type so far."""
        return [event for event in self.events if event["type"] == type_]

    def tail(self, n: int = 25) -> list[str]:
        """The newest events' types, repeats left out."""
        types = [event["type"] for event in self.events[-400:]]
        return [type_ for type_, before in zip(types, ["", *types], strict=False) if type_ != before][-n:]

    @property
    def session_id(self) -> str:
        """As the server named it."""
        return str(self.all("raydio.session")[-1]["session_id"])

    @property
    def last_event_id(self) -> str:
        """Of what has come so far: what to resume after."""
        return str(self.events[-1]["event_id"])

    async def say(self, speech: Samples, quiet_s: float = 2.0) -> None:
        """Send speech (24 kHz) and the silence after it at once, as PCM16."""
        sound = pcm16(np.concatenate([speech, np.zeros(round(quiet_s * RATE_HZ), np.float32)]))
        for start in range(0, len(sound), PIECE_BYTES):
            await self.append(sound[start : start + PIECE_BYTES])

    async def lose(self) -> None:
        """The network is gone: no closing handshake."""
        self._socket.transport.abort()
        await self._reading

    @asynccontextmanager
    async def room(self, *, echo_gain: float = 0.0, echo_delay_s: float = 0.12) -> AsyncIterator[Room]:
        """Keep the microphone and the speaker on, in real time."""
        room = Room(self, echo_gain, echo_delay_s)
        running = asyncio.create_task(room.run())
        try:
            yield room
        finally:
            running.cancel()
            await asyncio.wait([running])
        if not running.cancelled() and self.closed is None:
            running.result()

    async def close(self) -> None:
        """Say goodbye."""
        await self._socket.close()
        await self._reading

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                event = json.loads(message)
                async with self._news:
                    self.events.append(event)
                    self.speaker.notice(event)
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        finally:
            async with self._news:
                self.closed = (self._socket.close_code or 1006, self._socket.close_reason or "")
                self._news.notify_all()


class Speaker:
    """Plays the newest answer; stops when the server says that the user speaks, as the page does."""

    def __init__(self) -> None:
        self.item_id = ""
        self.played = 0
        """Samples of the item so far."""
        self.n_underruns = 0
        self.stopped_ms: dict[str, int] = {}
        """Item id to where its playback was cut off."""
        self._waiting: list[Samples] = []
        self._complete = True

    @property
    def playing(self) -> bool:
        """Whether there is, or will be, something to play."""
        return bool(self._waiting) or not self._complete

    @property
    def played_ms(self) -> float:
        """How much of the item was played."""
        return 1000 * self.played / RATE_HZ

    def notice(self, event: Event) -> None:
        """What the server says about sound."""
        match event["type"]:
            case "response.output_audio.delta":
                self._take_in(event)
            case "response.output_audio.done" if event["item_id"] == self.item_id:
                self._complete = True
            case "input_audio_buffer.speech_started" if self.playing:
                self.stopped_ms[self.item_id] = round(self.played_ms)
                self._waiting, self._complete = [], True

    def _take_in(self, event: Event) -> None:
        if event["item_id"] in self.stopped_ms:
            return
        if event["item_id"] != self.item_id:
            self.item_id, self.played, self._waiting, self._complete = event["item_id"], 0, [], False
        self._waiting.append(from_int16(np.frombuffer(base64.b64decode(event["delta"]), "<i2")))

    def frame(self) -> Samples:
        """The next 20 ms."""
        out = np.zeros(FRAME, np.float32)
        n = 0
        while n < FRAME and self._waiting:
            piece = self._waiting.pop(0)
            taken = piece[: FRAME - n]
            out[n : n + len(taken)] = taken
            n += len(taken)
            if len(taken) < len(piece):
                self._waiting.insert(0, piece[len(taken) :])
        self.n_underruns += bool(self.played and not self._complete and n < FRAME)
        self.played += n
        return out


class Room:
    """A microphone and a speaker in one place: what is played comes back, delayed and softer."""

    def __init__(self, client: Realtime, echo_gain: float, echo_delay_s: float) -> None:
        self._client = client
        self._echo_gain = echo_gain
        self._air = [np.zeros(FRAME, np.float32) for _ in range(round(echo_delay_s / FRAME_S))]
        self._speech = np.zeros(0, np.float32)
        self._noise = np.random.default_rng(5)
        self._said = asyncio.Event()
        self._tick = asyncio.Condition()
        self._told: tuple[str, bool] = ("", False)
        self._told_at = 0.0

    async def say(self, speech: Samples) -> None:
        """Say this (24 kHz) from now on; returns when the last sample has left the microphone."""
        self._speech, self._said = np.concatenate([self._speech, speech]), asyncio.Event()
        await self._said.wait()

    async def listen(self, until: Callable[[Speaker], bool], timeout_s: float = PATIENCE_S) -> None:
        """Let the speaker play until it has come so far."""
        speaker = self._client.speaker
        async with asyncio.timeout(timeout_s), self._tick:
            await self._tick.wait_for(lambda: until(speaker))

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            heard = self._client.speaker.frame()
            self._air.append(heard)
            spoken, self._speech = self._speech[:FRAME], self._speech[FRAME:]
            frame = self._air.pop(0) * self._echo_gain + self._noise.normal(0, 3e-4, FRAME).astype(np.float32)
            frame[: len(spoken)] += spoken
            await self._client.append(pcm16(frame))
            if not len(self._speech):
                self._said.set()
            await self._report(loop.time())
            async with self._tick:
                self._tick.notify_all()
            next_at += FRAME_S
            await asyncio.sleep(max(0.0, next_at - loop.time()))

    async def _report(self, now: float) -> None:
        speaker = self._client.speaker
        if not speaker.item_id:
            return
        state = speaker.item_id, speaker.playing
        if state == self._told and not (speaker.playing and now - self._told_at >= REPORT_S):
            return
        stopped_ms = speaker.stopped_ms.get(speaker.item_id)
        if stopped_ms is not None and state != self._told:
            await self._client.send(
                "conversation.item.truncate",
                item_id=speaker.item_id,
                content_index=0,
                audio_end_ms=stopped_ms,
            )
        self._told, self._told_at = state, now
        await self._client.send(
            "raydio.playback", item_id=speaker.item_id, played_ms=speaker.played_ms, playing=speaker.playing
        )


@asynccontextmanager
async def realtime(url: str, token: str, query: str = "", **session: Any) -> AsyncIterator[Realtime]:
    """A session at `url` (scheme, host and port of the server), with `session` as its settings."""
    address = f"{url.replace('http', 'ws', 1)}/v1/realtime{query}"
    headers = {"authorization": f"Bearer {token}"}
    async with connect(address, additional_headers=headers, max_size=None, proxy=None) as socket:
        client = Realtime(socket)
        try:
            if session:
                await client.expect("session.created")
                await client.send("session.update", session={"type": "realtime", **session})
                await client.expect("session.updated")
            yield client
        finally:
            await client.close()
