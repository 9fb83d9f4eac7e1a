"""Speech that plays in the browser while it is still being made, without a gap, and stops at once.

The handler fills a `PlayerStream` and yields its `value()`, which carries the first sound with it.
`assets/player.js` then asks for the rest as it plays, so a long text waits here on disk and not in the
page, nothing is lost however Gradio merges updates, and Gradio's queue carries no sound.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import tempfile
import time
from collections.abc import Callable
from typing import Any, Self

import gradio as gr

from serve_apps.samples import resample, to_int16
from serve_apps.settings import ASSETS
from serve_apps.wire import Audio
from ui.scripts import scripted

FIRST_S = 0.5
"""Sound that travels with the value; more would delay it."""
PULL_S = 2.0
"""Longest answer to one question of the browser's."""
PATIENCE_S = 20.0
"""A question without an answer is asked again after this long."""
KEPT_S = 900.0
"""A stream that nobody asked about for this long is forgotten: a tab was closed, or a player paused."""
SPOOL_BYTES = 1 << 20
"""Shorter streams stay in memory."""
USUAL_RATE_HZ = 22_050
"""The rate a player gets ready for before it knows better; the embedded engine speaks at it."""
STOP_JS = "() => { document.dispatchEvent(new CustomEvent('raydio-stop')); }"
"""As `js=` of a button's event: silences every player of the page before the server hears of it."""

_TEMPLATE = """
<div class="ray-player" data-state="idle" role="group" aria-label="${label}">
  <button type="button" class="ray-player-play" aria-label="Play" disabled>
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=""/></svg>
  </button>
  <button type="button" class="ray-player-stop" aria-label="Stop" disabled>
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="M3 3h10v10H3z"/></svg>
  </button>
  <canvas class="ray-player-level" aria-hidden="true"></canvas>
  <span class="ray-player-time" role="timer" aria-live="off">0:00</span>
  <span class="ray-player-hint" role="status"></span>
</div>
"""
_STREAMS: dict[str, PlayerStream] = {}
"""What players may ask about, by an id that nobody can guess."""


def player(label: str = "Speech player") -> gr.HTML:
    """The player. Give it `PlayerStream.value()`; None stops it.

    Its element says `data-state` (idle, waiting, playing, paused, blocked, done, failed),
    `data-first-audio-ms`, `data-played-s` and `data-underruns`. Its `stop` event fires when the user
    presses Stop: end the handler then, as `ui.work.Work` does. The page's script may stop it with the
    document's event `raydio-stop`.
    """
    return gr.HTML(
        html_template=_TEMPLATE,
        css_template=(ASSETS / "player.css").read_text(),
        apply_default_css=False,
        server_functions=[_question()],
        label=label,
        rate_hz=USUAL_RATE_HZ,
        **scripted("player.js", fires=["stop", "end"]),
    )


class PlayerStream:
    """Sound on its way to a player. Use it on the event loop.

    `add` what there is to hear, give the component `value()` with every yield, and `finish`: Gradio may
    drop a value that is followed too soon by a skipped one. Leaving it as a context manager
    finishes it, also when the handler fails or is cancelled: what came so far plays to its end.
    """

    def __init__(self) -> None:
        _forget_old()
        self._id = secrets.token_urlsafe(16)
        self._pcm = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 (closed when forgotten)
        self._n_samples = 0
        self._rate_hz = 0
        self._done = False
        self._news = asyncio.Event()
        self._value: dict[str, Any] | None = None
        self.last_asked = time.monotonic()
        _STREAMS[self._id] = self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    @property
    def duration_s(self) -> float:
        """Sound added so far."""
        return self._n_samples / self._rate_hz if self._rate_hz else 0.0

    def add(self, audio: Audio) -> None:
        """Append sound; its rate is changed to that of the first."""
        self._rate_hz = self._rate_hz or audio.rate_hz
        samples = to_int16(resample(audio.samples, audio.rate_hz, self._rate_hz))
        self._pcm.seek(0, 2)
        self._pcm.write(samples.astype("<i2", copy=False).tobytes())
        self._n_samples += len(samples)
        self._tell()

    def finish(self) -> None:
        """Say that no more sound will come."""
        self._done = True
        self._tell()

    def value(self) -> dict[str, Any] | None:
        """The component's value: the same from the first sound on, None before it."""
        if self._value is None and self._n_samples:
            first = self.read(0, FIRST_S)
            self._value = {"stream": self._id, "rate_hz": self._rate_hz, "pcm": first}
        return self._value

    async def answer(self, start: int) -> dict[str, Any]:
        """What the browser asks for: sound from sample `start` on, waiting until there is some."""
        self.last_asked = time.monotonic()
        if start >= self._n_samples and not self._done:
            await self._wait()
        pcm = self.read(start, PULL_S)
        end = start + len(pcm) * 3 // 8
        return {"pcm": pcm, "done": self._done and end >= self._n_samples}

    def read(self, start: int, longest_s: float) -> str:
        """Samples from `start` on, little-endian int16, in base64."""
        n_bytes = 2 * min(max(self._n_samples - start, 0), int(longest_s * self._rate_hz))
        self._pcm.seek(2 * start)
        return base64.b64encode(self._pcm.read(n_bytes)).decode()

    def close(self) -> None:
        """Free the memory or file."""
        self.finish()
        self._pcm.close()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._news.wait()
        except TimeoutError:
            return  # the browser asks again


def _question() -> Callable[[Any], Any]:
    # A function of its own for each component: Gradio marks it. Outside Gradio's queue, so it holds no slot.
    async def more(asked: Any = None) -> dict[str, Any]:
        match asked:
            case {"stream": str(id_), "start": int(start)} if id_ in _STREAMS and start >= 0:
                return await _STREAMS[id_].answer(start)
        return {"pcm": "", "done": True}

    return more


def _forget_old() -> None:
    for id_, stream in list(_STREAMS.items()):
        if time.monotonic() - stream.last_asked > KEPT_S:
            _STREAMS.pop(id_).close()
