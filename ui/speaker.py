"""What the text to speech page does: speak into the player and a file, and find languages and voices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import gradio as gr

from serve_apps.contracts import Tts
from serve_apps.errors import RaydioError, TextTooLong
from serve_apps.media import read
from serve_apps.wire import SpeakRequest, Voice
from ui import shell
from ui.player import PlayerStream
from ui.speech_file import SpeechFile
from ui.stats import milliseconds, stat_line
from ui.work import Work

MAX_CHARACTERS = 1_000_000
"""More than any stage speaks: a larger paste is refused before it travels whole."""
MAX_WAVE_S = 900.0
"""A longer file is offered without its wave form: the browser would decode all of it to draw that."""
REFERENCE_HZ = 24_000
EXAMPLES = {
    "English": ("en-us", "The quick brown fox jumps over the lazy dog, and the dog, being lazy, lets it."),
    "Deutsch": ("de", "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich."),
    "Français": ("fr", "Portez ce vieux whisky au juge blond qui fume, s'il vous plaît."),
    "Español": ("es", "El pingüino llegó a la montaña, y allí encontró a sus amigos."),
    "中文": ("zh", "今天天气很好。我们一起去公园散步吧。"),
    "العربية": ("ar", "السَّلامُ عليكم، كيف حالُكم اليوم؟"),
    "हिन्दी": ("hi", "नमस्ते, आज मौसम बहुत अच्छा है।"),
}
"""What people call the language: its tag, and a sentence."""
VOICES_OWN, STANDARD = ("The voice's own", ""), ("Standard voice", "")
"""The first choices of the two lists."""
Shown = tuple[Any, Any, Any, Any]
"""New values of the player, the facts, the wave form and the file."""


class Speaker:
    """The handlers of the page."""

    def __init__(self, tts: Tts) -> None:
        self._tts = tts
        self._voices: list[Voice] = []
        self._work = Work()

    async def settings(self) -> tuple[Any, Any, Any]:
        """Fill languages and voices when the page opens; show what this engine can do."""
        try:
            self._voices = await self._tts.voices()
            can_clone = (await self._tts.describe()).card.details.get("imitates voices") == "yes"
        except RaydioError:
            # The header says what is wrong; the defaults work as soon as the stage is back.
            return gr.skip(), gr.skip(), gr.skip()
        first = self._voices[0].language if self._voices else ""
        choices = [VOICES_OWN, *_languages(self._voices)]
        return gr.update(choices=choices, value=first), self.voices_of(first), gr.update(visible=can_clone)

    def voices_of(self, language: str) -> Any:
        """The voices of a language, its own first."""
        fitting = [(voice.name, voice.id) for voice in self._voices if voice.language == language]
        choices = [STANDARD, *fitting]
        return gr.update(choices=choices, value=fitting[0][1] if fitting else "")

    def example(self, name: str) -> Callable[[], tuple[str, Any, Any]]:
        """The handler of an example: its text, and a voice that speaks its language."""

        def chosen() -> tuple[str, Any, Any]:
            tag, text = EXAMPLES[name]
            if any(voice.language == tag for voice in self._voices):
                return text, tag, self.voices_of(tag)
            # The engine knows the language by another tag, or says that it does not.
            choices = [VOICES_OWN, (name, tag), *_languages(self._voices)]
            return text, gr.update(choices=choices, value=tag), gr.update(value="")

        return chosen

    async def speak(  # noqa: PLR0917 (Gradio passes values by position)
        self,
        text: str,
        voice: str,
        language: str,
        speed: float,
        pitch: float,
        format: str,  # noqa: A002 (the word everybody uses for it)
        reference: str | None,
        tab: gr.Request,
    ) -> AsyncIterator[Shown]:
        """Speak: sound for the player as it comes, then the file. Speaking again in the same tab ends it."""
        asked = partial(_request, text, voice, language, speed, pitch, reference)
        shown: Shown = (None, "", _hidden(), _hidden())
        async with aclosing(self._work.of(tab, self._spoken(asked, format))) as steps:
            yield shown
            with shell.shown():
                async for batch in steps:
                    shown = batch[-1] if batch else shown
                    yield shown

    async def stop(self, tab: gr.Request) -> None:
        """End what this tab speaks: what was made stays in the player, its file goes."""
        self._work.stop(tab)

    async def _spoken(
        self,
        asked: Callable[[], Awaitable[SpeakRequest]],
        format: str,  # noqa: A002
    ) -> AsyncGenerator[Shown, None]:
        request, clock = await asked(), Clock()
        with PlayerStream() as sound, SpeechFile(format) as file:
            async with aclosing(self._tts.stream_speak(request)) as chunks:
                async for chunk in chunks:
                    clock.heard(chunk.duration_s)
                    sound.add(chunk)
                    yield sound.value(), clock.line(), gr.skip(), gr.skip()
                    await asyncio.to_thread(file.write, [chunk])
        yield sound.value(), clock.line(), *_offered(file)


class Clock:
    """How early the first sound came, and how much faster than speech it is made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._first_ms: float | None = None
        self._sound_s = 0.0
        self._spent_s = 0.0

    def heard(self, duration_s: float) -> None:
        """Count a chunk that has just arrived."""
        self._spent_s = time.perf_counter() - self._started
        self._first_ms = self._first_ms or self._spent_s * 1000
        self._sound_s += duration_s

    def line(self) -> str:
        """The facts as HTML."""
        if self._first_ms is None:
            return ""
        factor = self._spent_s / self._sound_s
        return stat_line(
            {
                "first sound": milliseconds(self._first_ms),
                "speech": f"{self._sound_s:.1f} s",
                "made in": milliseconds(self._spent_s * 1000),
                "real-time factor": f"{factor:.3f}",
            }
        )


