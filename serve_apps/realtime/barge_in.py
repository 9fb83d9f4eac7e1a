"""Whether a sound that the microphone hears while we speak is the user taking the floor.

Two stages. As soon as somebody seems to speak, the answer is played more softly (the suspicion); it
stops when what was said is clear, and comes back when it was nothing. Early transcripts are guesses:
of half a second of "uh-huh", Moonshine makes "better". So the less a burst has lasted, the clearer
its words must be:

| voiced so far           | interrupts                                                              |
|-------------------------|-------------------------------------------------------------------------|
| under `min_speech_ms`   | nothing: clicks, coughs, slamming doors                                 |
| from there on           | "stop", "wait"; 0.1 s later all commands and how requests begin ("what") |
| three times as long     | any words but backchannels ("yeah, right"): "mhmm" is over by then      |
| `LONG_S`                | anything                                                                |

Unless it is our own voice. Measured shares of the heard energy that the answer explains (`echo_share`
over 0.4 s; 300 bursts each of 7 voices, 6 to 30 dB softer, 0 to 0.4 s late, through rooms of 0 to
0.4 s reverberation, clipped or not, noise at 15 dB):

| heard                                   | 2 %  | 10 % | half | 90 % | 98 % |
|-----------------------------------------|------|------|------|------|------|
| the answer alone                        | 0.79 | 0.83 | 0.89 | 0.95 | 0.96 |
| the answer and a voice 6 dB softer      | 0.51 | 0.60 | 0.71 | 0.79 | 0.84 |
| the answer and a voice as loud          | 0.20 | 0.28 | 0.43 | 0.58 | 0.65 |
| the answer and a voice 6 dB louder      | 0    | 0    | 0.10 | 0.25 | 0.35 |
| another voice alone                     | 0    | 0    | 0    | 0.20 | 0.39 |
"""

from __future__ import annotations

from typing import Literal

from serve_apps.realtime.config import BargeIn
from serve_apps.realtime.phrases import (
    BACKCHANNELS,
    COMMANDS,
    EMPTY,
    OPENERS,
    begins_with,
    consists_of,
    contains,
    in_order_within,
    words,
)
from serve_apps.realtime.vad import FRAME_S, VadStream

OWN_VOICE = 0.75
"""Above this share it is the answer and nothing else."""
MIXED = 0.5
"""Above this share it is mostly the answer: only words can tell."""
STRANGER = 0.3
"""Below this share one or two words that the answer happens to contain are no echo."""
LONG_S = 1.5
"""Nobody says "mhmm" for so long: whatever is heard, the user wants the floor."""
_CLEAR_AFTER = 3
"""Times `min_speech_ms`: from then on any words interrupt."""
_LISTEN_EVERY_S = 0.1
_LATER_EVERY_S = 0.3
"""Between transcriptions once any words would do: they cost 30 to 60 ms each."""
_SURE_LETTERS = 4
"""Of a first transcript only longer commands are trusted: the beginning of "okay" is heard as "no"."""
_GIVE_UP_S = 2.0
"""Quiet after a burst, and still no transcript."""
_SAME_WORDS = 0.7
"""Share of the heard words that the answer must contain, in order, to be its echo."""
_FEW_WORDS = 2
_MAX_WORDS = 12

Step = Literal["wait", "listen", "dismiss", "interrupt"]
Verdict = Literal["wait", "dismiss", "interrupt"]


class Suspicion:
    """One burst of sound during an answer, from `SpeechStarted` to a verdict."""

    def __init__(self, settings: BargeIn, started_s: float) -> None:
        """Begin to doubt.

        Args:
            settings: what interrupts.
            started_s: where the burst begins in the stream; what is transcribed begins a little before.
        """
        self.started_s = started_s
        self.reason = ""
        """Of a dismissal: `noise`, `backchannel` or `echo`."""
        self._mode = settings.mode
        self._guarded = settings.echo_guard
        # Speech is counted in whole frames: half of one less makes the nearest count enough.
        self._min_speech_s = settings.min_speech_ms / 1000 - FRAME_S / 2
        self._clear_s = _CLEAR_AFTER * settings.min_speech_ms / 1000 - FRAME_S / 2
        self._guess_s = self._min_speech_s + _LISTEN_EVERY_S - FRAME_S
        self._listen_at_s = self._min_speech_s
        self._speech_s = 0.0
        self._over = self._heard_all = False
        self._n_asked = 0
        self._echo_share = 0.0

    def consider(self, vad: VadStream, echo_share: float) -> Step:
        """Decide by sound alone; call it with every new audio.

        Args:
            vad: the detector, which has heard the new audio.
            echo_share: of the last `echo.WINDOW_S`; 0 when nothing is being played.

        Returns:
            `listen` means: transcribe the burst now and call `understood`.
        """
        self._speech_s, self._over = vad.speech_s, not vad.speaking
        self._echo_share = echo_share if self._guarded else 0.0
        self._heard_all = self._heard_all and self._over
        if self._mode == "off":
            return self._dismiss("noise")
        if self._echo_share >= OWN_VOICE:
            return self._dismiss("echo")
        if self._over and (self._speech_s < self._min_speech_s or vad.quiet_s > _GIVE_UP_S):
            return self._dismiss("noise")
        if self._speech_s < self._min_speech_s:
            return "wait"
        if self._echo_share < MIXED and (self._mode == "speech" or self._speech_s >= LONG_S):
            return "interrupt"
        return self._listen_or_wait()

    def understood(self, text: str, spoken: str) -> Verdict:
        """Decide by the words.

        Args:
            text: what was heard in the burst so far, as transcribed.
            spoken: what the answer said in the last 8 s, and the clause that it is saying.
        """
        said = words(text)[-_MAX_WORDS:]
        if self._guarded and self._is_echo(said, words(spoken)):
            return self._dismiss("echo")
        nothing = consists_of(said, BACKCHANNELS, EMPTY)
        if not nothing and self._is_clear(said):
            return "interrupt"
        asked_again, self._n_asked = self._n_asked > 1, 0
        if self._over and asked_again:
            self._heard_all = False  # this transcript was under way when the burst ended: hear all of it
            return "wait"
        return self._dismiss("backchannel" if said else "noise") if self._over else "wait"

    def _is_clear(self, said: list[str]) -> bool:
        if self._speech_s >= self._clear_s:
            return self._echo_share < MIXED or len(said) > _FEW_WORDS
        if self._echo_share >= MIXED:
            return False  # a room garbles the answer's words: one that is none of them proves nothing
        if self._over or self._speech_s >= self._guess_s:
            return contains(said, COMMANDS) or begins_with(said, OPENERS)
        return any(len(word) >= _SURE_LETTERS and (word,) in COMMANDS for word in said)

    def _listen_or_wait(self) -> Step:
        """The first time when it has lasted, then as it goes on, and once when it is over."""
        if not (self._over or self._speech_s >= self._listen_at_s) or self._heard_all:
            return "wait"
        self._heard_all = self._over
        self._n_asked += 1
        pause_s = _LISTEN_EVERY_S if self._speech_s < self._clear_s else _LATER_EVERY_S
        self._listen_at_s = self._speech_s + pause_s - FRAME_S / 2
        return "listen"

    def _is_echo(self, said: list[str], spoken: list[str]) -> bool:
        if len(said) <= _FEW_WORDS and self._echo_share < STRANGER:
            return False
        return in_order_within(said, spoken, share=_SAME_WORDS)

    def _dismiss(self, reason: Literal["noise", "backchannel", "echo"]) -> Literal["dismiss"]:
        self.reason = reason
        return "dismiss"
