"""A transcript as a file: SubRip (SRT), WebVTT, plain text, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from serve_apps.errors import UnknownName
from serve_apps.wire import Segment, Transcript, Word

FORMATS = ("srt", "vtt", "txt", "json")
LINE_CHARACTERS = 42
"""What broadcasters allow: longer lines are not read in one glance."""
CUE_LINES = 2
_SHORTEST_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What is on the screen at one time: at most two lines."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


def write(transcript: Transcript, format: str) -> str:  # noqa: A002 (the word everybody uses for it)
    """The whole file.

    Args:
        transcript: what was said.
        format: one of `FORMATS`.

    Raises:
        UnknownName: no such format.
    """
    match format:
        case "srt":
            return _srt(cues(transcript))
        case "vtt":
            return _vtt(cues(transcript))
        case "txt":
            return "".join(f"{segment.text.strip()}\n" for segment in transcript.segments)
        case "json":
            return json.dumps(as_dict(transcript), ensure_ascii=False, indent=2) + "\n"
    raise UnknownName(f"There is no transcript format {format!r}.", f"Use one of {', '.join(FORMATS)}.")


def as_dict(transcript: Transcript) -> dict[str, Any]:
    """The transcript in JSON's types, times in seconds to the millisecond."""
    return {
        "text": transcript.text,
        "language": transcript.language,
        "duration_s": round(transcript.duration_s, 3),
        "segments": [_segment_dict(segment) for segment in transcript.segments],
    }


def cues(transcript: Transcript) -> list[Cue]:
    """Segments cut into cues that fit the screen, in order and without overlap.

    Cuts have the times of the words, or the share of the letters where there are no word times.
    """
    found = [cue for segment in transcript.segments for cue in _segment_cues(segment)]
    limits = [*(cue.start_s for cue in found[1:]), float("inf")]
    return [
        Cue(start_s=c.start_s, end_s=max(min(c.end_s, limit), c.start_s + _SHORTEST_S), lines=c.lines)
        for c, limit in zip(found, limits, strict=False)
    ]


def timestamp(time_s: float, mark: str = ".") -> str:
    """`1:02:03.5` as `01:02:03.500`; `mark` stands before the milliseconds."""
    total_ms = max(0, round(time_s * 1000))
    minutes, ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{ms // 1000:02}{mark}{ms % 1000:03}"


def _srt(found: list[Cue]) -> str:
    """SubRip has no escapes, so an arrow in the text becomes one that is not a time line."""
    blocks = (
        f"{n}\n{timestamp(cue.start_s, ',')} --> {timestamp(cue.end_s, ',')}\n"
        + "\n".join(cue.lines).replace("-->", "\u2192")
        for n, cue in enumerate(found, start=1)
    )
    return "".join(f"{block}\n\n" for block in blocks)


def _vtt(found: list[Cue]) -> str:
    blocks = (
        f"{timestamp(cue.start_s)} --> {timestamp(cue.end_s)}\n" + escape("\n".join(cue.lines), quote=False)
        for cue in found
    )
    return "WEBVTT\n\n" + "".join(f"{block}\n\n" for block in blocks)


def _segment_dict(segment: Segment) -> dict[str, Any]:
    words = [
        {"text": w.text, "start_s": round(w.start_s, 3), "end_s": round(w.end_s, 3)} for w in segment.words
    ]
    return {
        "text": segment.text,
        "start_s": round(segment.start_s, 3),
        "end_s": round(segment.end_s, 3),
        **({"words": words} if words else {}),
    }


def _segment_cues(segment: Segment) -> Iterator[Cue]:
    lines = _lines([part for word in _words(segment) for part in _parts(word)])
    for first in range(0, len(lines), CUE_LINES):
        shown = lines[first : first + CUE_LINES]
        texts = tuple(" ".join(word.text for word in line) for line in shown)
        yield Cue(start_s=shown[0][0].start_s, end_s=shown[-1][-1].end_s, lines=texts)


def _words(segment: Segment) -> list[Word]:
    """The segment's words, or its text with times shared out by letters."""
    if segment.words:
        return [word for word in segment.words if word.text.strip()]
    whole = Word(text=" ".join(segment.text.split()), start_s=segment.start_s, end_s=segment.end_s)
    return _shared(whole, whole.text.split())


def _parts(word: Word) -> list[Word]:
    """A word too long for a line in pieces: scripts without spaces come as one."""
    text = " ".join(word.text.split())
    cuts = range(0, len(text), LINE_CHARACTERS)
    return _shared(word, [text[i : i + LINE_CHARACTERS] for i in cuts])


def _shared(whole: Word, texts: list[str]) -> list[Word]:
    """One word a text, with the time of `whole` shared out by letters."""
    n_letters = sum(map(len, texts)) or 1
    found, before, length_s = [], 0, whole.end_s - whole.start_s
    for text in texts:
        start_s = whole.start_s + length_s * before / n_letters
        before += len(text)
        found.append(Word(text=text, start_s=start_s, end_s=whole.start_s + length_s * before / n_letters))
    return found


def _lines(words: list[Word]) -> list[list[Word]]:
    lines: list[list[Word]] = []
    room = -1
    for word in words:
        if len(word.text) + 1 > room:
            lines.append([])
            room = LINE_CHARACTERS + 1
        lines[-1].append(word)
        room -= len(word.text) + 1
    return lines