async def _request(  # noqa: PLR0917 (all of them, in the page's order)
    text: str, voice: str | None, language: str | None, speed: float, pitch: float, reference: str | None
) -> SpeakRequest:
    if len(text) > MAX_CHARACTERS:
        raise TextTooLong(f"The text has more than {MAX_CHARACTERS:,} characters.", "Split it into parts.")
    clip = await asyncio.to_thread(read, reference, REFERENCE_HZ) if reference else None
    return SpeakRequest(
        text=text, voice=voice or "", language=language or "", speed=speed, pitch=pitch, reference=clip
    )


def _hidden() -> Any:
    return gr.update(visible=False, value=None)


def _offered(file: SpeechFile) -> tuple[Any, Any]:
    """The file with its wave form, or by itself when it is long."""
    hidden, shown = _hidden(), gr.update(visible=True, value=str(file.path))
    return (shown, hidden) if file.duration_s <= MAX_WAVE_S else (hidden, shown)


def _languages(voices: list[Voice]) -> list[tuple[str, str]]:
    """Every language by the name of its first voice, in alphabetical order."""
    names: dict[str, str] = {}
    for voice in voices:
        names.setdefault(voice.language, voice.name.partition(",")[0])
    return sorted((f"{name} · {language}", language) for language, name in names.items())


def endpoint(tts: Tts) -> Callable[..., Any]:
    """The function behind `/speak`."""

    async def speak(  # noqa: PLR0917 (Gradio passes values by position)
        text: str,
        voice: str = "",
        language: str = "",
        speed: float = 1.0,
        pitch: float = 1.0,
        format: str = "wav",  # noqa: A002 (the word everybody uses for it)
        reference: str | None = None,
    ) -> str:
        """Speak a text into a sound file (wav, flac, ogg or mp3)."""
        with shell.told():
            request = await _request(text, voice, language, speed, pitch, reference)
            with SpeechFile(format) as file:
                async for chunk in tts.stream_speak(request):
                    await asyncio.to_thread(file.write, [chunk])
            return str(file.path)

    return speak
