"""A transcript as a reader sees it: sentences with times, words that play, the recording beside them."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from serve_apps.wire import Segment, Transcript, Word

_HOUR_S = 3600


def clock(time_s: float) -> str:
    """A time for people: `0:07`, `12:30`, `3:00:00`."""
    seconds = int(time_s)
    hours, rest = divmod(seconds, _HOUR_S)
    if hours:
        return f"{hours}:{rest // 60:02}:{rest % 60:02}"
    return f"{rest // 60}:{rest % 60:02}"


def view(transcript: Transcript, recording: Path) -> str:
    """HTML with the recording and one row a sentence; `assets/stt.js` makes times and words play.

    Args:
        transcript: what was said; its text is escaped.
        recording: the file, in a folder that Gradio serves.
    """
    if not transcript.segments:
        return ""
    source = escape(f"gradio_api/file={quote(str(recording))}")
    rows = "".join(_rows(transcript.segments))
    return (
        f'<audio controls preload="metadata" src="{source}" aria-label="The recording"></audio>'
        f'<ol class="ray-timed" aria-label="Sentences with times">{rows}</ol>'
    )


def _rows(segments: tuple[Segment, ...]) -> Iterator[str]:
    for segment in segments:
        at = clock(segment.start_s)
        words = " ".join(map(_word, segment.words)) if segment.words else escape(segment.text)
        button = f'<button type="button" data-at="{segment.start_s:.2f}" aria-label="Play from {at}">'
        yield f'<li>{button}{at}</button><p dir="auto">{words}</p></li>'


def _word(word: Word) -> str:
    return f'<span data-at="{word.start_s:.2f}" data-to="{word.end_s:.2f}">{escape(word.text)}</span>'
