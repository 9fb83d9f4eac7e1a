"""What the speech to text page does: stream a recording's text, then offer it as files."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from serve_apps import media, subtitles
from serve_apps.contracts import Stt
from serve_apps.errors import EmptyInput, RaydioError
from serve_apps.settings import ASSETS
from serve_apps.transcription import stream_file
from serve_apps.wire import SttOptions, Transcript
from ui import shell
from ui.pacing import batches
from ui.stats import progress_line, stat_line
from ui.timed_text import clock, view

EXAMPLE = ASSETS / "samples" / "announcement.ogg"
DETECT = ("Detect", "")
_ENDS_EARLY = 0.9
"""Less of a recording than this part of what its header says: it was cut off."""
Shown = tuple[Any, ...]
"""New values of: progress, text (HTML), timed text (HTML), one a download, and what was heard so far."""
NOTHING = Transcript(segments=(), language="", duration_s=0.0)
FILES: dict[str, str] = {"srt": "SRT", "vtt": "VTT", "txt": "Text", "json": "JSON"}
"""Transcript formats, and what people call them."""


@dataclass(slots=True, kw_only=True)
class Heard:
    """One recording under way: kept on the server, so that Stop can offer what there is."""

    recording: Path
    length_s: float = 0.0
    """As the header says; 0 if it does not."""
    transcript: Transcript = NOTHING
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    started: float = field(default_factory=time.perf_counter)

    @property
    def speed(self) -> float:
        """Seconds of sound a second."""
        return self.transcript.duration_s / max(1e-3, time.perf_counter() - self.started)


class Listener:
    """The handlers of the page."""

    def __init__(self, stt: Stt) -> None:
        self._stt = stt

    async def settings(self) -> tuple[Any, Any]:
        """Fill the languages when the page opens; show only what this engine can do."""
        try:
            details = (await self._stt.describe()).card.details
        except RaydioError:
            # The header says what is wrong; the defaults work as soon as the stage is back.
            return gr.skip(), gr.skip()
        codes = [code for code in details.get("languages", "").split(", ") if code]
        aligned = details.get("word times", "yes") != "no"
        return (
            gr.update(choices=[DETECT, *codes], visible=len(codes) > 1),
            gr.update(value=aligned, visible=aligned),
        )

    async def listen(self, recording: str | None, language: str, words: bool) -> AsyncGenerator[Shown]:
        """Stream the text as it is recognised; then times and files."""
        with shell.shown():
            heard = Heard(recording=_chosen(recording))
            options = SttOptions(language=language or None, words=words)
            yield (progress_line("Listening"), "", "", *_no_files(), heard)
            try:
                heard.length_s = (await asyncio.to_thread(media.probe, heard.recording)).duration_s
                updates = batches(stream_file(self._stt, heard.recording, options), heard.stop)
                async with aclosing(updates) as batched:
                    async for batch in batched:
                        if batch:
                            heard.transcript = batch[-1].transcript
                        yield (_progress(heard), escape(heard.transcript.text), *_unchanged(), heard)
            except RaydioError:
                # Hours of text are not thrown away because the last minute failed.
                kept = bool(heard.transcript.segments)
                yield await self.finished(heard, stopped=True) if kept else ("", "", "", *_no_files(), heard)
                raise
            yield await self.finished(heard, stopped=heard.stop.is_set())

    async def stopped(self, heard: Heard | None) -> None:
        """End what is under way; `listen` then offers what was heard before."""
        if heard:
            heard.stop.set()

    async def finished(self, heard: Heard, *, stopped: bool = False) -> Shown:
        """The last state of a recording: facts, text with times, files."""
        transcript = heard.transcript
        if not transcript.segments:
            return (_note(_silence(heard, stopped=stopped)), "", "", *_no_files(), heard)
        files = await asyncio.to_thread(written, transcript, heard.recording.stem)
        downloads = [gr.update(value=str(path), visible=True) for path in files]
        return (
            _facts(heard, stopped=stopped),
            escape(transcript.text),
            view(transcript, heard.recording),
            *downloads,
            heard,
        )


def written(transcript: Transcript, stem: str) -> list[Path]:
    """The transcript in every format, in a new folder that Gradio serves files from."""
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="transcript-", dir=uploads))
    paths = [folder / f"{stem}.{name}" for name in FILES]
    for path, name in zip(paths, FILES, strict=True):
        path.write_text(subtitles.write(transcript, name), encoding="utf-8")
    return paths


def example() -> str:
    """A copy of the example where Gradio serves files from."""
    folder = Path(get_upload_folder()) / "example"
    folder.mkdir(parents=True, exist_ok=True)
    return str(shutil.copy(EXAMPLE, folder))


def endpoint(
    stt: Stt,
) -> Callable[[str | None, str, bool], Coroutine[Any, Any, tuple[str, dict[str, Any], list[str]]]]:
    """`/transcribe` for programs: text, segments with times, files."""

    async def transcribe(
        audio: str | None, language: str = "", words: bool = False
    ) -> tuple[str, dict[str, Any], list[str]]:
        """Transcribe an audio or video file of any length."""
        with shell.told():
            path = _chosen(audio)
            options = SttOptions(language=language or None, words=words)
            found = NOTHING
            async with aclosing(stream_file(stt, path, options)) as updates:
                async for update in updates:
                    found = update.transcript
            files = await asyncio.to_thread(written, found, path.stem)
            return found.text, subtitles.as_dict(found), [str(file) for file in files]

    return transcribe


def _chosen(recording: str | None) -> Path:
    if not recording:
        raise EmptyInput("There is no recording yet.", "Choose a file, or record something.")
    return Path(recording)


def _unchanged() -> list[Any]:
    return [gr.skip() for _ in range(len(FILES) + 1)]


def _no_files() -> list[Any]:
    return [gr.update(value=None, visible=False) for _ in FILES]


def _progress(heard: Heard) -> str:
    done_s, length_s = heard.transcript.duration_s, heard.length_s
    if done_s <= 0:
        return progress_line("Listening")
    if length_s <= 0:
        return progress_line(f"Heard {clock(done_s)}, {heard.speed:.0f} times real time")
    left_s = max(0.0, length_s - done_s) / max(heard.speed, 1e-3)
    where = f"Heard {clock(done_s)} of {clock(length_s)}"
    pace = f"{heard.speed:.0f} times real time, {clock(left_s)} left"
    return progress_line(f"{where}, {pace}", done_s / length_s)


def _facts(heard: Heard, *, stopped: bool) -> str:
    transcript = heard.transcript
    facts = {
        "heard": clock(transcript.duration_s),
        "words": f"{len(transcript.text.split()):,}",
        "speed": f"{heard.speed:.0f} times real time",
        "language": transcript.language,
    }
    line = stat_line({name: value for name, value in facts.items() if value})
    if stopped:
        return line + _note(f"Stopped at {clock(transcript.duration_s)}. The text so far is below.")
    if transcript.duration_s < heard.length_s * _ENDS_EARLY:
        return line + _note(f"The file breaks off: it should be {clock(heard.length_s)} long.")
    return line


def _silence(heard: Heard, *, stopped: bool) -> str:
    if stopped:
        return f"Stopped at {clock(heard.transcript.duration_s)}, before anybody spoke."
    return f"Nobody speaks in this recording ({clock(heard.transcript.duration_s)} of sound)."


def _note(text: str) -> str:
    return f'<p class="ray-quiet" role="status">{text}</p>'
