"""A spoken answer on its way to the ear: what was sent, how far it was played, which words were heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from serve_apps.realtime.captions import CaptionWord, caption_words, estimated_s
from serve_apps.samples import resample
from serve_apps.wire import STT_RATE_HZ, Audio, AudioSegment, Samples, Word

LINGER_S = 0.4
"""After its last sample an answer is still in the room, in sound cards and on the network."""
MAX_REFERENCE = STT_RATE_HZ * 180
"""Samples of the answer that are kept to recognise its echo."""


@dataclass(slots=True)
class SpokenClause:
    """One clause of the answer."""

    index: int
    shown: str
    spoken: str
    start_s: float
    """From the item's first sample."""
    expected_s: float = 0.0
    """How long it will take to say, before that is known."""
    duration_s: float = 0.0
    """Of what was sent."""
    marks: list[Word] = field(default_factory=list)
    """The engine's word times, from the clause's start."""
    complete: bool = False

    def words(self) -> tuple[CaptionWord, ...]:
        """Its words with times from the clause's start: the engine's, else estimated."""
        expected_s = self.duration_s if self.complete else max(self.duration_s, self.expected_s)
        return caption_words(self.shown, self.spoken, tuple(self.marks), expected_s)


class Playback:
    """One answer's sound, and how much of it the user has heard.

    Clients may report it (`raydio.playback`); for those that do not, sound counts as played in real
    time from when it was sent. Times are the event loop's clock.

    Args:
        keep_reference: keep the sound, to recognise its echo.
        speed: how fast it is spoken; 1 is normal.
    """

    def __init__(self, *, keep_reference: bool, speed: float = 1.0) -> None:
        self.clauses: list[SpokenClause] = []
        self.sent_s = 0.0
        self.complete = False
        """No more will be sent."""
        self.heard_text: str | None = None
        """After an interruption: the words that were played."""
        self._keep_reference = keep_reference
        self._speed = speed
        self._reference: list[Samples] = []
        self._n_reference = 0
        self._first_sent_at: float | None = None
        self._reported: tuple[float, float, bool] | None = None
        self._stopped_s: float | None = None

    def add(self, segment: AudioSegment) -> SpokenClause:
        """Sound that is being sent; returns the clause that it belongs to."""
        if self._first_sent_at is None:
            self._first_sent_at = _now_s()
        if not self.clauses or self.clauses[-1].index != segment.index:
            self._complete_clause()
            self.clauses.append(self._new_clause(segment))
        clause = self.clauses[-1]
        clause.marks += [word.later(clause.duration_s) for word in segment.audio.words]
        clause.duration_s += segment.audio.duration_s
        self.sent_s += segment.audio.duration_s
        self._keep(segment.audio)
        return clause

    def finish(self) -> None:
        """Everything was sent."""
        self._complete_clause()
        self.complete = True

    def report(self, played_s: float, *, playing: bool) -> None:
        """The client says how much it has played."""
        self._reported = (min(played_s, self.sent_s), _now_s(), playing)

    def played_s(self, at: float | None = None) -> float:
        """How much was played at a time (now by default), as far as anybody can know."""
        at = _now_s() if at is None else at
        if self._stopped_s is not None:
            return self._stopped_s
        if self._reported is not None:
            played_s, reported_at, playing = self._reported
            # A report that stops coming is a client that is gone: its last word does not count for ever.
            return min(self.sent_s, max(0.0, played_s + (at - reported_at if playing else 0.0)))
        return 0.0 if self._first_sent_at is None else min(self.sent_s, max(0.0, at - self._first_sent_at))

    @property
    def audible(self) -> bool:
        """Whether it can be heard now, or just could."""
        if self._first_sent_at is None or self._stopped_s is not None:
            return False
        if self._reported is not None and not self._reported[2]:
            return _now_s() - self._reported[1] < LINGER_S
        return not self.complete or self.played_s(_now_s() - LINGER_S) < self.sent_s

    def stop(self, played_s: float | None = None) -> None:
        """It was cut off here; `heard_text` says from now on what was heard."""
        self._stopped_s = min(self.sent_s, self.played_s() if played_s is None else played_s)
        self.heard_text = self.text_until(self._stopped_s)

    def text_until(self, played_s: float) -> str:
        """The text, as shown, of the words that had begun to be spoken by then."""
        return "".join(
            _heard(clause, played_s - clause.start_s) for clause in self.clauses if clause.start_s < played_s
        ).strip()

    def said_between(self, start_s: float, end_s: float) -> str:
        """The clauses, as spoken, that sound somewhere between two times of the item."""
        return " ".join(
            c.spoken for c in self.clauses if c.start_s < end_s and c.start_s + c.duration_s > start_s
        )

    def reference(self, start_at: float, end_at: float) -> Samples:
        """What the speaker played between two times, at 16 kHz; silence where it played nothing."""
        n_samples = max(0, round((end_at - start_at) * STT_RATE_HZ))
        out = np.zeros(n_samples, np.float32)
        if not self._reference:
            return out
        # Where in the item `start_at` lies, before its start and after its end, too.
        offset = round((self._position_s(start_at)) * STT_RATE_HZ)
        whole = self._reference[0] if len(self._reference) == 1 else np.concatenate(self._reference)
        self._reference = [whole]
        low, high = max(0, offset), min(len(whole), offset + n_samples)
        if high > low:
            out[low - offset : high - offset] = whole[low:high]
        return out

    def _position_s(self, at: float) -> float:
        if self._reported is not None:
            played_s, reported_at, _ = self._reported
            return played_s + at - reported_at
        return at - (self._first_sent_at or at)

    def _new_clause(self, segment: AudioSegment) -> SpokenClause:
        return SpokenClause(
            index=segment.index,
            shown=segment.text,
            spoken=segment.spoken,
            start_s=self.sent_s,
            expected_s=estimated_s(segment.spoken) / self._speed,
        )

    def _complete_clause(self) -> None:
        if self.clauses:
            self.clauses[-1].complete = True

    def _keep(self, audio: Audio) -> None:
        if self._keep_reference and self._n_reference < MAX_REFERENCE:
            self._reference.append(resample(audio.samples, audio.rate_hz, STT_RATE_HZ))
            self._n_reference += len(self._reference[-1])


def _heard(clause: SpokenClause, until_s: float) -> str:
    if clause.complete and until_s >= clause.duration_s:
        return clause.shown
    begun = [word for word in clause.words() if word.start_s < until_s]
    return clause.shown[: begun[-1].shown_end] if begun else ""


def _now_s() -> float:
    return asyncio.get_running_loop().time()
