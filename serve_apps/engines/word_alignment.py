"""Word times for engines that have none: the known text is aligned with the sound (PocketSphinx).

English only. A text that cannot be aligned has no word times, rather than wrong ones.
"""

from __future__ import annotations

import re
from threading import Lock

import numpy as np
import pocketsphinx

from serve_apps.engines.pronunciation import letters_to_phones, number_words
from serve_apps.samples import to_int16
from serve_apps.wire import Samples, Word

_FRAMES_PER_S = 100
_NOT_SPOKEN = ("<", "[", "(")
"""How PocketSphinx's own marks begin: <sil>, [NOISE], (NULL)."""
_PIECE = re.compile(r"\d+|[^\W\d_]+(?:'[^\W\d_]+)*")
_SYMBOLS = {
    "&": "and",
    "%": "percent",
    "+": "plus",
    "$": "dollars",
    "£": "pounds",
    "€": "euros",
    "=": "equals",
}

_NUMBERS = (
    (re.compile(r"([$£€])([\d,.]*\d)"), r"\2 \1"),
    (re.compile(r"(?<=\d),(?=\d{3})"), ""),
    (re.compile(r"(?<=\d)\.(?=\d)"), " point "),
)
"""$5 is said "five dollars", 1,000 is one number, 3.5 has a point."""
_DITHER = 1e-4
"""Exact digital silence between words (generated speech) would end the search."""


class WordAligner:
    """One PocketSphinx decoder in alignment mode; a lock makes it safe to share."""

    def __init__(self) -> None:
        # Levels from this stretch alone, so that the same sound always gives the same times.
        self._decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", cmn="batch")
        self._lock = Lock()

    def align(self, text: str, samples: Samples) -> tuple[Word, ...]:
        """Find when each word of `text` is said.

        Args:
            text: what was said, with its punctuation.
            samples: 16 kHz, shape (n_samples,).

        Returns:
            One entry a white-space separated word, in order; empty if the text does not fit the sound.
        """
        words = text.split()
        said = [spoken(word) for word in words]
        with self._lock:
            times = self._times([s for pieces in said for s in pieces], samples)
        return tuple(_worded(words, said, times)) if times else ()

    def _times(self, spoken: list[str], samples: Samples) -> list[tuple[float, float]]:
        """Start and end of every spoken word, in seconds; empty if alignment failed."""
        if not spoken or not len(samples):
            return []
        for word in spoken:
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, letters_to_phones(word), update=True)
        try:
            self._decoder.set_align_text(" ".join(spoken))
            self._decoder.start_utt()
            self._decoder.process_raw(to_int16(_dithered(samples)).tobytes(), full_utt=True)
            self._decoder.end_utt()
        except RuntimeError:
            return []
        found = [s for s in self._decoder.seg() or () if not s.word.startswith(_NOT_SPOKEN)]
        if len(found) != len(spoken):
            return []
        return [(s.start_frame / _FRAMES_PER_S, (s.end_frame + 1) / _FRAMES_PER_S) for s in found]


def _dithered(samples: Samples) -> Samples:
    noise = np.random.default_rng(0).standard_normal(len(samples), np.float32)
    return samples + noise * np.float32(_DITHER)


def spoken(word: str) -> list[str]:
    """The words that are said for one written word: `20%` is said `twenty percent`."""
    text = word.lower().replace("\u2019", "'")
    for pattern, said in _NUMBERS:
        text = pattern.sub(said, text)
    for symbol, name in _SYMBOLS.items():
        text = text.replace(symbol, f" {name} ")
    pieces = _PIECE.findall(text)
    return [s for piece in pieces for s in (number_words(piece) if piece.isdecimal() else [piece])]


def _worded(words: list[str], spoken: list[list[str]], times: list[tuple[float, float]]) -> list[Word]:
    found: list[Word] = []
    first, now = 0, times[0][0]
    for word, pieces in zip(words, spoken, strict=True):
        own = times[first : first + len(pieces)] or [(now, now)]
        first += len(pieces)
        now = own[-1][1]
        found.append(Word(text=word, start_s=own[0][0], end_s=now))
    return found
