"""Make the example recording of the speech-to-text page, with the project's own voice."""

from __future__ import annotations

import numpy as np

from serve_apps import media
from serve_apps.args import TtsArgs
from serve_apps.engines.espeak import EspeakTts
from serve_apps.samples import resample
from serve_apps.settings import ASSETS
from serve_apps.wire import STT_RATE_HZ, Audio, SpeakRequest

TEXT = (
    "Good morning. This is a short recording for you to try. The meeting is on Tuesday at ten, in the large "
    "room on the second floor. Please bring the report, and your questions. Lunch will be served afterwards. "
    "Thank you."
)

if __name__ == "__main__":
    engine = EspeakTts(TtsArgs())
    said = engine.speak(SpeakRequest(text=TEXT, voice="en-us", speed=0.9))
    samples = np.concatenate([piece.samples for piece in said])
    audio = Audio(samples=resample(samples, engine.rate_hz, STT_RATE_HZ), rate_hz=STT_RATE_HZ)
    (ASSETS / "samples" / "announcement.ogg").write_bytes(media.encode(audio, "ogg"))
